//! `volward-policy`: compiles, examines, tests and replays policies. Nothing here needs root or a
//! daemon.
//!
//! `compile` is also what the daemon runs as a child: see [`volward_policy::Compiler`] for the
//! contract. Exit status: 0 done, 1 failed, 2 wrong usage, 3 the policy is refused, 4 what was
//! asked for is not so: a scenario came out otherwise, a decision would change, a policy costs
//! more than it did.

mod commands;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use volward_manual::{Page, completions, page};
use volward_policy::Limits;
use volward_workbench::{new, one_line};

/// Compiles, examines, tests and replays Volward policies. Needs neither root nor a daemon.
#[derive(Parser)]
#[command(name = "volward-policy", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile a component to native code for this machine
    Compile {
        /// The component [default: standard input]
        component: Option<PathBuf>,
        /// Where to write the compiled form [default: standard output]
        #[arg(short, long)]
        out: Option<PathBuf>,
        /// The largest component that is compiled: `component-bytes` of the daemon's limits
        #[arg(long, value_name = "BYTES", default_value_t = Limits::default().component_bytes)]
        component_bytes: u64,
    },
    /// Turn a core module into a component: the last step of a build in C or Rust
    Componentize {
        /// The core module
        module: PathBuf,
        /// The world of the interface it was written against; not for the Rust SDK
        #[arg(long)]
        world: Option<String>,
        /// Where to write the component
        #[arg(short, long)]
        out: PathBuf,
    },
    /// Make a folder with a new policy that builds at once
    New(new::New),
    /// Show a component's exports, imports, interface, digest, size, and what it costs
    Inspect {
        /// The component
        component: PathBuf,
    },
    /// Do everything the daemon does when it loads a policy, and say what it would say; then run
    /// the scenarios beside it (NAME.scenarios.jsonl), where there are some
    Check {
        /// The component
        component: PathBuf,
        /// Its settings [default: the file beside it that ends in .toml, where there is one]
        #[arg(long)]
        settings: Option<PathBuf>,
    },
    /// Run scenarios against policies, and show which hooks they reached
    Test(commands::Test),
    /// Measure what decisions cost, and compare with figures saved before
    Bench(commands::Bench),
    /// Make scenarios of decisions in a log
    Capture(commands::Capture),
    /// Make recorded decisions again with these policies, and show what would change
    Replay(commands::Replay),
    /// Tell what each policy makes of a scenario
    Explain(commands::Explain),
    /// Print the man page: what is packaged is made with it
    #[command(hide = true)]
    Manual,
    /// Print completions for a shell: what is packaged is made with it
    #[command(hide = true)]
    Completions { shell: Shell },
}

const MANUAL: Page = Page {
    section: "1",
    more: &[(
        "Exit status",
        "0  done\n1  failed\n2  the command line is invalid\n3  the policy is refused\n4  what was asked for is not \
         so: a scenario came out otherwise, a decision would change, a policy costs more than it did",
    )],
    see_also: &["volward(1)", "volwardd(8)"],
};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Compile {
            component,
            out,
            component_bytes,
        } => commands::compile(component.as_deref(), out.as_deref(), component_bytes),
        Command::Componentize { module, world, out } => {
            commands::componentize(&module, world.as_deref(), &out)
        }
        Command::New(options) => commands::new(&options),
        Command::Inspect { component } => commands::inspect(&component),
        Command::Check {
            component,
            settings,
        } => commands::check(&component, settings.as_deref()),
        Command::Test(options) => options.run(),
        Command::Bench(options) => options.run(),
        Command::Capture(options) => options.run(),
        Command::Replay(options) => options.run(),
        Command::Explain(options) => options.run(),
        Command::Manual => print(page(Arguments::command(), MANUAL).as_bytes()),
        Command::Completions { shell } => print(&completions(&mut Arguments::command(), shell)),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("volward-policy: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    std::io::stdout().lock().write_all(text)?;
    Ok(ExitCode::SUCCESS)
}
