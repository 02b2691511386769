//! What LVM and the kernel do with a volume that goes from one disk to another (`pvmove`).

use volward_model::{
    LeaseMode, LvmUuid, Moving, NodeName, PoolName, VolumeId, VolumeRef, Whereabouts,
};
use volward_ports::{Applied, PortError, PortResult};

use super::cluster::FakeCluster;
use super::node::FakeNode;
use super::world::{Beneath, Lv, Pool, World};
use crate::lvm::fake::{exit_5, find};

/// Between two looks so much becomes equal, in percent.
const PART: u8 = 40;

fn gone(volume: &VolumeRef) -> PortError {
    PortError::Missing {
        what: volume.to_string(),
    }
}

fn disk_of(pool: &Pool, lv: &Lv) -> LvmUuid {
    lv.disk.unwrap_or(pool.vg)
}

fn change(
    world: &mut World,
    volume: &VolumeRef,
    node: &NodeName,
    change: impl FnOnce(&mut Lv),
) -> PortResult<()> {
    let pool = world.pool_mut(&volume.pool, node)?;
    let mut all = pool.volumes.values_mut();
    let lv = all.find(|lv| lv.id == volume.id);
    lv.map(change).ok_or_else(|| gone(volume))
}

/// Between two looks the kernel gets on; where all is equal, lvmpolld ends the move.
pub(crate) fn whereabouts(
    world: &mut World,
    node: &NodeName,
    volume: &VolumeRef,
) -> PortResult<Whereabouts> {
    let lv = find(world, volume, node).cloned();
    let lv = lv.ok_or_else(|| gone(volume))?;
    let from = disk_of(world.pool(&volume.pool, node)?, &lv);
    let Some(to) = lv.goes_to else {
        return Ok(Whereabouts {
            on: [(from, lv.size)].into(),
            moving: None,
        });
    };
    let beneath = world.node(node).moves.get(&volume.id).copied();
    let percent = match beneath {
        Some(Beneath::Copying(percent)) => Some(percent),
        Some(Beneath::Halted) | None => None,
    };
    if let Some(percent) = percent {
        let next = Beneath::Copying(percent.saturating_add(PART).min(100));
        world.node_mut(node).moves.insert(volume.id, next);
        if percent == 100 && world.node(node).polls {
            world.node_mut(node).moves.remove(&volume.id);
            change(world, volume, node, |lv| {
                (lv.disk, lv.goes_to) = (Some(to), None);
            })?;
        }
    }
    Ok(Whereabouts {
        on: [].into(),
        moving: Some(Moving { from, percent }),
    })
}

/// Whether LVM could do it: it is told not to look at the lease, so a test does.
fn must_be_ours(
    world: &World,
    node: &NodeName,
    volume: &VolumeRef,
    command: &str,
) -> PortResult<()> {
    let here = world.node(node);
    let held = here.leases.get(&volume.id);
    let exclusive = held.is_some_and(|lease| lease.mode == LeaseMode::Exclusive && !lease.orphan);
    match exclusive && here.active.contains(&volume.id) {
        true => Ok(()),
        false => Err(exit_5(command, &[volume])),
    }
}

pub(crate) fn relocate(
    world: &mut World,
    node: &NodeName,
    volume: &VolumeRef,
    (from, to): (LvmUuid, LvmUuid),
) -> PortResult<Applied> {
    let lv = find(world, volume, node).cloned();
    let lv = lv.ok_or_else(|| gone(volume))?;
    must_be_ours(world, node, volume, "pvmove")?;
    let pool = world.pool(&volume.pool, node)?;
    let exists = to == pool.vg || pool.more_disks.contains(&to);
    let is_on = disk_of(pool, &lv);
    world.node_mut(node).polls = true;
    if lv.goes_to.is_some() {
        return Ok(Applied::Changed);
    }
    match (exists, is_on == from) {
        (false, _) => Err(exit_5("pvmove", &[volume])),
        (true, false) => Ok(Applied::Identity),
        (true, true) => {
            change(world, volume, node, |lv| lv.goes_to = Some(to))?;
            let moves = &mut world.node_mut(node).moves;
            moves.insert(volume.id, Beneath::Copying(0));
            Ok(Applied::Changed)
        }
    }
}

pub(crate) fn end(world: &mut World, node: &NodeName, volume: &VolumeRef) -> PortResult<Applied> {
    let lv = find(world, volume, node).cloned();
    if lv.ok_or_else(|| gone(volume))?.goes_to.is_none() {
        return Ok(Applied::Identity);
    }
    must_be_ours(world, node, volume, "pvmove --abort")?;
    change(world, volume, node, |lv| lv.goes_to = None)?;
    world.node_mut(node).moves.remove(&volume.id);
    Ok(Applied::Changed)
}

/// As it is activated, what LVM's metadata say of a move is beneath it.
pub(crate) fn activated(world: &mut World, node: &NodeName, lv: &Lv) {
    if lv.goes_to.is_some() {
        let moves = &mut world.node_mut(node).moves;
        moves.entry(lv.id).or_insert(Beneath::Copying(0));
    }
}

pub(crate) fn halt(world: &mut World, node: &NodeName, volume: VolumeId) -> Applied {
    match world.node_mut(node).moves.get_mut(&volume) {
        Some(beneath @ Beneath::Copying(_)) => {
            *beneath = Beneath::Halted;
            Applied::Changed
        }
        Some(Beneath::Halted) | None => Applied::Identity,
    }
}

pub(crate) fn is_halted(world: &World, node: &NodeName, volume: VolumeId) -> bool {
    world.node(node).moves.get(&volume) == Some(&Beneath::Halted)
}

impl FakeCluster {
    /// Gives a pool another disk; LVM's UUID of it.
    ///
    /// # Panics
    /// Never: a pool that is not there is the test's mistake, and ends it.
    pub fn disk(&self, pool: &PoolName) -> LvmUuid {
        let mut world = self.world();
        let id = world.uuid();
        let Some(pool) = world.pools.get_mut(pool) else {
            unreachable!("pool {pool} was made before");
        };
        pool.more_disks.push(id);
        id
    }

    /// The disk that a volume is on, and the one that LVM's metadata say it goes to.
    #[must_use]
    pub fn disks_of(&self, volume: &VolumeRef) -> Option<(LvmUuid, Option<LvmUuid>)> {
        let world = self.world();
        let pool = world.pools.get(&volume.pool)?;
        let lv = pool.volumes.values().find(|lv| lv.id == volume.id)?;
        Some((disk_of(pool, lv), lv.goes_to))
    }
}

impl FakeNode {
    /// Volumes beneath which this node copies from one disk to another.
    #[must_use]
    pub fn moving(&self) -> Vec<VolumeId> {
        self.with(|node| {
            let copying = |beneath: &Beneath| matches!(beneath, Beneath::Copying(_));
            let moves = node.moves.iter().filter(|(_, beneath)| copying(beneath));
            moves.map(|(volume, _)| *volume).collect()
        })
    }

    /// Those of them whose lease this node has not: what it writes there is another's by now.
    #[must_use]
    pub fn moving_without_lease(&self) -> Vec<VolumeId> {
        let moving = self.moving();
        self.with(|node| {
            let leases = &node.leases;
            let lost = moving.into_iter().filter(|id| !leases.contains_key(id));
            lost.collect()
        })
    }

    /// lvmpolld dies; the next `pvmove` starts it again.
    pub fn lose_lvmpolld(&self) {
        self.with(|node| node.polls = false);
    }
}
