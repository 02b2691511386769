//! `volward`: what the daemon can do, for people and for scripts.

mod args;
mod audit;
mod decisions;
mod diff;
mod disk;
mod exit;
mod hydration;
mod instance;
mod manual;
mod operations;
mod output;
mod plug;
mod release;
mod run;
mod setup;
mod show;
mod table;
mod time;
mod volume_path;
mod watch;
mod workbench;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let json = cli.json;
    match run::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => output::complain(&error, json).into(),
    }
}
