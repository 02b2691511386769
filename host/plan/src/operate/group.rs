//! Whether snapshots may hold one moment together.

use volward_model::{Bytes, PoolInfo, VolumeTask};

use super::may::{Room, has_room, writes_alone};
use crate::input::VolumeInput;
use crate::refusal::{Refusal, RefusalCode};

/// Whether a pool has room for all that a group of snapshots makes in it: each with its source's size in bytes.
///
/// # Errors
/// With the last one's need, if there is not.
pub fn may_hold_all(made: &[(&VolumeTask, Bytes)], pool: &PoolInfo) -> Result<(), Refusal> {
    let room = Room::of(pool);
    let here = made.iter().filter(|(task, _)| *task.pool() == pool.name);
    let mut wanted = Bytes(0);
    for (task, size) in here {
        wanted = wanted + room.taken_by(*size);
        has_room(task, room.free, wanted)?;
    }
    Ok(())
}

/// Whether the volume's snapshot can be of a group on this node: one instance here writes to it, alone.
///
/// # Errors
/// With why not.
pub fn may_be_of_group(task: &VolumeTask, seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    if writes_alone(seen).is_some() {
        return Ok(());
    }
    let Some(other) = seen.elsewhere.first() else {
        return Err(Refusal::no_writer(task, volume));
    };
    let node = &other.attachment.node;
    let message = format!(
        "{volume} is attached on node {node}, and snapshots of one moment are made where all of them are written to; ask there"
    );
    Err(Refusal::of(RefusalCode::HeldElsewhere, volume, message))
}
