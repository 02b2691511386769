//! Views of a node and of the cluster, for people and for programs.

use serde::{Deserialize, Serialize};
use volward_model::{
    Access, Claim, CopyState, FaultKind, InstanceId, PoolName, Sharing, VolumeName,
};

use crate::words::{
    AttachmentStage, Became, Hook, Open, OperationKind, PolicyLevel, PolicyState, Said, StepState,
};

/// `GET /v1/attachments` (`?all=true` for the cluster, without a word on what cannot be read).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttachmentView {
    /// The name of the node whose attachment this is.
    pub node: String,
    /// The instance's libvirt domain UUID.
    pub instance: String,
    /// The instance's name, where known (this node's own only).
    pub instance_name: Option<String>,
    /// The pool's name: that of its volume group.
    pub pool: String,
    /// The volume's present name; the one it was attached by where the pool does not answer at once; of
    /// another node's, its UUID if the pool does not list it any more.
    pub volume: String,
    /// Whether others may have the volume at the same time.
    pub sharing: Open<Sharing>,
    /// What the guest may do with it.
    pub access: Open<Access>,
    /// What was asked for, where a policy has granted less; of another node's as far as its slot tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Open<Access>>,
    /// Who has asked for it; of another node's as far as its slot tells: one of an earlier version tells nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Open<Claim>>,
    /// Whether it is asked for or being made, whole, being taken back, or left over from a failed rollback.
    /// `attaching` and `detaching` of what is asked for on another node, and of what a request on this one works on
    /// or failed for now and is tried again: then `causes` says why.
    pub state: Open<AttachmentStage>,
    /// The path of the device that the guest opens (this node's own only). It keeps the name that the
    /// volume had when it was attached.
    pub device: Option<String>,
    /// The size of that device in bytes (this node's own only); absent where it is the LV itself, or the kernel
    /// does not say at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was attached, in milliseconds since the Unix epoch by that node's clock.
    pub since_ms: u64,
    /// Why it is quarantined, or why what was begun is tried again, each cause a sentence.
    pub causes: Vec<String>,
    /// What changed since it was attached, each a sentence: name, size (this node's own only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Its I/O is cut off, or is to be (this node's own only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<FencedView>,
}

/// An attachment's I/O that is cut off, or is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FencedView {
    /// Why, a sentence without a full stop.
    pub reason: String,
    /// When that was found, in milliseconds since the Unix epoch by that node's clock.
    pub since_ms: u64,
    /// Every I/O fails. `false`: I/O that was in flight has not ended yet, or cannot be cut off.
    pub cut: bool,
    /// The I/O is given back by itself when the leases have been sound for so many seconds; absent:
    /// somebody has to ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_after_s: Option<u64>,
}

/// `POST /v1/fence`: cut off the I/O of what is attached here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FenceRequest {
    /// The instance's libvirt domain UUID; none: every instance on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub instance: Option<InstanceId>,
    /// These (`pool`, `volume`) only; empty: everything the instance has on this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<(String, String)>"))]
    pub volumes: Vec<(PoolName, VolumeName)>,
}

/// `POST /v1/unfence`: give an instance its I/O back, where nobody can have had its volumes meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UnfenceRequest {
    /// The instance's libvirt domain UUID.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub instance: InstanceId,
}

/// The reply to `POST /v1/fence` and `POST /v1/unfence`: the attachments as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FenceReply {
    /// Those that the request is about.
    pub attachments: Vec<AttachmentView>,
}

/// `GET /v1/cluster`: what is attached on every node, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterReply {
    /// The same as `GET /v1/attachments?all=true`.
    pub attachments: Vec<AttachmentView>,
    /// Pools and slots that cannot be read, each a sentence: where there is one, attachments may be
    /// missing above.
    pub unreadable: Vec<String>,
    /// Nodes that do not renew their leases, each a sentence: since when, what they hold, and when that is free.
    #[serde(default)]
    pub silent: Vec<String>,
}

/// `GET /v1/hydrations`: copies on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HydrationView {
    /// The pool's name: that of its volume group.
    pub pool: String,
    /// The volume's name in its pool: that of its LV.
    pub volume: String,
    /// What the copy is doing, or what keeps it from that.
    pub state: Open<CopyState>,
    /// Bytes that are copied so far.
    pub done: u64,
    /// Bytes that the copy has to cover.
    pub total: u64,
    /// Estimated milliseconds to the end, where the rate allows an estimate.
    pub remaining_ms: Option<u64>,
    /// Milliseconds without progress while there should be some.
    pub stalled_ms: u64,
    /// The last thing that went wrong with it, in a sentence; absent once it went on.
    pub trouble: Option<String>,
}

/// One policy; `GET /v1/policies` answers with all of them, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyView {
    /// The policy's name: its file's, without number and ending; `baseline` for the built-in.
    pub name: String,
    /// SHA-256 of the component that serves; of what was refused where none does.
    pub digest: String,
    /// The interface it was built against, `volward:policy@VERSION`.
    pub interface: String,
    /// Whether its answers count, are logged only, or are not asked for.
    pub level: Open<PolicyLevel>,
    /// Which version of it serves.
    pub state: Open<PolicyState>,
    /// Why not what is in the folder, in one sentence, where the state is `last-good`,
    /// `rolled-back`, `refused` or `waiting`.
    #[serde(default)]
    pub reason: Option<String>,
    /// SHA-256 of the component in the folder, where another version serves (`last-good`,
    /// `rolled-back`); empty where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_digest: Option<String>,
    /// Keys of the configuration in the folder whose values are not those that serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folder_differs: Vec<String>,
    /// The hooks found in it: what it can be asked.
    pub hooks: Vec<Open<Hook>>,
    /// Grants and advice, counted since it was loaded.
    pub granted: u64,
    /// Denials, counted since it was loaded.
    pub denied: u64,
    /// Faults, counted since it was loaded.
    pub faulted: u64,
    /// Half of its last 256 calls took this or less, in microseconds; absent until it was asked.
    #[serde(default)]
    pub p50_micros: Option<u64>,
    /// All but one in a hundred of them took this or less, in microseconds; absent until it was
    /// asked.
    #[serde(default)]
    pub p99_micros: Option<u64>,
    /// Its last faults since it was loaded, three at most, the oldest first.
    #[serde(default)]
    pub faults: Vec<FaultView>,
}

/// One fault of a policy: it failed, and nobody knows what it would have answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FaultView {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The request it was asked about.
    pub request: String,
    /// The hook of the policies that was asked.
    pub hook: Open<Hook>,
    /// Which limit or rule it ran into.
    pub kind: Open<FaultKind>,
    /// What broke, in one sentence.
    pub message: String,
    /// Where in the policy, the innermost function first.
    pub backtrace: Vec<String>,
}

/// `POST /v1/policies/rollback`: an earlier version of a policy serves again, or that is undone.
/// Answers with all policies, each a [`PolicyView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The name of the policy that the rollback, or its undoing, is for.
    pub name: String,
    /// Undo a rollback: what is in the folder serves again.
    #[serde(default)]
    pub undo: bool,
}

/// `GET /v1/explain?request=...`, or `?instance=...`, or `?volume=POOL/NAME` for the latest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExplainReply {
    /// The id of the request, as `volward explain` takes it.
    pub request: String,
    /// In a sentence: what was asked and what came of it.
    pub summary: String,
    /// The decision record as logged; absent when the log has none.
    pub decision: Option<serde_json::Value>,
    /// Why there is none, in a sentence; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
    /// The plan's steps in their order, each in words and with how far it is.
    pub steps: Vec<(String, Open<StepState>)>,
    /// What is in the way now, a sentence each.
    pub trouble: Vec<String>,
}

/// `GET /v1/decisions`: decisions of this node's log, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecisionsReply {
    /// Those that match the query.
    pub decisions: Vec<DecisionView>,
    /// The number of the log's latest decision, whether it matches or not: ask for those after it
    /// next.
    pub last: u64,
}

/// A decision in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecisionView {
    /// Its number in this node's log; 0 where an earlier version wrote it.
    pub seq: u64,
    /// The id of the request, as `volward explain` takes it.
    pub request: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The hook of the policies that was asked.
    pub hook: Open<Hook>,
    /// Of an operation on a volume: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Open<OperationKind>>,
    /// The instance's libvirt domain UUID; empty of an operation on a volume.
    pub instance: String,
    /// The instance's name, as it was given.
    pub instance_name: String,
    /// The disks asked about, each as `POOL/NAME`; of an operation on a volume also the one that is made,
    /// or its new name.
    pub disks: Vec<String>,
    /// What the policies came to.
    pub said: Open<Said>,
    /// Who denied or broke first; absent where nobody did.
    pub by: Option<String>,
    /// Whether it was executed, refused, or failed on the way.
    pub became: Open<Became>,
    /// Why, in one sentence, where it was not executed.
    pub message: Option<String>,
    /// The whole chain's time in microseconds.
    pub micros: u64,
}

/// `GET /v1/decisions/record`: a whole decision, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecisionReply {
    /// Its number in this node's log.
    pub seq: u64,
    /// The record, with facts and configurations: a scenario as it stands.
    pub record: serde_json::Value,
    /// What became of it, an object: `became`, and `code` and `message` where there are any.
    pub outcome: serde_json::Value,
}

/// `GET /v1/doctor`: whether this node can serve, and what keeps it from that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorReply {
    /// Every check, in the order of a bring-up.
    pub checks: Vec<DoctorCheck>,
    /// The shared pools of this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Attachments of this node whose I/O is cut off, or is to be, in a few words each: their guests do not go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_off: Vec<String>,
    /// Attaches and detaches that failed for now and are tried again, in a few words each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
    /// Shared pools that did not answer within the time of one look: whether read-write attaches are served there is
    /// not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
}

/// One check of `GET /v1/doctor`: what was looked at, what was found, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorCheck {
    /// What is looked at, in a few words.
    pub name: String,
    /// Whether what was looked at works.
    pub verdict: Open<DoctorVerdict>,
    /// What was found, in a sentence.
    pub found: String,
    /// What to do, in a sentence; absent when there is nothing to do.
    pub remedy: Option<String>,
    /// Read-write attaches are refused until it is mended.
    pub refuses_read_write: bool,
    /// The shared pools in which they are, where not in all; empty where the check is not about a pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
}

/// Whether what a check looked at works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DoctorVerdict {
    /// The check passed; there is nothing to do.
    Ok,
    /// It works, but not as it should.
    Warning,
    /// It does not work, and its remedy has to be applied.
    Failed,
}

/// `GET /v1/status`: the daemon and its node in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatusReply {
    /// The version of the daemon that answers, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// The name of the node it serves.
    pub node: String,
    /// How many of the node's attachments are quarantined and wait for an operator.
    pub quarantined: u64,
    /// The names of the pools in its configuration.
    pub pools: Vec<String>,
    /// Attachments of this node whose I/O is cut off, or is to be, each with the reason, a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_off: Vec<String>,
    /// Attaches and detaches that failed for now and are tried again, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
    /// Pools whose leases this node may be losing, or has lost, each with how that shows, a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<String>,
}
