//! `volward-policy`: compiles and examines policies.
//!
//! `compile` is also what the daemon runs as a child: see [`volward_policy::Compiler`] for the
//! contract. Exit status: 0 done, 1 failed, 2 wrong usage, 3 the policy is refused.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use volward_policy::{CompileError, Compiler, Limits, Runtime, Settings};
use volward_workbench::{InProcess, componentize, inspect, new, one_line, rlimits};

/// The policy is refused: the author's concern, not the machine's.
const REFUSED: u8 = 3;

/// Compiles and examines Volward policies. Needs neither root nor a daemon.
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
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Turn a core module into a component: the last step of a build in C or Rust
    Componentize {
        /// The core module
        module: PathBuf,
        /// The world of the interface it was written against; not for the Rust SDK
        #[arg(long)]
        world: Option<String>,
        /// Where to write the component
        #[arg(long)]
        out: PathBuf,
    },
    /// Make a folder with a new policy that builds at once
    New(new::New),
    /// Show a component's exports, imports, interface, digest and size
    Inspect {
        /// The component
        component: PathBuf,
    },
    /// Do everything the daemon does when it loads a policy, and say what it would say
    Check {
        /// The component
        component: PathBuf,
        /// Its settings [default: the file beside it that ends in .toml, where there is one]
        #[arg(long)]
        settings: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Compile { component, out } => compile(component.as_deref(), out.as_deref()),
        Command::Componentize { module, world, out } => {
            componentize(&module, world.as_deref(), &out)
        }
        Command::New(options) => new(&options),
        Command::Inspect { component } => show(&component),
        Command::Check {
            component,
            settings,
        } => check(&component, settings.as_deref()),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("volward-policy: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Says in one line why a policy is refused.
fn refuse(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("volward-policy: {}", one_line(&reason.to_string()));
    ExitCode::from(REFUSED)
}

fn compile(component: Option<&Path>, out: Option<&Path>) -> Result<ExitCode> {
    rlimits::set().context("cannot limit itself")?;
    let bytes = match component {
        Some(path) => read(path)?,
        None => {
            // One more than allowed, to notice it.
            let limit = Limits::default().component_bytes + 1;
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .take(limit)
                .read_to_end(&mut bytes)
                .context("standard input")?;
            bytes
        }
    };
    let limit = Limits::default().component_bytes;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Ok(refuse(&format!("it is bigger than {limit} bytes")));
    }
    let artefact = match InProcess::new()?.compile(&bytes) {
        Ok(artefact) => artefact,
        Err(CompileError::Refused { reason }) => return Ok(refuse(&reason)),
        Err(other) => return Err(other.into()),
    };
    match out {
        Some(path) => fs::write(path, artefact).with_context(|| path.display().to_string())?,
        None => std::io::stdout()
            .lock()
            .write_all(&artefact)
            .context("standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn componentize(module: &Path, world: Option<&str>, out: &Path) -> Result<ExitCode> {
    match componentize::componentize(&read(module)?, world) {
        Ok(component) => fs::write(out, component).with_context(|| out.display().to_string())?,
        Err(error) => return Ok(refuse(&format!("{error:#}"))),
    }
    Ok(ExitCode::SUCCESS)
}

fn new(options: &new::New) -> Result<ExitCode> {
    let said = options.make()?;
    print!("{said}");
    Ok(ExitCode::SUCCESS)
}

fn show(component: &Path) -> Result<ExitCode> {
    match inspect::describe(&InProcess::new()?, &read(component)?) {
        Ok(text) => print!("{text}"),
        Err(error) => return Ok(refuse(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(component: &Path, settings: Option<&Path>) -> Result<ExitCode> {
    let bytes = read(component)?;
    let beside = component.with_extension("toml");
    let settings = settings.or_else(|| beside.is_file().then_some(&*beside));
    let settings = match settings {
        None => Settings::default(),
        Some(path) => match Settings::parse(&String::from_utf8_lossy(&read(path)?)) {
            Ok(settings) => settings,
            Err(reason) => {
                // TOML's reason draws a picture of the place.
                eprintln!("volward-policy: {}: {reason}", path.display());
                return Ok(ExitCode::from(REFUSED));
            }
        },
    };
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, Box::new(InProcess::new()?))?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    match runtime.check(&name, &bytes, &settings) {
        Ok(status) => {
            println!("{name} would be loaded; hooks: {}", status.hooks.join(", "));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(refuse(&format!("{name} would be refused: {error}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
