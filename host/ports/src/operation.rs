//! What a journal entry is about: a variant an operation, with exactly what that operation has.
//!
//! A new operation is a variant here, its record in `storage/src/journal/record/operation.rs`, and a
//! row in [`Operation::recovery`]. Every `match` below is exhaustive and asks one question of it;
//! the engine and recovery ask these questions and never which operation it is.

use volward_model::{AttachmentKey, CopyPlan, InstanceId, VolumeId, VolumeRef};
use volward_plan::{Planned, Step};

use super::journal::StoredAttachment;

/// One thing that the node does, from before its first step to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An instance gets its disks.
    Attach {
        /// The virtual machine that gets them.
        instance: InstanceId,
        /// In the order in which they are executed; none if all was attached already, or if the
        /// request failed before it was planned.
        steps: Vec<Marked<Planned>>,
        /// The index of the first step after which a guest may have opened a device; the number of
        /// steps if there is none.
        commit_at: usize,
        /// The attachments there are once all steps are done, those that were there before
        /// included.
        puts: Vec<StoredAttachment>,
    },
    /// An instance's disks are taken back. No step has an undo: once begun it is completed.
    Detach {
        /// The virtual machine that had them.
        instance: InstanceId,
        /// In the order in which they are executed.
        steps: Vec<Marked<Step>>,
        /// The volumes whose attachment to the instance ends.
        leaving: Vec<LeavingVolume>,
    },
    /// A local copy's content goes home to the shared volume. Its steps are planned from the home
    /// as it is found, each time anew: they are in no entry.
    WriteBack {
        /// The shared volume.
        volume: VolumeRef,
    },
}

/// A step with how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked<S> {
    /// [`Planned`] where the operation can be undone, [`Step`] where it cannot.
    pub step: S,
    /// How far it is.
    pub mark: StepMark,
}

impl<S> Marked<S> {
    /// These steps, none of them begun.
    pub fn waiting(steps: impl IntoIterator<Item = S>) -> Vec<Self> {
        let waiting = |step| Self {
            step,
            mark: StepMark::Waiting,
        };
        steps.into_iter().map(waiting).collect()
    }
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepMark {
    /// Not begun.
    Waiting,
    /// Begun; perhaps done.
    Started,
    /// Done.
    Done,
    /// Done or begun, and undone.
    Undone,
}

/// A volume that a detach takes from an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingVolume {
    /// The attached volume.
    pub volume: VolumeRef,
    /// What becomes of it once the steps are done.
    pub then: Afterwards,
}

/// What becomes of a volume once its instance has no device of it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// The attachment is gone.
    Nothing,
    /// The attachment is gone, and the local copy is written back.
    WriteBack,
    /// Lease and copy are kept, and the attachment is quarantined.
    Keep {
        /// The reason, a sentence.
        why: String,
    },
}

/// What an operation changes in the state once all of it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Attachments there are then.
    pub put: Vec<StoredAttachment>,
    /// Attachments there are no longer.
    pub remove: Vec<AttachmentKey>,
    /// Volumes whose copies are written back from then on.
    pub write_back: Vec<VolumeRef>,
    /// Attachments that stay and are quarantined, each with the cause.
    pub quarantine: Vec<(AttachmentKey, String)>,
}

/// What becomes of an operation that was interrupted. No policy is asked (I32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery<'a> {
    /// The undos of these steps are run, the last step's first. It ends as undone.
    Undo {
        /// The steps that were begun, in the order in which they were executed.
        begun: &'a [Marked<Planned>],
    },
    /// The node's restart took its devices and leases with it: no step is run. It ends as undone.
    Lapsed {
        /// Volumes for which a copy may have been made: its LVs outlive a restart. They are
        /// written back, which removes them where the home is still `pool`, and saves what is in
        /// them where it is not.
        copies: Vec<&'a VolumeRef>,
    },
    /// The steps from `from` on are run. It ends as done.
    Complete {
        /// The index of the first step to run; the number of steps if nothing is left to do.
        from: usize,
    },
    /// It stays open, and its steps are planned anew from what is found.
    PlanAnew {
        /// The volume it is about.
        volume: &'a VolumeRef,
    },
}

/// An entry has marks for another number of steps than it has: nobody can say which are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has {steps} steps, and marks of {marks}")]
pub struct MarksMismatch {
    /// How many steps it has.
    pub steps: usize,
    /// How many marks there are.
    pub marks: usize,
}

impl Operation {
    /// Its name in fault points, `explain` and the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Attach { .. } => "attach",
            Self::Detach { .. } => "detach",
            Self::WriteBack { .. } => "write-back",
        }
    }

    /// The instance it serves; a write-back serves none.
    #[must_use]
    pub fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::Attach { instance, .. } | Self::Detach { instance, .. } => Some(*instance),
            Self::WriteBack { .. } => None,
        }
    }

    /// The volumes it touches, in the order of the request.
    #[must_use]
    pub fn volumes(&self) -> Vec<&VolumeRef> {
        match self {
            Self::Attach { puts, .. } => puts.iter().map(|put| &put.volume).collect(),
            Self::Detach { leaving, .. } => leaving.iter().map(|l| &l.volume).collect(),
            Self::WriteBack { volume } => vec![volume],
        }
    }

    /// What was granted to the copy of a volume that it attaches; `None` without a copy.
    #[must_use]
    pub fn copy_of(&self, volume: VolumeId) -> Option<CopyPlan> {
        match self {
            Self::Attach { puts, .. } => {
                let of_volume = puts.iter().filter(|put| put.volume.id == volume);
                of_volume.filter_map(|put| put.copy).next()
            }
            Self::Detach { .. } | Self::WriteBack { .. } => None,
        }
    }

    /// The attachments that there are when it has ended.
    #[must_use]
    pub fn puts(&self) -> &[StoredAttachment] {
        match self {
            Self::Attach { puts, .. } => puts,
            Self::Detach { .. } | Self::WriteBack { .. } => &[],
        }
    }

    /// The steps that its entry keeps, with their marks, in the order of execution.
    #[must_use]
    pub fn steps(&self) -> Vec<(&Step, StepMark)> {
        match self {
            Self::Attach { steps, .. } => steps.iter().map(|s| (&s.step.step, s.mark)).collect(),
            Self::Detach { steps, .. } => steps.iter().map(|s| (&s.step, s.mark)).collect(),
            Self::WriteBack { .. } => Vec::new(),
        }
    }

    /// The steps with their undos, where it can be undone at all.
    #[must_use]
    pub fn undoable(&self) -> Option<&[Marked<Planned>]> {
        match self {
            Self::Attach { steps, .. } => Some(steps),
            Self::Detach { .. } | Self::WriteBack { .. } => None,
        }
    }

    /// Whether nothing may be done that is not on record: then an entry, a mark or an end that
    /// cannot be written is a failure. The others are what has to work with a full disk; they are
    /// found and completed without an entry too.
    #[must_use]
    pub fn needs_record(&self) -> bool {
        match self {
            Self::Attach { .. } => true,
            Self::Detach { .. } | Self::WriteBack { .. } => false,
        }
    }

    /// What it changes in the state once all of it is done.
    #[must_use]
    pub fn changes(&self) -> Changes {
        match self {
            Self::Attach { puts, .. } => Changes {
                put: puts.clone(),
                ..Changes::default()
            },
            Self::Detach {
                instance, leaving, ..
            } => {
                let mut changes = Changes::default();
                for LeavingVolume { volume, then } in leaving {
                    let key = AttachmentKey {
                        volume: volume.id,
                        instance: *instance,
                    };
                    match then {
                        Afterwards::Nothing => changes.remove.push(key),
                        Afterwards::WriteBack => {
                            changes.remove.push(key);
                            changes.write_back.push(volume.clone());
                        }
                        Afterwards::Keep { why } => changes.quarantine.push((key, why.clone())),
                    }
                }
                changes
            }
            Self::WriteBack { .. } => Changes::default(),
        }
    }

    /// What becomes of it when it was interrupted; `restarted` says that the node was restarted
    /// since, not the daemon alone. The one place that decides it.
    #[must_use]
    pub fn recovery(&self, restarted: bool) -> Recovery<'_> {
        match self {
            // Nobody was told of the attachment, so nobody will detach it.
            Self::Attach { steps, .. } if restarted => Recovery::Lapsed {
                copies: steps.iter().filter_map(|s| copied(&s.step.step)).collect(),
            },
            Self::Attach {
                steps, commit_at, ..
            } if committed(steps, *commit_at) => Recovery::Complete {
                from: done(steps.iter().map(|s| s.mark)),
            },
            Self::Attach { steps, .. } => {
                let begun = steps.iter().take_while(|s| s.mark != StepMark::Waiting);
                Recovery::Undo {
                    begun: steps.get(..begun.count()).unwrap_or(steps),
                }
            }
            // The restart has done its steps, and the pool need not be there yet.
            Self::Detach { steps, .. } if restarted => Recovery::Complete { from: steps.len() },
            Self::Detach { steps, .. } => Recovery::Complete {
                from: done(steps.iter().map(|s| s.mark)),
            },
            Self::WriteBack { volume } => Recovery::PlanAnew { volume },
        }
    }

    /// Says how far the step with index `step` is; false if it keeps no such step.
    pub fn mark(&mut self, step: usize, mark: StepMark) -> bool {
        let kept = match self {
            Self::Attach { steps, .. } => steps.get_mut(step).map(|s| &mut s.mark),
            Self::Detach { steps, .. } => steps.get_mut(step).map(|s| &mut s.mark),
            Self::WriteBack { .. } => None,
        };
        kept.map(|kept| *kept = mark).is_some()
    }

    /// Says how far each step is. Marks of an operation that keeps no steps say nothing.
    ///
    /// # Errors
    /// If there are more or fewer marks than steps: then none is changed.
    pub fn mark_all(&mut self, marks: &[StepMark]) -> Result<(), MarksMismatch> {
        if matches!(self, Self::WriteBack { .. }) {
            return Ok(());
        }
        let steps = self.steps().len();
        if steps != marks.len() {
            let marks = marks.len();
            return Err(MarksMismatch { steps, marks });
        }
        for (step, mark) in marks.iter().enumerate() {
            self.mark(step, *mark);
        }
        Ok(())
    }
}

/// Whether a guest may have opened a device: a step from the commit point on was begun, or all are
/// done.
fn committed(steps: &[Marked<Planned>], commit_at: usize) -> bool {
    let begun = |s: &Marked<Planned>| matches!(s.mark, StepMark::Started | StepMark::Done);
    let whole = !steps.is_empty() && steps.iter().all(|s| s.mark == StepMark::Done);
    whole || steps.iter().skip(commit_at).any(begun)
}

/// How many steps are done before the first that is not.
fn done(marks: impl Iterator<Item = StepMark>) -> usize {
    marks.take_while(|mark| *mark == StepMark::Done).count()
}

/// The volume of which a step makes a copy.
fn copied(step: &Step) -> Option<&VolumeRef> {
    match step {
        Step::MakeCopy { volume, .. } => Some(volume),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
