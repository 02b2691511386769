//! What is special about an attach that is executed: its attachments, the start mark, and what a
//! failure means to whoever asked. The engine does the rest.

use volward_model::{Access, AttachmentState, Claim, Outcome};
use volward_plan::{AttachPlan, DiskForm, Grant, Precedence, Refusal, precedence};

use super::{Attach, AttachDone, AttachRequest, Attempt, DiskRequest, refuse, storage, volumes};
use crate::engine::{ExecuteError, StepError, StepFailure};
use crate::error::{ControlError, granted};
use crate::ports::{Event, Finish, JournalState, Marked, Migration, Operation, StoredAttachment};

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
        let operation = Operation::Attach {
            instance: ask.instance,
            steps: Marked::waiting(plan.steps.iter().cloned()),
            commit_at: plan.commit_at,
            puts: self.future_attachments(ask, plan, sequence, now_ms),
        };
        let entry = self.engine.new_entry(ask.request, operation);
        let begun = self.engine.begin(&entry).map_err(state)?;
        self.ports.marks.announce(ask.instance, sequence);
        self.state.in_flight.number(ask.request, sequence);
        let still_granted = || self.is_granted_again(ask, plan);
        match self
            .engine
            .execute(begun, &ask.cancellation, &still_granted)
        {
            // No write-back follows from an attach.
            Ok(_) => {
                self.note_use(ask, plan);
                self.copies.watch_all(plan);
                self.await_paths(plan);
                Ok(Attempt::Done(AttachDone {
                    sequence,
                    grants: plan.grants.clone(),
                    plan: Vec::new(),
                    notes: plan.notes.clone(),
                }))
            }
            Err(ExecuteError::Undone(failure)) => undone(ask, failure),
            Err(ExecuteError::Owed { causes }) => Err(ControlError::Owed {
                request: ask.request,
                causes,
            }),
            Err(ExecuteError::Quarantined { causes, .. }) => Err(ControlError::Quarantined {
                request: ask.request,
                causes,
            }),
        }
    }

    /// What an instance has now is its last use.
    fn note_use(&self, ask: &AttachRequest, plan: &AttachPlan) {
        let mut last = self.state.last_uses();
        for grant in &plan.grants {
            let writes = grant.access == Access::ReadWrite;
            last.comes(grant.volume.id, ask.instance, writes);
        }
    }

    /// A disk given as the LV itself is opened by LVM's path.
    fn await_paths(&self, plan: &AttachPlan) {
        let lvs = plan
            .grants
            .iter()
            .filter(|grant| grant.form == DiskForm::Lv);
        let lvs: Vec<_> = lvs.map(|grant| grant.volume.clone()).collect();
        if let Err(error) = self.ports.activation.await_paths(&lvs) {
            // Attached it is: whoever opens it finds out, and may try again.
            self.ports.events.tell(&Event::Trouble {
                what: "waiting for the paths of what was attached".to_owned(),
                reason: error.to_string(),
            });
        }
    }

    /// Decides again, under the lease, with the attachments that other nodes have now: others that
    /// come and go cost nothing where the same is granted beside them. The decision is kept: it is
    /// the one that the attachments stand on.
    fn is_granted_again(&self, ask: &AttachRequest, plan: &AttachPlan) -> bool {
        let Ok(look) = self.attach_context(ask) else {
            return false;
        };
        // Another node that goes first is waited for, without the lease.
        if precedence(look.own_host_id, volumes(&look)) != Precedence::GoOn {
            return false;
        }
        let decision = self.ports.policy.attach(&look.facts);
        let same = granted(ask.request, &decision)
            .and_then(|answer| self.plan(ask, &look, &answer))
            .is_ok_and(|now| now.grants == plan.grants);
        same && self.replaces_the_decision(ask, &decision)
    }

    /// What came to nothing before it was decided: `explain` must know the request all the same.
    pub(super) fn record_failure(&self, ask: &AttachRequest, error: &ControlError) {
        let unplanned = Operation::Attach {
            instance: ask.instance,
            steps: Vec::new(),
            commit_at: 0,
            puts: Vec::new(),
        };
        let entry = self.engine.new_entry(ask.request, unplanned);
        let end = Finish {
            causes: vec![error.to_string()],
            ..Finish::new(JournalState::Undone)
        };
        let recorded = self
            .ports
            .journal
            .begin(&entry)
            .and_then(|id| self.ports.journal.finish(id, &end));
        if let Err(error) = recorded {
            self.ports.events.tell(&Event::Unrecorded {
                what: format!("request {}, which `explain` will not know", ask.request),
                reason: error.to_string(),
            });
        }
    }

    /// Tells that a request ended without attachments.
    pub(super) fn tell_refused(&self, ask: &AttachRequest, error: &ControlError) {
        let (code, reason) = match error.outcome() {
            Outcome::Done | Outcome::Begun => return,
            Outcome::Refused { code, message } => (code, message),
            Outcome::Failed { message } | Outcome::Interrupted { message } => {
                ("failed".to_owned(), message)
            }
        };
        self.ports.events.tell(&Event::Refused {
            request: ask.request,
            instance: ask.instance,
            code,
            reason,
        });
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
                    asked: asked_access(ask, grant),
                    claims: [Claim::from(&ask.origin)].into(),
                    copy: grant.copy,
                    since_ms,
                    sequence,
                    boot_id: boot_id.clone(),
                    state: AttachmentState::Attached,
                    causes: Vec::new(),
                    migration: grant
                        .source
                        .clone()
                        .map(|from| Migration::Arriving { from }),
                };
                // Asked for again: the same attachment, of a newer request.
                let had = attachment_table
                    .of_instance(ask.instance)
                    .find(|a| a.key() == fresh.key());
                match had {
                    Some(had) if grant.already => StoredAttachment {
                        sequence,
                        claims: had.claims.union(&fresh.claims).copied().collect(),
                        ..had.clone()
                    },
                    _ => fresh,
                }
            })
            .collect()
    }
}

/// What was asked for a disk, of which a policy may grant less.
fn asked_access(ask: &AttachRequest, grant: &Grant) -> Access {
    let named =
        |disk: &&DiskRequest| disk.pool == grant.volume.pool && disk.volume == grant.volume.name;
    let disk = ask.disks.iter().find(named);
    disk.map_or(grant.access, |disk| disk.access)
}

/// How an attempt ends that was undone.
fn undone(ask: &AttachRequest, failure: StepFailure) -> Result<Attempt, ControlError> {
    let request = ask.request;
    match failure.error {
        StepError::Changed(why) => Ok(Attempt::Changed(why)),
        StepError::Contended(why) => Ok(Attempt::Contended(why)),
        StepError::Held(refusal) => Ok(Attempt::Held(refusal)),
        StepError::Refused(refusal) => Err(refuse(request, refusal)),
        StepError::Port(error) => Err(storage(request, &failure.what, error)),
        StepError::Cancelled => Err(ControlError::Cancelled { request }),
        StepError::Stopping => Err(refuse(request, Refusal::stopping())),
    }
}
