//! The invariants an attach must not break, whatever the policies said.

use volward_model::{
    Access, AttachmentState, CopyFate, CopyMode, CopyPlan, DiskAnswer, HomeState, InstanceId,
    Sectors, Sharing, VolumeRef,
};

use super::{Grant, Requester, no};
use crate::geometry::{CloneGeometry, geometry_of, sectors_of};
use crate::input::{DiskForm, ForeignAttachment, PlanInput, Watchdog};
use crate::refusal::{Refusal, RefusalCode};
use crate::requested::RequestedDisk;
use crate::service::{self, Kind};
use crate::witness::agree;

/// Volward's own volumes are not for guests.
pub(super) fn identity(disk: &RequestedDisk) -> Result<(), Refusal> {
    if disk.input.info.is_internal() {
        let name = disk.volume();
        let message = format!("{name} is one of Volward's own volumes; name another volume");
        return Err(no(RefusalCode::Internal, disk, message));
    }
    Ok(())
}

/// A volume that an operation makes, deletes or grows is given to nobody until that has ended.
pub(super) fn operated(disk: &RequestedDisk) -> Result<(), Refusal> {
    match disk.input.info.mark() {
        Some(mark) => Err(Refusal::under_operation(disk.volume(), &mark)),
        None => Ok(()),
    }
}

/// What LVM makes of the volume: whether it has a lease that keeps the nodes apart, and whether it
/// can be active on several of them.
pub(super) fn service(disk: &RequestedDisk, answer: &DiskAnswer) -> Result<(), Refusal> {
    let info = &disk.input.info;
    let kind = Kind::of(info);
    let Some(code) = kind.service().refuses(answer.sharing) else {
        return Ok(());
    };
    let message = format!("{} {}", disk.volume(), service::sentence(kind, info));
    Err(no(code, disk, message))
}

/// Taking autoactivation off is a change of metadata, which LVM refuses while a physical volume is
/// missing; nothing else of an attach without a copy is one.
pub(super) fn complete(input: &PlanInput, disk: &RequestedDisk) -> Result<(), Refusal> {
    let name = disk.volume();
    match disk.input.info.autoactivation && input.incomplete.contains(&name.pool) {
        true => Err(Refusal::pool_incomplete(name)),
        false => Ok(()),
    }
}

/// The path of an attachment keeps the name that its volume had: one that got this name since would
/// have the same path.
pub(super) fn path(
    input: &PlanInput,
    disk: &RequestedDisk,
    instance: InstanceId,
) -> Result<(), Refusal> {
    let name = disk.volume();
    let same = |v: &&VolumeRef| v.pool == name.pool && v.name == name.name && v.id != name.id;
    let Some(other) = input.attached.iter().find(same) else {
        return Ok(());
    };
    let message = format!(
        "another volume (LV UUID {}) is attached to this instance as /dev/volward/{instance}/{name}, \
         which was its name then; detach that one first, or rename this one",
        other.id.lv
    );
    Err(no(RefusalCode::PathTaken, disk, message))
}

/// Whether the volume can be attached on this node at all, by where its data is: told by all
/// witnesses alike.
pub(super) fn home(
    input: &PlanInput,
    disk: &RequestedDisk,
    instance: InstanceId,
) -> Result<(), Refusal> {
    let (name, seen) = (disk.volume(), &disk.input);
    agree(&input.node, &disk.home, seen)?;
    let progress = match seen.progress {
        Some(p) if p.total > 0 => format!(", {} % done", p.done * 100 / p.total),
        _ => String::new(),
    };
    match &disk.home.state {
        HomeState::Pool => Ok(()),
        HomeState::Split { node, .. } if *node == input.node && input.local.is_none() => {
            Err(Refusal::no_local_pool(name, node))
        }
        HomeState::Split { node, .. } if *node == input.node => Ok(()),
        HomeState::Split { node, .. } => {
            let mut attached = seen.elsewhere.iter();
            let way_out = match attached.any(|other| other.attachment.node == *node) {
                true => format!(
                    "stop its guest there, which writes the copy back, or bring it home while the guest runs on, with \
                     `volward hydration home {name} --wait` there"
                ),
                // A node that is dead shows no guests either.
                false => format!(
                    "no guest there has it: where one has just stopped, the write-back begins by itself; else \
                     check that node {node} is up (`volward pool ls`), then start its guest there, or attach \
                     and detach the volume there, which writes the copy back; where the node is gone for good, \
                     `volward recover {name}` says what is left"
                ),
            };
            let message = format!(
                "the data of {name} is partly in the copy on node {node}{progress}; {way_out}"
            );
            Err(no(RefusalCode::HomeElsewhere, disk, message))
        }
        // It comes home under its guest, who asks for what it has.
        HomeState::Returning { node, .. }
            if *node == input.node && seen.here.iter().any(|a| a.instance == instance) =>
        {
            Ok(())
        }
        HomeState::Returning { node, .. } => {
            // Its slot is gone with its node: then waiting does not help.
            let silent = match seen.progress {
                Some(_) => String::new(),
                None => format!(
                    ", which reports no progress: check that node {node} is up; where it is gone for good, `volward \
                     recover {name}` says what is left"
                ),
            };
            let message = format!(
                "{name} is being written back from node {node}{progress}{silent}; ask again when it \
                 is done"
            );
            let remaining = seen.progress.and_then(|p| p.remaining_ms);
            Err(no(RefusalCode::Returning, disk, message).retry_after(remaining))
        }
        HomeState::Node { node, .. } => {
            let message = format!(
                "the data of {name} is in a copy that was kept on node {node}; this version can \
                 neither attach nor write back a kept copy"
            );
            Err(no(RefusalCode::CopyKept, disk, message))
        }
    }
}

/// The same instance asks again for what it has: nothing to do, or a refusal if it has it in
/// another way.
pub(super) fn already(
    input: &PlanInput,
    disk: &RequestedDisk,
    requester: Requester,
    answer: &DiskAnswer,
) -> Result<Option<Grant>, Refusal> {
    let instance = requester.instance;
    let Some(has) = disk.input.here.iter().find(|a| a.instance == instance) else {
        return Ok(None);
    };
    let name = disk.volume();
    if has.state == AttachmentState::Quarantined {
        let message = format!(
            "an earlier attachment of {name} to this instance is quarantined on this node; mend the \
             cause that `volward ls` shows, and detach it"
        );
        return Err(no(RefusalCode::Quarantined, disk, message));
    }
    if let (Some(source), None) = (&has.arriving, requester.arrives) {
        return Err(Refusal::arriving(name, source));
    }
    // Its path keeps the name that the volume had then.
    let under = input.attached.iter().find(|v| v.id == name.id);
    let under = under.filter(|_| has.form == DiskForm::Own).unwrap_or(name);
    let same = has.form == disk.form
        && has.sharing == answer.sharing
        && has.access == answer.access
        && under.name == name.name;
    if !same {
        let path = match has.form {
            DiskForm::Own => format!("/dev/volward/{instance}/{under}"),
            DiskForm::Lv => format!("/dev/{name}"),
        };
        let message = format!(
            "{name} is attached to this instance already as {path}, {} and {}; detach it first",
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
        source: has.arriving.clone(),
    }))
}

/// Narrowing, shareable mark, holders, slots, watchdog, orphans.
pub(super) fn rules(
    input: &PlanInput,
    disk: &RequestedDisk,
    instance: InstanceId,
    answer: &DiskAnswer,
    source: Option<&ForeignAttachment>,
) -> Result<(), Refusal> {
    let name = disk.volume();
    let narrowed = answer.sharing > disk.sharing || answer.access > disk.access;
    if narrowed && !disk.accept_narrowing {
        let message = format!(
            "a policy allows {name} only {} and {}, and it was asked for {} and {}; ask for what is \
             allowed, or accept narrowing",
            answer.sharing, answer.access, disk.sharing, disk.access
        );
        return Err(no(RefusalCode::Narrowed, disk, message));
    }
    let writes = answer.access == Access::ReadWrite;
    if answer.sharing == Sharing::Shared && writes && !disk.input.info.shareable() {
        let message = format!(
            "{name} was asked for shared and read-write, and is not marked shareable; mark it with \
             `volward volume set {name} --shareable yes`, or ask for it exclusively"
        );
        return Err(no(RefusalCode::NotShareable, disk, message));
    }
    holders(disk, instance, answer, source)?;
    if writes && input.watchdog == Watchdog::Missing {
        let message = format!(
            "{name} cannot be attached read-write, because sanlock on node {} runs without a \
             watchdog; `volward doctor` says how to arm it",
            input.node
        );
        return Err(no(RefusalCode::NoWatchdog, disk, message));
    }
    if disk.input.lease.is_some_and(|lease| lease.orphan) {
        let message = format!(
            "the lease of {name} on this node is an orphan: the lvmlockd that took it has died; \
             restart lvmlockd with --adopt 1"
        );
        return Err(no(RefusalCode::LeaseOrphaned, disk, message));
    }
    Ok(())
}

/// Nobody who excludes us, and nobody we exclude; and no node we know nothing of (I6). The node from
/// which the instance migrates is asked.
fn holders(
    disk: &RequestedDisk,
    instance: InstanceId,
    answer: &DiskAnswer,
    source: Option<&ForeignAttachment>,
) -> Result<(), Refusal> {
    let name = disk.volume();
    let elsewhere = || {
        let all = disk.input.settled_elsewhere();
        all.filter(|f| source != Some(*f))
    };
    if let Some(other) = elsewhere().find(|f| f.attachment.instance == instance) {
        let message = format!(
            "{name} is attached to this instance on node {}; stop the instance there first",
            other.attachment.node
        );
        return Err(no(RefusalCode::HeldElsewhere, disk, message));
    }
    let excludes =
        |theirs: Sharing| theirs == Sharing::Exclusive || answer.sharing == Sharing::Exclusive;
    if let Some(other) = disk.input.here.iter().find(|a| excludes(a.sharing)) {
        let message = format!(
            "{name} is attached {} on this node for instance {} ({}); stop that instance first",
            other.sharing, other.instance_name, other.instance
        );
        return Err(no(RefusalCode::HeldHere, disk, message));
    }
    if let Some(other) = elsewhere().find(|f| excludes(f.attachment.sharing)) {
        let other = &other.attachment;
        let message = format!(
            "{name} is attached {} on node {} for instance {}; stop that instance first",
            other.sharing, other.node, other.instance
        );
        return Err(no(RefusalCode::HeldElsewhere, disk, message));
    }
    if let Some(reason) = disk.input.unreadable.first() {
        let message = format!("{name} cannot be attached: {reason}");
        return Err(no(RefusalCode::SlotUnreadable, disk, message));
    }
    if let Some(reason) = disk.input.newer.first() {
        let message = format!("{name} cannot be attached: {reason}");
        return Err(no(RefusalCode::SlotNewer, disk, message));
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

/// The size the guest sees, in device-mapper's unit; LVM sizes are always whole sectors.
pub(super) fn sectors(disk: &RequestedDisk) -> Result<Sectors, Refusal> {
    sectors_of(&disk.input.info, disk.size())
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
    geometry_of(&disk.input.info, disk.size(), &plan)
}
