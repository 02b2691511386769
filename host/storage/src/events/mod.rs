//! Events in the daemon's log: a line each, with fields.

#[cfg(any(test, feature = "fake"))]
mod fake;

use tracing::{error, info, warn};
use volward_model::VolumeRef;
use volward_ports::{Event, Events, Subject};

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeEvents;

/// Writes events to the log. What an operator has to act on is an error, what he may have to a
/// warning.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventLog;

/// A line about an operation.
macro_rules! about {
    ($level:ident, $of:expr, $($rest:tt)+) => {{
        let Subject { request, operation, instance, volumes } = $of;
        let (volumes, instance) = (names(volumes), instance.map(tracing::field::display));
        $level!(%request, operation, instance, %volumes, $($rest)+)
    }};
}

// An arm an event and nothing else: longer than a function should be, and nothing to split.
#[rustfmt::skip]
impl Events for EventLog {
    fn tell(&self, event: &Event) {
        match event {
            Event::TakenUp { of, restarted } => about!(warn, of, restarted, "taking up an interrupted request"),
            Event::Done { of } => about!(info, of, "done"),
            Event::Undone { of, causes } => about!(info, of, ?causes, "undone"),
            Event::Quarantined { of, causes } => about!(error, of, ?causes, "quarantined"),
            Event::TryingAgain { of, causes } => about!(warn, of, ?causes, "not finished; trying again"),
            Event::DecidedAgain { request, reason } => info!(%request, %reason, "deciding again"),
            Event::Refused { request, instance, code, reason } =>
                info!(%request, %instance, %code, %reason, "not attached"),
            Event::Unplugged { request, instance, volumes } =>
                info!(%request, %instance, volumes = names(volumes), "given back by its guest, which runs on; detaching"),
            Event::LostDetach { instance, volumes } =>
                warn!(%instance, volumes = names(volumes), "completing a detach that is not on record"),
            Event::Leased { pool, volumes, mode } => info!(%pool, volumes = names(volumes), %mode, "leased"),
            Event::Released { pool, volumes } => info!(%pool, volumes = names(volumes), "released"),
            Event::HydrationBegun { volume, in_background } => info!(%volume, in_background, "hydrating"),
            Event::HydrationComplete { volume } => info!(%volume, "hydrated; the clone is linear now"),
            Event::WriteBackBegun { volume } => info!(%volume, "writing back"),
            Event::WriteBackDone { volume } => info!(%volume, "written back"),
            Event::WriteBackPutDown { volume } => info!(%volume, "write-back put down until the next start"),
            Event::CopyGivenUp { volume, home, gone, uid, because } => warn!(
                %volume, was = %home, %gone, uid, %because, "the copy was given up"
            ),
            Event::CopyDiscarded { volume, copy } => {
                warn!(%volume, %copy, "a copy that was given up is removed");
            }
            Event::ClearedAway { volume } => warn!(%volume, "clearing away what is left of an earlier copy"),
            Event::CopyTrouble { volume, returning: true, trouble } =>
                warn!(%volume, %trouble, "write-back; trying again"),
            Event::CopyTrouble { volume, returning: false, trouble } => warn!(%volume, %trouble, "hydration; trying again"),
            Event::CopyStalled { volume, hydrated, total, idle } => error!(
                %volume, hydrated, total, ?idle,
                "copying makes no progress: the source or the copy fails, or the guest's own I/O leaves it no time"
            ),
            Event::Resumed { device } => warn!(%device, "was left suspended; resumed"),
            Event::StrayRemoved { what } => warn!(%what, "removed: it belonged to no attachment"),
            Event::StrayStays { what, reason } => error!(
                %what, %reason, "belongs to no attachment and cannot be removed; its volume stays this node's"
            ),
            Event::Claimed { volume, instance } =>
                error!(%volume, %instance, "attached without a record: quarantined"),
            Event::LeasesSound { pool } => warn!(%pool, "the leases are renewed again"),
            Event::LeasesLate { pool, ago, cut_in } =>
                error!(%pool, ?ago, ?cut_in, "the lockspace is not renewed; attachments will be cut off"),
            Event::LockspaceLeaving { pool } => error!(
                %pool, "sanlock was told to leave the lockspace: what is attached goes on, and nothing else can be attached"
            ),
            Event::LeasesLost { pool, reason, attached: 0 } =>
                error!(%pool, %reason, "no lease can be had; nothing of this pool is attached"),
            Event::LeasesLost { pool, reason, attached } =>
                error!(%pool, %reason, attached, "the leases are lost; cutting attachments off"),
            Event::Fenced { volume, instance, reason } => error!(%volume, %instance, %reason, "cut off"),
            Event::NotFenced { volume, instance, reason } => error!(%volume, %instance, %reason, "not cut off yet"),
            Event::Unfenced { volume, instance, by_itself } => warn!(%volume, %instance, by_itself, "has its I/O back"),
            Event::StaysFenced { instance, reason } => warn!(%instance, %reason, "not given its I/O back by itself"),
            Event::Leaving { volume, instance, to } => info!(%volume, %instance, to, "shared with the node that it migrates to"),
            Event::NotLeaving { volume, instance, to, reason } =>
                warn!(%volume, %instance, to, %reason, "not shared with a node that asked on account of a migration"),
            Event::TakenBack { volume, instance } =>
                warn!(%volume, %instance, "the migration came to nothing; exclusive again"),
            Event::Arrived { volume, instance } => info!(%volume, %instance, "the migration has ended; exclusive now"),
            Event::PoolUnusable { pool, reason } => error!(%pool, %reason, "this pool cannot be used yet"),
            Event::PoolOlder { pool, why } => error!(%pool, %why, "the disks of this pool are older than this node left them"),
            Event::OlderAccepted { pool, uid, why } => {
                warn!(%pool, uid, %why, "the disks of this pool are used as they are");
            }
            Event::Unseen { pool, what, reason } => warn!(%pool, what, %reason, "not shown to other nodes yet"),
            Event::Unrecorded { what, reason } => error!(%what, %reason, "not recorded"),
            Event::OperationBegun { operation } =>
                info!(request = %operation.request, id = %operation.id, task = %operation.task, uid = operation.uid, "begun"),
            Event::OperationEnded { operation } => info!(
                request = %operation.request, id = %operation.id, task = %operation.task, end = ?operation.end(), "ended"
            ),
            Event::OperationTrouble { operation, failures, trouble } => warn!(
                request = %operation.request, id = %operation.id, task = %operation.task, failures, %trouble,
                "not finished; trying again"
            ),
            Event::Trouble { what, reason } => warn!(%what, %reason, "failed; going on without it"),
        }
    }
}

fn names(volumes: &[VolumeRef]) -> String {
    let names: Vec<String> = volumes.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
