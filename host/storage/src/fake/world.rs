//! What there is in a fake cluster, without behaviour.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{
    Backing, Bytes, CloneTable, DeviceId, HeldLease, InstanceId, IoCounters, LeaseMode, LvUuid,
    LvmUuid, MemberState, NodeName, PoolName, Sectors, Slot, SlotReading, Table, VgUuid, VolumeId,
    VolumeInfo, VolumeName, VolumeRef,
};
use volward_plan::HostIdTaken;
use volward_plan::migrate::Job;
use volward_ports::{GuestDisks, LeaseStyle, LinkPath, PortError, PortResult};

use super::data::{BLOCK, Contents};
use super::faults::Faults;

/// LVM's default allocation unit.
pub(crate) const EXTENT: Bytes = Bytes::mib(4);

/// An LV, and where on it a clone's metadata begins, in sectors.
pub(crate) type MetadataAt = (VolumeId, u64);

/// A clone's metadata. What is smaller than a block of the fake's is hydrated a block at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CloneMetadata {
    pub(crate) region: Sectors,
    /// The units hydrated, by their number: a region, or a block where that is more.
    pub(crate) units: BTreeSet<u64>,
}

impl CloneMetadata {
    /// Of which nothing is hydrated.
    pub(crate) fn of(region: Sectors) -> Self {
        Self {
            region,
            units: BTreeSet::new(),
        }
    }
}

/// What a clone with such regions hydrates at a time.
pub(crate) fn unit(region: Sectors) -> Bytes {
    region.bytes().max(BLOCK)
}

/// The regions of a unit.
pub(crate) fn regions_of(clone: &CloneTable, number: u64) -> std::ops::Range<u64> {
    let per = unit(clone.region).0 / clone.region.bytes().0;
    let total = clone.size.0.div_ceil(clone.region.0);
    (number * per).min(total)..((number + 1) * per).min(total)
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// sanlock's counter on disk, per LV.
    pub(crate) lease_versions: BTreeMap<LvUuid, u64>,
    pub(crate) contents: BTreeMap<VolumeId, Contents>,
    /// What dm-clone keeps where its metadata is. Outlives devices and nodes.
    pub(crate) clone_metadata: BTreeMap<MetadataAt, CloneMetadata>,
    pub(crate) now_ms: u64,
    /// sanlock's, on every node.
    pub(crate) io_timeout_s: u32,
    /// Whether leases come with activation; `None` as lvmlockd's do.
    pub(crate) lease_style: Option<LeaseStyle>,
    /// LUNs as they were.
    pub(crate) snapshots: BTreeMap<PoolName, super::Lun>,
    next_uuid: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) vg: VgUuid,
    pub(crate) size: Bytes,
    /// The node whose disks it is on; `None` for a shared pool.
    pub(crate) local_to: Option<NodeName>,
    pub(crate) volumes: BTreeMap<VolumeName, Lv>,
    /// Registry places by host-id, once formatted.
    pub(crate) places: Option<BTreeMap<u64, Place>>,
    /// The registry has the layout of 0.1.0.
    pub(crate) old_registry: bool,
    /// A physical volume is missing, on every node: nobody changes metadata.
    pub(crate) partial: bool,
    /// LVM would activate its volumes by itself.
    pub(crate) autoactivation: bool,
    /// Disks beside the first one, whose UUID is the group's.
    pub(crate) more_disks: Vec<LvmUuid>,
}

/// One place of a registry: what was written, and what a reader makes of it instead, if a test
/// says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) slot: Option<Slot>,
    /// How often it was written.
    pub(crate) writes: u64,
    pub(crate) shown_as: Option<SlotReading>,
}

#[derive(Clone, Debug)]
pub(crate) struct Lv {
    pub(crate) id: VolumeId,
    pub(crate) size: Bytes,
    pub(crate) tags: Vec<String>,
    pub(crate) segment_type: String,
    /// It has a lease of its own: in a shared pool.
    pub(crate) leased: bool,
    /// LVM's roles of it.
    pub(crate) roles: Vec<String>,
    pub(crate) autoactivation: bool,
    /// The disk that it is on; `None`: the first one.
    pub(crate) disk: Option<LvmUuid>,
    /// LVM's metadata say that it goes to that one.
    pub(crate) goes_to: Option<LvmUuid>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host_id: u64,
    pub(crate) generation: u64,
    pub(crate) boot: u64,
    pub(crate) state: MemberState,
    /// Another node has its place in the lockspaces.
    pub(crate) place_taken: Option<HostIdTaken>,
    pub(crate) watchdog: bool,
    /// Since the lockspace was renewed.
    pub(crate) renewed_ago: std::time::Duration,
    pub(crate) dm_clone_unfit: Option<String>,
    /// What is read of a clone's metadata lacks its last region.
    pub(crate) metadata_lags: bool,
    pub(crate) io_pressure: Option<u32>,
    pub(crate) active: BTreeSet<VolumeId>,
    /// Pools that its lvm.conf keeps from activation (`volume_list`): the leases are taken.
    pub(crate) maps_not: BTreeSet<PoolName>,
    /// Pools whose disks do not answer on this node.
    pub(crate) silent: BTreeSet<PoolName>,
    /// Pools on this node of which nobody gets an answer for now.
    pub(crate) hung: BTreeSet<PoolName>,
    /// Pools that its lvm.conf activates read-only (`read_only_volume_list`).
    pub(crate) maps_read_only: BTreeSet<PoolName>,
    pub(crate) leases: BTreeMap<VolumeId, HeldLease>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    /// Volumes whose own device a guest has open.
    pub(crate) lvs_opened: BTreeSet<VolumeId>,
    /// The second leg of its mirrors cannot be written.
    pub(crate) mirrors_fail: bool,
    /// What its kernel copies beneath volumes that LVM moves.
    pub(crate) moves: BTreeMap<VolumeId, Beneath>,
    /// lvmpolld is alive, and ends moves.
    pub(crate) polls: bool,
    pub(crate) links: BTreeMap<LinkPath, DeviceId>,
    /// The metadata of each pool, as it was at the last report of it.
    pub(crate) reported: BTreeMap<PoolName, String>,
    pub(crate) faults: Faults,
    /// What its libvirt says of instances; of all others that they do not migrate.
    pub(crate) jobs: BTreeMap<InstanceId, Job>,
    pub(crate) guest_disks: BTreeMap<InstanceId, GuestDisks>,
}

/// What is beneath a volume that LVM moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beneath {
    /// A mirror, of which so much is equal, in percent.
    Copying(u8),
    /// All I/O fails.
    Halted,
}

#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) table: Table,
    pub(crate) read_only: bool,
    pub(crate) discards: bool,
    pub(crate) suspended: bool,
    /// A guest has it open.
    pub(crate) opened: bool,
    pub(crate) event: u32,
    pub(crate) minor: u32,
    /// A clone's background hydration is on.
    pub(crate) hydrating: bool,
    /// Blocks of a mirror that are equal on both legs, from its beginning.
    pub(crate) equal: u64,
    /// What guests have had done on it.
    pub(crate) io: IoCounters,
}

impl World {
    /// A UUID nobody had before; readable in failures.
    pub(crate) fn uuid<T: std::str::FromStr>(&mut self) -> T
    where
        T::Err: std::fmt::Debug,
    {
        self.next_uuid += 1;
        let text = format!("{:0>32}", self.next_uuid);
        match text.parse() {
            Ok(uuid) => uuid,
            Err(error) => unreachable!("32 digits are a UUID: {error:?}"),
        }
    }

    /// The UUID of a new LV. Two numbers go to it, as when the fixtures of 0.1.0 were made
    /// (tests/compat/state): the volumes of a cluster made alike are then theirs.
    pub(crate) fn lv_uuid<T: std::str::FromStr>(&mut self) -> T
    where
        T::Err: std::fmt::Debug,
    {
        let uuid = self.uuid();
        self.next_uuid += 1;
        uuid
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.next_uuid += 1;
        self.next_uuid
    }

    /// The pool, as that node may see it.
    pub(crate) fn pool(&self, name: &PoolName, node: &NodeName) -> PortResult<&Pool> {
        self.pools
            .get(name)
            .filter(|pool| pool.local_to.as_ref().is_none_or(|owner| owner == node))
            .ok_or_else(|| PortError::Missing {
                what: format!("volume group {name}"),
            })
    }

    pub(crate) fn pool_mut(&mut self, name: &PoolName, node: &NodeName) -> PortResult<&mut Pool> {
        self.pool(name, node)?;
        self.pools.get_mut(name).ok_or_else(|| PortError::Missing {
            what: format!("volume group {name}"),
        })
    }

    pub(crate) fn node(&self, name: &NodeName) -> &Node {
        match self.nodes.get(name) {
            Some(node) => node,
            None => unreachable!("node {name} is in the cluster"),
        }
    }

    pub(crate) fn node_mut(&mut self, name: &NodeName) -> &mut Node {
        match self.nodes.get_mut(name) {
            Some(node) => node,
            None => unreachable!("node {name} is in the cluster"),
        }
    }

    /// Where a clone of that node keeps its metadata.
    pub(crate) fn metadata_of(
        &self,
        node: &NodeName,
        clone: &CloneTable,
    ) -> PortResult<MetadataAt> {
        match clone.metadata {
            Backing::Volume(volume) => Ok((volume, 0)),
            Backing::Device(id) => self.part(node, id),
        }
    }

    /// Where the part of an LV is that a device of that node shows.
    pub(crate) fn part(&self, node: &NodeName, id: DeviceId) -> PortResult<MetadataAt> {
        match self.node(node).devices.get(&id).map(|d| &d.table) {
            Some(Table::Part {
                on: Backing::Volume(volume),
                start,
                ..
            }) => Ok((*volume, start.0)),
            _ => Err(PortError::Missing {
                what: format!("device {id}, which is to be a part of an LV,"),
            }),
        }
    }

    /// Whether another node's lease stands in the way.
    pub(crate) fn conflict(&self, volume: VolumeId, node: &NodeName, mode: LeaseMode) -> bool {
        self.nodes
            .iter()
            .filter(|(name, other)| *name != node && other.state.may_be_alive())
            .filter_map(|(_, other)| other.leases.get(&volume))
            .any(|lease| lease.mode == LeaseMode::Exclusive || mode == LeaseMode::Exclusive)
    }

    pub(crate) fn volume_info(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        lv: &Lv,
        node: &NodeName,
    ) -> VolumeInfo {
        VolumeInfo {
            volume: VolumeRef {
                id: lv.id,
                pool: pool.clone(),
                name: name.clone(),
            },
            size: lv.size,
            tags: lv.tags.clone(),
            segment_type: lv.segment_type.clone(),
            active: self.node(node).active.contains(&lv.id),
            autoactivation: lv.autoactivation,
            roles: lv.roles.clone(),
            own_lease: lv.leased,
            read_only: self.node(node).active.contains(&lv.id)
                && self.node(node).maps_read_only.contains(pool),
        }
    }
}

impl Pool {
    pub(crate) fn free(&self) -> Bytes {
        let used: u64 = self.volumes.values().map(|lv| lv.size.0).sum();
        Bytes(self.size.0.saturating_sub(used))
    }
}
