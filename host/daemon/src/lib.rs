//! volwardd, the daemon of a node: wiring, configuration, HTTP, signals.
//!
//! | module | does |
//! |---|---|
//! | `config` | /etc/volward/volward.toml |
//! | `wiring` | adapters into ports, the policy chain, the state |
//! | `policies` | the chain and its log behind `control`'s ports; the compiler as a child |
//! | `http` | the socket, and the OpenAPI document of what is served there |
//! | `folders` | the folders it works in, opened once |
//! | `doctor` | what is missing on this node, with the remedy |
//! | `failure` | with which code it ends, and whether systemd starts it again |
//! | `log` | what it says, in lines |
//! | `only_one` | one daemon for one state folder |
//! | `spool` | when the hook's late releases are done |
//! | `fake` | the same daemon over storage in memory; with the feature `fake`, for tests of clients |

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests lay out and inspect files by path"
    )
)]

mod config;
mod doctor;
mod failure;
#[cfg(feature = "fake")]
pub mod fake;
mod folders;
mod http;
mod left;
mod log;
mod looks;
mod only_one;
mod policies;
mod signals;
mod spool;
mod system;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use failure::Failure;

/// The Volward daemon: leases, activates and hands out volumes on this node.
#[derive(Debug, Parser)]
#[command(name = "volwardd", version)]
struct Args {
    /// The configuration.
    #[arg(long, default_value = volward_api::CONFIG)]
    config: PathBuf,
    /// Only check the configuration.
    #[arg(long)]
    check: bool,
    /// Print the OpenAPI document and end.
    #[arg(long)]
    openapi: bool,
    /// Print the man page and end: what is packaged is made with it.
    #[arg(long, hide = true)]
    manual: bool,
}

const MANUAL: volward_manual::Page = volward_manual::Page {
    section: "8",
    more: &[
        (
            "Environment",
            "VOLWARD_LOG  filters the log, as RUST_LOG does elsewhere: debug shows every step and command",
        ),
        (
            "Signals",
            "SIGTERM, SIGINT  end the daemon when the requests under way are done, within 70 s;\n                 \
             what is attached stays attached",
        ),
        (
            "Exit status",
            "0  ended as it was told to\n1  did not start, or failed\n2  the command line is invalid\n3  another \
             version of Volward is needed for what is in the state\n6  the configuration cannot be read or is invalid\n\
             After 2, 3 and 6 starting again does not help, and systemd does not",
        ),
        (
            "Files",
            "/etc/volward/volward.toml    the configuration, volward.toml(5)\n/etc/volward/policies.d/     \
             policies, with their settings and scenarios\n/run/volward/volwardd.sock   the socket\n\
             /var/lib/volward/            the state, which is not to be removed while anything is attached\n\
             /dev/volward/                the devices that guests open",
        ),
    ],
    see_also: &[
        "volward(1)",
        "volward-policy(1)",
        "volward.toml(5)",
        "sanlock(8)",
        "lvmlockd(8)",
    ],
};

/// The whole program, from its command line to its exit code: `--help` tells what it takes.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, error }) => {
            // One line, causes included: the first thing somebody sees in the journal at night.
            tracing::error!("{error:#}");
            eprintln!("volwardd: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    if args.manual {
        print!("{}", volward_manual::page(Args::command(), MANUAL));
        return Ok(());
    }
    if args.openapi {
        println!("{:#}", http::openapi::document());
        return Ok(());
    }
    let config = config::Config::load(&args.config).map_err(Failure::misconfigured)?;
    if args.check {
        config.node_name()?;
        return Ok(check(&config)?);
    }
    log::start();
    Ok(runtime()?.block_on(http::serve(|| wiring::Daemon::new(config)))?)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Requests wait for LVM on these, as many as there are places; each has a stack of 2 MiB of
        // address space only.
        .max_blocking_threads(http::places::MOST_THREADS)
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// The daemon would start; what is not as it should be is said, and is a failure.
fn check(config: &config::Config) -> anyhow::Result<()> {
    let path = &config.file;
    let mut remarks = config.remarks();
    remarks.extend(config.no_policies_folder());
    if remarks.is_empty() {
        println!("{} is fine", path.display());
        return Ok(());
    }
    anyhow::bail!("{} can be read, but {}", path.display(), remarks.join("; "))
}
