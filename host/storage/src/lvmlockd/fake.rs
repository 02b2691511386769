//! lvmlockd and sanlock in memory; also a provider that takes leases without activating, if the
//! cluster is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volward_model::{
    Backing, HeldLease, LeaseHolder, LeaseMode, LvUuid, Member, MemberState, NodeName, PoolName,
    Renewal, Table, VolumeId, VolumeRef,
};
use volward_ports::{
    Activation, Freshness, LeaseStatus, LeaseStyle, Leases, PortError, PortResult, Unmet,
};

use crate::fake::relocate::activated;
use crate::fake::{FakeNode, Pool, World};
use crate::lvm::fake::{exit_5, find, names};

/// The pool, if it has a lockspace and this node is in it.
fn lockspace<'a>(world: &'a World, pool: &PoolName, node: &NodeName) -> PortResult<&'a Pool> {
    let found = world.pool(pool, node)?;
    if found.local_to.is_some() || !world.node(node).state.may_be_alive() {
        let taken = world.node(node).place_taken.clone();
        let pool = pool.clone();
        return Err(PortError::from(Unmet::NotJoined { pool, taken }));
    }
    Ok(found)
}

fn style(world: &World) -> LeaseStyle {
    world.lease_style.unwrap_or(LeaseStyle::Fused)
}

/// Takes or converts a lease; the version counts acquisitions, as sanlock's does.
pub(crate) fn lease(world: &mut World, node: &NodeName, volume: VolumeId, mode: LeaseMode) -> bool {
    if world.conflict(volume, node, mode) {
        return false;
    }
    let held = world.node(node).leases.get(&volume).copied();
    let version = world.lease_versions.entry(volume.lv).or_default();
    let taken = match held {
        Some(held) if held.orphan => return false,
        Some(held) if held.mode >= mode => HeldLease { mode, ..held },
        _ => {
            *version += 1;
            HeldLease {
                mode,
                version: *version,
                orphan: false,
            }
        }
    };
    world.node_mut(node).leases.insert(volume, taken);
    true
}

/// Whether a device of the node stands on the volume, or a guest has it open.
pub(crate) fn in_use(world: &World, node: &NodeName, volume: VolumeId) -> bool {
    let on = Backing::Volume(volume);
    if world.node(node).lvs_opened.contains(&volume) {
        return true;
    }
    let devices = world.node(node).devices.values();
    devices.into_iter().any(|device| match &device.table {
        Table::Linear { on: backing, .. } | Table::Part { on: backing, .. } => *backing == on,
        Table::Clone(clone) => [clone.metadata, clone.destination, clone.source].contains(&on),
        Table::Mirror(mirror) => [mirror.on, mirror.copy].contains(&on),
        Table::Error { .. } => false,
    })
}

/// What one command does to each volume.
#[derive(Clone, Copy)]
struct On {
    /// Take or convert the lease, where there is one.
    lease: Option<LeaseMode>,
    activate: bool,
}

fn on_one(world: &mut World, node: &NodeName, volume: &VolumeRef, on: On) -> bool {
    // A selection that chooses nothing is no error to LVM.
    let Some(lv) = find(world, volume, node).cloned() else {
        return true;
    };
    let leased = match on.lease {
        Some(mode) if lv.leased => lease(world, node, lv.id, mode),
        _ => true,
    };
    let filtered = world.node(node).maps_not.contains(&volume.pool);
    if leased && on.activate && !filtered {
        world.node_mut(node).active.insert(lv.id);
        activated(world, node, &lv);
    }
    leased
}

/// The command goes on with the others after one has failed.
fn on(world: &mut World, node: &NodeName, volumes: &[VolumeRef], on: On) -> PortResult<()> {
    let failed: Vec<&VolumeRef> = volumes
        .iter()
        .filter(|volume| !on_one(world, node, volume, on))
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(exit_5("lvchange -a", &failed)),
    }
}

/// Deactivates, and gives the leases up if `release`. LVM goes on with the others after one has
/// failed.
pub(crate) fn off(
    world: &mut World,
    node: &NodeName,
    volumes: &[VolumeRef],
    release: bool,
) -> PortResult<()> {
    let mut busy = None;
    for volume in volumes {
        let Some(lv) = find(world, volume, node).cloned() else {
            continue;
        };
        if in_use(world, node, lv.id) {
            busy = Some(volume);
            continue;
        }
        world.node_mut(node).moves.remove(&lv.id);
        world.node_mut(node).active.remove(&lv.id);
        if release {
            give_up(world, node, lv.id);
        }
    }
    match busy {
        Some(volume) => Err(PortError::Busy {
            what: volume.to_string(),
        }),
        None => Ok(()),
    }
}

/// As seen: with an orphan lease the command succeeds and the lease stays.
fn give_up(world: &mut World, node: &NodeName, volume: VolumeId) {
    let leases = &mut world.node_mut(node).leases;
    if leases.get(&volume).is_some_and(|lease| !lease.orphan) {
        leases.remove(&volume);
    }
}

impl FakeNode {
    fn take_or_convert(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> PortResult<()> {
        let activate = self.style(pool) == LeaseStyle::Fused;
        let command = if activate { "activate" } else { "lease" };
        let detail = format!("{pool} {mode} {}", names(volumes));
        let lease = Some(mode);
        self.changes(command, detail, |world, node| {
            world.pool(pool, node)?;
            if world.node_mut(node).faults.is_ignored(command) {
                return Ok(());
            }
            on(world, node, volumes, On { lease, activate })
        })
    }
}

impl Leases for FakeNode {
    fn style(&self, _pool: &PoolName) -> LeaseStyle {
        style(&self.cluster().world())
    }

    fn take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.take_or_convert(pool, volumes, mode)
    }

    fn convert(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.take_or_convert(pool, volumes, mode)
    }

    fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let fused = self.style(pool) == LeaseStyle::Fused;
        let command = if fused { "deactivate" } else { "release" };
        self.changes(
            command,
            format!("{pool} {}", names(volumes)),
            |world, node| {
                world.pool(pool, node)?;
                if world.node_mut(node).faults.is_ignored(command) {
                    return Ok(());
                }
                if fused {
                    return off(world, node, volumes, true);
                }
                for volume in volumes {
                    give_up(world, node, volume.id);
                }
                Ok(())
            },
        )
    }

    fn held(&self, pool: &PoolName) -> PortResult<BTreeMap<LvUuid, HeldLease>> {
        self.reads("held", pool, |world, node| {
            let vg = lockspace(world, pool, node)?.vg;
            let leases = world.node(node).leases.iter();
            Ok(leases
                .filter(|(volume, _)| volume.vg == vg)
                .map(|(volume, lease)| (volume.lv, *lease))
                .collect())
        })
    }

    fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus> {
        Ok(LeaseStatus {
            held: self.held(pool)?,
            by_hand: BTreeSet::new(),
            watchdog_armed: self.watchdog_armed()?,
            freshness: self.freshness(pool)?,
            generation: self.reads("generation", pool, |world, node| {
                Ok(Some(world.node(node).generation))
            })?,
        })
    }

    fn freshness(&self, pool: &PoolName) -> PortResult<Freshness> {
        self.reads("freshness", pool, |world, node| {
            lockspace(world, pool, node)?;
            Ok(Freshness::Renewed {
                ago: world.node(node).renewed_ago,
                expires_after: Duration::from_secs(80),
            })
        })
    }

    fn members(&self, pool: &PoolName) -> PortResult<Vec<Member>> {
        self.reads("members", pool, |world, node| {
            lockspace(world, pool, node)?;
            let mut members: Vec<Member> = world
                .nodes
                .iter()
                .map(|(name, member)| Member {
                    host_id: member.host_id,
                    generation: member.generation,
                    state: member.state,
                    own: name == node,
                    renewal: Some(Renewal {
                        // One that has stopped stands still.
                        stamp: match member.state {
                            MemberState::Live => world.now_ms,
                            _ => 0,
                        },
                        io_timeout_s: world.io_timeout_s,
                    }),
                })
                .collect();
            members.sort_by_key(|member| member.host_id);
            Ok(members)
        })
    }

    fn holders(&self, pool: &PoolName, volume: &VolumeRef) -> PortResult<Vec<LeaseHolder>> {
        self.reads("holders", volume, |world, node| {
            lockspace(world, pool, node)?;
            let holders = world.nodes.values().filter_map(|member| {
                let lease = member.leases.get(&volume.id)?;
                Some(LeaseHolder {
                    host_id: member.host_id,
                    generation: member.generation,
                    mode: lease.mode,
                    node: None,
                })
            });
            Ok(holders.collect())
        })
    }

    fn watchdog_armed(&self) -> PortResult<bool> {
        self.reads("watchdog-armed", "", |world, node| {
            Ok(world.node(node).watchdog)
        })
    }
}

impl Activation for FakeNode {
    fn await_paths(&self, _: &[VolumeRef]) -> PortResult<()> {
        Ok(())
    }

    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let detail = format!("{pool} {}", names(volumes));
        self.changes("activate", detail, |world, node| {
            must_be_apart(world, pool, node)?;
            if world.node_mut(node).faults.is_ignored("activate") {
                return Ok(());
            }
            let (lease, activate) = (None, true);
            on(world, node, volumes, On { lease, activate })
        })
    }

    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let detail = format!("{pool} {}", names(volumes));
        self.changes("deactivate", detail, |world, node| {
            must_be_apart(world, pool, node)?;
            if world.node_mut(node).faults.is_ignored("deactivate") {
                return Ok(());
            }
            off(world, node, volumes, false)
        })
    }
}

/// Fused, the volumes of a shared pool are activated by their leases only.
fn must_be_apart(world: &World, pool: &PoolName, node: &NodeName) -> PortResult<()> {
    let shared = world.pool(pool, node)?.local_to.is_none();
    if shared && style(world) == LeaseStyle::Fused {
        return Err(PortError::Io {
            what: format!("activation in pool {pool} without its leases"),
            reason: "leases come with it".to_owned(),
        });
    }
    Ok(())
}
