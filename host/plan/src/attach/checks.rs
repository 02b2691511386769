//! The invariants an attach must not break, whatever the policies said.

use volward_model::{
    Access, AttachmentState, CopyFate, CopyMode, CopyPlan, DiskAnswer, HomeState, InstanceId,
    Sectors, Sharing,
};

use super::{Grant, no};
use crate::geometry::{CloneGeometry, geometry};
use crate::input::{DiskForm, PlanInput, Watchdog};
use crate::refusal::{Refusal, RefusalCode};
use crate::requested::RequestedDisk;

/// Volward's own volumes are not for guests.
pub(super) fn identity(disk: &RequestedDisk) -> Result<(), Refusal> {
    if disk.input.info.is_internal() {
        let name = disk.volume();
        let message = format!("{name} is one of Volward's own volumes; guests cannot have it");
        return Err(no(RefusalCode::Internal, disk, message));
    }
    Ok(())
}

/// Whether the volume can be attached on this node at all, by where its data is.
pub(super) fn home(input: &PlanInput, disk: &RequestedDisk) -> Result<(), Refusal> {
    let (name, seen) = (disk.volume(), &disk.input);
    let progress = match seen.progress {
        Some(p) if p.total > 0 => format!(", {} % done", p.done * 100 / p.total),
        _ => String::new(),
    };
    let retry = seen.progress.and_then(|p| p.remaining_ms);
    match &disk.home.state {
        HomeState::Pool => Ok(()),
        HomeState::Split { node, .. } if *node == input.node && input.local.is_none() => {
            let message = format!(
                "the data of {name} is partly in this node's copy, but no local pool is configured; \
                 restore the configuration"
            );
            Err(no(RefusalCode::HomeElsewhere, disk, message))
        }
        HomeState::Split { node, .. } if *node == input.node => Ok(()),
        HomeState::Split { node, .. } => {
            let message = format!(
                "the data of {name} is partly in the copy on node {node}{progress}; stop its guest \
                 there, it is written back then"
            );
            Err(no(RefusalCode::HomeElsewhere, disk, message))
        }
        HomeState::Returning { node, .. } => {
            // Its slot is gone with its node: then waiting does not help.
            let silent = match seen.progress {
                Some(_) => "",
                None => ", which does not say how far it is: look whether it is up",
            };
            let message = format!(
                "{name} is being written back from node {node}{progress}{silent}; ask again when it \
                 is done"
            );
            Err(no(RefusalCode::Returning, disk, message).retry_after(retry))
        }
        HomeState::Node { node, .. } => {
            let message = format!("the data of {name} is kept in the copy on node {node}");
            Err(no(RefusalCode::CopyKept, disk, message))
        }
    }
}

/// The same instance asks again for what it has: nothing to do, or a refusal if it has it in
/// another way.
pub(super) fn already(
    disk: &RequestedDisk,
    instance: InstanceId,
    answer: &DiskAnswer,
) -> Result<Option<Grant>, Refusal> {
    let Some(has) = disk.input.here.iter().find(|a| a.instance == instance) else {
        return Ok(None);
    };
    let name = disk.volume();
    if has.state == AttachmentState::Quarantined {
        let message = format!(
            "{name} has a quarantined attachment of this instance on this node; see `volward ls`, \
             mend the cause and detach it"
        );
        return Err(no(RefusalCode::Quarantined, disk, message));
    }
    let same =
        has.form == disk.form && has.sharing == answer.sharing && has.access == answer.access;
    if !same {
        let message = format!(
            "{name} is attached to this instance already, {} and {}; detach it first",
            has.sharing, has.access
        );
        return Err(no(RefusalCode::AttachedDifferently, disk, message));
    }
    Ok(Some(Grant {
        volume: name.clone(),
        form: has.form,
        sharing: has.sharing,
        access: has.access,
        copy: None,
        already: true,
    }))
}

/// Narrowing, shareable mark, holders, slots, watchdog, orphans.
pub(super) fn rules(
    input: &PlanInput,
    disk: &RequestedDisk,
    instance: InstanceId,
    answer: &DiskAnswer,
) -> Result<(), Refusal> {
    let name = disk.volume();
    let narrowed = answer.sharing > disk.sharing || answer.access > disk.access;
    if narrowed && !disk.accept_narrowing {
        let message = format!(
            "{name} may only be had {} and {}, but {} and {} was asked for; ask for less, or accept \
             narrowing",
            answer.sharing, answer.access, disk.sharing, disk.access
        );
        return Err(no(RefusalCode::Narrowed, disk, message));
    }
    let writes = answer.access == Access::ReadWrite;
    if answer.sharing == Sharing::Shared && writes && !disk.input.info.shareable() {
        let message = format!(
            "{name} is not marked shareable; `volward volume set {name} --shareable yes` marks it"
        );
        return Err(no(RefusalCode::NotShareable, disk, message));
    }
    holders(disk, instance, answer)?;
    if writes && input.watchdog == Watchdog::Missing {
        let message = format!(
            "{name} cannot be attached read-write: sanlock runs without a watchdog on node {}; \
             `volward doctor` tells the remedy",
            input.node
        );
        return Err(no(RefusalCode::NoWatchdog, disk, message));
    }
    if disk.input.lease.is_some_and(|lease| lease.orphan) {
        let message = format!(
            "the lease of {name} is an orphan of a dead lvmlockd on this node; restart lvmlockd with \
             --adopt 1"
        );
        return Err(no(RefusalCode::LeaseOrphaned, disk, message));
    }
    Ok(())
}

/// Nobody who excludes us, and nobody we exclude; and no node we know nothing of (I6).
fn holders(disk: &RequestedDisk, instance: InstanceId, answer: &DiskAnswer) -> Result<(), Refusal> {
    let name = disk.volume();
    if let Some(other) = disk
        .input
        .settled_elsewhere()
        .find(|f| f.attachment.instance == instance)
    {
        let message = format!(
            "this instance has {name} attached on node {}; stop it there first",
            other.attachment.node
        );
        return Err(no(RefusalCode::HeldElsewhere, disk, message));
    }
    let excludes =
        |theirs: Sharing| theirs == Sharing::Exclusive || answer.sharing == Sharing::Exclusive;
    if let Some(other) = disk.input.here.iter().find(|a| excludes(a.sharing)) {
        let message = format!(
            "{name} is attached {} on this node for instance {} ({})",
            other.sharing, other.instance_name, other.instance
        );
        return Err(no(RefusalCode::HeldHere, disk, message));
    }
    if let Some(other) = disk
        .input
        .settled_elsewhere()
        .find(|f| excludes(f.attachment.sharing))
    {
        let other = &other.attachment;
        let message = format!(
            "{name} is attached {} on node {} for instance {}",
            other.sharing, other.node, other.instance
        );
        return Err(no(RefusalCode::HeldElsewhere, disk, message));
    }
    if let Some(reason) = disk.input.unreadable.first() {
        let message = format!("{name} cannot be attached: {reason}");
        return Err(no(RefusalCode::SlotUnreadable, disk, message));
    }
    Ok(())
}

/// A disk given as the LV itself has no layer that could make it read-only, carry a copy, or
/// keep two attachments apart.
pub(super) fn lv_path(disk: &RequestedDisk, answer: &DiskAnswer) -> Result<(), Refusal> {
    let lv = |a: &crate::input::LocalAttachment| a.form == DiskForm::Lv;
    let reason = if disk.form == DiskForm::Own {
        disk.input
            .here
            .iter()
            .any(lv)
            .then_some("another attachment uses it by its LV path")
    } else if answer.access == Access::ReadOnly {
        Some("read-only needs a device of its own")
    } else if answer.granted_copy().is_some() {
        Some("a local copy needs a device of its own")
    } else if disk.home.state != HomeState::Pool {
        Some("its data is partly in a copy")
    } else if !disk.input.here.is_empty() {
        Some("it has another attachment on this node")
    } else {
        None
    };
    let Some(reason) = reason else { return Ok(()) };
    let name = disk.volume();
    let message = format!(
        "{name} cannot be attached as /dev/{name}: {reason}; give the guest \
         /dev/volward/<instance UUID>/{name}"
    );
    Err(no(RefusalCode::LvPath, disk, message))
}

/// The volume's size in device-mapper's unit; LVM sizes are always whole sectors.
pub(super) fn sectors(disk: &RequestedDisk) -> Result<Sectors, Refusal> {
    disk.input.info.size.sectors().ok_or_else(|| {
        let message = format!(
            "{} has a size that is no multiple of 512",
            disk.input.info.volume
        );
        no(RefusalCode::Internal, disk, message)
    })
}

/// The geometry of a clone that is loaded again without a grant for a copy: the region follows
/// from the size alone, so it is the one it was made with.
pub(super) fn resumed_geometry(disk: &RequestedDisk) -> Result<CloneGeometry, Refusal> {
    let plan = CopyPlan {
        mode: CopyMode::WritesOnly,
        in_flight: None,
        batch: None,
        fate: CopyFate::WriteBack,
    };
    geometry(disk.input.info.size, &plan).map_err(|reason| no(RefusalCode::Internal, disk, reason))
}
