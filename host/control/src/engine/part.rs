//! A detach of several volumes of which one needs a person: the others are let go all the same.

use volward_model::{AttachmentKey, InstanceId, VolumeId, VolumeRef};
use volward_plan::Step;

use super::execute::{Begun, DueWriteBack};
use super::{Engine, StepFailure, UNASKED};
use crate::ports::{Afterwards, JournalEntry, Marked, Operation};
use crate::state::Cancellation;

impl Engine {
    /// Completes a detach without the volumes at which it failed, which are quarantined with the
    /// cause. `None` where no others are left, or it is no detach; an error is of the others, and may
    /// pass.
    pub(super) fn let_go_of_others(
        &self,
        begun: Begun<'_>,
        failure: &StepFailure,
    ) -> Option<Result<Vec<DueWriteBack>, StepFailure>> {
        let mut operation = begun.entry.operation.clone();
        let mut failure = failure.clone();
        loop {
            operation = self.without_those_at_fault(&operation, &failure)?;
            let entry = JournalEntry {
                operation: operation.clone(),
                ..begun.entry.clone()
            };
            // Without marks: should the daemon die now, all that was journalled is tried again, the
            // volumes at fault included.
            let unmarked = Begun {
                number: None,
                entry: &entry,
            };
            match self.run_all(unmarked, failure.at, &Cancellation::default(), UNASKED) {
                Ok(()) => {
                    self.restore_paths(&operation);
                    let number = begun.number;
                    let entry = &entry;
                    return Some(self.finish(Begun { number, entry }));
                }
                Err(next) if next.error.needs_a_person() => failure = next,
                Err(passing) => return Some(Err(passing)),
            }
        }
    }

    /// The detach of the other volumes. Its steps have the same places: where one was about those at
    /// fault alone, it is one that does nothing.
    fn without_those_at_fault(
        &self,
        operation: &Operation,
        failure: &StepFailure,
    ) -> Option<Operation> {
        let Operation::Detach {
            instance,
            steps,
            leaving,
        } = operation
        else {
            return None;
        };
        let at_fault = self.at_fault(&steps.get(failure.at)?.step);
        let is_at_fault = |volume: &VolumeRef| at_fault.contains(&volume.id);
        let mut leaving = leaving.clone();
        let mut found = false;
        for one in leaving.iter_mut().filter(|l| is_at_fault(&l.volume)) {
            found |= !matches!(one.then, Afterwards::Keep { .. });
            one.then = Afterwards::Keep {
                why: failure.cause(),
            };
        }
        let others = leaving
            .iter()
            .any(|l| !matches!(l.then, Afterwards::Keep { .. }));
        if !found || !others {
            return None;
        }
        let steps = steps.iter().map(|marked| Marked {
            step: without(&marked.step, &at_fault, *instance),
            mark: marked.mark,
        });
        Some(Operation::Detach {
            instance: *instance,
            steps: steps.collect(),
            leaving,
        })
    }

    /// The volumes of a step that failed at which it did.
    fn at_fault(&self, step: &Step) -> Vec<VolumeId> {
        match step {
            Step::Unlink { volume, .. } | Step::RemoveDevice { volume, .. } => vec![volume.id],
            // One command for all: what it could release is released.
            Step::Release { pool, volumes } => {
                let held = self.ports.leases.held(pool).unwrap_or_default();
                let volumes = volumes.iter().map(|v| v.id);
                volumes.filter(|id| held.contains_key(&id.lv)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The step without these volumes.
fn without(step: &Step, at_fault: &[VolumeId], instance: InstanceId) -> Step {
    let stays = |volume: &VolumeRef| !at_fault.contains(&volume.id);
    match step {
        Step::RemoveDevice { volume, .. } if !stays(volume) => Step::Unlink {
            volume: volume.clone(),
            instance,
        },
        Step::Release { pool, volumes } => {
            let (rest, gone): (Vec<VolumeRef>, Vec<VolumeRef>) =
                volumes.iter().cloned().partition(stays);
            match gone.into_iter().next() {
                Some(volume) if rest.is_empty() => Step::Unlink { volume, instance },
                _ => Step::Release {
                    pool: pool.clone(),
                    volumes: rest,
                },
            }
        }
        Step::Withdraw { pool, attachments } => {
            let rest = attachments.iter().copied();
            let rest = rest.filter(|key: &AttachmentKey| !at_fault.contains(&key.volume));
            Step::Withdraw {
                pool: pool.clone(),
                attachments: rest.collect(),
            }
        }
        other => other.clone(),
    }
}
