//! One pool with everything that is known of it.

use serde::{Deserialize, Serialize};
use volward_model::{MemberState, Sharing};

use crate::operation::OperationView;
use crate::pool::PoolView;
use crate::view::HydrationView;
use crate::words::{Open, OperationKind, VolumeMark};

/// One pool, with its disks and every lease in it. `GET /v1/pools/POOL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolReply {
    /// The pool as `GET /v1/pools` lists it.
    pub pool: PoolView,
    /// The disks that it is on: LVM's physical volumes, by path.
    pub disks: Vec<PoolDisk>,
    /// Every lease on the LUN, Volward's own volumes included; none of a local pool.
    pub leases: Vec<LeaseView>,
    /// Operations of this node in the pool that have not ended.
    pub operations: Vec<OperationView>,
    /// Operations of other nodes in the pool, as far as their marks on the volumes and the nodes' slots tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations_elsewhere: Vec<OperationElsewhere>,
    /// Copies on this node of volumes of the pool.
    pub hydrations: Vec<HydrationView>,
    /// What cannot be read, a sentence each: there may be more disks or leases then.
    pub unreadable: Vec<String>,
}

/// An operation on a volume that another node knows: this one cannot wait for it or cancel it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationElsewhere {
    /// What its caller calls it; absent where its mark is not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The volume's name in the pool: one that has its mark, or that it is ordered for.
    pub volume: String,
    /// Its mark on that volume; absent before it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Open<VolumeMark>>,
    /// What it does, where one node has another one do it; else the mark says what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Open<OperationKind>>,
    /// The node that carries it out: the one that was told, or that has the lease of what is marked. Absent where neither
    /// tells: between two steps, or because that node is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The node that was asked for it and has another one do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_on: Option<String>,
    /// Bytes that are copied, moved or zeroed so far, where the node that was told says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Bytes in all, where that node says so; 0 until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// A disk that a pool is on: a physical volume of its volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolDisk {
    /// Its path on this node; `[unknown]` where LVM does not find it.
    pub path: String,
    /// LVM's UUID of it.
    pub uuid: String,
    /// Bytes of it that LVM gives to LVs.
    pub size: u64,
    /// Bytes of it that no LV has.
    pub free: u64,
    /// LVM does not find it on this node.
    pub missing: bool,
    /// What is on it, in the order of the disk, an LV once.
    pub carries: Vec<CarriedView>,
}

/// What of an LV is on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CarriedView {
    /// The LV's name, also of one that LVM hides, such as `lvmlock`.
    pub name: String,
    /// Bytes of it on the disk.
    pub size: u64,
}

/// A lease as sanlock has it on the LUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseView {
    /// The volume's name.
    pub volume: String,
    /// Whether other nodes may have it at the same time.
    pub sharing: Open<Sharing>,
    /// sanlock's number of the node that has it.
    pub host_id: u64,
    /// The node's name, where its slot says.
    pub node: Option<String>,
    /// How sanlock sees the node; absent if it is no member of the lockspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Open<MemberState>>,
    /// It is the node whose daemon answers.
    pub own: bool,
    /// No process has it any more, and it keeps other nodes out (this node's own only).
    pub orphan: bool,
    /// Somebody else than Volward has it (this node's own only).
    pub by_hand: bool,
    /// The instances it is for. None: it is for an operation, for the registry, or for nothing that is known.
    pub instances: Vec<LeaseInstance>,
}

/// An instance for which a node has a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseInstance {
    /// Its libvirt domain UUID.
    pub instance: String,
    /// When it was attached, in milliseconds since the Unix epoch by that node's clock.
    pub since_ms: u64,
}
