//! A plan is journalled and run; what breaks is taken back, or quarantined.

use std::sync::atomic::Ordering;

use volward_model::AttachmentState;
use volward_plan::{AttachPlan, Refusal, Step};

use super::{Attach, AttachDone, AttachRequest, Attempt, refuse, storage};
use crate::engine::{Run, StepError, StepFailure};
use crate::error::ControlError;
use crate::ports::{Finish, JournalEntry, JournalKind, JournalState, StepMark, StoredAttachment};

impl Attach {
    /// Journals and runs a plan.
    pub(super) fn execute(
        &self,
        ask: &AttachRequest,
        plan: &AttachPlan,
        now_ms: u64,
    ) -> Result<Attempt, ControlError> {
        let state = |error| ControlError::State { error };
        self.engine.record_ends().map_err(state)?;
        let sequence = self.ports.journal.next_sequence().map_err(state)?;
        let puts = self.future_attachments(ask, plan, sequence, now_ms);
        let entry = self.entry(ask, plan, &puts);
        let id = self.ports.journal.begin(&entry).map_err(state)?;
        self.ports.marks.announce(ask.instance, sequence);
        self.state.in_flight.number(ask.request, sequence);
        let run = Run {
            entry: Some(id),
            kind: JournalKind::Attach,
        };
        let promise: u64 = plan.steps.iter().map(|p| promised(&p.step)).sum();
        self.state.promised.fetch_add(promise, Ordering::SeqCst);
        let steps = plan.steps.iter().map(|p| &p.step);
        let ran = self.engine.run_while(run, steps, 0, &ask.cancellation);
        self.state.promised.fetch_sub(promise, Ordering::SeqCst);
        let broken = match ran {
            Ok(()) => {
                let end = Finish {
                    state: JournalState::Done,
                    causes: Vec::new(),
                    put: puts.clone(),
                    remove: Vec::new(),
                    follow: Vec::new(),
                };
                match self.ports.journal.finish(id, &end) {
                    Ok(_) => {
                        self.state.attachment_table().put(puts);
                        self.copies.watch_all(plan);
                        return Ok(Attempt::Done(AttachDone {
                            sequence,
                            grants: plan.grants.clone(),
                            plan: Vec::new(),
                            notes: plan.notes.clone(),
                        }));
                    }
                    // What cannot be remembered must not be left behind.
                    Err(error) => StepFailure {
                        at: plan.steps.len().saturating_sub(1),
                        what: "recording the attachment".into(),
                        error: StepError::Port(error),
                    },
                }
            }
            Err(broken) => broken,
        };
        self.roll_back(ask, plan, id, &puts, broken)
    }

    /// What came to nothing before it was decided: `explain` must know the request all the same.
    pub(super) fn record_failure(&self, ask: &AttachRequest, error: &ControlError) {
        let entry = JournalEntry {
            instance: Some(ask.instance),
            ..self.engine.new_entry(ask.request, JournalKind::Attach)
        };
        let end = Finish {
            state: JournalState::Undone,
            causes: vec![error.to_string()],
            put: Vec::new(),
            remove: Vec::new(),
            follow: Vec::new(),
        };
        let recorded = self
            .ports
            .journal
            .begin(&entry)
            .and_then(|id| self.ports.journal.finish(id, &end));
        if let Err(error) = recorded {
            tracing::warn!(request = %ask.request, %error, "`explain` will not know the request");
        }
    }

    /// Undoes a broken plan, and says how the attempt ends.
    fn roll_back(
        &self,
        ask: &AttachRequest,
        plan: &AttachPlan,
        id: u64,
        puts: &[StoredAttachment],
        broken: StepFailure,
    ) -> Result<Attempt, ControlError> {
        let run = Run {
            entry: Some(id),
            kind: JournalKind::Attach,
        };
        let request = ask.request;
        // A plan for what is attached already has no steps, and nothing to take back.
        let begun = plan.steps.len().min(broken.at + 1);
        let undone = self.engine.undo(run, &plan.steps[..begun]);
        let mut causes = vec![broken.error.cause(&broken.what)];
        if let Err(cause) = undone {
            causes.push(cause);
            self.engine
                .quarantine(Some(id), &self.engine.not_attached_yet(puts), &causes);
            return Err(ControlError::Quarantined { request, causes });
        }
        let end = Finish {
            state: JournalState::Undone,
            causes: causes.clone(),
            put: Vec::new(),
            remove: Vec::new(),
            follow: Vec::new(),
        };
        if let Err(error) = self.engine.end(Some(id), end) {
            tracing::warn!(%error, "cannot record yet that an attach was undone");
        }
        match broken.error {
            StepError::Changed(why) => Ok(Attempt::Changed(why)),
            StepError::Contended(why) => Ok(Attempt::Contended(why)),
            StepError::Held(refusal) => Ok(Attempt::Held(refusal)),
            StepError::Refused(refusal) => Err(refuse(request, refusal)),
            StepError::Port(error) => Err(storage(request, &broken.what, error)),
            StepError::Cancelled => Err(ControlError::Cancelled { request }),
            StepError::Stopping => Err(refuse(request, Refusal::stopping())),
        }
    }

    fn future_attachments(
        &self,
        ask: &AttachRequest,
        plan: &AttachPlan,
        sequence: u64,
        since_ms: u64,
    ) -> Vec<StoredAttachment> {
        let boot_id = self.ports.machine.boot_id();
        let attachment_table = self.state.attachment_table();
        plan.grants
            .iter()
            .map(|grant| {
                let fresh = StoredAttachment {
                    volume: grant.volume.clone(),
                    instance: ask.instance,
                    instance_name: ask.instance_name.clone(),
                    form: grant.form,
                    sharing: grant.sharing,
                    access: grant.access,
                    copy: grant.copy,
                    since_ms,
                    sequence,
                    boot_id: boot_id.clone(),
                    state: AttachmentState::Attached,
                    causes: Vec::new(),
                };
                // Asked for again: the same attachment, of a newer request.
                let had = attachment_table
                    .of_instance(ask.instance)
                    .find(|a| a.key() == fresh.key());
                match had {
                    Some(had) if grant.already => StoredAttachment {
                        sequence,
                        ..had.clone()
                    },
                    _ => fresh,
                }
            })
            .collect()
    }

    fn entry(
        &self,
        ask: &AttachRequest,
        plan: &AttachPlan,
        puts: &[StoredAttachment],
    ) -> JournalEntry {
        JournalEntry {
            instance: Some(ask.instance),
            volumes: plan.grants.iter().map(|g| g.volume.clone()).collect(),
            steps: plan.steps.clone(),
            commit_at: plan.commit_at,
            puts: puts.to_vec(),
            marks: vec![StepMark::Waiting; plan.steps.len()],
            ..self.engine.new_entry(ask.request, JournalKind::Attach)
        }
    }
}

/// Space a step will take in the local pool.
fn promised(step: &Step) -> u64 {
    match step {
        Step::MakeCopy { size, metadata, .. } => size.0 + 2 * metadata.0,
        _ => 0,
    }
}
