//! One node: the ports are implemented on it, and a test breaks it here.

use volward_model::{DeviceId, LeaseMode, MemberState, NodeName, PoolName, VolumeId};
use volward_ports::{PortError, PortResult};

use super::cluster::FakeCluster;
use super::faults::{Crash, Kind};
use super::world::{Node, World};

/// One node of a [`FakeCluster`]; clones are the same node. Implements every port of storage,
/// and `Machine`.
#[derive(Clone, Debug)]
pub struct FakeNode {
    cluster: FakeCluster,
    name: NodeName,
}

impl FakeNode {
    pub(super) fn new(cluster: FakeCluster, name: NodeName) -> Self {
        Self { cluster, name }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    pub(crate) fn cluster(&self) -> &FakeCluster {
        &self.cluster
    }

    /// Notes a call that only looks, lets it fail if it is to, and makes it.
    pub(crate) fn reads<T>(
        &self,
        name: &str,
        detail: impl std::fmt::Display,
        call: impl FnOnce(&mut World, &NodeName) -> PortResult<T>,
    ) -> PortResult<T> {
        self.call(name, &detail.to_string(), Kind::Reads, call)
    }

    /// Notes a call that changes something, lets it fail or crash if it is to, and makes it.
    pub(crate) fn changes<T>(
        &self,
        name: &str,
        detail: impl std::fmt::Display,
        call: impl FnOnce(&mut World, &NodeName) -> PortResult<T>,
    ) -> PortResult<T> {
        self.call(name, &detail.to_string(), Kind::Changes, call)
    }

    fn call<T>(
        &self,
        name: &str,
        detail: &str,
        kind: Kind,
        call: impl FnOnce(&mut World, &NodeName) -> PortResult<T>,
    ) -> PortResult<T> {
        let pace = self.cluster.pace();
        if let Some(pace) = pace {
            pace(self, name);
        }
        let hooks = self.with(|node| node.faults.take_hooks(name));
        for hook in hooks {
            hook(&self.cluster);
        }
        // Not under the world's lock: everything else goes on.
        while self.with(|node| node.hung.iter().any(|pool| pool.as_str() == detail)) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut world = self.cluster.world();
        let faults = &mut world.node_mut(&self.name).faults;
        faults.enter(name, detail, kind)?;
        let result = call(&mut world, &self.name);
        world.node_mut(&self.name).faults.leave(kind)?;
        result
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Node) -> T) -> T {
        look(self.cluster.world().node_mut(&self.name))
    }

    /// The calls that changed something, in their order: name and what it was about.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        self.with(|node| node.faults.journal.clone())
    }

    /// The names of all calls there ever were on this node, of every port: what [`FakeNode::fail_on`] takes.
    #[must_use]
    pub fn calls(&self) -> std::collections::BTreeSet<String> {
        self.with(|node| node.faults.calls.clone())
    }

    /// The LVM commands that the real adapter would have run, reports included, in their order. A
    /// report of a pool whose metadata is as it was at the last one costs none.
    #[must_use]
    pub fn lvm_commands(&self) -> Vec<String> {
        self.with(|node| node.faults.commands.clone())
    }

    /// How many changing calls there were: the range for [`FakeNode::fail_at`] and the crashes.
    #[must_use]
    pub fn changes_made(&self) -> usize {
        self.with(|node| node.faults.changes)
    }

    /// The `n`th changing call from now on (from 1) fails and has no effect.
    pub fn fail_at(&self, n: usize) {
        self.with(|node| node.faults.fail_change(n));
    }

    /// The next call of that name (`"activate"`, `"pool"`, ...) fails so.
    pub fn fail_on(&self, name: &str, error: PortError) {
        self.with(|node| node.faults.fail_named(name, error));
    }

    /// The next call of that name (`"activate"`, `"deactivate"`) reports success and does nothing:
    /// the old mode stays, nothing becomes active.
    pub fn ignore_on(&self, name: &str) {
        self.with(|node| node.faults.ignore_named(name));
    }

    /// The daemon dies just before the `n`th changing call from now on.
    pub fn crash_before(&self, n: usize) {
        self.with(|node| node.faults.crash_at(n, Crash::Before));
    }

    /// The daemon dies just after the `n`th changing call from now on: it had its effect, and the
    /// caller gets an error.
    pub fn crash_after(&self, n: usize) {
        self.with(|node| node.faults.crash_at(n, Crash::After));
    }

    /// The daemon dies now: from here on every call fails.
    pub fn crash(&self) {
        self.with(|node| node.faults.crashed = true);
    }

    /// A durable write that is no storage call (a journal's): it counts, fails and crashes like
    /// every other change.
    ///
    /// # Errors
    /// If it is to fail, or the daemon is dead.
    pub fn note(&self, name: &str) -> PortResult<()> {
        self.changes(name, "", |_, _| Ok(()))
    }

    /// A point where others may go on: a seeded scheduler takes it for a call.
    pub fn give_way(&self) {
        if let Some(pace) = self.cluster.pace() {
            pace(self, "sleep");
        }
    }

    /// What happens while somebody waits for a device's event: time passes, a clone hydrates, a
    /// guest writes. Without it a wait returns at once and nothing has happened.
    pub fn while_waiting(&self, happens: impl Fn(&Self, DeviceId) + Send + Sync + 'static) {
        self.with(|node| node.faults.waiting = Some(std::sync::Arc::new(happens)));
    }

    /// See [`FakeNode::while_waiting`].
    pub(crate) fn wait_a_moment(&self, id: DeviceId) {
        let happens = self.with(|node| node.faults.waiting.clone());
        if let Some(happens) = happens {
            happens(self, id);
        }
    }

    /// Whether a crash has happened.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.with(|node| node.faults.crashed)
    }

    /// The daemon is started again, over the leases, LVs and devices that are there; nothing is
    /// to fail any more.
    pub fn restart(&self) {
        self.with(|node| {
            node.faults.clear();
            node.reported.clear();
        });
    }

    /// Runs `hook` once, before the next call of that name: what another node does meanwhile.
    pub fn before(&self, name: &str, hook: impl FnOnce(&FakeCluster) + Send + 'static) {
        self.with(|node| node.faults.hook(name, Box::new(hook)));
    }

    /// Power is cut: devices, links and activations are gone, sanlock's leases on the LUN are
    /// not, and the other nodes see it fail.
    pub fn power_cut(&self) {
        self.with(|node| {
            node.state = MemberState::Fail;
            node.faults.crashed = true;
            node.active.clear();
            node.devices.clear();
            node.moves.clear();
            node.lvs_opened.clear();
            node.links.clear();
        });
    }

    /// The node is started again after [`FakeNode::power_cut`], and joins under a new generation:
    /// its old leases are void. Registry LVs are active again, as the node's start does it.
    pub fn boot(&self) {
        let mut world = self.cluster.world();
        let registries: Vec<VolumeId> = world
            .pools
            .values()
            .filter(|pool| pool.places.is_some())
            .flat_map(|pool| pool.volumes.iter())
            .filter(|(name, _)| name.as_str() == volward_model::volume::REGISTRY_VOLUME)
            .map(|(_, lv)| lv.id)
            .collect();
        let node = world.node_mut(&self.name);
        node.generation += 1;
        node.boot += 1;
        node.state = MemberState::Live;
        node.leases.clear();
        node.faults.clear();
        node.active.extend(&registries);
        for registry in registries {
            let lease = volward_model::HeldLease {
                mode: LeaseMode::Shared,
                version: node.generation,
                orphan: false,
            };
            node.leases.insert(registry, lease);
        }
    }

    /// A guest opens or closes a device: what is open cannot be removed.
    pub fn set_open(&self, id: DeviceId, open: bool) {
        self.with(|node| {
            if let Some(device) = node.devices.get_mut(&id) {
                device.opened = open;
            }
        });
    }

    /// Whether a guest has a device open. No call that can be told to fail.
    pub(crate) fn is_open(&self, id: DeviceId) -> bool {
        self.with(|node| node.devices.get(&id).is_some_and(|device| device.opened))
    }

    /// A guest opens or closes a volume that it has as the LV itself: what is open is not deactivated.
    pub fn set_lv_open(&self, volume: VolumeId, open: bool) {
        self.with(|node| match open {
            true => node.lvs_opened.insert(volume),
            false => node.lvs_opened.remove(&volume),
        });
    }

    /// Whether sanlock runs under a watchdog.
    pub fn set_watchdog(&self, armed: bool) {
        self.with(|node| node.watchdog = armed);
    }

    /// The lockspaces were last renewed so long ago; they are still listed as joined.
    pub fn set_renewed_ago(&self, ago: std::time::Duration) {
        self.with(|node| node.renewed_ago = ago);
    }

    /// Why dm-clone cannot be used here.
    pub fn set_dm_clone_unfit(&self, reason: Option<&str>) {
        self.with(|node| node.dm_clone_unfit = reason.map(str::to_owned));
    }

    /// What is read of a clone's metadata lacks the last region that is in its destination.
    pub fn set_metadata_lags(&self, lags: bool) {
        self.with(|node| node.metadata_lags = lags);
    }

    /// What `/proc/pressure/io` says.
    pub fn set_io_pressure(&self, hundredths: Option<u32>) {
        self.with(|node| node.io_pressure = hundredths);
    }

    /// lvmlockd died on this node: its leases are orphans.
    pub fn orphan_leases(&self) {
        self.with(|node| {
            for lease in node.leases.values_mut() {
                lease.orphan = true;
            }
        });
    }

    /// The pool's disks do not answer on this node: every look at it fails. What is mapped stays.
    pub fn set_silent(&self, pool: &PoolName, silent: bool) {
        self.with(|node| match silent {
            true => node.silent.insert(pool.clone()),
            false => node.silent.remove(pool),
        });
    }

    /// Whoever asks something of the pool on this node waits, until its disks answer again.
    pub fn set_hung(&self, pool: &PoolName, hung: bool) {
        self.with(|node| match hung {
            true => node.hung.insert(pool.clone()),
            false => node.hung.remove(pool),
        });
    }

    /// What the node's lvm.conf says of a pool: that its volumes are not activated (`volume_list`
    /// without it), although their leases are taken.
    pub fn set_activation_refused(&self, pool: &PoolName, refused: bool) {
        self.with(|node| match refused {
            true => node.maps_not.insert(pool.clone()),
            false => node.maps_not.remove(pool),
        });
    }

    /// What the node's lvm.conf says of a pool: that its volumes are activated read-only
    /// (`read_only_volume_list`).
    pub fn set_activation_read_only(&self, pool: &PoolName, read_only: bool) {
        self.with(|node| match read_only {
            true => node.maps_read_only.insert(pool.clone()),
            false => node.maps_read_only.remove(pool),
        });
    }

    /// `lvremove` on this node: LVM deactivates it first and frees its lease, and refuses where a
    /// device stands on it. Says whether it went.
    pub fn lvremove(&self, volume: &volward_model::VolumeRef) -> bool {
        {
            let mut world = self.cluster.world();
            if crate::lvmlockd::fake::in_use(&world, &self.name, volume.id) {
                return false;
            }
            let node = world.node_mut(&self.name);
            node.active.remove(&volume.id);
            node.leases.remove(&volume.id);
        }
        self.cluster.vanish(volume);
        true
    }

    /// Somebody deactivates what is not in use, as `vgchange -aln` and `blkdeactivate` do: leases
    /// go with it.
    pub fn deactivate_unused(&self, pool: &PoolName) {
        let mut world = self.cluster.world();
        let ids: Vec<VolumeId> = match world.pools.get(pool) {
            Some(pool) => pool.volumes.values().map(|lv| lv.id).collect(),
            None => Vec::new(),
        };
        for id in ids {
            if !crate::lvmlockd::fake::in_use(&world, &self.name, id) {
                let node = world.node_mut(&self.name);
                node.active.remove(&id);
                node.leases.remove(&id);
            }
        }
    }

    /// sanlock was started again by hand, and joined: its old leases are void, while what they
    /// protected is mapped as before (I2).
    pub fn rejoin(&self) {
        self.with(|node| {
            node.generation += 1;
            node.leases.clear();
        });
    }

    /// A lease is lost without anybody being told (I2).
    pub fn lose_lease(&self, volume: VolumeId) {
        self.with(|node| node.leases.remove(&volume));
    }

    /// Volumes active on the node, registries included: for "nothing is left over".
    #[must_use]
    pub fn active(&self) -> Vec<VolumeId> {
        self.with(|node| node.active.iter().copied().collect())
    }

    /// Leases the node holds, registries included.
    #[must_use]
    pub fn leases_held(&self) -> Vec<(VolumeId, LeaseMode)> {
        self.with(|node| {
            let leases = node.leases.iter();
            leases
                .map(|(volume, lease)| (*volume, lease.mode))
                .collect()
        })
    }

    /// Mapped devices of ours on the node.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceId> {
        self.with(|node| node.devices.keys().copied().collect())
    }
}
