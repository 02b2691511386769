//! What an entry is about, as the journal keeps it: the steps without their marks, which are in
//! rows of their own.

use serde::{Deserialize, Serialize};
use volward_model::InstanceId;
use volward_ports as ports;
use volward_ports::Marked;

use super::RecordError;
use super::attachment::Attachment;
use super::parts::Volume;
use super::step::{Planned, StepRecord};

/// The operations of format 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Operation {
    Attach {
        instance: InstanceId,
        steps: Vec<Planned>,
        commit_at: usize,
        puts: Vec<Attachment>,
    },
    Detach {
        instance: InstanceId,
        steps: Vec<StepRecord>,
        leaving: Vec<Leaving>,
    },
    WriteBack {
        volume: Volume,
    },
}

/// A volume that a detach takes from its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaving {
    volume: Volume,
    then: Afterwards,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Afterwards {
    Nothing,
    WriteBack,
    /// The reason.
    Keep(String),
}

impl Operation {
    /// Whether this build knows an operation of that word.
    pub(crate) fn knows(word: &str) -> bool {
        ["attach", "detach", "write-back"].contains(&word)
    }

    /// The word of its column and of its record.
    pub(crate) fn word(of: &ports::Operation) -> &'static str {
        match of {
            ports::Operation::Attach { .. } => "attach",
            ports::Operation::Detach { .. } => "detach",
            ports::Operation::WriteBack { .. } => "write-back",
        }
    }
}

impl From<&ports::Operation> for Operation {
    fn from(theirs: &ports::Operation) -> Self {
        match theirs {
            ports::Operation::Attach {
                instance,
                steps,
                commit_at,
                puts,
            } => Self::Attach {
                instance: *instance,
                steps: steps.iter().map(|s| (&s.step).into()).collect(),
                commit_at: *commit_at,
                puts: puts.iter().map(Attachment::from).collect(),
            },
            ports::Operation::Detach {
                instance,
                steps,
                leaving,
            } => Self::Detach {
                instance: *instance,
                steps: steps.iter().map(|s| (&s.step).into()).collect(),
                leaving: leaving.iter().map(Leaving::from).collect(),
            },
            ports::Operation::WriteBack { volume } => Self::WriteBack {
                volume: volume.into(),
            },
        }
    }
}

impl TryFrom<Operation> for ports::Operation {
    type Error = RecordError;

    /// With every step waiting.
    fn try_from(ours: Operation) -> Result<Self, RecordError> {
        Ok(match ours {
            Operation::Attach {
                instance,
                steps,
                commit_at,
                puts,
            } => {
                let steps: Result<Vec<_>, _> = steps.into_iter().map(TryInto::try_into).collect();
                Self::Attach {
                    instance,
                    steps: Marked::waiting(steps?),
                    commit_at,
                    puts: puts.into_iter().map(Into::into).collect(),
                }
            }
            Operation::Detach {
                instance,
                steps,
                leaving,
            } => {
                let steps: Result<Vec<_>, _> = steps.into_iter().map(TryInto::try_into).collect();
                Self::Detach {
                    instance,
                    steps: Marked::waiting(steps?),
                    leaving: leaving.into_iter().map(Into::into).collect(),
                }
            }
            Operation::WriteBack { volume } => Self::WriteBack {
                volume: volume.into(),
            },
        })
    }
}

impl From<&ports::LeavingVolume> for Leaving {
    fn from(theirs: &ports::LeavingVolume) -> Self {
        Self {
            volume: (&theirs.volume).into(),
            then: match &theirs.then {
                ports::Afterwards::Nothing => Afterwards::Nothing,
                ports::Afterwards::WriteBack => Afterwards::WriteBack,
                ports::Afterwards::Keep { why } => Afterwards::Keep(why.clone()),
            },
        }
    }
}

impl From<Leaving> for ports::LeavingVolume {
    fn from(ours: Leaving) -> Self {
        Self {
            volume: ours.volume.into(),
            then: match ours.then {
                Afterwards::Nothing => ports::Afterwards::Nothing,
                Afterwards::WriteBack => ports::Afterwards::WriteBack,
                Afterwards::Keep(why) => ports::Afterwards::Keep { why },
            },
        }
    }
}
