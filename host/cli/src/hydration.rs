//! `volward hydration`: local copies on this node.

use clap::Subcommand;
use volward_api::{BringHomeRequest, Client};

use crate::args::VolumePath;
use crate::exit::Exit;
use crate::output::answer;
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
    },
}

pub(crate) fn run(client: &Client, json: bool, command: HydrationCommand) -> anyhow::Result<Exit> {
    match command {
        HydrationCommand::Ls => {
            answer(json, &client.hydrations()?, |found| show::hydrations(found))?;
        }
        HydrationCommand::Watch => return watch::watch(client, json),
        HydrationCommand::Home { volume, dry_run } => {
            let volume = format!("{}/{}", volume.pool, volume.volume);
            let request = BringHomeRequest {
                volume: volume.clone(),
                dry_run,
            };
            let reply = client.bring_home(&request)?;
            answer(json, &reply, |reply| show::coming_home(&volume, reply))?;
        }
    }
    Ok(Exit::Ok)
}
