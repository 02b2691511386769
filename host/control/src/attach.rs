//! Attach, from ask to answer: publish the intent, gather, decide, plan, journal, run.

use std::time::Duration;

use volward_model::{
    Access, Answer, AttachmentKey, Combined, DecisionRecord, InstanceId, Origin, Outcome, PoolName,
    Purpose, RequestId, Sharing, VolumeName, VolumeRef,
};
use volward_plan::attach::{Requester, attach};
use volward_plan::{
    AttachPlan, DiskForm, Grant, Refusal, RefusalCode, RequestedDisk, Standing, VolumeInput,
    standing,
};

use crate::attachment_table::intent;
use crate::error::ControlError;
use crate::in_flight::Cancellation;
use crate::node::Node;
use crate::ports::PortError;
use crate::volume_locks::VolumeGuard;
use gather::AttachContext;

mod execute;
mod gather;

/// What changes under the hands of an attach is decided anew, so often at most.
const ATTEMPTS: usize = 3;
/// Between two looks whether what is waited for is a write-back.
const LOCK_POLL: Duration = Duration::from_secs(2);
/// Between two looks at another node's intent.
const INTENT_PAUSE: Duration = Duration::from_millis(250);

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// Its number.
    pub request: RequestId,
    /// From the socket's peer credentials.
    pub origin: Origin,
    /// From the socket's peer credentials.
    pub caller_uid: u32,
    /// What for.
    pub purpose: Purpose,
    /// The virtual machine.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Free words for policies.
    pub hints: Vec<(String, String)>,
    /// All of these, or none.
    pub disks: Vec<DiskRequest>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Called off when nobody waits for it any more.
    pub cancellation: Cancellation,
}

/// One disk of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRequest {
    /// In which pool.
    pub pool: PoolName,
    /// Which volume.
    pub volume: VolumeName,
    /// Which device the guest opens.
    pub form: DiskForm,
    /// Wished.
    pub access: Access,
    /// Wished; `None`: shared for read-only access to a shareable volume, else exclusive.
    pub sharing: Option<Sharing>,
    /// Less will do.
    pub accept_narrowing: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachDone {
    /// Counts attach requests on this node; 0 for a dry run.
    pub sequence: u64,
    /// The disks, in the order asked for.
    pub grants: Vec<Grant>,
    /// The plan's steps, a line each.
    pub plan: Vec<String>,
    /// For people.
    pub notes: Vec<String>,
}

/// How one attempt ended.
enum Attempt {
    Done(AttachDone),
    /// Decide again; the sentence says what changed.
    Again(String),
    /// Decide again: another node has a lease, and may be about to give it up.
    Held(Refusal),
}

impl Node {
    /// Attaches all disks of an instance, or none.
    ///
    /// # Errors
    /// With the reason; whatever was begun has been taken back, unless it says quarantined.
    pub fn attach(&self, ask: &AttachRequest) -> Result<AttachDone, ControlError> {
        for disk in &ask.disks {
            self.managed(&disk.pool)?;
        }
        if ask.dry_run {
            let volumes = self.resolve(ask)?;
            let turn = self.lock_volumes(ask, &volumes)?;
            let outcome = self.dry_run(ask);
            drop(turn);
            return outcome;
        }
        let begun = self.in_flight.begin(ask);
        let outcome = self.attach_locked(ask);
        if let Err(error) = &outcome
            && !begun.is_on_record()
        {
            self.record_failure(ask, error);
        }
        drop(begun);
        outcome
    }

    fn attach_locked(&self, ask: &AttachRequest) -> Result<AttachDone, ControlError> {
        let volumes = self.resolve(ask)?;
        let turn = self.lock_volumes(ask, &volumes)?;
        let outcome = self.attempts(ask, &volumes);
        drop(turn);
        outcome
    }

    /// Waits until nobody else works on the volumes. A write-back does so to its end, which can
    /// take hours: whoever asks meanwhile is told so, as soon as the home says it.
    fn lock_volumes(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<VolumeGuard<'_>, ControlError> {
        let ids: Vec<_> = volumes.iter().map(|v| v.id).collect();
        let wait = self.settings.lock_wait;
        let looks = wait.as_millis().div_ceil(LOCK_POLL.as_millis()).max(1);
        let mut busy = None;
        for _ in 0..looks {
            still_wanted(ask)?;
            if volumes.iter().any(|v| self.is_returning(v.id)) {
                self.dry_run(ask)?;
            }
            match self.volume_locks.take(&ids, wait.min(LOCK_POLL)) {
                Ok(turn) => return Ok(turn),
                Err(volume) => busy = volumes.iter().find(|v| v.id == volume),
            }
        }
        Err(ControlError::Waiting {
            volume: busy.map(ToString::to_string).unwrap_or_default(),
            seconds: wait.as_secs(),
        })
    }

    /// Decides and plans; begins nothing, and is announced to nobody.
    fn dry_run(&self, ask: &AttachRequest) -> Result<AttachDone, ControlError> {
        let look = self.attach_context(ask)?;
        let decision = self.ports.policy.attach(&look.facts);
        let answer = answer_of(ask.request, &decision)?;
        let plan = self.plan(ask, &look, &answer)?;
        Ok(AttachDone {
            sequence: 0,
            plan: plan.steps.iter().map(|p| p.step.to_string()).collect(),
            grants: plan.grants,
            notes: plan.notes,
        })
    }

    fn attempts(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<AttachDone, ControlError> {
        let mut why = String::new();
        for attempt in 1..=ATTEMPTS {
            still_wanted(ask)?;
            match self.with_published_intents(ask, volumes)? {
                Attempt::Done(done) => return Ok(done),
                Attempt::Again(reason) => {
                    tracing::info!(request = %ask.request, %reason, "deciding again");
                    why = reason;
                }
                Attempt::Held(refusal) if attempt == ATTEMPTS => {
                    return Err(ControlError::Refused {
                        request: ask.request,
                        refusal,
                    });
                }
                Attempt::Held(refusal) => {
                    tracing::info!(request = %ask.request, reason = %refusal, "deciding again");
                    why = refusal.message;
                    self.ports.clock.sleep(INTENT_PAUSE);
                }
            }
        }
        let message = format!("it changed {ATTEMPTS} times while being attached: {why}; ask again");
        let volume = volumes.first().map(|v| v.id);
        let code = RefusalCode::KeepsChanging;
        let refusal = Refusal {
            code,
            volume,
            message,
            retry_after_ms: Some(5_000),
        };
        Err(ControlError::Refused {
            request: ask.request,
            refusal,
        })
    }

    /// One attempt between publishing the intent and taking it back.
    fn with_published_intents(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<Attempt, ControlError> {
        let key = |volume: &VolumeRef| AttachmentKey {
            volume: volume.id,
            instance: ask.instance,
        };
        let keys: Vec<AttachmentKey> = volumes.iter().map(key).collect();
        let mut pools: Vec<&PoolName> = volumes.iter().map(|v| &v.pool).collect();
        pools.sort();
        pools.dedup();
        let now = self.ports.clock.now_ms();
        {
            let mut attachment_table = self.attachment_table();
            for volume in volumes {
                let intent = intent(&self.settings.node, key(volume), now);
                attachment_table.intend(&volume.pool, intent);
            }
        }
        let announced = pools.iter().try_for_each(|pool| self.write_slot(pool));
        let outcome = match announced {
            Ok(()) => self.attempt(ask, volumes),
            Err(error) => Err(storage(ask.request, "announcing it in the registry", error)),
        };
        // After a success the intents have become attachments, and nothing is left to take back.
        let changed = self.attachment_table().drop_intents(&keys);
        for pool in changed {
            if let Err(error) = self.write_slot(&pool) {
                tracing::warn!(%pool, %error, "an intent is still shown to other nodes");
            }
        }
        outcome
    }

    fn attempt(&self, ask: &AttachRequest, volumes: &[VolumeRef]) -> Result<Attempt, ControlError> {
        let look = match self.await_contending_intents(ask)? {
            Ok(look) => look,
            Err(why) => return Ok(Attempt::Again(why)),
        };
        // VolumeGuard and intents are those of the volumes that had these names then (I12).
        let still = |then: &&VolumeRef| look.input.disks.iter().any(|now| now.volume() == *then);
        if let Some(volume) = volumes.iter().find(|then| !still(then)) {
            let message = format!("{volume} was replaced by another volume meanwhile; ask again");
            return Err(ControlError::NotFound(message));
        }
        let decision = self.ports.policy.attach(&look.facts);
        let planned =
            answer_of(ask.request, &decision).and_then(|answer| self.plan(ask, &look, &answer));
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                self.log(&decision, &error.outcome());
                return Err(error);
            }
        };
        let attempt = self.execute(ask, &plan, look.facts.now_ms);
        let outcome = match &attempt {
            Ok(Attempt::Done(_)) => Outcome::Done,
            Ok(Attempt::Again(why)) => Outcome::Failed {
                message: format!("decided again: {why}"),
            },
            Ok(Attempt::Held(refusal)) => Outcome::Failed {
                message: format!("decided again: {refusal}"),
            },
            Err(error) => error.outcome(),
        };
        self.log(&decision, &outcome);
        attempt
    }

    /// Looks; waits while a node with a lower host-id wants the same. The inner error says that
    /// it still does: withdraw, and ask again.
    fn await_contending_intents(
        &self,
        ask: &AttachRequest,
    ) -> Result<Result<AttachContext, String>, ControlError> {
        let look = self.attach_context(ask)?;
        let Standing::Yield { host_id, volume } = standing(look.own_host_id, volumes(&look)) else {
            return Ok(Ok(look));
        };
        // All withdrawn while waiting: others must not see an intent that does not go on.
        let key = |disk: &RequestedDisk| AttachmentKey {
            volume: disk.volume().id,
            instance: ask.instance,
        };
        let keys: Vec<AttachmentKey> = look.input.disks.iter().map(key).collect();
        // Bound first: in the loop's head the attachment table would stay locked through its body.
        let changed = self.attachment_table().drop_intents(&keys);
        for pool in changed {
            self.write_slot(&pool)
                .map_err(|e| storage(ask.request, "withdrawing", e))?;
        }
        let deadline = self.ports.clock.monotonic() + self.settings.intent_wait;
        while self.ports.clock.monotonic() < deadline {
            still_wanted(ask)?;
            self.ports.clock.sleep(INTENT_PAUSE);
            let look = self.attach_context(ask)?;
            if standing(look.own_host_id, volumes(&look)) == Standing::GoOn {
                break;
            }
        }
        Ok(Err(format!(
            "the node with host-id {host_id} wanted {volume} too"
        )))
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
        };
        attach(&look.input, requester, answer).map_err(|refusal| refuse(ask.request, refusal))
    }

    fn log(&self, decision: &DecisionRecord, outcome: &Outcome) {
        self.in_flight.on_record(decision.facts.request.id);
        if let Err(error) = self.ports.decisions.record(decision, outcome) {
            tracing::warn!(%error, "a decision is missing from the log");
        }
    }
}

fn answer_of(request: RequestId, decision: &DecisionRecord) -> Result<Answer, ControlError> {
    match &decision.combined {
        Combined::Granted(answer) => Ok(answer.clone()),
        Combined::Denied(denials) => Err(ControlError::Denied {
            request,
            denials: denials.clone(),
        }),
        Combined::Faulted(faults) => Err(ControlError::Faulted {
            request,
            faults: faults.clone(),
        }),
        Combined::Advised(_) => Err(refuse(request, Refusal::no_attach_answer())),
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

pub(crate) fn refuse(request: RequestId, refusal: Refusal) -> ControlError {
    ControlError::Refused { request, refusal }
}

pub(crate) fn storage(request: RequestId, what: &str, error: PortError) -> ControlError {
    ControlError::Storage {
        request,
        what: what.to_owned(),
        error,
    }
}
