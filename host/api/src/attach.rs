//! Attach, detach, confirm.

use serde::{Deserialize, Serialize};
use volward_model::{
    Access, Bytes, CopyFate, CopyMode, CopyPlan, InstanceId, PoolName, Purpose, RequestId, Sharing,
    VolumeName,
};

use crate::words::{DomainEvent, Open, one_of, one_of_if_given};

/// `POST /v1/attach`: all disks of an instance, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The instance's libvirt domain UUID.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub instance: InstanceId,
    /// The instance's name, for people and for policies that go by names; may be empty, 256 bytes
    /// at most.
    pub instance_name: String,
    /// What the disks are for: one of the words, or an object with a word of the caller's own, 64
    /// bytes at most.
    #[cfg_attr(feature = "schema", schemars(schema_with = "purpose_schema"))]
    pub purpose: Purpose,
    /// Pairs of key and value for policies, in any words; they prove nothing. At most 64, a key of
    /// 64 bytes and a value of 1,024 at most, 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// The disks asked for; the reply has them in this order. At least one, 512 at most, and no
    /// volume twice.
    pub disks: Vec<DiskRequest>,
    /// Plan and answer with the plan's steps; begin nothing.
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
pub struct DiskRequest {
    /// The pool's name: that of its volume group.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name in its pool: that of its LV.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// Which device the guest opens.
    #[serde(default, deserialize_with = "one_of")]
    pub path: DiskPath,
    /// What the guest may do with it.
    #[serde(deserialize_with = "one_of")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::words::OneOf<Access>"))]
    pub access: Access,
    /// Whether others may have it at the same time. Absent: shared for read-only access to a
    /// shareable volume, else exclusive.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "one_of_if_given"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::words::OneOf<Sharing>>")
    )]
    pub sharing: Option<Sharing>,
    /// A grant of less than was asked for (read-only for read-write, say) is accepted; else it
    /// refuses the request.
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

/// The reply to `POST /v1/attach`: all disks of the request, or the plan for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttachReply {
    /// The id that the daemon gave the request; `volward explain` takes it.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub request: RequestId,
    /// The disks, in the order asked for.
    pub attached: Vec<Attached>,
    /// The plan's steps, a line each, where only that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// Remarks for people, a sentence each: what was asked for and is not granted, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One disk that is attached, or would be: what was granted, and the device to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attached {
    /// The pool's name: that of its volume group.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name in its pool: that of its LV.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// The path of the device that the guest opens.
    pub device: String,
    /// The access that was granted; with `accept_narrowing` it may be less than was asked for.
    pub access: Open<Access>,
    /// The sharing that was granted.
    pub sharing: Open<Sharing>,
    /// The local copy, if one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyGrant>,
    /// It was attached before; nothing was done.
    #[serde(default)]
    pub already: bool,
}

/// A local copy that was granted with a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CopyGrant {
    /// When the data is copied, and how much of it.
    pub mode: Open<CopyMode>,
    /// At most so many bytes are copied at once; absent: the daemon's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>"))]
    pub in_flight: Option<Bytes>,
    /// At most so many bytes are copied in one piece; absent: the daemon's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>"))]
    pub batch: Option<Bytes>,
    /// What becomes of it at detach.
    pub fate: Open<CopyFate>,
}

impl From<CopyPlan> for CopyGrant {
    fn from(plan: CopyPlan) -> Self {
        Self {
            mode: plan.mode.into(),
            in_flight: plan.in_flight,
            batch: plan.batch,
            fate: plan.fate.into(),
        }
    }
}

impl CopyGrant {
    /// As the model has it; `None` where a later daemon says it in words that this version does not
    /// know.
    #[must_use]
    pub fn plan(&self) -> Option<CopyPlan> {
        Some(CopyPlan {
            mode: self.mode.known()?,
            in_flight: self.in_flight,
            batch: self.batch,
            fate: self.fate.known()?,
        })
    }
}

/// `POST /v1/detach`. What is not attached is no error: detach is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// The instance's libvirt domain UUID.
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
    /// What somebody has open stays as it is, and is named in the reply. Absent: `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_unused: bool,
    /// Plan and answer with the plan's steps; begin nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// One start of an instance on this node: what was attached up to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StartMark {
    /// The kernel's boot id, `/proc/sys/kernel/random/boot_id`, of when the start was.
    pub boot_id: String,
    /// Counts attach requests on this node.
    pub sequence: u64,
}

/// The reply to `POST /v1/detach`: what was detached, or the plan for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DetachReply {
    /// The disks that were detached; those that were not attached are not among them.
    pub detached: Vec<Detached>,
    /// Disks whose detach failed for now and is tried again by the daemon until it is done: nobody
    /// has to ask again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trying_again: Vec<TryingAgain>,
    /// The disks (`pool`, `volume`) that stay because somebody has them open, or may have; none unless `only_unused` was
    /// asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub in_use: Vec<(PoolName, VolumeName)>,
    /// Of what was asked for and is not attached to the instance on this node: where it is attached, or that there is
    /// no such volume, a sentence each; of requests of people only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The plan's steps, a line each, where only that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
}

/// One disk whose detach is begun and not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TryingAgain {
    /// The pool's name: that of its volume group.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name in its pool: that of its LV.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// The latest failure, a sentence.
    pub cause: String,
}

/// One disk that is gone from the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detached {
    /// The pool's name: that of its volume group.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub pool: PoolName,
    /// The volume's name in its pool: that of its LV.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub volume: VolumeName,
    /// Its copy is being written back; until that is done the volume cannot be attached.
    #[serde(default)]
    pub writing_back: bool,
}

/// `POST /v1/confirm`: libvirt tells what became of an instance; nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// The instance's libvirt domain UUID.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub instance: InstanceId,
    /// What became of the instance.
    #[serde(deserialize_with = "one_of")]
    pub event: DomainEvent,
    /// The managed disks in the instance's XML, `pool` and `volume` each.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub volumes: Vec<(PoolName, VolumeName)>,
}

/// The reply to `POST /v1/confirm`: how the instance's disks compare with what is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfirmReply {
    /// Those of the request's `volumes` that the instance has not attached on this node. Unless it
    /// has stopped, something is wrong.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub missing: Vec<(PoolName, VolumeName)>,
}

/// The words of a purpose, and the object for any other.
#[cfg(feature = "schema")]
fn purpose_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // A purpose that is added does not compile here before it is listed.
    let listed = |purpose: Purpose| match purpose {
        Purpose::Boot | Purpose::HotPlug | Purpose::MigrationIn | Purpose::Restore => purpose,
        Purpose::Other(_) => purpose,
    };
    let words = [
        Purpose::Boot,
        Purpose::HotPlug,
        Purpose::MigrationIn,
        Purpose::Restore,
    ];
    let words: Vec<_> = words
        .into_iter()
        .map(|purpose| serde_json::json!(listed(purpose)))
        .collect();
    schemars::json_schema!({
        "oneOf": [
            { "type": "string", "enum": words },
            {
                "type": "object",
                "properties": { "other": { "type": "string" } },
                "required": ["other"],
                "additionalProperties": false,
            },
        ],
    })
}
