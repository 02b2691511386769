//! `volward audit openstack`: what Cinder's lists and the pools do not have in common. Asks nobody but the
//! daemon, and changes nothing.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use volward_api::{Client, PoolKind};

use crate::exit::Exit;
use crate::output::{answer, hint};
use crate::show;

mod compare;
mod lists;

pub(crate) use compare::{Audit, Ghost, Side};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Compare with Cinder's list of volumes, and name what is on one side only
    #[command(after_help = HELP)]
    Openstack(AuditArgs),
}

const HELP: &str = "\
Lists in JSON, as OpenStack's client or API prints them, one after another or in files of their own:
  openstack volume list --all-projects --long -f json       needed
  openstack volume attachment list --all-projects -f json   what is reserved or not complete is known
  openstack server list --all-projects --long -f json       servers that are shut off have nothing attached
Of Cinder's API, `volumes/detail` (from microversion 3.21, as an administrator) tells each volume's LV: volumes that
were managed are known by that only. Nobody but the daemon is asked, and nothing is changed.";

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Files with the lists; none, or -: standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// The exit code says whether there is a ghost, or whether that is not known.
pub(crate) fn run(client: &Client, json: bool, args: &AuditArgs) -> anyhow::Result<Exit> {
    let lists = read(args)?;
    // The pools last: what was made meanwhile would be missed in the older list.
    let cluster = client.cluster()?;
    let mut pools = client.pools()?;
    pools.retain(|pool| pool.kind == PoolKind::Shared);
    let audit = compare::compare(&pools, &cluster, &lists);
    answer(json, &audit, show::audit)?;
    if !audit.unreadable.is_empty() && !json {
        hint(&show::unreadable(&audit.unreadable));
    }
    Ok(
        match (audit.ghosts.is_empty(), audit.unreadable.is_empty()) {
            (false, _) => Exit::Ghosts,
            (true, false) => Exit::Partial,
            (true, true) => Exit::Ok,
        },
    )
}

fn read(args: &AuditArgs) -> anyhow::Result<lists::Lists> {
    let mut lists = lists::Lists::default();
    let standard_input = [PathBuf::from("-")];
    let files = match args.files.is_empty() {
        true => &standard_input,
        false => args.files.as_slice(),
    };
    for file in files {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.context("standard input cannot be read")?;
            lists.add("standard input", &text)?;
        } else {
            let name = file.display().to_string();
            let text =
                fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
            lists.add(&name, &text)?;
        }
    }
    Ok(lists)
}
