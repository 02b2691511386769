//! Attach, from ask to answer: publish the intent, gather, decide, plan, journal, run.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use volward_model::{Answer, DecisionRecord, MigrationNonce, Outcome, Purpose, VolumeRef};
use volward_plan::attach::{Requester, attach};
use volward_plan::witness::{Verdict, weigh};
use volward_plan::{AttachPlan, Refusal, VolumeInput};

use crate::copies::Copies;
use crate::engine::{Engine, StepFailure};
use crate::error::{ControlError, granted, refuse, storage, unfinished};
use crate::observe::{Observer, unexplained};
use crate::ports::{
    Activation, Clock, Decisions, Event, Events, Journal, Leases, Machine, Marks, Policy,
};
use crate::settings::{Settings, needs};
use crate::state::State;
use contention::INTENT_PAUSE;
use gather::AttachContext;

mod contention;
mod decision;
mod execute;
mod gather;
mod leases;
mod request;
mod turns;

use decision::silent_holder;

pub use request::{AttachDone, AttachRequest, DiskRequest};

/// What changes under the hands of an attach is decided anew, so often at most. What other nodes
/// want at the same time does not count as such a change: it resolves itself, and has its own
/// limit in time ([`CONTENTION_WAITS`]).
const ATTEMPTS: usize = 3;
/// Contention for a volume lasts that many waits for an intent at most: one for a node that goes
/// first, and one for the next.
const CONTENTION_WAITS: u32 = 2;

/// How one attempt ended.
enum Attempt {
    Done(AttachDone),
    /// Decide again; the sentence says what changed.
    Changed(String),
    /// Decide again; the sentence says which other node wants the same.
    Contended(String),
    /// Decide again: another node has a lease, and may be about to give it up.
    Held(Refusal),
}

needs!(AttachPorts {
    activation: Activation,
    leases: Leases,
    policy: Policy,
    decisions: Decisions,
    marks: Marks,
    journal: Journal,
    machine: Machine,
    clock: Clock,
    events: Events,
});

/// Attach: gather, decide, plan, run.
pub(crate) struct Attach {
    pub(crate) ports: AttachPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) copies: Arc<Copies>,
}

impl Attach {
    /// Attaches all disks of an instance, or none.
    ///
    /// # Errors
    /// With the reason; whatever was begun has been taken back, unless it says quarantined.
    pub(crate) fn attach(&self, ask: &AttachRequest) -> Result<AttachDone, ControlError> {
        for disk in &ask.disks {
            self.observer.managed(&disk.pool)?;
        }
        if ask.dry_run {
            self.leases_must_be_sound(ask)?;
            let volumes = self.resolve(ask)?;
            let guard = self.lock_volumes(ask, &volumes)?;
            self.must_be_finished(&volumes)?;
            let outcome = self.dry_run(ask);
            drop(guard);
            return outcome;
        }
        let wanted = ask.wanted(self.ports.clock.now_ms());
        let begun = self
            .state
            .in_flight
            .begin(ask.request, wanted, &ask.cancellation);
        let outcome = self.attach_locked(ask);
        if let Err(error) = &outcome
            && !begun.is_on_record()
        {
            self.record_failure(ask, error);
        }
        if let Err(error) = &outcome {
            self.tell_refused(ask, error);
        }
        drop(begun);
        outcome
    }

    fn attach_locked(&self, ask: &AttachRequest) -> Result<AttachDone, ControlError> {
        self.leases_must_be_sound(ask)?;
        let volumes = self.resolve(ask)?;
        let guard = self.lock_volumes(ask, &volumes)?;
        self.settle_owed(&volumes);
        self.must_be_finished(&volumes)?;
        self.must_not_be_fenced(ask, &volumes)?;
        let turn = self.instance_turn(ask)?;
        let outcome = self.attempts(ask, &volumes);
        drop(turn);
        drop(guard);
        outcome
    }

    /// What failed for now on the volumes is tried at once: whoever asks waits for it. They are
    /// locked.
    fn settle_owed(&self, volumes: &[VolumeRef]) {
        let ids: Vec<_> = volumes.iter().map(|v| v.id).collect();
        let owed = self.state.owed().touching(&ids);
        for id in owed {
            let others = self.state.owed().get(id).map(|owed| owed.volumes());
            let mut others = others.unwrap_or_default();
            others.retain(|volume| !ids.contains(volume));
            // Whoever works on these goes first.
            let Ok(guard) = self.state.volume_locks.take(&others, Duration::ZERO) else {
                continue;
            };
            self.copies
                .start_write_backs(self.engine.try_again(id).due());
            drop(guard);
        }
    }

    /// Nothing is decided on a volume that an earlier request has not finished with.
    fn must_be_finished(&self, volumes: &[VolumeRef]) -> Result<(), ControlError> {
        let ids: Vec<_> = volumes.iter().map(|v| v.id).collect();
        let owed = self.state.owed();
        let first = owed.touching(&ids).first().and_then(|id| owed.get(*id));
        first.map_or(Ok(()), |owed| Err(unfinished(&owed)))
    }

    /// Decides and plans; begins nothing, and is announced to nobody.
    pub(super) fn dry_run(&self, ask: &AttachRequest) -> Result<AttachDone, ControlError> {
        let look = self.attach_context(ask)?;
        self.must_be_explained(ask, &look)?;
        let decision = self.ports.policy.attach(&look.facts);
        let plan = self.decided(ask, &look, &decision)?;
        self.may_come(ask, &look, &plan)?;
        Ok(AttachDone {
            sequence: 0,
            plan: plan.steps.iter().map(|p| p.step.to_string()).collect(),
            grants: plan.grants,
            notes: plan.notes,
        })
    }

    /// The plan of what was granted; who is in the way, where something is.
    fn decided(
        &self,
        ask: &AttachRequest,
        look: &AttachContext,
        decision: &DecisionRecord,
    ) -> Result<AttachPlan, ControlError> {
        let planned =
            granted(ask.request, decision).and_then(|answer| self.plan(ask, look, &answer));
        planned.map_err(|error| error.because_of(silent_holder(look)))
    }

    fn attempts(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<AttachDone, ControlError> {
        let contended_until =
            self.ports.clock.monotonic() + self.settings.intent_wait * CONTENTION_WAITS;
        let in_time = || self.ports.clock.monotonic() < contended_until;
        let (mut tried, mut changes) = (0, 0);
        loop {
            still_wanted(ask)?;
            tried += 1;
            let (why, again) = match self.with_published_intents(ask, volumes)? {
                Attempt::Done(done) => return Ok(done),
                Attempt::Changed(why) => {
                    changes += 1;
                    (why, changes < ATTEMPTS)
                }
                Attempt::Contended(why) => (why, in_time()),
                Attempt::Held(refusal) => {
                    changes += 1;
                    // Whoever has the lease may be about to attach, and to say for whom.
                    let again = changes < ATTEMPTS || (in_time() && self.is_contended(ask)?);
                    if !again {
                        return Err(refuse(ask.request, refusal));
                    }
                    self.ports.clock.sleep(INTENT_PAUSE);
                    (refusal.message, again)
                }
            };
            if !again {
                let refusal = Refusal::keeps_changing(volumes.first(), tried, &why);
                return Err(refuse(ask.request, refusal));
            }
            let request = ask.request;
            let reason = why;
            self.ports
                .events
                .tell(&Event::DecidedAgain { request, reason });
        }
    }

    fn attempt(&self, ask: &AttachRequest, volumes: &[VolumeRef]) -> Result<Attempt, ControlError> {
        let look = match self.await_contending_intents(ask)? {
            Ok(look) => look,
            Err(why) => return Ok(Attempt::Contended(why)),
        };
        // Before anything is removed, too: another volume of that name is not locked.
        are_locked(volumes, &look)?;
        let look = match self.clear_leftovers(ask, &look)? {
            true => self.attach_context(ask)?,
            false => look,
        };
        are_locked(volumes, &look)?;
        self.must_be_explained(ask, &look)?;
        let decision = self.ports.policy.attach(&look.facts);
        let plan = match self.decided(ask, &look, &decision) {
            Ok(plan) => plan,
            Err(error) => {
                self.log(&decision, &error.outcome());
                return Err(error);
            }
        };
        self.may_come(ask, &look, &plan)?;
        self.put_on_record(&decision)?;
        let attempt = self.execute(ask, &plan, look.facts.now_ms);
        let outcome = match &attempt {
            Ok(Attempt::Done(_)) => Outcome::Done,
            Ok(Attempt::Changed(why) | Attempt::Contended(why)) => Outcome::Failed {
                message: format!("decided again: {why}"),
            },
            Ok(Attempt::Held(refusal)) => Outcome::Failed {
                message: format!("decided again: {refusal}"),
            },
            Err(error) => error.outcome(),
        };
        if let Err(error) = self.ports.decisions.end(ask.request, &outcome) {
            self.tell_unrecorded("the outcome", ask.request, &error);
        }
        attempt
    }

    /// Removes what an ended write-back left of a copy: a new copy must not stand on it. The volume
    /// is locked, so nobody else does so now. Says whether there was anything.
    fn clear_leftovers(
        &self,
        ask: &AttachRequest,
        look: &AttachContext,
    ) -> Result<bool, ControlError> {
        let node = &self.settings.node;
        let mut cleared = false;
        for disk in &look.input.disks {
            if weigh(node, &disk.home, &disk.input) == Verdict::Leftovers {
                self.copies
                    .clear_away(&disk.input)
                    .map_err(|broken| self.clearing_failed(ask, disk.volume(), &broken))?;
                cleared = true;
            }
        }
        Ok(cleared)
    }

    /// A lease that was here before this daemon, and that no record explains, has a holder.
    fn must_be_explained(
        &self,
        ask: &AttachRequest,
        look: &AttachContext,
    ) -> Result<(), ControlError> {
        let unexplained_one = |seen: &&VolumeInput| {
            let volume = seen.info.volume.id;
            self.state.is_unexplained(volume, seen.lease.is_some())
        };
        match volumes(look).find(unexplained_one) {
            Some(seen) => {
                let why = [unexplained(&seen.info.volume)];
                Err(refuse(ask.request, Refusal::contradiction(seen, &why)))
            }
            None => Ok(()),
        }
    }

    fn clearing_failed(
        &self,
        ask: &AttachRequest,
        volume: &VolumeRef,
        broken: &StepFailure,
    ) -> ControlError {
        let cause = broken.error.cause(&broken.what);
        tracing::warn!(%volume, %cause, "what is left of a copy cannot be removed");
        refuse(ask.request, Refusal::leftovers(volume, &cause))
    }

    fn plan(
        &self,
        ask: &AttachRequest,
        look: &AttachContext,
        answer: &Answer,
    ) -> Result<AttachPlan, ControlError> {
        let requester = Requester {
            instance: ask.instance,
            own_host_id: look.own_host_id,
            now_ms: look.facts.now_ms,
            // Good once: of each plan another.
            arrives: (ask.purpose == Purpose::MigrationIn).then(|| MigrationNonce(Uuid::new_v4())),
        };
        let mut plan = attach(&look.input, requester, answer)
            .map_err(|refusal| refuse(ask.request, refusal))?;
        if ask.purpose == Purpose::Restore {
            let last = self.state.last_uses();
            plan.restores(|volume| last.get(volume, ask.instance).cloned());
        }
        Ok(plan)
    }
}

/// Lock and intents are those of the volumes that had these names then (I12).
fn are_locked(locked: &[VolumeRef], look: &AttachContext) -> Result<(), ControlError> {
    let still = |then: &&VolumeRef| look.input.disks.iter().any(|now| now.volume() == *then);
    match locked.iter().find(|then| !still(then)) {
        Some(volume) => Err(ControlError::NotFound(format!(
            "{volume} was replaced by another volume meanwhile; ask again"
        ))),
        None => Ok(()),
    }
}

fn volumes(context: &AttachContext) -> impl Iterator<Item = &VolumeInput> {
    context.input.disks.iter().map(|disk| &disk.input)
}

fn still_wanted(ask: &AttachRequest) -> Result<(), ControlError> {
    match ask.cancellation.is_cancelled() {
        true => Err(ControlError::Cancelled {
            request: ask.request,
        }),
        false => Ok(()),
    }
}
