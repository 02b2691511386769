//! What a policy is told: one snapshot, taken before the call and complete, so that a recorded
//! decision can be replayed. The WIT interface `facts` shows the same things.

mod disk;
mod operation;

use serde::{Deserialize, Serialize};

use crate::ids::{InstanceId, NodeName, RequestId};
use crate::units::Bytes;

pub(crate) use disk::Place;
pub use disk::{DiskFacts, ScenarioDisk};
pub use operation::{OperationFacts, OperationKind};

/// The whole of what one decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Who asks for what.
    pub request: RequestFacts,
    /// The node that decides.
    pub node: NodeFacts,
    /// The other node of a migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<NodeFacts>,
    /// Of an operation on a volume: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationFacts>,
    /// What is asked for, in the caller's order: all are attached or none. Of an operation the volume that it
    /// is about.
    pub disks: Vec<DiskFacts>,
    /// What the instance has on this node already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<DiskFacts>,
    /// Milliseconds since the Unix epoch; constant during the decision.
    pub now_ms: u64,
    /// The node's local time minus UTC, for policies that speak of hours of the day.
    pub utc_offset_minutes: i32,
}

/// Who asks, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFacts {
    /// This request.
    pub id: RequestId,
    /// Derived from the socket's peer credentials.
    pub origin: Origin,
    /// From the socket's peer credentials, not from the message.
    pub caller_uid: u32,
    /// What for.
    pub purpose: Purpose,
    /// The virtual machine.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Set by whoever wrote the domain XML: never proof of anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
}

/// Who is on the other end of the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// libvirt's hook.
    Libvirt,
    /// OpenStack's connector.
    Openstack,
    /// A person at the command line.
    Operator,
    /// Somebody else.
    Other(String),
}

/// What the attachment is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The instance starts.
    Boot,
    /// Added to a running instance.
    HotPlug,
    /// The instance arrives from another node.
    MigrationIn,
    /// The instance is restored from a saved state.
    Restore,
    /// Something else.
    Other(String),
}

/// A node as a policy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeFacts {
    /// Its name.
    pub name: NodeName,
    /// From the daemon's configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(String, String)>,
    /// The local pool; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Space>,
    /// Hundredths of a percent of the last minute (`some avg60` of /proc/pressure/io); `None`
    /// where the kernel does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_pressure: Option<u32>,
    /// How many attachments it has, those under way included, this request's own not; `None` for
    /// the other node of a migration, and in records made before this was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<u32>,
}

/// Space in a local pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// Size of the pool.
    pub total: Bytes,
    /// Not allocated to any LV.
    pub free: Bytes,
    /// Granted to copies that are not made yet; part of `free`.
    pub promised: Bytes,
}

/// How far a hydration is; words as in the kernel's dm-clone status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HydrationFacts {
    /// Regions of the volume.
    pub regions_total: u64,
    /// Regions that are in the copy.
    pub regions_hydrated: u64,
    /// Size of a region.
    pub region_bytes: u32,
    /// Whether background hydration is on.
    pub running: bool,
    /// Milliseconds since the count last changed; 0 while it moves.
    pub stalled_ms: u64,
}
