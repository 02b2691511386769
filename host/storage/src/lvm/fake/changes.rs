//! What LVM's commands change in memory.

use volward_model::{Bytes, LeaseMode, NodeName, PoolName, VolumeId, VolumeRef};
use volward_ports::{Applied, LeaseStyle, NewVolume, PortError, PortResult, Unmet};

use super::{EXTENT, exit_5, find_mut};
use crate::fake::{Contents, Lv, OLD_CONTENT, World};
use crate::lvmlockd::fake::{in_use, lease};

pub(super) fn missing(volume: &VolumeRef) -> PortError {
    PortError::Missing {
        what: format!("an active device of {volume}"),
    }
}

/// As the real adapter: metadata of a shared pool are not changed while a physical volume is missing.
pub(super) fn must_be_whole(world: &World, pool: &PoolName, node: &NodeName) -> PortResult<()> {
    let found = world.pool(pool, node)?;
    if found.partial && found.local_to.is_none() {
        return Err(PortError::from(Unmet::PoolIncomplete {
            pool: pool.clone(),
        }));
    }
    Ok(())
}

/// Whether LVM's command can have the LV's exclusive lease for a moment. What this node's daemon holds by
/// itself is somebody else's to it; what lvmlockd holds for this node is not in its way.
pub(super) fn lvm_may_lock(world: &World, node: &NodeName, volume: VolumeId) -> bool {
    let held = world.node(node).leases.get(&volume);
    let in_the_way = match world.lease_style {
        Some(LeaseStyle::Separate) => held.is_some(),
        Some(LeaseStyle::Fused) | None => held.is_some_and(|l| l.mode == LeaseMode::Shared),
    };
    !in_the_way && !world.conflict(volume, node, LeaseMode::Exclusive)
}

pub(super) fn grow(
    world: &mut World,
    node: &NodeName,
    volume: &VolumeRef,
    size: Bytes,
) -> PortResult<Applied> {
    let size = Bytes(size.0.div_ceil(EXTENT.0) * EXTENT.0);
    let free = world.pool(&volume.pool, node)?.free();
    let Some(lv) = find_mut(world, volume, node)? else {
        return Err(PortError::Missing {
            what: volume.to_string(),
        });
    };
    if lv.size >= size {
        return Ok(Applied::Identity);
    }
    if free.0 < size.0 - lv.size.0 {
        return Err(exit_5("lvextend", &[volume]));
    }
    lv.size = size;
    // Whatever was on the disk before.
    if let Some(contents) = world.contents.get_mut(&volume.id) {
        contents.grow(size, OLD_CONTENT);
    }
    Ok(Applied::Changed)
}

/// Both are active, the second is nobody's, and the first only readers'.
pub(super) fn copy(
    world: &mut World,
    node: &NodeName,
    (from, to): (&VolumeRef, &VolumeRef),
    (start, amount): (Bytes, Bytes),
    read: bool,
) -> PortResult<()> {
    for (volume, shared) in [(from, read), (to, false)] {
        if !world.node(node).active.contains(&volume.id) {
            return Err(missing(volume));
        }
        if !shared && in_use(world, node, volume.id) {
            return Err(PortError::Busy {
                what: volume.to_string(),
            });
        }
    }
    let source = world.contents.get(&from.id).cloned();
    if let (Some(source), Some(target)) = (source, world.contents.get_mut(&to.id)) {
        target.copy(&source, start, amount);
    }
    Ok(())
}

/// How an LV is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Active,
    Inactive,
}

pub(super) fn create(
    world: &mut World,
    node: &NodeName,
    new: &NewVolume,
    how: Made,
) -> PortResult<(VolumeId, Applied)> {
    let size = Bytes(new.size.0.div_ceil(EXTENT.0) * EXTENT.0);
    let lv = world.lv_uuid();
    let pool = world.pool_mut(&new.pool, node)?;
    if let Some(existing) = pool.volumes.get(&new.name) {
        let (id, same) = (
            existing.id,
            existing.size >= new.size && existing.tags == new.tags,
        );
        if !same {
            return Err(PortError::Identity {
                what: format!("{}/{}", new.pool, new.name),
                expected: format!("at least {} with tags {:?}", new.size, new.tags),
                found: "another LV".to_owned(),
            });
        }
        if how == Made::Active {
            world.node_mut(node).active.insert(id);
        }
        return Ok((id, Applied::Identity));
    }
    let (free, partial) = (pool.free(), pool.partial);
    must_be_whole(world, &new.pool, node)?;
    // LVM itself makes no LV while a physical volume is missing.
    if partial {
        return Err(exit_5("lvcreate", &[]));
    }
    if free < size {
        return Err(PortError::Command {
            command: format!("lvm lvcreate -L {}b {}", size.0, new.pool),
            status: "exit status: 5".to_owned(),
            stdout: String::new(),
            stderr: format!("  {free} free, {size} wanted"),
        });
    }
    let pool = world.pool_mut(&new.pool, node)?;
    let id = VolumeId { vg: pool.vg, lv };
    let shared = pool.local_to.is_none();
    pool.volumes.insert(
        new.name.clone(),
        Lv {
            id,
            size,
            tags: new.tags.clone(),
            segment_type: "linear".to_owned(),
            leased: shared,
            roles: Vec::new(),
            autoactivation: false,
            disk: None,
            goes_to: None,
        },
    );
    // Whatever was on the disk before.
    world
        .contents
        .insert(id, Contents::filled(size, OLD_CONTENT));
    if how == Made::Inactive {
        return Ok((id, Applied::Changed));
    }
    if shared {
        lease(world, node, id, LeaseMode::Exclusive);
    }
    world.node_mut(node).active.insert(id);
    Ok((id, Applied::Changed))
}
