//! `volward hydration`: local copies on this node.

use std::thread;

use anyhow::bail;
use clap::Subcommand;
use volward_api::model::CopyState;
use volward_api::{BringHomeRequest, Client, ClientError, Problem};

use crate::exit::Exit;
use crate::output::{answer, print};
use crate::volume_path::VolumePath;
use crate::watch::Watch;
use crate::{show, watch};

#[derive(Debug, Subcommand)]
pub(crate) enum HydrationCommand {
    /// List the copies, with how far each is
    Ls,
    /// Watch them until all are done
    Watch,
    /// Bring a volume's copy home while its guest runs on: its data is written to the shared volume, then the guest stands on
    /// that
    Home {
        /// The volume
        #[arg(value_name = "POOL/VOLUME")]
        volume: VolumePath,
        /// Only say what would be done first
        #[arg(long)]
        dry_run: bool,
        /// Wait until the copy is whole, bring it home, and wait until it is there
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
    },
}

pub(crate) fn run(client: &Client, json: bool, command: HydrationCommand) -> anyhow::Result<Exit> {
    match command {
        HydrationCommand::Ls => {
            answer(json, &client.hydrations()?, |found| show::hydrations(found))?;
        }
        HydrationCommand::Watch => return watch::watch(client, json),
        HydrationCommand::Home {
            volume, wait: true, ..
        } => return home_and_wait(client, json, &volume),
        HydrationCommand::Home {
            volume, dry_run, ..
        } => {
            let reply = client.bring_home(&request(&volume, dry_run))?;
            answer(json, &reply, |reply| {
                show::coming_home(&volume.to_string(), reply)
            })?;
        }
    }
    Ok(Exit::Ok)
}

fn request(volume: &VolumePath, dry_run: bool) -> BringHomeRequest {
    BringHomeRequest {
        volume: volume.to_string(),
        dry_run,
    }
}

/// What would have it come home at the first try does so; a copy that is not whole is waited for where it is being copied.
fn home_and_wait(client: &Client, json: bool, volume: &VolumePath) -> anyhow::Result<Exit> {
    let mut watch = Watch::new(client, json);
    loop {
        match client.bring_home(&request(volume, false)) {
            Ok(_) => break,
            Err(ClientError::Problem(problem)) if becomes_whole(&problem) => {}
            Err(error) => return Err(error.into()),
        }
        let state = watch.while_in(volume, &[CopyState::Hydrating, CopyState::Stalled])?;
        if state.is_some_and(|state| state == CopyState::Failed) {
            return Ok(Exit::Storage);
        }
        thread::sleep(watch::PAUSE);
    }
    // Right after the answer it is not on its way yet.
    let on_the_way = [
        CopyState::Complete,
        CopyState::Returning,
        CopyState::Stalled,
    ];
    match watch.while_in(volume, &on_the_way)? {
        Some(state) if state == CopyState::Failed => Ok(Exit::Storage),
        Some(_) => bail!(
            "{volume} has a local copy again: it was attached anew while its data was on the way"
        ),
        None => {
            if !json {
                print(&format!("the data of {volume} is at home"))?;
            }
            Ok(Exit::Ok)
        }
    }
}

/// One that takes writes only never does.
fn becomes_whole(problem: &Problem) -> bool {
    problem.code == "not-hydrated" && problem.retry_after_ms.is_some()
}
