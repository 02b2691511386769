//! `volume snap-guest`: all disks of a guest, as of one moment.

use anyhow::bail;
use clap::Args;
use volward_api::model::{Access, OperationId, VolumeName};
use volward_api::{AttachmentView, Client, SnapshotOf, VolumeSnapshotsRequest};

use super::{How, about, exit_of, wait};
use crate::exit::Exit;
use crate::instance::Instance;
use crate::output::{answer, hint};
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct GuestArgs {
    /// The instance's UUID
    #[arg(value_name = "INSTANCE")]
    instance: Instance,
    /// What ends the snapshots' names: that of vg0/data is called data-SUFFIX
    suffix: VolumeName,
    #[command(flatten)]
    how: How,
}

pub(crate) fn snapshot(client: &Client, json: bool, args: GuestArgs) -> anyhow::Result<Exit> {
    let instance = args.instance.id(client)?;
    let its = disks(client, &instance.to_string())?;
    let (written, read): (Vec<_>, Vec<_>) = its
        .into_iter()
        .partition(|one| one.access.known() == Some(Access::ReadWrite));
    if written.is_empty() {
        bail!(
            "instance {instance} has nothing that it writes to, on this node or another; `volward ls --all` shows what there is"
        );
    }
    if let (false, false) = (json, read.is_empty()) {
        let names: Vec<String> = read.iter().map(path).collect();
        hint(&format!(
            "left out, for the guest only reads it: {}",
            names.join(", ")
        ));
    }
    let how = args.how.told(json);
    let request = VolumeSnapshotsRequest {
        id: how.id.clone(),
        snapshots: written.iter().map(|one| of(one, &args.suffix)).collect(),
        hints: how.hints.clone(),
        dry_run: how.dry_run,
    };
    let reply = about(how.id.as_ref(), client.volume_snapshots(&request))?;
    if reply.operations.is_empty() {
        answer(json, &reply, |reply| show::plan(&reply.plan))?;
        return Ok(Exit::Ok);
    }
    let mut all = reply.operations;
    if !how.no_wait {
        for one in &mut all {
            let id: OperationId = one.id.parse()?;
            *one = wait(client, &id)?;
        }
    }
    answer(json, &all, |all| show::operations(all))?;
    // Of those that have ended; all have the same reason.
    let ended = all.iter().filter(|one| one.has_ended()).map(exit_of);
    Ok(ended
        .into_iter()
        .find(|exit| *exit != Exit::Ok)
        .unwrap_or(Exit::Ok))
}

/// What it has on this node; where that is nothing, on others, of which all must be known.
fn disks(client: &Client, instance: &str) -> anyhow::Result<Vec<AttachmentView>> {
    let mut its = client.attachments(false)?;
    // What is only asked for has no device, and is no disk of its yet.
    its.retain(|one| one.instance == instance && one.device.is_some());
    if !its.is_empty() {
        return Ok(its);
    }
    let mut all = client.cluster()?;
    if let Some(unreadable) = all.unreadable.first() {
        bail!(
            "what instance {instance} has on other nodes is not all known: {unreadable}; ask on its node"
        );
    }
    all.attachments.retain(|one| one.instance == instance);
    Ok(all.attachments)
}

fn path(of: &AttachmentView) -> String {
    format!("{}/{}", of.pool, of.volume)
}

fn of(one: &AttachmentView, suffix: &VolumeName) -> SnapshotOf {
    SnapshotOf {
        pool: one.pool.clone(),
        volume: one.volume.clone(),
        snapshot: format!("{}-{suffix}", one.volume),
    }
}
