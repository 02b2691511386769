//! Operations on volumes, and the marks that they leave.

use std::fmt;

use serde::{Deserialize, Serialize};
use volward_model::{Mark, Ordered, VolumeTask};

use super::Words;

/// What an operation does with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// It is made.
    Create,
    /// It is deleted.
    Delete,
    /// It is grown.
    Extend,
    /// It is made with the content of another one.
    Copy,
    /// The same, to keep a moment of the other one.
    Snapshot,
    /// It goes to another pool.
    Move,
    /// It gets another name.
    Rename,
    /// It goes to another disk of its pool.
    Relocate,
}

impl From<&VolumeTask> for OperationKind {
    fn from(task: &VolumeTask) -> Self {
        match task {
            VolumeTask::Create { .. } => Self::Create,
            VolumeTask::Delete { .. } => Self::Delete,
            VolumeTask::Extend { .. } => Self::Extend,
            VolumeTask::Copy { .. } => Self::Copy,
            VolumeTask::Snapshot { .. } => Self::Snapshot,
            VolumeTask::Move { .. } => Self::Move,
            VolumeTask::Rename { .. } => Self::Rename,
            VolumeTask::Relocate { .. } => Self::Relocate,
        }
    }
}

impl From<&Ordered> for OperationKind {
    fn from(ordered: &Ordered) -> Self {
        match ordered {
            Ordered::Grow { .. } => Self::Extend,
            Ordered::Copy { .. } => Self::Copy,
            Ordered::Snapshot { .. } => Self::Snapshot,
            Ordered::Relocate { .. } => Self::Relocate,
        }
    }
}

/// How an operation on a volume stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// It waits for its turn, or to be tried again.
    Waiting,
    /// It is being carried out.
    Running,
    /// What was begun is being taken back.
    TakingBack,
    /// All of it was done.
    Done,
    /// It was cancelled, and nothing of it is left.
    Cancelled,
    /// It was refused or failed, and nothing of it is left.
    Failed,
}

/// How a volume stands that an operation has marked; nobody can attach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VolumeMark {
    /// It is being made.
    New,
    /// It is being deleted.
    Dying,
    /// It is being grown; who has it keeps it.
    Growing,
    /// Its content is being copied; who reads it keeps it.
    Copying,
    /// It has a mark that the daemon does not understand.
    Unknown,
}

impl From<&Mark> for VolumeMark {
    fn from(mark: &Mark) -> Self {
        match mark {
            Mark::New { .. } => Self::New,
            Mark::Dying { .. } => Self::Dying,
            Mark::Growing { .. } => Self::Growing,
            Mark::Copying { .. } => Self::Copying,
            Mark::Unknown { .. } => Self::Unknown,
        }
    }
}

own_words!(OperationKind, "OperationKind": Create, Delete, Extend, Copy, Snapshot, Move, Rename, Relocate);
own_words!(
    OperationState, "OperationState":
    Waiting, Running, TakingBack, Done, Cancelled, Failed,
);
own_words!(VolumeMark, "VolumeMark": New, Dying, Growing, Copying, Unknown);
displayed_as_sent!(OperationKind, OperationState, VolumeMark);
