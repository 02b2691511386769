//! `volume create|rm|extend|cp|snap|snap-guest|mv|relocate|show` and `op`: operations on volumes, which go on in the daemon whoever waits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use volward_api::model::{OperationId, VolumeName};
use volward_api::{
    Client, ClientError, OperationCancelRequest, OperationReply, OperationState, OperationView,
    VolumeCopyRequest, VolumeCreateRequest, VolumeDeleteRequest, VolumeExtendRequest,
    VolumeRelocateRequest, VolumeSnapshotRequest,
};

use crate::args;
use crate::exit::Exit;
use crate::output::{answer, hint};
use crate::show;
use crate::volume_path::VolumePath;

mod group;
mod moves;

pub(crate) use group::{GuestArgs, snapshot as snapshot_guest};
pub(crate) use moves::{MeansAPool, MoveArgs, move_to};

/// A call of those that wait for an operation: then it is asked again.
const ONE_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct How {
    /// What to call the operation, so that asking again finds it: letters, digits and _.:+-
    #[arg(long, value_name = "ID")]
    id: Option<OperationId>,
    /// Come back as soon as it is on record, and not when it has ended
    #[arg(long)]
    no_wait: bool,
    /// A hint for policies; may be given several times
    #[arg(long = "hint", value_name = "KEY=VALUE", value_parser = args::hint)]
    hints: Vec<(String, String)>,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SizedArgs {
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumePath,
    /// Its size: bytes, or a number with K, M, G or T (powers of 1024)
    size: Size,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumePath,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The volume whose content is copied: detached, attached read-only, or in the same pool attached to one guest alone
    #[arg(value_name = "POOL/VOLUME")]
    from: VolumePath,
    /// The volume that is made, in the same pool or another shared one
    #[arg(value_name = "POOL/NEW")]
    to: VolumePath,
    /// Its size, not less than the other one's: bytes, or a number with K, M, G or T (powers of 1024)
    #[arg(long)]
    size: Option<Size>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumePath,
    /// A name in the same pool that is free
    #[arg(value_name = "NEW")]
    to: VolumeName,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct RelocateArgs {
    /// The volume: detached, or attached to one guest alone, on whichever node, which goes on
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumePath,
    /// The disk of the pool that all of it goes to: its path on this node, or LVM's UUID of it (`volward pool show` lists them)
    disk: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// List the operations of this node: those that have not ended, and the latest that have
    Ls,
    /// Show one
    Show {
        /// What its caller calls it
        id: OperationId,
    },
    /// Wait until one has ended
    Wait {
        /// What its caller calls it
        id: OperationId,
    },
    /// Have one taken back, as long as that is possible, and wait until nothing of it is left
    Cancel {
        /// What its caller calls it
        id: OperationId,
    },
}

/// A size as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let how = || "write it in bytes, or with K, M, G or T: 10G".to_owned();
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let shift = match unit.to_ascii_uppercase().trim_end_matches("IB") {
            "" if unit.is_empty() => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(how()),
        };
        let number: u64 = number.parse().map_err(|_| how())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(how)?;
        Ok(Self(bytes))
    }
}

pub(crate) fn create(client: &Client, json: bool, args: SizedArgs) -> anyhow::Result<Exit> {
    let how = args.how.told(json);
    let request = VolumeCreateRequest {
        id: how.id.clone(),
        pool: args.volume.pool.to_string(),
        volume: args.volume.volume.to_string(),
        size: args.size.0,
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    follow(client, json, &how, client.volume_create(&request))
}

pub(crate) fn extend(client: &Client, json: bool, args: SizedArgs) -> anyhow::Result<Exit> {
    let how = args.how.told(json);
    let request = VolumeExtendRequest {
        id: how.id.clone(),
        pool: args.volume.pool.to_string(),
        volume: args.volume.volume.to_string(),
        size: args.size.0,
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    follow(client, json, &how, client.volume_extend(&request))
}

pub(crate) fn remove(client: &Client, json: bool, args: RemoveArgs) -> anyhow::Result<Exit> {
    let how = args.how.told(json);
    let request = VolumeDeleteRequest {
        id: how.id.clone(),
        pool: args.volume.pool.to_string(),
        volume: args.volume.volume.to_string(),
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    follow(client, json, &how, client.volume_delete(&request))
}

pub(crate) fn copy(client: &Client, json: bool, args: CopyArgs) -> anyhow::Result<Exit> {
    let how = args.how.told(json);
    let request = VolumeCopyRequest {
        id: how.id.clone(),
        pool: args.from.pool.to_string(),
        volume: args.from.volume.to_string(),
        to_pool: Some(args.to.pool.to_string()),
        to_volume: args.to.volume.to_string(),
        size: args.size.map(|size| size.0),
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    follow(client, json, &how, client.volume_copy(&request))
}

pub(crate) fn snapshot(client: &Client, json: bool, args: NameArgs) -> anyhow::Result<Exit> {
    let how = args.how.told(json);
    let request = VolumeSnapshotRequest {
        id: how.id.clone(),
        pool: args.volume.pool.to_string(),
        volume: args.volume.volume.to_string(),
        snapshot: args.to.to_string(),
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    follow(client, json, &how, client.volume_snapshot(&request))
}

pub(crate) fn relocate(client: &Client, json: bool, args: RelocateArgs) -> anyhow::Result<Exit> {
    let how = args.how.told(json);
    let request = VolumeRelocateRequest {
        id: how.id.clone(),
        pool: args.volume.pool.to_string(),
        volume: args.volume.volume.to_string(),
        disk: args.disk,
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    follow(client, json, &how, client.volume_relocate(&request))
}

pub(crate) fn operations(
    client: &Client,
    json: bool,
    command: OperationCommand,
) -> anyhow::Result<Exit> {
    match command {
        OperationCommand::Ls => {
            answer(json, &client.operations()?, |found| show::operations(found))?;
            Ok(Exit::Ok)
        }
        OperationCommand::Show { id } => {
            answer(
                json,
                &client.operation(&id, Duration::ZERO)?,
                show::operation,
            )?;
            Ok(Exit::Ok)
        }
        OperationCommand::Wait { id } => ended(json, &wait(client, &id)?),
        OperationCommand::Cancel { id } => {
            client.operation_cancel(&OperationCancelRequest { id: id.clone() })?;
            let view = wait(client, &id)?;
            answer(json, &view, show::operation)?;
            Ok(match view.state.known() {
                Some(OperationState::Cancelled) => Exit::Ok,
                _ => Exit::Failure,
            })
        }
    }
}

impl How {
    /// With an id, which is said before anything is asked for: whoever hears no answer can ask again with it.
    fn told(mut self, json: bool) -> Self {
        if self.dry_run || self.id.is_some() {
            return self;
        }
        // A UUID has the letters of an id.
        self.id = uuid::Uuid::new_v4().to_string().parse().ok();
        if let Some(id) = self.id.as_ref().filter(|_| !json) {
            hint(&format!("operation {id}"));
        }
        self
    }
}

/// Where no answer came, the id under which the operation is found. Its display says what it is about.
#[derive(Debug)]
pub(crate) struct NotHeardOf(pub(crate) OperationId);

impl fmt::Display for NotHeardOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operation {}", self.0)
    }
}

/// An answer about the operation, or an error that tells under which id to look for it.
fn about<T>(id: Option<&OperationId>, reply: Result<T, ClientError>) -> anyhow::Result<T> {
    reply.map_err(|error| {
        let unheard = matches!(
            error,
            ClientError::TimedOut { .. } | ClientError::Protocol { .. }
        );
        let error = anyhow::Error::from(error);
        match id.filter(|_| unheard) {
            Some(id) => error.context(NotHeardOf(id.clone())),
            None => error,
        }
    })
}

fn follow(
    client: &Client,
    json: bool,
    how: &How,
    reply: Result<OperationReply, ClientError>,
) -> anyhow::Result<Exit> {
    let reply = about(how.id.as_ref(), reply)?;
    let Some(view) = &reply.operation else {
        answer(json, &reply, |reply| show::plan(&reply.plan))?;
        return Ok(Exit::Ok);
    };
    if how.no_wait {
        answer(json, view, show::operation)?;
        return Ok(Exit::Ok);
    }
    let id: OperationId = view.id.parse()?;
    ended(json, &wait(client, &id)?)
}

fn wait(client: &Client, id: &OperationId) -> anyhow::Result<OperationView> {
    loop {
        let view = client.operation(id, ONE_WAIT.min(client.deadline() / 2));
        let view = about(Some(id), view)?;
        if view.has_ended() {
            return Ok(view);
        }
    }
}

/// How it ended, and the exit code for that.
fn ended(json: bool, view: &OperationView) -> anyhow::Result<Exit> {
    answer(json, view, show::operation)?;
    Ok(exit_of(view))
}

fn exit_of(view: &OperationView) -> Exit {
    match (view.state.known(), view.code.as_deref()) {
        (Some(OperationState::Done), _) => Exit::Ok,
        (Some(OperationState::Failed), Some("storage")) => Exit::Storage,
        (Some(OperationState::Failed), _) => Exit::Refused,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_bytes_or_powers_of_1024() {
        for (text, bytes) in [
            ("512", 512),
            ("1K", 1024),
            ("10g", 10 << 30),
            ("10GiB", 10 << 30),
            ("2T", 2 << 40),
        ] {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
        for text in [
            "",
            "G",
            "10GB",
            "1.5G",
            "-1",
            "10 G",
            "99999999T",
            "iB",
            "10iB",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
