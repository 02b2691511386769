//! Measures pairs: Volward, and the least that would do the same, in turn. `cargo xtask bench`
//! builds it in release, runs it here and on a node of the lab, and makes a table of its answers.
#![allow(
    clippy::disallowed_methods,
    reason = "measures: it reads the clock and starts programs itself"
)]

mod attach;
mod bare;
mod beside;
mod corpus;
mod decision;
mod hook;
mod many;
mod memory;
mod replay;
mod samples;
mod start;
mod storm;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures, and writes its samples as JSON.
#[derive(Parser)]
#[command(name = "volward-bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Decisions through the chain, against wasmtime alone
    Decision {
        /// The baseline policy's component
        component: PathBuf,
        /// Pairs
        #[arg(long, default_value_t = 20_000)]
        rounds: usize,
    },
    /// The same decision by wasmtime alone, Volward and Rego, and where its time goes
    Beside {
        /// The folder of built policies
        guests: PathBuf,
        /// Rounds, each way once
        #[arg(long, default_value_t = 10_000)]
        rounds: usize,
    },
    /// Attaches through the daemon, against the same by hand (on a node, as root)
    Attach {
        /// A free volume of a shared pool, POOL/NAME
        volume: String,
        /// Pairs
        #[arg(long, default_value_t = 30)]
        rounds: usize,
    },
    /// Attaches of a volume that a policy has copied, against one that it has not (on a node, as root)
    Copied {
        /// The volume that is copied, POOL/NAME
        copied: String,
        /// The other one
        served: String,
        /// Pairs
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
    /// Guests that start at the same instant, against `lvchange -aey` one by one (on a node, as root)
    Storm {
        /// A shared pool with the free volumes `storm-0`, `storm-1` and so on
        pool: String,
        /// volward-hook
        #[arg(long, default_value = "/usr/sbin/volward-hook")]
        hook: PathBuf,
        /// Guests
        #[arg(long, default_value_t = 64)]
        guests: usize,
        /// Storms
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Many attachments: their coming, fence, restart of the daemon, and going (on a node of the lab, as root)
    Many {
        /// A shared pool with the free volumes `storm-0`, `storm-1` and so on
        pool: String,
        /// Volumes
        #[arg(long, default_value_t = 256)]
        volumes: usize,
        /// How often
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A good chain while hostile components run beside it: its decisions, and memory
    Corpus {
        /// The baseline policy's component
        component: PathBuf,
        /// volward-policy, which compiles
        #[arg(long)]
        workbench: PathBuf,
        /// Pairs of a quiet and a noisy phase
        #[arg(long, default_value_t = 5)]
        phases: usize,
    },
    /// Writes the hostile components into a folder (what `corpus` starts)
    #[command(hide = true)]
    Components {
        /// The component of a policy that works
        component: PathBuf,
        /// Where to
        folder: PathBuf,
    },
    /// The hook on a guest without managed disks, against /bin/true
    Hook {
        /// volward-hook
        program: PathBuf,
        /// Pairs
        #[arg(long, default_value_t = 300)]
        rounds: usize,
    },
    /// A long log replayed against a policy with other settings
    Replay {
        /// The component of deny-by-prefix
        component: PathBuf,
        /// Decisions in the log
        #[arg(long, default_value_t = 100_000)]
        decisions: u32,
        /// How often it is replayed
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// The daemon from start to ready without pools, and its memory idle (as root)
    Start {
        /// volwardd
        program: PathBuf,
        /// volward-policy, which compiles the baseline before anything is measured
        #[arg(long)]
        workbench: PathBuf,
        /// How often
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let answer = match Arguments::parse().what {
        What::Decision { component, rounds } => {
            serde_json::to_string(&decision::measure(&component, rounds)?)
        }
        What::Beside { guests, rounds } => {
            serde_json::to_string(&beside::measure(&guests, rounds)?)
        }
        What::Attach { volume, rounds } => {
            serde_json::to_string(&attach::measure(&volume, rounds)?)
        }
        What::Copied {
            copied,
            served,
            rounds,
        } => serde_json::to_string(&attach::with_copy(&copied, &served, rounds)?),
        What::Storm {
            pool,
            hook,
            guests,
            rounds,
        } => serde_json::to_string(&storm::measure(&hook, &pool, guests, rounds)?),
        What::Many {
            pool,
            volumes,
            rounds,
        } => serde_json::to_string(&many::measure(&pool, volumes, rounds)?),
        What::Corpus {
            component,
            workbench,
            phases,
        } => serde_json::to_string(&corpus::measure(&component, &workbench, phases)?),
        What::Components { component, folder } => {
            return corpus::write_components(&component, &folder);
        }
        What::Hook { program, rounds } => serde_json::to_string(&hook::measure(&program, rounds)?),
        What::Replay {
            component,
            decisions,
            rounds,
        } => serde_json::to_string(&replay::measure(&component, decisions, rounds)?),
        What::Start {
            program,
            workbench,
            rounds,
        } => serde_json::to_string(&start::measure(&program, &workbench, rounds)?),
    };
    println!("{}", answer?);
    Ok(())
}
