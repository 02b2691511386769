//! Scenarios: what a policy is told, and what is expected of it. The format is that of the
//! decision record, so a logged decision is a scenario as it stands; an author may leave out what
//! does not matter.
//!
//! A file is a stream of JSON values: JSON Lines, or one after the other over many lines. Each is
//! a [`Scenario`]. `docs/scenario.schema.json` is its JSON Schema.
//!
//! [`Scenario::differences`] says where an outcome is not as expected.
//!
//! What is left out of the *facts* has a default: an ordinary request of one guest (see each
//! field). What is left out of the *expectation* is as asked where that says something (an
//! answer's disks), and not compared where it does not (messages, notes, what single plugins
//! said). Keys that nobody knows are refused: a misspelt expectation would always hold.

mod beside;
mod compare;
#[cfg(test)]
mod tests;
mod whole;

pub use crate::facts::ScenarioDisk;
pub use beside::NotAbout;
pub use compare::Difference;
pub use whole::UnknownHook;

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::answer::{CopyFate, CopyMode, CopyPlan, Note};
use crate::attachment::{Access, AttachmentState, Sharing};
use crate::decision::FaultKind;
use crate::facts::{NodeFacts, OperationFacts, Origin, Purpose};
use crate::ids::{InstanceId, NodeName, RequestId, VolumeId};
use crate::units::Bytes;

/// Noon of the first of January 2026, UTC: [`ScenarioFacts::now_ms`] unless it is given.
pub const NOON_MS: u64 = 1_767_268_800_000;
/// [`ScenarioDisk::size`] unless it is given.
pub const DISK_BYTES: Bytes = Bytes::mib(10 << 10);

/// One scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it shows, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Which hook is asked; attach unless it is given.
    pub hook: Hook,
    /// What the policies are told.
    pub facts: ScenarioFacts,
    /// Detach only: the copies there are, each with the fate its grant named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<(VolumeId, CopyFate)>,
    /// Policies by name: their configuration, and what is expected of each. Those that are not
    /// named have the configuration they come with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<ScenarioPlugin>,
    /// What is expected to come out; none: nothing is expected, and the scenario only runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub combined: Option<Expected>,
    /// Times are in records; nothing is expected of them.
    #[serde(skip_serializing)]
    pub micros: u64,
}

/// Which hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// May these disks be attached?
    #[default]
    Attach,
    /// What becomes of the copies?
    Detach,
    /// May the instance come here by live migration?
    Migrate,
    /// May this be done with a volume?
    Operate,
}

impl Hook {
    /// Every hook that is asked by a request.
    pub const ALL: [Self; 4] = [Self::Attach, Self::Detach, Self::Migrate, Self::Operate];

    /// The hook that is written so.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.word() == word)
    }

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Migrate => "migrate",
            Self::Operate => "operate",
        }
    }
}

/// Facts of which everything may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioFacts {
    /// Who asks for what.
    pub request: ScenarioRequest,
    /// The node that decides; `node1` without labels, local pool and attachments unless it is given.
    pub node: NodeFacts,
    /// The other node of a migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<NodeFacts>,
    /// Operate only: what is to be done with a volume; create a volume in `vg0` unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationFacts>,
    /// What is asked for; of an operation the volume that there is already.
    pub disks: Vec<ScenarioDisk>,
    /// What the instance has on this node already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<ScenarioDisk>,
    /// Milliseconds since the Unix epoch; noon of 1 January 2026, UTC, unless it is given.
    pub now_ms: u64,
    /// The node's local time minus UTC; 0 unless it is given.
    pub utc_offset_minutes: i32,
}

impl Default for ScenarioFacts {
    fn default() -> Self {
        let node = NodeFacts {
            name: NodeName::fixed("node1"),
            labels: Vec::new(),
            local: None,
            io_pressure: None,
            attachments: Some(0),
        };
        Self {
            request: ScenarioRequest::default(),
            node,
            peer: None,
            operation: None,
            disks: Vec::new(),
            held: Vec::new(),
            now_ms: NOON_MS,
            utc_offset_minutes: 0,
        }
    }
}

/// Who asks for what; everything may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioRequest {
    /// The request's UUID.
    pub id: RequestId,
    /// Who is on the other end of the socket; libvirt unless it is given.
    pub origin: Origin,
    /// Its uid; 0 unless it is given.
    pub caller_uid: u32,
    /// What for; boot unless it is given.
    pub purpose: Purpose,
    /// The virtual machine's UUID.
    pub instance: InstanceId,
    /// Its name; `guest` unless it is given.
    pub instance_name: String,
    /// Words from the domain XML, pairs of key and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
}

impl Default for ScenarioRequest {
    fn default() -> Self {
        Self {
            id: RequestId(Uuid::from_u128(1)),
            origin: Origin::Libvirt,
            caller_uid: 0,
            purpose: Purpose::Boot,
            instance: InstanceId(Uuid::from_u128(2)),
            instance_name: "guest".to_owned(),
            hints: Vec::new(),
        }
    }
}

/// An attachment, of which everything may be left out: somebody else's on another node, exclusive
/// and read-write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioAttachment {
    /// The volume; the disk's own unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeId>,
    /// The virtual machine's UUID; not the asking one's unless it is given.
    pub instance: InstanceId,
    /// Where it runs; `node2` unless it is given.
    pub node: NodeName,
    /// Exclusive unless it is given.
    pub sharing: Sharing,
    /// Read-write unless it is given.
    pub access: Access,
    /// Milliseconds since the Unix epoch; 0 unless it is given.
    pub since_ms: u64,
    /// Attached unless it is given.
    pub state: AttachmentState,
}

impl Default for ScenarioAttachment {
    fn default() -> Self {
        Self {
            volume: None,
            instance: InstanceId(Uuid::from_u128(3)),
            node: NodeName::fixed("node2"),
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            since_ms: 0,
            state: AttachmentState::Attached,
        }
    }
}

/// A policy in a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScenarioPlugin {
    /// Its name: the file name without number and ending.
    pub plugin: String,
    /// Its configuration here; absent: that which it comes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<BTreeMap<String, String>>,
    /// Monitored here: asked, but without effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub monitored: bool,
    /// What it alone is expected to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ExpectedVerdict>,
    /// In records: the component's digest. Nothing is expected of it.
    #[serde(default, skip_serializing)]
    pub digest: String,
    /// In records: the interface. Nothing is expected of it.
    #[serde(default, skip_serializing)]
    pub interface: String,
    /// In records: lines it logged. Nothing is expected of them.
    #[serde(default, skip_serializing)]
    pub log: Vec<String>,
    /// In records: its time. Nothing is expected of it.
    #[serde(default, skip_serializing)]
    pub micros: u64,
}

/// What a chain is expected to come to: as in a record, with less said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// Granted; as asked but for what is said.
    Granted(ExpectedAnswer),
    /// Detach: the fate of each copy.
    Advised(Vec<(VolumeId, CopyFate)>),
    /// Refused, by these policies in this order.
    Denied(Vec<(String, ExpectedDenial)>),
    /// Broken, these policies in this order.
    Faulted(Vec<(String, ExpectedFault)>),
}

/// What one policy is expected to say: as in a record, with less said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedVerdict {
    /// It agrees; as asked but for what is said.
    Granted(ExpectedAnswer),
    /// Detach: what it advises for each copy.
    Advised(Vec<(VolumeId, Option<CopyFate>)>),
    /// It refuses.
    Denied(ExpectedDenial),
    /// It breaks.
    Faulted(ExpectedFault),
    /// It has no such hook.
    Absent,
}

/// An answer; a disk that is not named is expected as asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedAnswer {
    /// Disks, in the request's order or with their `volume`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<ExpectedDisk>,
    /// Remarks, all of them in this order; absent: not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<Note>>,
}

/// An answer for one disk: what is left out is expected as asked, without ceiling and copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedDisk {
    /// Which; absent: the one at this place of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeId>,
    /// Granted sharing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Granted access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The ceiling for copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_at_most: Option<CopyMode>,
    /// The copy proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyPlan>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedDenial {
    /// For programs.
    pub code: String,
    /// For people; absent: not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When asking again makes sense; absent: not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedFault {
    /// The kind.
    pub kind: FaultKind,
    /// What it says; absent: not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// In records: where it happened. Nothing is expected of it.
    #[serde(default, skip_serializing, deserialize_with = "passed_over")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub backtrace: (),
}

/// Takes anything and keeps nothing of it.
fn passed_over<'de, D: Deserializer<'de>>(anything: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(anything).map(|IgnoredAny| ())
}
