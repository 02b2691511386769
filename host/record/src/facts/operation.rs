//! An operation on a volume, as a policy is told of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Facts;
use crate::ids::{PoolName, VolumeName};
use crate::units::Bytes;

/// What is to be done with a volume. The volume that there is already, and of a copy and a snapshot their
/// source, is the only disk of these facts; a create has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OperationFacts {
    /// Which operation; create unless a scenario gives it.
    pub kind: OperationKind,
    /// The pool of the volume that is made, or that there is; `vg0` unless a scenario gives it.
    pub pool: PoolName,
    /// The name that the volume gets: create, copy, snapshot and rename.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_name: Option<VolumeName>,
    /// The size that it is to have: create, extend, copy and snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_size: Option<Bytes>,
}

impl Default for OperationFacts {
    fn default() -> Self {
        Self {
            kind: OperationKind::Create,
            pool: PoolName::fixed("vg0"),
            new_name: None,
            new_size: None,
        }
    }
}

/// Operations on volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// A volume is made.
    Create,
    /// One is deleted.
    Delete,
    /// One is grown.
    Extend,
    /// One is made with another one's content.
    Copy,
    /// The same, to keep a moment.
    Snapshot,
    /// One gets another name.
    Rename,
    /// Something that came later, by its name.
    Other(String),
}

impl Facts {
    /// Of an operation its name and the volumes that it is about, for people: `copy of vg0/a to vg0/b`.
    #[must_use]
    pub fn operated(&self) -> Option<String> {
        let operation = self.operation.as_ref()?;
        let there = self.disks.iter();
        let there = there.map(|disk| format!("{}/{}", disk.pool, disk.name));
        let new = operation.new_name.iter();
        let new = new.map(|name| format!("{}/{name}", operation.pool));
        let volumes: Vec<String> = there.chain(new).collect();
        Some(format!("{} of {}", operation.kind, volumes.join(" to ")))
    }
}

impl OperationKind {
    /// The kind of that name.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word {
            "create" => Self::Create,
            "delete" => Self::Delete,
            "extend" => Self::Extend,
            "copy" => Self::Copy,
            "snapshot" => Self::Snapshot,
            "rename" => Self::Rename,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Extend => "extend",
            Self::Copy => "copy",
            Self::Snapshot => "snapshot",
            Self::Rename => "rename",
            Self::Other(other) => other,
        })
    }
}
