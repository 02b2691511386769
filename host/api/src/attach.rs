//! Attach, detach, confirm.

use serde::{Deserialize, Serialize};
use volward_model::{
    Access, CopyPlan, InstanceId, PoolName, Purpose, RequestId, Sharing, VolumeName,
};

/// `POST /v1/attach`: all disks of an instance, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The instance's UUID.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// `boot`, `hot-plug`, `migration-in`, `restore`, or `{"other": "..."}`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub purpose: Purpose,
    /// Free words for policies; they prove nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// What is wished for.
    pub disks: Vec<DiskWish>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// If the caller closes the connection before the answer, what was begun is taken back;
    /// else it is finished all the same.
    #[serde(default)]
    pub only_while_waiting: bool,
}

/// One disk that an attach asks for: a volume, the access and the sharing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DiskWish {
    /// The pool's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// Which device the guest opens.
    #[serde(default)]
    pub path: DiskPath,
    /// `read-write` or `read-only`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub access: Access,
    /// `exclusive` or `shared`. Absent: shared for read-only access to a shareable volume,
    /// else exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub sharing: Option<Sharing>,
    /// Less than wished is welcome too (read-only for read-write, say).
    #[serde(default)]
    pub accept_narrowing: bool,
}

/// Which device the guest opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DiskPath {
    /// `/dev/volward/<instance>/<pool>/<volume>`: a device of its own.
    #[default]
    Own,
    /// `/dev/<pool>/<volume>`: the LV itself; lease and activation only.
    Lv,
}

/// What `attach` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttachReply {
    /// For `volward explain`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub request: RequestId,
    /// The disks, in the order asked for.
    pub attached: Vec<Attached>,
    /// The plan's steps, a line each, where only that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// Remarks for people: what was wished and is not given, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One disk as granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attached {
    /// The pool's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// What to open.
    pub device: String,
    /// The access that was granted; with `accept_narrowing` it may be less than was asked for.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub access: Access,
    /// The sharing that was granted: `exclusive` or `shared`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub sharing: Sharing,
    /// The local copy, if one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub copy: Option<CopyPlan>,
    /// It was attached before; nothing was done.
    #[serde(default)]
    pub already: bool,
}

/// `POST /v1/detach`. What is not attached is no error: detach is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// The instance's UUID.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub instance: InstanceId,
    /// These (`pool`, `volume`) only; empty: everything the instance has on this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub volumes: Vec<(PoolName, VolumeName)>,
    /// Only attachments of this start of the instance or earlier ones: a release delivered late
    /// must not take a newer start's disks away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<StartMark>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// One start of an instance on this node: what was attached up to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StartMark {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Counts attach requests on this node.
    pub sequence: u64,
}

/// What `detach` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DetachReply {
    /// What was detached.
    pub detached: Vec<Detached>,
    /// The plan's steps, a line each, where only that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
}

/// One disk that is gone from the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detached {
    /// The pool's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// Its copy is being written back; until that is done the volume cannot be attached.
    #[serde(default)]
    pub writing_back: bool,
}

/// `POST /v1/confirm`: libvirt tells what became of an instance (`started`, `stopped`,
/// `reconnect`, `attach`); nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// The instance's UUID.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub instance: InstanceId,
    /// libvirt's word for it.
    pub event: String,
    /// The managed disks in its XML.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub volumes: Vec<(PoolName, VolumeName)>,
}

/// What `confirm` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfirmReply {
    /// Disks of the XML that are not attached: something is wrong.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub missing: Vec<(PoolName, VolumeName)>,
}
