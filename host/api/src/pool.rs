//! Pools and volumes.

use serde::{Deserialize, Serialize};

/// `POST /v1/pools`: turns a shared volume group into a pool. Doing it twice is harmless.
/// Answers with its [`PoolView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolInitRequest {
    /// The volume group; it must be in the daemon's configuration.
    pub name: String,
}

/// One pool; `GET /v1/pools` answers with all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolView {
    /// The volume group's name.
    pub name: String,
    /// Its UUID; absent when it cannot be read.
    pub vg_uuid: Option<String>,
    /// `shared` or `local`.
    pub kind: String,
    /// LVM's lock type.
    pub lock_type: String,
    /// The volume group's size in bytes.
    pub size: u64,
    /// Bytes not allocated.
    pub free: u64,
    /// The nodes of its lockspace.
    pub members: Vec<PoolMember>,
    /// Its volumes, Volward's own left out.
    pub volumes: Vec<VolumeView>,
    /// Why it cannot be used, in a sentence; absent when it can.
    pub trouble: Option<String>,
}

/// One node of a lockspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolMember {
    /// sanlock's number.
    pub host_id: u64,
    /// The node's name, where its slot says.
    pub node: Option<String>,
    /// `live`, `fail`, `dead`, `free`, `unknown`.
    pub state: String,
    /// The node you ask.
    pub own: bool,
    /// What is wrong with its slot.
    pub slot_trouble: Option<String>,
}

/// One volume of a pool, as `GET /v1/pools` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeView {
    /// The LV's name.
    pub name: String,
    /// VG UUID and LV UUID.
    pub id: String,
    /// The volume's size in bytes.
    pub size: u64,
    /// May be shared read-write.
    pub shareable: bool,
    /// `pool`, `split on n1`, ...
    pub home: String,
}

/// `POST /v1/volumes/set`. Answers with the changed [`VolumeView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeSetRequest {
    /// The pool's name.
    pub pool: String,
    /// The volume's name.
    pub volume: String,
    /// May be attached by several at once (I18).
    pub shareable: bool,
}
