//! sanlock in memory.

use std::collections::BTreeMap;

use volward_control::ports::{Leases, PortError, PortResult, Unmet};
use volward_model::{HeldLease, LeaseHolder, LvUuid, Member, NodeName, PoolName, VolumeInfo};

use crate::fake::{FakeNode, Pool, World};

/// The pool, if it has a lockspace and this node is in it.
fn lockspace<'a>(world: &'a World, pool: &PoolName, node: &NodeName) -> PortResult<&'a Pool> {
    let found = world.pool(pool, node)?;
    if found.local_to.is_some() || !world.node(node).state.may_be_alive() {
        return Err(PortError::from(Unmet::NotJoined { pool: pool.clone() }));
    }
    Ok(found)
}

impl Leases for FakeNode {
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
                })
                .collect();
            members.sort_by_key(|member| member.host_id);
            Ok(members)
        })
    }

    fn holders(&self, pool: &PoolName, volume: &VolumeInfo) -> PortResult<Vec<LeaseHolder>> {
        self.reads("holders", &volume.volume, |world, node| {
            lockspace(world, pool, node)?;
            let holders = world.nodes.values().filter_map(|member| {
                let lease = member.leases.get(&volume.volume.id)?;
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
