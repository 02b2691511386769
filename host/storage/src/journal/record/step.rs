//! A step of a plan as the journal keeps it. Sizes are bytes where the field says so, else sectors
//! of 512 bytes, as `plan` has them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use volward_model::{Bytes, InstanceId, MigrationNonce, NodeName, PoolName, Sectors};
use volward_plan as plan;

use super::RecordError;
use super::parts::{Expected, Geometry, Key, Published, Volume, refs, volumes};
use super::words::Lease;

/// A step with what takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Planned {
    step: StepRecord,
    undo: Vec<StepRecord>,
}

impl From<&plan::Planned> for Planned {
    fn from(theirs: &plan::Planned) -> Self {
        Self {
            step: (&theirs.step).into(),
            undo: theirs.undo.iter().map(StepRecord::from).collect(),
        }
    }
}

impl TryFrom<Planned> for plan::Planned {
    type Error = RecordError;

    fn try_from(ours: Planned) -> Result<Self, RecordError> {
        let undo: Result<_, _> = ours.undo.into_iter().map(TryInto::try_into).collect();
        Ok(Self {
            step: ours.step.try_into()?,
            undo: undo?,
        })
    }
}

/// A step, or one of a later version: then its word is all that is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum StepRecord {
    Known(Step),
    Other { step: String },
}

impl From<&plan::Step> for StepRecord {
    fn from(theirs: &plan::Step) -> Self {
        Self::Known(theirs.into())
    }
}

impl TryFrom<StepRecord> for plan::Step {
    type Error = RecordError;

    fn try_from(record: StepRecord) -> Result<Self, RecordError> {
        match record {
            StepRecord::Known(step) => step.try_into(),
            StepRecord::Other { step } => Err(RecordError::Unknown(format!("the step `{step}`"))),
        }
    }
}

/// The steps of format 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
#[rustfmt::skip]
pub(crate) enum Step {
    Lease { pool: PoolName, volumes: Vec<Volume>, mode: Lease },
    Release { pool: PoolName, volumes: Vec<Volume> },
    DisableAutoactivation { pool: PoolName, volumes: Vec<Volume> },
    Revalidate { expectations: Vec<Expected> },
    /// Both sizes in bytes.
    MakeCopy { volume: Volume, local: PoolName, size: u64, metadata: u64 },
    ZeroMetadata { volume: Volume, local: PoolName },
    /// Without the word in what was written before it was kept: 0.1.0 made copies without a stage.
    RemoveCopy {
        volume: Volume, local: PoolName,
        #[serde(default = "yes", skip_serializing_if = "is_yes")] unstaged: bool,
    },
    SetHome { volume: Volume, from_generation: u64, to: NextHome, local: PoolName },
    LoadClone { volume: Volume, local: PoolName, size: u64, geometry: Geometry, hydrating: bool },
    UnloadClone { volume: Volume },
    AwaitHydration { volume: Volume },
    CreateDevice {
        volume: Volume, instance: InstanceId, on_clone: bool, size: u64, read_only: bool, discards: bool,
    },
    RemoveDevice { volume: Volume, instance: InstanceId },
    Publish { pool: PoolName, attachments: Vec<Published> },
    Withdraw { pool: PoolName, attachments: Vec<Key> },
    Link { volume: Volume, instance: InstanceId },
    Unlink { volume: Volume, instance: InstanceId },
    AskSource {
        pool: PoolName, volumes: Vec<Volume>, instance: InstanceId, source: NodeName, host_id: u64, nonce: Uuid,
    },
    AskNoMore { pool: PoolName, attachments: Vec<Key> },
    /// The size in bytes.
    MakeWriteBackMetadata { volume: Volume, local: PoolName, size: u64 },
    LoadWriteBack { volume: Volume, local: PoolName, size: u64, geometry: Geometry },
    AwaitWriteBack { volume: Volume },
    UnloadWriteBack { volume: Volume },
    TurnClone { volume: Volume, local: PoolName, size: u64, geometry: Geometry },
    StandAtHome { volume: Volume },
    Restack { volume: Volume, instance: InstanceId },
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(word: &bool) -> bool {
    *word
}

/// What a home becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NextHome {
    Pool,
    Split(NodeName),
    Returning(NodeName),
}

impl From<&plan::NextHome> for NextHome {
    fn from(theirs: &plan::NextHome) -> Self {
        match theirs {
            plan::NextHome::Pool => Self::Pool,
            plan::NextHome::Split(node) => Self::Split(node.clone()),
            plan::NextHome::Returning(node) => Self::Returning(node.clone()),
        }
    }
}

impl From<NextHome> for plan::NextHome {
    fn from(ours: NextHome) -> Self {
        match ours {
            NextHome::Pool => Self::Pool,
            NextHome::Split(node) => Self::Split(node),
            NextHome::Returning(node) => Self::Returning(node),
        }
    }
}

// One arm a step and nothing else: longer than a function should be, and nothing to split.
#[rustfmt::skip]
impl From<&plan::Step> for Step {
    fn from(theirs: &plan::Step) -> Self {
        use plan::Step as S;
        match theirs.clone() {
            S::Lease { pool, volumes: v, mode } => Self::Lease { pool, volumes: volumes(&v), mode: mode.into() },
            S::Release { pool, volumes: v } => Self::Release { pool, volumes: volumes(&v) },
            S::DisableAutoactivation { pool, volumes: v } => Self::DisableAutoactivation { pool, volumes: volumes(&v) },
            S::Revalidate { expectations } => Self::Revalidate { expectations: expectations.iter().map(Into::into).collect() },
            S::MakeCopy { volume, local, size, metadata } =>
                Self::MakeCopy { volume: (&volume).into(), local, size: size.0, metadata: metadata.0 },
            S::ZeroMetadata { volume, local } => Self::ZeroMetadata { volume: (&volume).into(), local },
            S::RemoveCopy { volume, local, unstaged } => Self::RemoveCopy { volume: (&volume).into(), local, unstaged },
            S::SetHome { volume, from_generation, to, local } =>
                Self::SetHome { volume: (&volume).into(), from_generation, to: (&to).into(), local },
            S::LoadClone { volume, local, size, geometry, hydrating } =>
                Self::LoadClone { volume: (&volume).into(), local, size: size.0, geometry: geometry.into(), hydrating },
            S::UnloadClone { volume } => Self::UnloadClone { volume: (&volume).into() },
            S::AwaitHydration { volume } => Self::AwaitHydration { volume: (&volume).into() },
            S::CreateDevice { volume, instance, on_clone, size, read_only, discards } =>
                Self::CreateDevice { volume: (&volume).into(), instance, on_clone, size: size.0, read_only, discards },
            S::RemoveDevice { volume, instance } => Self::RemoveDevice { volume: (&volume).into(), instance },
            S::Publish { pool, attachments } => Self::Publish { pool, attachments: attachments.iter().map(Into::into).collect() },
            S::Withdraw { pool, attachments } => Self::Withdraw { pool, attachments: attachments.into_iter().map(Into::into).collect() },
            S::AskSource { pool, volumes: v, instance, source, host_id, nonce } =>
                Self::AskSource { pool, volumes: volumes(&v), instance, source, host_id, nonce: nonce.0 },
            S::AskNoMore { pool, attachments } =>
                Self::AskNoMore { pool, attachments: attachments.into_iter().map(Into::into).collect() },
            S::Link { volume, instance } => Self::Link { volume: (&volume).into(), instance },
            S::Unlink { volume, instance } => Self::Unlink { volume: (&volume).into(), instance },
            S::MakeWriteBackMetadata { volume, local, size } =>
                Self::MakeWriteBackMetadata { volume: (&volume).into(), local, size: size.0 },
            S::LoadWriteBack { volume, local, size, geometry } =>
                Self::LoadWriteBack { volume: (&volume).into(), local, size: size.0, geometry: geometry.into() },
            S::AwaitWriteBack { volume } => Self::AwaitWriteBack { volume: (&volume).into() },
            S::UnloadWriteBack { volume } => Self::UnloadWriteBack { volume: (&volume).into() },
            S::TurnClone { volume, local, size, geometry } =>
                Self::TurnClone { volume: (&volume).into(), local, size: size.0, geometry: geometry.into() },
            S::StandAtHome { volume } => Self::StandAtHome { volume: (&volume).into() },
            S::Restack { volume, instance } => Self::Restack { volume: (&volume).into(), instance },
        }
    }
}

#[rustfmt::skip]
impl TryFrom<Step> for plan::Step {
    type Error = RecordError;

    fn try_from(ours: Step) -> Result<Self, RecordError> {
        use Step as S;
        Ok(match ours {
            S::Lease { pool, volumes, mode } => Self::Lease { pool, volumes: refs(volumes), mode: mode.into() },
            S::Release { pool, volumes } => Self::Release { pool, volumes: refs(volumes) },
            S::DisableAutoactivation { pool, volumes } => Self::DisableAutoactivation { pool, volumes: refs(volumes) },
            S::Revalidate { expectations } => {
                let all: Result<_, _> = expectations.into_iter().map(TryInto::try_into).collect();
                Self::Revalidate { expectations: all? }
            }
            S::MakeCopy { volume, local, size, metadata } =>
                Self::MakeCopy { volume: volume.into(), local, size: Bytes(size), metadata: Bytes(metadata) },
            S::ZeroMetadata { volume, local } => Self::ZeroMetadata { volume: volume.into(), local },
            S::RemoveCopy { volume, local, unstaged } => Self::RemoveCopy { volume: volume.into(), local, unstaged },
            S::SetHome { volume, from_generation, to, local } =>
                Self::SetHome { volume: volume.into(), from_generation, to: to.into(), local },
            S::LoadClone { volume, local, size, geometry, hydrating } =>
                Self::LoadClone { volume: volume.into(), local, size: Sectors(size), geometry: geometry.into(), hydrating },
            S::UnloadClone { volume } => Self::UnloadClone { volume: volume.into() },
            S::AwaitHydration { volume } => Self::AwaitHydration { volume: volume.into() },
            S::CreateDevice { volume, instance, on_clone, size, read_only, discards } =>
                Self::CreateDevice { volume: volume.into(), instance, on_clone, size: Sectors(size), read_only, discards },
            S::RemoveDevice { volume, instance } => Self::RemoveDevice { volume: volume.into(), instance },
            S::Publish { pool, attachments } => Self::Publish { pool, attachments: attachments.into_iter().map(Into::into).collect() },
            S::Withdraw { pool, attachments } => Self::Withdraw { pool, attachments: attachments.into_iter().map(Into::into).collect() },
            S::AskSource { pool, volumes, instance, source, host_id, nonce } =>
                Self::AskSource { pool, volumes: refs(volumes), instance, source, host_id, nonce: MigrationNonce(nonce) },
            S::AskNoMore { pool, attachments } =>
                Self::AskNoMore { pool, attachments: attachments.into_iter().map(Into::into).collect() },
            S::Link { volume, instance } => Self::Link { volume: volume.into(), instance },
            S::Unlink { volume, instance } => Self::Unlink { volume: volume.into(), instance },
            S::MakeWriteBackMetadata { volume, local, size } =>
                Self::MakeWriteBackMetadata { volume: volume.into(), local, size: Bytes(size) },
            S::LoadWriteBack { volume, local, size, geometry } =>
                Self::LoadWriteBack { volume: volume.into(), local, size: Sectors(size), geometry: geometry.into() },
            S::AwaitWriteBack { volume } => Self::AwaitWriteBack { volume: volume.into() },
            S::UnloadWriteBack { volume } => Self::UnloadWriteBack { volume: volume.into() },
            S::TurnClone { volume, local, size, geometry } =>
                Self::TurnClone { volume: volume.into(), local, size: Sectors(size), geometry: geometry.into() },
            S::StandAtHome { volume } => Self::StandAtHome { volume: volume.into() },
            S::Restack { volume, instance } => Self::Restack { volume: volume.into(), instance },
        })
    }
}
