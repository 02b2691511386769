//! The invariants an attach must not break, whatever the policies said.

use volward_model::{
    Access, AttachmentState, CopyFate, CopyMode, CopyPlan, DiskAnswer, Home, HomeState, InstanceId,
    Sectors, Sharing,
};

use super::{Grant, Wish, no};
use crate::geometry::{CloneGeometry, geometry};
use crate::input::{DiskForm, PlanInput, VolumeInput, Watchdog};
use crate::refusal::{Refusal, RefusalCode};

/// One of ours, or asked for twice: nothing to attach.
pub(super) fn identity(seen: &VolumeInput, wishes: &[Wish], wish: &Wish) -> Result<(), Refusal> {
    let name = &seen.info.volume;
    if seen.info.is_internal() {
        let message = format!("{name} is one of Volward's own volumes; guests cannot have it");
        return Err(no(RefusalCode::Internal, seen, message));
    }
    if wishes.iter().filter(|w| w.volume == wish.volume).count() > 1 {
        let message = format!("{name} is asked for twice in one request; name each volume once");
        return Err(no(RefusalCode::Twice, seen, message));
    }
    Ok(())
}

/// The volume's home, if it can be attached on this node at all.
pub(super) fn home(input: &PlanInput, seen: &VolumeInput) -> Result<Home, Refusal> {
    let name = &seen.info.volume;
    let home = seen.info.home().map_err(|error| {
        let message = format!(
            "the home tag of {name} cannot be read ({error}), so nobody knows where its data is; \
             mend the tag by hand"
        );
        no(RefusalCode::HomeUnreadable, seen, message)
    })?;
    let progress = match seen.progress {
        Some(p) if p.total > 0 => format!(", {} % done", p.done * 100 / p.total),
        _ => String::new(),
    };
    let retry = seen.progress.and_then(|p| p.remaining_ms);
    match &home.state {
        HomeState::Pool => Ok(home),
        HomeState::Split { node, .. } if *node == input.node && input.local.is_none() => {
            let message = format!(
                "the data of {name} is partly in this node's copy, but no local pool is configured; \
                 restore the configuration"
            );
            Err(no(RefusalCode::HomeElsewhere, seen, message))
        }
        HomeState::Split { node, .. } if *node == input.node => Ok(home),
        HomeState::Split { node, .. } => {
            let message = format!(
                "the data of {name} is partly in the copy on node {node}{progress}; stop its guest \
                 there, it is written back then"
            );
            Err(no(RefusalCode::HomeElsewhere, seen, message))
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
            Err(no(RefusalCode::Returning, seen, message).retry_after(retry))
        }
        HomeState::Node { node, .. } => {
            let message = format!("the data of {name} is kept in the copy on node {node}");
            Err(no(RefusalCode::CopyKept, seen, message))
        }
    }
}

/// The same instance asks again for what it has: nothing to do, or a refusal if it has it in
/// another way.
pub(super) fn already(
    seen: &VolumeInput,
    instance: InstanceId,
    wish: &Wish,
    answer: &DiskAnswer,
) -> Result<Option<Grant>, Refusal> {
    let Some(has) = seen.here.iter().find(|a| a.instance == instance) else {
        return Ok(None);
    };
    let name = &seen.info.volume;
    if has.state == AttachmentState::Quarantined {
        let message = format!(
            "{name} has a quarantined attachment of this instance on this node; see `volward ls`, \
             mend the cause and detach it"
        );
        return Err(no(RefusalCode::Quarantined, seen, message));
    }
    let same =
        has.form == wish.form && has.sharing == answer.sharing && has.access == answer.access;
    if !same {
        let message = format!(
            "{name} is attached to this instance already, {} and {}; detach it first",
            has.sharing, has.access
        );
        return Err(no(RefusalCode::AttachedDifferently, seen, message));
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
    seen: &VolumeInput,
    instance: InstanceId,
    wish: &Wish,
    answer: &DiskAnswer,
) -> Result<(), Refusal> {
    let name = &seen.info.volume;
    let narrowed = answer.sharing > wish.sharing || answer.access > wish.access;
    if narrowed && !wish.accept_narrowing {
        let message = format!(
            "{name} may only be had {} and {}, but {} and {} was asked for; ask for less, or accept \
             narrowing",
            answer.sharing, answer.access, wish.sharing, wish.access
        );
        return Err(no(RefusalCode::Narrowed, seen, message));
    }
    let writes = answer.access == Access::ReadWrite;
    if answer.sharing == Sharing::Shared && writes && !seen.info.shareable() {
        let message = format!(
            "{name} is not marked shareable; `volward volume set {name} --shareable yes` marks it"
        );
        return Err(no(RefusalCode::NotShareable, seen, message));
    }
    holders(seen, instance, answer)?;
    if writes && input.watchdog == Watchdog::Missing {
        let message = format!(
            "{name} cannot be attached read-write: sanlock runs without a watchdog on node {}; \
             `volward doctor` tells the remedy",
            input.node
        );
        return Err(no(RefusalCode::NoWatchdog, seen, message));
    }
    if seen.lease.is_some_and(|lease| lease.orphan) {
        let message = format!(
            "the lease of {name} is an orphan of a dead lvmlockd on this node; restart lvmlockd with \
             --adopt 1"
        );
        return Err(no(RefusalCode::LeaseOrphaned, seen, message));
    }
    Ok(())
}

/// Nobody who excludes us, and nobody we exclude; and no node we know nothing of (I6).
fn holders(seen: &VolumeInput, instance: InstanceId, answer: &DiskAnswer) -> Result<(), Refusal> {
    let name = &seen.info.volume;
    if let Some(other) = seen
        .settled_elsewhere()
        .find(|f| f.attachment.instance == instance)
    {
        let message = format!(
            "this instance has {name} attached on node {}; stop it there first",
            other.attachment.node
        );
        return Err(no(RefusalCode::HeldElsewhere, seen, message));
    }
    let excludes =
        |theirs: Sharing| theirs == Sharing::Exclusive || answer.sharing == Sharing::Exclusive;
    if let Some(other) = seen.here.iter().find(|a| excludes(a.sharing)) {
        let message = format!(
            "{name} is attached {} on this node for instance {} ({})",
            other.sharing, other.instance_name, other.instance
        );
        return Err(no(RefusalCode::HeldHere, seen, message));
    }
    if let Some(other) = seen
        .settled_elsewhere()
        .find(|f| excludes(f.attachment.sharing))
    {
        let other = &other.attachment;
        let message = format!(
            "{name} is attached {} on node {} for instance {}",
            other.sharing, other.node, other.instance
        );
        return Err(no(RefusalCode::HeldElsewhere, seen, message));
    }
    if let Some(reason) = seen.unreadable.first() {
        let message = format!("{name} cannot be attached: {reason}");
        return Err(no(RefusalCode::SlotUnreadable, seen, message));
    }
    if let Some(reason) = seen.newer.first() {
        let message = format!("{name} cannot be attached: {reason}");
        return Err(no(RefusalCode::SlotNewer, seen, message));
    }
    Ok(())
}

/// A disk given as the LV itself has no layer that could make it read-only, carry a copy, or
/// keep two attachments apart.
pub(super) fn lv_path(
    seen: &VolumeInput,
    wish: &Wish,
    answer: &DiskAnswer,
    home: &Home,
) -> Result<(), Refusal> {
    let lv = |a: &crate::input::LocalAttachment| a.form == DiskForm::Lv;
    let reason = if wish.form == DiskForm::Own {
        seen.here
            .iter()
            .any(lv)
            .then_some("another attachment uses it by its LV path")
    } else if answer.access == Access::ReadOnly {
        Some("read-only needs a device of its own")
    } else if answer.granted_copy().is_some() {
        Some("a local copy needs a device of its own")
    } else if home.state != HomeState::Pool {
        Some("its data is partly in a copy")
    } else if !seen.here.is_empty() {
        Some("it has another attachment on this node")
    } else {
        None
    };
    let Some(reason) = reason else { return Ok(()) };
    let name = &seen.info.volume;
    let message = format!(
        "{name} cannot be attached as /dev/{name}: {reason}; give the guest \
         /dev/volward/<instance UUID>/{name}"
    );
    Err(no(RefusalCode::LvPath, seen, message))
}

/// The volume's size in device-mapper's unit; LVM sizes are always whole sectors.
pub(super) fn sectors(seen: &VolumeInput) -> Result<Sectors, Refusal> {
    seen.info.size.sectors().ok_or_else(|| {
        let message = format!("{} has a size that is no multiple of 512", seen.info.volume);
        no(RefusalCode::Internal, seen, message)
    })
}

/// The geometry of a clone that is loaded again without a grant for a copy: the region follows
/// from the size alone, so it is the one it was made with.
pub(super) fn resumed_geometry(seen: &VolumeInput) -> Result<CloneGeometry, Refusal> {
    let plan = CopyPlan {
        mode: CopyMode::WritesOnly,
        in_flight: None,
        batch: None,
        fate: CopyFate::WriteBack,
    };
    geometry(seen.info.size, &plan).map_err(|reason| no(RefusalCode::Internal, seen, reason))
}
