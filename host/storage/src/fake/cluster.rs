//! What a test does to the cluster as a whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::{
    Bytes, MemberState, NodeName, PoolName, SlotReading, VolumeId, VolumeName, VolumeRef,
};

use volward_ports::LeaseStyle;

use super::world::{EXTENT, Node, Place};
use super::{Contents, FakeClock, FakeNode, Lv, Pool, World};
use crate::fake::faults::Faults;

/// Several nodes and one LUN, in memory. Clones share it.
#[derive(Clone)]
pub struct FakeCluster {
    world: Arc<Mutex<World>>,
    pace: Arc<Mutex<Option<Pace>>>,
}

/// Called before every call of every node, with the node and the call's name.
pub(super) type Pace = Arc<dyn Fn(&FakeNode, &str) + Send + Sync>;

impl std::fmt::Debug for FakeCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeCluster").finish_non_exhaustive()
    }
}

/// Names in tests are written by the test: one that LVM would refuse is a mistake there.
pub(super) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Display,
{
    match text.parse() {
        Ok(name) => name,
        Err(error) => unreachable!("a test's name: {error}"),
    }
}

impl FakeCluster {
    /// A cluster of live nodes, with host-ids from 1 in the order given, each with an armed
    /// watchdog.
    #[must_use]
    pub fn new(nodes: &[&str]) -> Self {
        let mut world = World::default();
        // Some time in 2023: that it is not the epoch shows what forgets to ask.
        world.now_ms = 1_700_000_000_000;
        world.io_timeout_s = 10;
        for (index, node) in (1..).zip(nodes) {
            world.nodes.insert(
                name(node),
                Node {
                    host_id: index,
                    generation: 1,
                    boot: 1,
                    state: MemberState::Live,
                    place_taken: None,
                    watchdog: true,
                    renewed_ago: std::time::Duration::ZERO,
                    dm_clone_unfit: None,
                    metadata_lags: false,
                    io_pressure: Some(0),
                    active: Default::default(),
                    maps_not: Default::default(),
                    silent: Default::default(),
                    hung: Default::default(),
                    maps_read_only: Default::default(),
                    leases: Default::default(),
                    devices: Default::default(),
                    lvs_opened: Default::default(),
                    mirrors_fail: false,
                    moves: Default::default(),
                    polls: true,
                    links: Default::default(),
                    reported: Default::default(),
                    faults: Faults::default(),
                    jobs: Default::default(),
                    guest_disks: Default::default(),
                },
            );
        }
        Self {
            world: Arc::new(Mutex::new(world)),
            pace: Arc::default(),
        }
    }

    /// Has `pace` called before every call of every node: a scheduler decides there who goes on.
    pub fn set_pace(&self, pace: impl Fn(&FakeNode, &str) + Send + Sync + 'static) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(pace));
    }

    pub(super) fn pace(&self) -> Option<Pace> {
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.clone()
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether leases come with activation. At first they do, as lvmlockd's.
    pub fn set_lease_style(&self, style: LeaseStyle) {
        self.world().lease_style = Some(style);
    }

    /// One node's ports.
    #[must_use]
    pub fn node(&self, node: &str) -> FakeNode {
        FakeNode::new(self.clone(), name(node))
    }

    /// The cluster's clock; all nodes have the same time.
    #[must_use]
    pub fn clock(&self) -> FakeClock {
        FakeClock::new(self.clone())
    }

    /// Makes a shared volume group that no `pool init` has seen.
    pub fn shared_vg(&self, pool: &str, size: Bytes) -> PoolName {
        self.pool(pool, size, None)
    }

    /// Makes a shared pool, its registry formatted and active (shared) on every node.
    pub fn shared_pool(&self, pool: &str, size: Bytes) -> PoolName {
        let pool_name = self.pool(pool, size, None);
        let registry = self.volume(&pool_name, volward_model::volume::REGISTRY_VOLUME, EXTENT);
        let mut world = self.world();
        if let Some(pool) = world.pools.get_mut(&pool_name) {
            pool.places = Some(Default::default());
        }
        let version = world.next_number();
        for node in world.nodes.values_mut() {
            node.active.insert(registry.id);
            let lease = volward_model::HeldLease {
                mode: volward_model::LeaseMode::Shared,
                version,
                orphan: false,
            };
            node.leases.insert(registry.id, lease);
        }
        drop(world);
        pool_name
    }

    /// Makes a local pool on a node's own disks.
    pub fn local_pool(&self, node: &str, pool: &str, size: Bytes) -> PoolName {
        self.pool(pool, size, Some(name(node)))
    }

    fn pool(&self, pool: &str, size: Bytes, local_to: Option<NodeName>) -> PoolName {
        let pool_name: PoolName = name(pool);
        let mut world = self.world();
        let vg = world.uuid();
        let pool = Pool {
            vg,
            size,
            local_to,
            volumes: Default::default(),
            places: None,
            old_registry: false,
            partial: false,
            autoactivation: true,
            more_disks: Vec::new(),
        };
        world.pools.insert(pool_name.clone(), pool);
        drop(world);
        pool_name
    }

    /// Makes a volume as an operator would: inactive, autoactivation on, no tags, zeroes in it.
    ///
    /// # Panics
    /// Never: a pool that is not there is the test's mistake, and ends it.
    pub fn volume(&self, pool: &PoolName, volume: &str, size: Bytes) -> VolumeRef {
        let volume_name: VolumeName = name(volume);
        let mut world = self.world();
        let lv = world.lv_uuid();
        let Some(entry) = world.pools.get_mut(pool) else {
            unreachable!("pool {pool} was made before");
        };
        let id = VolumeId { vg: entry.vg, lv };
        let made = Lv {
            id,
            size,
            tags: Vec::new(),
            segment_type: "linear".to_owned(),
            leased: entry.local_to.is_none(),
            roles: vec!["public".to_owned()],
            autoactivation: true,
            disk: None,
            goes_to: None,
        };
        entry.volumes.insert(volume_name.clone(), made);
        world.contents.insert(id, Contents::zeroes(size));
        VolumeRef {
            id,
            pool: pool.clone(),
            name: volume_name,
        }
    }

    /// Changes an LV behind everybody's back (size, tags, segment type): what another node's
    /// administrator might do at the wrong moment.
    pub fn tamper(
        &self,
        volume: &VolumeRef,
        change: impl FnOnce(&mut Bytes, &mut Vec<String>, &mut String),
    ) {
        self.change(volume, |lv| {
            change(&mut lv.size, &mut lv.tags, &mut lv.segment_type);
        });
    }

    /// Renames an LV behind everybody's back, on whichever node; says what it is called now. A name
    /// that another LV has is LVM's error: then nothing happens.
    #[must_use = "the volume goes by the name in it"]
    pub fn rename(&self, volume: &VolumeRef, to: &str) -> VolumeRef {
        let to: VolumeName = name(to);
        let mut world = self.world();
        if let Some(pool) = world.pools.get_mut(&volume.pool)
            && !pool.volumes.contains_key(&to)
        {
            let had = pool.volumes.iter().find(|(_, lv)| lv.id == volume.id);
            let had = had.map(|(had, _)| had.clone());
            if let Some(lv) = had.and_then(|had| pool.volumes.remove(&had)) {
                pool.volumes.insert(to, lv);
            }
        }
        let pool = world.pools.get(&volume.pool);
        let now = pool.and_then(|pool| pool.volumes.iter().find(|(_, lv)| lv.id == volume.id));
        VolumeRef {
            name: now.map_or_else(|| volume.name.clone(), |(now, _)| now.clone()),
            ..volume.clone()
        }
    }

    /// What kind of LV it is, to LVM: its segment type, its roles, and whether it has a lease of its
    /// own.
    pub fn set_kind(&self, volume: &VolumeRef, segment_type: &str, roles: &[&str], leased: bool) {
        self.change(volume, |lv| {
            lv.segment_type = segment_type.to_owned();
            lv.roles = roles.iter().map(|&role| role.to_owned()).collect();
            lv.leased = leased;
        });
    }

    fn change(&self, volume: &VolumeRef, change: impl FnOnce(&mut Lv)) {
        let mut world = self.world();
        let pool = world.pools.get_mut(&volume.pool);
        let lv = pool.and_then(|pool| pool.volumes.values_mut().find(|lv| lv.id == volume.id));
        if let Some(lv) = lv {
            change(lv);
        }
    }

    /// A physical volume of the pool is missing, or there again.
    pub fn set_partial(&self, pool: &PoolName, partial: bool) {
        if let Some(pool) = self.world().pools.get_mut(pool) {
            pool.partial = partial;
        }
    }

    /// A pool's disks are gone.
    pub fn lose_pool(&self, pool: &PoolName) {
        self.world().pools.remove(pool);
    }

    /// Removes an LV behind everybody's back.
    pub fn vanish(&self, volume: &VolumeRef) {
        if let Some(pool) = self.world().pools.get_mut(&volume.pool) {
            pool.volumes.retain(|_, lv| lv.id != volume.id);
        }
    }

    /// The tags of a volume; none if it is not there.
    #[must_use]
    pub fn tags(&self, volume: &VolumeRef) -> Vec<String> {
        let world = self.world();
        let pool = world.pools.get(&volume.pool);
        pool.and_then(|pool| pool.volumes.values().find(|lv| lv.id == volume.id))
            .map(|lv| lv.tags.clone())
            .unwrap_or_default()
    }

    /// The names of a pool's volumes.
    #[must_use]
    pub fn volumes(&self, pool: &PoolName) -> Vec<VolumeName> {
        let world = self.world();
        let names = world.pools.get(pool).map(|pool| pool.volumes.keys());
        names
            .map(|names| names.cloned().collect())
            .unwrap_or_default()
    }

    /// What readers of a node's registry place see from now on instead of what it writes; `None`
    /// undoes it.
    pub fn show_place_as(&self, pool: &PoolName, node: &str, reading: Option<SlotReading>) {
        let mut world = self.world();
        let host_id = world.node(&name(node)).host_id;
        let places = world
            .pools
            .get_mut(pool)
            .and_then(|pool| pool.places.as_mut());
        if let Some(places) = places {
            let place: &mut Place = places.entry(host_id).or_default();
            place.shown_as = reading;
        }
    }

    /// Turns a pool's registry into one as 0.1.0 made it.
    pub fn age_registry(&self, pool: &PoolName) {
        if let Some(pool) = self.world().pools.get_mut(pool) {
            pool.old_registry = true;
        }
    }

    /// sanlock's I/O timeout on every node, of which its other times are made.
    pub fn set_io_timeout(&self, seconds: u32) {
        self.world().io_timeout_s = seconds;
    }

    /// How sanlock sees a node; `Dead` and `Free` take its leases away.
    pub fn set_member(&self, node: &str, state: MemberState) {
        let mut world = self.world();
        let node = world.node_mut(&name(node));
        node.state = state;
        if !state.may_be_alive() {
            node.leases.clear();
        }
    }

    /// Everything on a volume, block by block ([`BLOCK`](super::BLOCK)): for whole-volume
    /// comparisons.
    #[must_use]
    pub fn contents(&self, volume: VolumeId) -> Vec<u64> {
        let world = self.world();
        let contents = world.contents.get(&volume);
        contents.map(Contents::all).unwrap_or_default()
    }

    /// Fills a volume, block by block.
    pub fn fill(&self, volume: VolumeId, value: impl Fn(u64) -> u64) {
        if let Some(contents) = self.world().contents.get_mut(&volume) {
            contents.fill(value);
        }
    }
}
