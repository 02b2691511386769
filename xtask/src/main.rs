//! The one entry for everything: `cargo xtask setup|guests|languages|lab|demo|test|fuzz|package|bench`.
#![allow(
    clippy::disallowed_methods,
    reason = "a build tool: it starts programs and measures time itself"
)]

mod baseline;
mod bench;
mod build;
#[allow(
    unreachable_pub,
    reason = "the workbench's, and public there: one look at imports for both"
)]
#[path = "../../host/workbench/src/componentize.rs"]
mod componentize;
mod demo;
mod fuzz;
mod guests;
mod lab;
mod languages;
mod openstack;
mod package;
mod sets;
mod setup;
mod steps;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Set-up, guests, lab, demo, test, fuzz, packages and bench of Volward.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing on this machine (Debian 12, as root)
    Setup,
    /// Build the policies of plugins/ and examples/ to target/guests
    Guests,
    /// Build the examples quiet-hours and one-rack in C, JavaScript and Python to target/languages
    Languages,
    /// As `volward-policy componentize`, for the scripts that `languages` runs
    #[command(hide = true)]
    Componentize {
        module: PathBuf,
        #[arg(long)]
        world: Option<String>,
        #[arg(long)]
        out: PathBuf,
    },
    /// Emulated nodes with a shared LUN, to use by hand
    #[command(subcommand)]
    Lab(lab::Verb),
    /// What Volward does, told on two nodes
    Demo,
    /// Run the tests: fast, languages and lab, or one part
    Test {
        /// Which part
        part: Option<test::Part>,
        /// Who takes the shared pool's leases on the nodes: direct or lvmlockd
        #[arg(long)]
        provider: Option<volward_system::Provider>,
    },
    /// Feed random components, records and scenarios to what reads them
    Fuzz {
        /// Seconds for each of the targets
        #[arg(long, default_value_t = 300)]
        seconds: u64,
        /// The seed of a run before [default: another one each time]
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Make Debian packages in target/debian
    Package(package::Options),
    /// Measure the figures of SPECIFICATION.md
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    let root = workspace()?;
    match verb {
        Verb::Setup => setup::run(),
        Verb::Guests => {
            setup::run()?;
            guests::build(&root)
        }
        Verb::Languages => languages::build(&root),
        Verb::Componentize { module, world, out } => {
            let module = std::fs::read(&module).context("the module")?;
            let component = componentize::componentize(&module, world.as_deref())?;
            std::fs::write(&out, component).context("the component")
        }
        Verb::Lab(verb) => lab::run(&root, verb),
        Verb::Demo => demo::run(&root),
        Verb::Test { part, provider } => test::run(&root, part, provider),
        Verb::Fuzz { seconds, seed } => {
            setup::run()?;
            fuzz::run(&root, seconds, seed)
        }
        Verb::Package(options) => {
            setup::run()?;
            package::run(&root, &options)
        }
        Verb::Bench(options) => bench::run(&root, &options),
    }
}

/// The workspace's root folder.
fn workspace() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .context("xtask has no folder above it")
}
