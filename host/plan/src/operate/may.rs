//! Whether an operation may begin: asked before anything is done, and again under the volume's exclusive
//! lease before the mark is put on it.

use volward_model::home::HOME_TAG_PREFIX;
use volward_model::{
    Access, AttachmentState, Bytes, HomeState, Mark, NodeName, OperationId, PoolInfo, Sharing,
    VolumeInfo, VolumeName, VolumeRef, VolumeTask,
};

use super::attached::{HERE, THERE, held_by_another, held_so, how_it_goes, unattached};
use super::{Away, relocate};
use crate::input::{DiskForm, ForeignAttachment, LocalAttachment, VolumeInput};
use crate::refusal::{Refusal, RefusalCode, Unmet, home_of};
use crate::service::Kind;
use crate::witness::{Verdict, agree};

/// Beginnings of names that LVM keeps for itself (`lvm(8)`, VALID NAMES).
const LVMS_OWN: [&str; 2] = ["snapshot", "pvmove"];
/// Names within which LVM calls a volume a part of another one.
const LVMS_PARTS: [&str; 12] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage",
    "_rmeta", "_tdata", "_tmeta",
];
/// Beginnings of names of Volward's own volumes.
const OUR_OWN: &str = "volward-";
/// device-mapper counts sectors in 64 bits, and LVM extents in 32: more than any pool has.
const LARGEST: u64 = 1 << 60;

/// What a pool has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that no LV has.
    pub free: Bytes,
    /// LVM's allocation unit in bytes.
    pub extent: Bytes,
}

impl Room {
    /// Of a pool.
    #[must_use]
    pub fn of(pool: &PoolInfo) -> Self {
        Self {
            free: pool.free,
            extent: pool.extent,
        }
    }

    /// What an LV of this size takes, in bytes.
    #[must_use]
    pub fn taken_by(self, size: Bytes) -> Bytes {
        let extent = self.extent.0.max(1);
        Bytes(size.0.checked_next_multiple_of(extent).unwrap_or(u64::MAX))
    }
}

/// Whether a task may begin in a pool as it is listed: by name, size and space; of a create all there is
/// to ask. What the operation `id` has made already, on another node that is gone say, it goes on with.
///
/// # Errors
/// With the rule that it breaks.
pub fn may_begin(id: &OperationId, task: &VolumeTask, pool: &PoolInfo) -> Result<(), Refusal> {
    if pool.partial {
        return Err(Refusal::from(Unmet::PoolIncomplete {
            pool: task.pool().clone(),
        }));
    }
    let size = task.size();
    if size.is_some_and(|size| size.0 == 0 || size.0 > LARGEST || size.sectors().is_none()) {
        return Err(Refusal::no_size(task));
    }
    let room = Room::of(pool);
    let there = pool.named(task.name());
    match task {
        VolumeTask::Create { .. }
        | VolumeTask::Copy { .. }
        | VolumeTask::Snapshot { .. }
        | VolumeTask::Move { .. } => {
            may_be_called(task.name())?;
            match there.map(VolumeInfo::mark) {
                None => {}
                Some(Some(Mark::New { by })) if by == *id => return Ok(()),
                Some(_) => return Err(Refusal::name_taken(task)),
            }
            has_room(task, room.free, room.taken_by(size.unwrap_or_default()))
        }
        VolumeTask::Rename { to, .. } => {
            may_be_called(to)?;
            match pool.named(to).is_some() && there.is_some() {
                true => Err(Refusal::new_name_taken(task, to)),
                false => Ok(()),
            }
        }
        VolumeTask::Extend { size, .. } => {
            let Some(there) = there else { return Ok(()) };
            let more = room.taken_by(*size).0.saturating_sub(there.size.0);
            has_room(task, room.free, Bytes(more))
        }
        VolumeTask::Delete { .. } | VolumeTask::Relocate { .. } => Ok(()),
    }
}

pub(super) fn has_room(task: &VolumeTask, free: Bytes, wanted: Bytes) -> Result<(), Refusal> {
    match wanted <= free {
        true => Ok(()),
        false => Err(Refusal::no_space(task, free, wanted)),
    }
}

/// Whether what a copy makes can hold the source, and the pool has room for it.
///
/// # Errors
/// With the rule that it breaks.
pub fn may_hold(task: &VolumeTask, source: &VolumeInfo, pool: &PoolInfo) -> Result<(), Refusal> {
    let room = Room::of(pool);
    let size = task.size().unwrap_or(source.size);
    if size < source.size {
        return Err(Refusal::copy_too_small(task, source.size, size));
    }
    match pool.named(task.name()) {
        // Made already.
        Some(_) => Ok(()),
        None => has_room(task, room.free, room.taken_by(size)),
    }
}

fn may_be_called(name: &VolumeName) -> Result<(), Refusal> {
    let text = name.as_str();
    let lvms = LVMS_OWN.iter().any(|begin| text.starts_with(begin))
        || LVMS_PARTS.iter().any(|part| text.contains(part));
    match (lvms, text.starts_with(OUR_OWN)) {
        (true, _) => Err(Refusal::name_reserved(name, "LVM")),
        (_, true) => Err(Refusal::name_reserved(name, "Volward")),
        (false, false) => Ok(()),
    }
}

/// Whether the volume may be changed so: by who has it, where its data is, and what it is. Of a volume
/// that is being made or deleted nothing but its mark counts: nobody has it. What the operation `id` has begun to grow, on
/// another node that is gone say, it goes on with.
///
/// # Errors
/// With the rule that it breaks.
pub fn may_change(
    id: &OperationId,
    task: &VolumeTask,
    node: &NodeName,
    seen: &VolumeInput,
) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    not_internal(seen)?;
    let mut grows = false;
    match (task, seen.info.mark()) {
        (_, None) => {}
        (VolumeTask::Extend { .. }, Some(Mark::Growing { by, .. })) if by == *id => grows = true,
        // What nobody goes on with is deleted, whoever began it.
        (VolumeTask::Delete { .. }, Some(Mark::Unknown { .. })) => {
            return Err(Refusal::marked(task, seen.info.mark().as_ref()));
        }
        (VolumeTask::Delete { .. }, Some(Mark::New { .. } | Mark::Dying { .. })) => return Ok(()),
        (VolumeTask::Delete { .. }, Some(Mark::Growing { .. } | Mark::Copying { .. })) => {}
        (_, mark) => return Err(Refusal::marked(task, mark.as_ref())),
    }
    comes_home(task, node, seen)?;
    match task {
        VolumeTask::Create { .. }
        | VolumeTask::Copy { .. }
        | VolumeTask::Snapshot { .. }
        | VolumeTask::Move { .. } => Err(Refusal::name_taken(task)),
        VolumeTask::Delete { .. } | VolumeTask::Rename { .. } => unattached(seen),
        VolumeTask::Extend { size, .. } => {
            // What has grown already has grown to a whole extent.
            if *size < seen.info.size && !grows {
                return Err(Refusal::would_shrink(volume, seen.info.size, *size));
            }
            growing(seen)
        }
        VolumeTask::Relocate { .. } => relocate::may(seen),
    }
}

/// Whether the volume's content can be copied: nobody writes to it but one instance on this node, and all of it is in
/// the pool. `id`, whose mark it may have. Asked again before each part of it is read: who is to write may have looked before the
/// mark was on, and has said so in its slot.
///
/// # Errors
/// With the rule that it breaks.
pub fn may_be_copied(
    id: &OperationId,
    task: &VolumeTask,
    node: &NodeName,
    seen: &VolumeInput,
) -> Result<(), Refusal> {
    not_internal(seen)?;
    match seen.info.mark() {
        None => {}
        Some(Mark::Copying { by, .. }) if by == *id => {}
        mark => return Err(Refusal::source_marked(task, mark.as_ref())),
    }
    comes_home(task, node, seen)?;
    if task.moves() {
        return unattached(seen);
    }
    let volume = &seen.info.volume;
    let (from_pool, _) = task.source().unwrap_or((task.pool(), task.name()));
    // A node that loses the one pool's leases cuts the other one's attachments off no sooner for that.
    if seen.info.mark().is_none() && from_pool == task.pool() && writes_alone(seen).is_some() {
        return Ok(());
    }
    let reads = |access, state| access == Access::ReadOnly && state != AttachmentState::Quarantined;
    let mut here = seen.here.iter();
    if let Some(here) = here.find(|a| !reads(a.access, a.state) || a.arriving.is_some()) {
        let message = format!(
            "{volume} is attached to instance {} on this node, which may write to it; a {} needs a volume that nobody \
             writes to, or in its own pool one that one instance has alone with a device of its own; {}",
            here.instance,
            task.word(),
            how_it_goes(here.state, HERE)
        );
        return Err(Refusal::of(RefusalCode::HeldHere, volume, message));
    }
    let mut elsewhere = seen.elsewhere.iter().map(|other| &other.attachment);
    let Some(other) = elsewhere.find(|a| !reads(a.access, a.state) || a.sharing != Sharing::Shared)
    else {
        return Ok(());
    };
    let message = format!(
        "{volume} is attached to instance {} on node {}, alone or to write; a {} needs a volume that nobody \
         writes to, so ask on that node if it reads; else {}",
        other.instance,
        other.node,
        task.word(),
        how_it_goes(other.state, THERE)
    );
    Err(Refusal::of(RefusalCode::HeldElsewhere, volume, message))
}

/// The instance on this node that writes to the volume, where nobody else can: its writes can be followed.
#[must_use]
pub fn writes_alone(seen: &VolumeInput) -> Option<&LocalAttachment> {
    let [here] = seen.here.as_slice() else {
        return None;
    };
    let alone = here.sharing == Sharing::Exclusive && seen.elsewhere.is_empty();
    let follows = here.access == Access::ReadWrite
        && here.state == AttachmentState::Attached
        && here.form == DiskForm::Own
        && here.arriving.is_none()
        && !here.leaving;
    (alone && follows).then_some(here)
}

fn not_internal(seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    if !seen.info.is_internal() {
        return Ok(());
    }
    let message = format!("{volume} is one of Volward's own volumes; name another volume");
    Err(Refusal::of(RefusalCode::Internal, volume, message))
}

/// Who has it is known, LVM makes nothing of it that an operation could not handle, and no copy on a node
/// has any of its data, or one of this node's that comes home first.
fn comes_home(task: &VolumeTask, node: &NodeName, seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    known_to_all(volume, seen)?;
    kind(seen)?;
    let home = home_of(&seen.info)?;
    let verdict = agree(node, &home, seen)?;
    let is_home = home.state == HomeState::Pool && verdict != Verdict::Leftovers;
    match is_home || Away::of(node, seen).is_some() {
        true => Ok(()),
        false => {
            // What is left of a copy whose home is the pool again is this node's.
            let owner = home.copy().map_or(node, |(owner, _)| owner);
            Err(Refusal::copied(task, volume, owner))
        }
    }
}

/// Who has it must be known of every node that may be alive (I6).
fn known_to_all(volume: &VolumeRef, seen: &VolumeInput) -> Result<(), Refusal> {
    let unknown = [
        (RefusalCode::SlotUnreadable, &seen.unreadable),
        (RefusalCode::SlotNewer, &seen.newer),
    ];
    for (code, sentences) in unknown {
        if let Some(reason) = sentences.first() {
            let message = format!("whether {volume} is in use is not known: {reason}");
            return Err(Refusal::of(code, volume, message));
        }
    }
    Ok(())
}

fn kind(seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    match Kind::of(&seen.info) {
        Kind::Plain | Kind::Raid => Ok(()),
        Kind::Unleased => {
            let message = format!(
                "{volume} has no lease of its own, which would keep other nodes from it; change it with \
                 LVM's own commands"
            );
            Err(Refusal::of(RefusalCode::NoOwnLease, volume, message))
        }
        _ => {
            let message = format!(
                "{volume} is of the type {}, and has or is a part of other volumes; change it with LVM's own \
                 commands",
                seen.info.segment_type
            );
            Err(Refusal::of(RefusalCode::SegmentType, volume, message))
        }
    }
}

/// The other node that has the volume, where that node is to do what this one cannot: only there are its guest's
/// devices. `None` where more than one has it, or this one, or where that is not whole.
#[must_use]
pub fn who_is_told<'a>(task: &VolumeTask, seen: &'a VolumeInput) -> Option<&'a ForeignAttachment> {
    let first = seen.elsewhere.first()?;
    let alone = |other: &ForeignAttachment| {
        other.host_id == first.host_id
            && other.silence.is_none()
            && other.attachment.state == AttachmentState::Attached
    };
    let can = match task {
        VolumeTask::Extend { .. } => true,
        VolumeTask::Copy { .. } | VolumeTask::Snapshot { .. } => {
            let same = task.source().is_some_and(|(pool, _)| pool == task.pool());
            // Who only reads lets others read.
            same && first.attachment.sharing == Sharing::Exclusive
        }
        VolumeTask::Create { .. }
        | VolumeTask::Delete { .. }
        | VolumeTask::Move { .. }
        | VolumeTask::Rename { .. } => false,
        // Who shares it may be on several nodes.
        VolumeTask::Relocate { .. } => first.attachment.sharing == Sharing::Exclusive,
    };
    (can && seen.here.is_empty() && seen.elsewhere.iter().all(alone)).then_some(first)
}

/// Whether that node may be told so. It looks again, with what it knows itself.
///
/// # Errors
/// With the rule that is broken.
pub fn may_be_told(
    id: &OperationId,
    task: &VolumeTask,
    node: &NodeName,
    seen: &VolumeInput,
) -> Result<(), Refusal> {
    let mut there = VolumeInput {
        elsewhere: Vec::new(),
        ..seen.clone()
    };
    let holder = seen.elsewhere.first().map(|other| &other.attachment.node);
    if let HomeState::Split { node: owner, .. } | HomeState::Returning { node: owner, .. } =
        &home_of(&seen.info)?.state
        && Some(owner) == holder
    {
        // As it is once that node has brought its copy home.
        there
            .info
            .tags
            .retain(|tag| !tag.starts_with(HOME_TAG_PREFIX));
    }
    match task.source() {
        Some(_) => may_be_copied(id, task, node, &there),
        None => may_change(id, task, node, &there),
    }
}

/// Attached on this node it may be: its devices keep their length until the new end is zeroed.
fn growing(seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    if let Some(other) = seen.elsewhere.first() {
        let what = "give its guest the new size: one node alone, completely attached and alive";
        return Err(held_by_another(volume, other, what));
    }
    for here in &seen.here {
        let why = match (here.state, here.form) {
            (AttachmentState::Attached, DiskForm::Own) => continue,
            (AttachmentState::Attached, DiskForm::Lv) => {
                "given as the LV itself, which shows its new end before that is zeroed"
            }
            _ => "neither complete nor gone",
        };
        return Err(held_so(volume, here, why));
    }
    Ok(())
}
