//! Attach, from ask to answer: publish the intent, gather, decide, plan, journal, run.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use volward_model::{
    Access, Answer, AttachmentKey, AttachmentState, Combined, DecisionRecord, DiskFacts, Facts,
    InstanceId, Origin, PoolName, Purpose, RequestFacts, RequestId, Sharing, VolumeName, VolumeRef,
};
use volward_plan::attach::{Requester, attach};
use volward_plan::{
    AttachPlan, DiskForm, Grant, Refusal, RefusalCode, Situation, Standing, Step, VolumeSituation,
    Watchdog, Wish, standing,
};

use crate::error::ControlError;
use crate::execute::{Broken, Run, StepError};
use crate::node::Node;
use crate::observe::{PoolSight, find};
use crate::ports::{
    Finish, JournalEntry, JournalKind, JournalState, PortError, StepMark, StoredAttachment,
};
use crate::roster::intent;

/// What changes under the hands of an attach is decided anew, so often at most.
const ATTEMPTS: usize = 3;
/// Between two looks at another node's intent.
const INTENT_PAUSE: Duration = Duration::from_millis(250);

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachAsk {
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
    pub disks: Vec<DiskAsk>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// One disk of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskAsk {
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

/// One look at everything a request needs.
struct Look {
    volumes: Vec<VolumeSituation>,
    own_host_id: u64,
    facts: Facts,
    situation: Situation,
    wishes: Vec<Wish>,
}

/// How one attempt ended.
enum Attempt {
    Done(AttachDone),
    /// Decide again; the sentence says what changed.
    Again(String),
}

impl Node {
    /// Attaches all disks of an instance, or none.
    ///
    /// # Errors
    /// With the reason; whatever was begun has been taken back, unless it says quarantined.
    pub fn attach(&self, ask: &AttachAsk) -> Result<AttachDone, ControlError> {
        for disk in &ask.disks {
            self.managed(&disk.pool)?;
        }
        let volumes = self.resolve(ask)?;
        let ids: Vec<_> = volumes.iter().map(|v| v.id).collect();
        if volumes.iter().any(|v| self.is_returning(v.id)) {
            // A write-back keeps its turn to the end; whoever asks meanwhile is told at once.
            self.rehearse(ask)?;
        }
        let wait = self.settings.wait_for_turn;
        let turn = self.queue.take(&ids, wait).map_err(|busy| {
            let name = volumes
                .iter()
                .find(|v| v.id == busy)
                .map(ToString::to_string);
            ControlError::Waiting {
                volume: name.unwrap_or_else(|| busy.to_string()),
                seconds: wait.as_secs(),
            }
        })?;
        let outcome = if ask.dry_run {
            self.rehearse(ask)
        } else {
            self.attempts(ask, &volumes)
        };
        drop(turn);
        outcome
    }

    /// Decides and plans; begins nothing, and is announced to nobody.
    fn rehearse(&self, ask: &AttachAsk) -> Result<AttachDone, ControlError> {
        let look = self.look_for(ask)?;
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

    fn attempts(&self, ask: &AttachAsk, volumes: &[VolumeRef]) -> Result<AttachDone, ControlError> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            match self.announced(ask, volumes)? {
                Attempt::Done(done) => return Ok(done),
                Attempt::Again(reason) => {
                    tracing::info!(request = %ask.request, %reason, "deciding again");
                    why = reason;
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
    fn announced(&self, ask: &AttachAsk, volumes: &[VolumeRef]) -> Result<Attempt, ControlError> {
        let keys: Vec<AttachmentKey> = volumes
            .iter()
            .map(|v| AttachmentKey {
                volume: v.id,
                instance: ask.instance,
            })
            .collect();
        let mut pools: Vec<&PoolName> = volumes.iter().map(|v| &v.pool).collect();
        pools.sort();
        pools.dedup();
        let now = self.ports.clock.now_ms();
        {
            let mut roster = self.roster();
            for (volume, key) in volumes.iter().zip(&keys) {
                roster.intend(&volume.pool, intent(&self.settings.node, *key, now));
            }
        }
        let announced = pools.iter().try_for_each(|pool| self.write_slot(pool));
        let outcome = match announced {
            Ok(()) => self.attempt(ask),
            Err(error) => Err(storage(ask.request, "announcing it in the registry", error)),
        };
        // After a success the intents have become attachments, and nothing is left to take back.
        let changed = self.roster().drop_intents(&keys);
        for pool in changed {
            if let Err(error) = self.write_slot(&pool) {
                tracing::warn!(%pool, %error, "an intent is still shown to other nodes");
            }
        }
        outcome
    }

    fn attempt(&self, ask: &AttachAsk) -> Result<Attempt, ControlError> {
        let look = match self.settled(ask)? {
            Ok(look) => look,
            Err(why) => return Ok(Attempt::Again(why)),
        };
        let decision = self.ports.policy.attach(&look.facts);
        let planned =
            answer_of(ask.request, &decision).and_then(|answer| self.plan(ask, &look, &answer));
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                self.log(&decision, &error.to_string());
                return Err(error);
            }
        };
        let outcome = self.carry_out(ask, &plan);
        let said = match &outcome {
            Ok(Attempt::Done(_)) => "attached".to_owned(),
            Ok(Attempt::Again(why)) => format!("decided again: {why}"),
            Err(error) => error.to_string(),
        };
        self.log(&decision, &said);
        outcome
    }

    /// Looks; waits while a node with a lower host-id wants the same. The inner error says that
    /// it still does: withdraw, and ask again.
    fn settled(&self, ask: &AttachAsk) -> Result<Result<Look, String>, ControlError> {
        let look = self.look_for(ask)?;
        let Standing::Yield { host_id, volume } = standing(look.own_host_id, &look.volumes) else {
            return Ok(Ok(look));
        };
        // Withdrawn while waiting: the other must not see an intent that does not go on.
        let key = AttachmentKey {
            volume: volume.id,
            instance: ask.instance,
        };
        for pool in self.roster().drop_intents(&[key]) {
            self.write_slot(&pool)
                .map_err(|e| storage(ask.request, "withdrawing", e))?;
        }
        let deadline = self.ports.clock.monotonic() + self.settings.wait_for_intent;
        while self.ports.clock.monotonic() < deadline {
            self.ports.clock.sleep(INTENT_PAUSE);
            let look = self.look_for(ask)?;
            if standing(look.own_host_id, &look.volumes) == Standing::GoOn {
                break;
            }
        }
        Ok(Err(format!(
            "the node with host-id {host_id} wanted {volume} too"
        )))
    }

    /// The volumes asked for, by name, as they are now.
    fn resolve(&self, ask: &AttachAsk) -> Result<Vec<VolumeRef>, ControlError> {
        let mut pools: BTreeMap<&PoolName, volward_model::PoolInfo> = BTreeMap::new();
        let mut volumes = Vec::new();
        for disk in &ask.disks {
            if !pools.contains_key(&disk.pool) {
                let info = self.ports.volumes.pool(&disk.pool);
                let info = info.map_err(|e| storage(ask.request, "reading the pool", e))?;
                pools.insert(&disk.pool, info);
            }
            let info = pools[&disk.pool].named(&disk.volume).ok_or_else(|| {
                ControlError::NotFound(format!(
                    "there is no volume {} in pool {}",
                    disk.volume, disk.pool
                ))
            })?;
            volumes.push(info.volume.clone());
        }
        Ok(volumes)
    }

    fn look_for(&self, ask: &AttachAsk) -> Result<Look, ControlError> {
        let failed = |error| storage(ask.request, "gathering the facts", error);
        let mut sights: BTreeMap<PoolName, PoolSight> = BTreeMap::new();
        let held: Vec<StoredAttachment> = self
            .roster()
            .of_instance(ask.instance)
            .filter(|a| {
                !ask.disks
                    .iter()
                    .any(|d| d.pool == a.volume.pool && d.volume == a.volume.name)
            })
            .cloned()
            .collect();
        let wanted = ask
            .disks
            .iter()
            .map(|d| &d.pool)
            .chain(held.iter().map(|a| &a.volume.pool));
        for pool in wanted {
            if !sights.contains_key(pool) {
                sights.insert(pool.clone(), self.look(pool).map_err(failed)?);
            }
        }
        let (mut volumes, mut disks, mut wishes) = (Vec::new(), Vec::new(), Vec::new());
        for disk in &ask.disks {
            let sight = &sights[&disk.pool];
            let info = find(sight, &disk.volume)?;
            let seen = self.volume_situation(sight, info).map_err(failed)?;
            let wish = resolve_wish(disk, &seen);
            disks.push(self.facts_or_refusal(ask, &seen, &wish)?);
            volumes.push(seen);
            wishes.push(wish);
        }
        let held = self
            .held_facts(ask.instance, &held, &sights)
            .map_err(failed)?;
        let local = self.local_pool().map_err(failed)?;
        let facts = Facts {
            request: RequestFacts {
                id: ask.request,
                origin: ask.origin.clone(),
                caller_uid: ask.caller_uid,
                purpose: ask.purpose.clone(),
                instance: ask.instance,
                instance_name: ask.instance_name.clone(),
                hints: ask.hints.clone(),
            },
            node: self.node_facts(local.as_ref()),
            peer: None,
            disks,
            held,
            now_ms: self.ports.clock.now_ms(),
            utc_offset_minutes: self.ports.clock.utc_offset_minutes(),
        };
        let situation = Situation {
            node: self.settings.node.clone(),
            local,
            watchdog: self.watchdog().map_err(failed)?,
            clone_unfit: self.ports.machine.dm_clone_unfit(),
            volumes: volumes.clone(),
        };
        let own_host_id = sights.values().next().map_or(0, |s| s.own.host_id);
        Ok(Look {
            volumes,
            own_host_id,
            facts,
            situation,
            wishes,
        })
    }

    /// A home nobody can read has no facts: that is a refusal with a code of its own.
    fn facts_or_refusal(
        &self,
        ask: &AttachAsk,
        seen: &VolumeSituation,
        wish: &Wish,
    ) -> Result<DiskFacts, ControlError> {
        let asked = (wish.sharing, wish.access);
        self.disk_facts(seen, ask.instance, asked).map_err(|error| {
            let refusal = Refusal {
                code: RefusalCode::HomeUnreadable,
                volume: Some(wish.volume),
                message: format!("{error}; nobody knows where its data is: mend the tag by hand"),
                retry_after_ms: None,
            };
            ControlError::Refused {
                request: ask.request,
                refusal,
            }
        })
    }

    fn held_facts(
        &self,
        instance: InstanceId,
        held: &[StoredAttachment],
        sights: &BTreeMap<PoolName, PoolSight>,
    ) -> Result<Vec<DiskFacts>, PortError> {
        let mut facts = Vec::new();
        for attachment in held {
            let sight = &sights[&attachment.volume.pool];
            // A volume that vanished under its attachment is nothing a policy can judge by.
            let Some(info) = sight.info.volume(attachment.volume.id) else {
                continue;
            };
            let seen = self.volume_situation(sight, info)?;
            let asked = (attachment.sharing, attachment.access);
            facts.push(self.disk_facts(&seen, instance, asked)?);
        }
        Ok(facts)
    }

    fn watchdog(&self) -> Result<Watchdog, PortError> {
        Ok(
            match (
                self.ports.leases.watchdog_armed()?,
                self.settings.lab_without_watchdog,
            ) {
                (true, _) => Watchdog::Armed,
                (false, true) => Watchdog::MissingInLab,
                (false, false) => Watchdog::Missing,
            },
        )
    }

    fn plan(
        &self,
        ask: &AttachAsk,
        look: &Look,
        answer: &Answer,
    ) -> Result<AttachPlan, ControlError> {
        let who = Requester {
            instance: ask.instance,
            own_host_id: look.own_host_id,
            now_ms: look.facts.now_ms,
        };
        attach(&look.situation, who, &look.wishes, answer).map_err(|refusal| {
            ControlError::Refused {
                request: ask.request,
                refusal,
            }
        })
    }

    /// Journals and runs a plan.
    fn carry_out(&self, ask: &AttachAsk, plan: &AttachPlan) -> Result<Attempt, ControlError> {
        let state = |error| ControlError::State { error };
        let sequence = self.ports.journal.next_sequence().map_err(state)?;
        let puts = self.future_attachments(ask, plan, sequence);
        let entry = self.entry(ask, plan, &puts);
        let id = self.ports.journal.begin(&entry).map_err(state)?;
        let run = Run {
            entry: Some(id),
            kind: JournalKind::Attach,
        };
        let promise: u64 = plan.steps.iter().map(|p| promised(&p.step)).sum();
        self.promised.fetch_add(promise, Ordering::SeqCst);
        let ran = self.run(run, plan.steps.iter().map(|p| &p.step), 0);
        self.promised.fetch_sub(promise, Ordering::SeqCst);
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
                        self.roster().put(puts);
                        self.tend_copies(plan);
                        return Ok(Attempt::Done(AttachDone {
                            sequence,
                            grants: plan.grants.clone(),
                            plan: Vec::new(),
                            notes: plan.notes.clone(),
                        }));
                    }
                    // What cannot be remembered must not be left behind.
                    Err(error) => Broken {
                        at: plan.steps.len().saturating_sub(1),
                        what: "recording the attachment".into(),
                        error: StepError::Port(error),
                    },
                }
            }
            Err(broken) => broken,
        };
        self.take_back(ask, plan, id, &puts, broken)
    }

    /// Undoes a broken plan, and says how the attempt ends.
    fn take_back(
        &self,
        ask: &AttachAsk,
        plan: &AttachPlan,
        id: u64,
        puts: &[StoredAttachment],
        broken: Broken,
    ) -> Result<Attempt, ControlError> {
        let run = Run {
            entry: Some(id),
            kind: JournalKind::Attach,
        };
        let request = ask.request;
        let cause = match &broken.error {
            StepError::Port(error) => format!("{}: {error}", broken.what),
            StepError::Changed(why) => why.clone(),
            StepError::Refused(refusal) => refusal.message.clone(),
            StepError::Stopping => "the daemon is stopping".into(),
        };
        let undone = self.undo(run, &plan.steps[..=broken.at]);
        let mut causes = vec![cause];
        if let Err((what, error)) = undone {
            causes.push(format!("{what}: {error}"));
            self.quarantine(Some(id), puts, &causes);
            return Err(ControlError::Quarantined { request, causes });
        }
        let end = Finish {
            state: JournalState::Undone,
            causes: causes.clone(),
            put: Vec::new(),
            remove: Vec::new(),
            follow: Vec::new(),
        };
        if let Err(error) = self.ports.journal.finish(id, &end) {
            // Recovery will undo it once more, which changes nothing.
            tracing::warn!(%error, "cannot record that an attach was undone");
        }
        match broken.error {
            StepError::Changed(why) => Ok(Attempt::Again(why)),
            StepError::Refused(refusal) => Err(ControlError::Refused { request, refusal }),
            StepError::Port(error) => Err(ControlError::Storage {
                request,
                what: broken.what,
                error,
            }),
            StepError::Stopping => {
                let error = PortError::Refused("the daemon is stopping; ask again".into());
                Err(ControlError::Storage {
                    request,
                    what: broken.what,
                    error,
                })
            }
        }
    }

    /// Remembers what could neither be finished nor taken back, with its causes.
    pub(crate) fn quarantine(
        &self,
        entry: Option<u64>,
        attachments: &[StoredAttachment],
        causes: &[String],
    ) {
        let kept: Vec<StoredAttachment> = attachments
            .iter()
            .cloned()
            .map(|mut a| {
                a.state = AttachmentState::Quarantined;
                a.causes = causes.to_vec();
                a
            })
            .collect();
        tracing::error!(?causes, "quarantined");
        let written = match entry {
            Some(entry) => {
                let end = Finish {
                    state: JournalState::Quarantined,
                    causes: causes.to_vec(),
                    put: kept.clone(),
                    remove: Vec::new(),
                    follow: Vec::new(),
                };
                self.ports.journal.finish(entry, &end).map(|_| ())
            }
            None => self.ports.journal.change_attachments(&kept, &[]),
        };
        if let Err(error) = written {
            tracing::error!(%error, "a quarantine is remembered only until the daemon ends");
        }
        let pools: std::collections::BTreeSet<PoolName> =
            kept.iter().map(|a| a.volume.pool.clone()).collect();
        self.roster().put(kept);
        for pool in pools {
            if let Err(error) = self.write_slot(&pool) {
                tracing::warn!(%pool, %error, "other nodes do not see a quarantine");
            }
        }
    }

    fn future_attachments(
        &self,
        ask: &AttachAsk,
        plan: &AttachPlan,
        sequence: u64,
    ) -> Vec<StoredAttachment> {
        let now = self.ports.clock.now_ms();
        let boot_id = self.ports.machine.boot_id();
        let roster = self.roster();
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
                    since_ms: now,
                    sequence,
                    boot_id: boot_id.clone(),
                    state: AttachmentState::Attached,
                    causes: Vec::new(),
                };
                // Asked for again: the same attachment, of a newer request.
                let had = roster
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

    fn entry(&self, ask: &AttachAsk, plan: &AttachPlan, puts: &[StoredAttachment]) -> JournalEntry {
        JournalEntry {
            id: 0,
            request: ask.request,
            kind: JournalKind::Attach,
            boot_id: self.ports.machine.boot_id(),
            started_ms: self.ports.clock.now_ms(),
            instance: Some(ask.instance),
            volumes: plan.grants.iter().map(|g| g.volume.clone()).collect(),
            steps: plan.steps.clone(),
            commit_at: plan.commit_at,
            puts: puts.to_vec(),
            removes: Vec::new(),
            write_back: Vec::new(),
            state: JournalState::Open,
            marks: vec![StepMark::Waiting; plan.steps.len()],
            causes: Vec::new(),
        }
    }

    fn log(&self, decision: &DecisionRecord, outcome: &str) {
        if let Err(error) = self.ports.decisions.record(decision, outcome) {
            tracing::warn!(%error, "a decision is missing from the log");
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

/// Read-only access to a shareable volume is shared unless somebody says otherwise; everything
/// else exclusive.
fn resolve_wish(disk: &DiskAsk, seen: &VolumeSituation) -> Wish {
    let shared = disk.access == Access::ReadOnly && seen.info.shareable();
    let default = if shared {
        Sharing::Shared
    } else {
        Sharing::Exclusive
    };
    Wish {
        volume: seen.info.volume.id,
        form: disk.form,
        sharing: disk.sharing.unwrap_or(default),
        access: disk.access,
        accept_narrowing: disk.accept_narrowing,
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
        Combined::Advised(_) => {
            let error = PortError::Refused("the policies answered another question".into());
            Err(storage(request, "deciding", error))
        }
    }
}

pub(crate) fn storage(request: RequestId, what: &str, error: PortError) -> ControlError {
    ControlError::Storage {
        request,
        what: what.to_owned(),
        error,
    }
}
