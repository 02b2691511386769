//! Nodes and LUNs that are not what they were.

use std::collections::BTreeMap;

use volward_model::{MemberState, PoolName, VolumeId};
use volward_plan::HostIdTaken;

use super::world::Pool;
use super::{Contents, FakeCluster, FakeNode};

/// All that is on a pool's disks at one moment: its volumes and their tags, its registry, its data.
#[derive(Clone, Debug)]
pub struct Lun {
    pool: Pool,
    contents: BTreeMap<VolumeId, Contents>,
}

impl FakeCluster {
    /// What is on a pool's disks now.
    ///
    /// # Panics
    /// Never: a pool that is not there is the test's mistake, and ends it.
    #[must_use]
    pub fn aside(&self, pool: &PoolName) -> Lun {
        let world = self.world();
        let Some(found) = world.pools.get(pool) else {
            unreachable!("pool {pool} was made before");
        };
        let ids: Vec<VolumeId> = found.volumes.values().map(|lv| lv.id).collect();
        let mut contents = world.contents.clone();
        contents.retain(|id, _| ids.contains(id));
        Lun {
            pool: found.clone(),
            contents,
        }
    }

    /// Other disks under the same UUIDs.
    pub fn put_this(&self, pool: &PoolName, lun: Lun) {
        let mut world = self.world();
        world.pools.insert(pool.clone(), lun.pool);
        world.contents.extend(lun.contents);
    }

    /// Makes a snapshot of a pool's disks.
    pub fn snapshot(&self, pool: &PoolName) {
        let lun = self.aside(pool);
        self.world().snapshots.insert(pool.clone(), lun);
    }

    /// Replaces a pool's disks by the snapshot that was made of them.
    pub fn put_back(&self, pool: &PoolName) {
        let lun = self.world().snapshots.get(pool).cloned();
        if let Some(lun) = lun {
            self.put_this(pool, lun);
        }
    }

    /// Removes a pool's registry behind everybody's back.
    pub fn forget_registry(&self, pool: &PoolName) {
        let registry = volward_model::volume::REGISTRY_VOLUME;
        if let Some(pool) = self.world().pools.get_mut(pool) {
            pool.volumes.retain(|name, _| name.as_str() != registry);
            pool.places = None;
        }
    }
}

impl FakeNode {
    /// The node loses its power and is started again, where the lockspace on the LUN counts as few joins as this: one of an earlier snapshot.
    pub fn boot_in_generation(&self, generation: u64) {
        self.power_cut();
        self.with(|node| node.generation = generation.saturating_sub(1));
        self.boot();
    }

    /// This node is in no lockspace, for another one that sanlock calls `other` has its place there; `None`: it joins.
    pub fn set_place_taken(&self, other: Option<&str>) {
        self.with(|node| {
            node.place_taken = other.map(|other| HostIdTaken {
                host_id: node.host_id,
                node: other.to_owned(),
                renewed: true,
            });
            node.state = match other {
                Some(_) => MemberState::Free,
                None => MemberState::Live,
            };
        });
    }
}
