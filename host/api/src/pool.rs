//! Pools and volumes.

use serde::{Deserialize, Serialize};
use volward_model::{MemberState, VolumeStatus};

use crate::words::{LockType, Open, PoolKind, VolumeHome, VolumeMark};

/// `POST /v1/pools`: turns a shared volume group into a pool. Doing it twice is harmless.
/// Answers with its [`PoolView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolInitRequest {
    /// The volume group; it must be in the daemon's configuration.
    pub name: String,
    /// Its disks are older than this node left them (`pool-older`), and are to be used so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_older: bool,
}

/// One pool; `GET /v1/pools` answers with all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolView {
    /// The volume group's name, which is the pool's.
    pub name: String,
    /// Its UUID; absent when it cannot be read.
    pub vg_uuid: Option<String>,
    /// What the daemon's configuration says it is.
    pub kind: Open<PoolKind>,
    /// LVM's lock type, in LVM's words; empty when it cannot be read.
    pub lock_type: Open<LockType>,
    /// The volume group's size in bytes.
    pub size: u64,
    /// Bytes of it that no LV has.
    pub free: u64,
    /// The nodes of its lockspace; none of a local pool.
    pub members: Vec<PoolMember>,
    /// Its volumes, Volward's own left out.
    pub volumes: Vec<VolumeView>,
    /// Why it cannot be used, in a sentence; absent when it can.
    pub trouble: Option<String>,
    /// LVM misses a disk of it on this node: what is on the others is served, and nothing is changed. Absent while
    /// it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// One node of a lockspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolMember {
    /// sanlock's number of the node, from 1.
    pub host_id: u64,
    /// The node's name, where its slot says.
    pub node: Option<String>,
    /// Whether sanlock sees it alive.
    pub state: Open<MemberState>,
    /// It is the node whose daemon answers.
    pub own: bool,
    /// For how long it has not renewed its lease, at least, in milliseconds, where that is overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
    /// What is wrong with its slot, in a sentence; absent when nothing is.
    pub slot_trouble: Option<String>,
}

/// One volume of a pool, as `GET /v1/pools` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeView {
    /// The LV's name, which is the volume's within its pool.
    pub name: String,
    /// The volume's identity, `VG UUID:LV UUID`.
    pub id: String,
    /// The volume's size in bytes.
    pub size: u64,
    /// Several instances may have it read-write at once.
    pub shareable: bool,
    /// Where its current data is, for people: the state, and the node that has the copy
    /// (`split on n1`); or that it cannot be read, and why.
    pub home: String,
    /// The state of `home` alone; absent when it cannot be read, and from a daemon of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_state: Option<Open<VolumeHome>>,
    /// The name of the node that has the copy; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_node: Option<String>,
    /// How it stands while an operation makes, deletes or grows it: nobody can attach it then. Absent of a
    /// volume that is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Open<VolumeMark>>,
    /// What is done with it, in a word with counts, derived from the attachments of all nodes; absent of a local pool's
    /// volume, where the nodes of the pool cannot be asked, and in the answer to a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<VolumeStatusView>,
}

/// What is done with a volume. It informs: whether an attach is granted is decided when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeStatusView {
    /// In a word: a fault before the rest, `in-use` before `attaching` before `detaching`; then `held`, of what no instance
    /// has and something keeps (an operation, a copy, a lease), and `available`.
    pub word: Open<VolumeStatus>,
    /// Attachments that are whole.
    pub attached: u64,
    /// Attachments that are asked for or being made.
    pub attaching: u64,
    /// Attachments that are being taken back.
    pub detaching: u64,
    /// Attachments that are quarantined or cut off.
    pub fault: u64,
    /// What contradicts itself, and what cannot be read, a sentence each: there may be more attachments then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// `POST /v1/volumes/set`. Answers with the changed [`VolumeView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeSetRequest {
    /// The pool's name: that of its volume group.
    pub pool: String,
    /// The volume's name in its pool: that of its LV.
    pub volume: String,
    /// Whether several instances may have it read-write at once (I18).
    pub shareable: bool,
}
