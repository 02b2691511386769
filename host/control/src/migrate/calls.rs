//! What other nodes ask of this one: each call is judged once, by what its own libvirt says.

use std::time::Duration;

use volward_model::{MigrationAnswer, MigrationCall, MigrationVerdict, PoolInfo, PoolName, Slot};
use volward_plan::Refusal;
use volward_plan::migrate::{Caller, Heard, Job, Judgement, judge};

use super::{CONTINUOUS, CallName, Jobs, Migrate};
use crate::observe::Correspondence;
use crate::ports::{Event, Migration, StoredAttachment};

/// A call, and who asks.
struct Asked {
    call: MigrationCall,
    caller: Caller,
}

impl Asked {
    fn name(&self) -> CallName {
        (self.caller.host_id, self.call.nonce, self.call.volume)
    }
}

impl Migrate {
    /// Judges the calls that name this node.
    pub(super) fn hear(
        &self,
        pool: &PoolName,
        said: &Correspondence,
        now: Duration,
        jobs: &mut Jobs,
    ) {
        let asked = asked(said);
        let ages = self.note_calls(pool, &asked, now);
        let stands = |to, nonce, volume| asked.iter().any(|a| a.name() == (to, nonce, volume));
        let forgotten = self.state.attachment_table().keep_refusals(pool, stands);
        if forgotten {
            self.show(pool, "that a refusal is over");
        }
        for (asked, age) in asked.iter().zip(ages) {
            self.hear_one(pool, asked, age, jobs);
        }
    }

    /// For how long each has been seen.
    fn note_calls(&self, pool: &PoolName, asked: &[Asked], now: Duration) -> Vec<Option<Duration>> {
        let mut pools = self.seen();
        let seen = pools.entry(pool.clone()).or_default();
        let continuous = seen
            .at
            .is_some_and(|at| now.saturating_sub(at) < CONTINUOUS);
        seen.at = Some(now);
        let stands = |name: &CallName| asked.iter().any(|a| a.name() == *name);
        seen.calls.retain(|name, _| stands(name));
        let ages = asked.iter().map(|one| {
            let first = seen.calls.entry(one.name());
            let first = first.or_insert_with(|| continuous.then_some(now));
            first.map(|at| now.saturating_sub(at))
        });
        ages.collect()
    }

    fn hear_one(&self, pool: &PoolName, asked: &Asked, age: Option<Duration>, jobs: &mut Jobs) {
        let attachment = {
            let table = self.state.attachment_table();
            if table.has_refused(asked.caller.host_id, &asked.call) {
                return;
            }
            let mut of_volume = table.of_volume(asked.call.volume);
            of_volume
                .find(|a| a.instance == asked.call.instance)
                .cloned()
        };
        let leaving = match attachment.as_ref().and_then(|a| a.migration.as_ref()) {
            // Answered already.
            Some(Migration::Leaving { nonce, .. }) if *nonce == asked.call.nonce => return,
            Some(Migration::Leaving { to, .. }) => Some(*to),
            Some(Migration::Arriving { .. }) | None => None,
        };
        let info = match self.observer.validated_pool(pool) {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%pool, %error, "a call is judged later");
                return;
            }
        };
        let judgement = self.judged(asked, age, attachment.as_ref(), leaving, &info, jobs);
        match (judgement, attachment) {
            (Judgement::Share, Some(attachment)) => self.begin_leaving(
                &attachment,
                Migration::Leaving {
                    to: asked.caller.host_id,
                    generation: asked.caller.generation,
                    nonce: asked.call.nonce,
                },
            ),
            // Nothing is shared that is not attached.
            (Judgement::Wait, _) | (Judgement::Share, None) => {}
            (Judgement::Refuse(refusal), _) => self.answer_no(pool, asked, &refusal),
        }
    }

    fn judged(
        &self,
        asked: &Asked,
        age: Option<Duration>,
        attachment: Option<&StoredAttachment>,
        leaving: Option<u64>,
        info: &PoolInfo,
        jobs: &mut Jobs,
    ) -> Judgement {
        let local = attachment.map(StoredAttachment::local);
        let mut heard = Heard {
            call: asked.call,
            caller: asked.caller.clone(),
            seen_for: age,
            info: info.volume(asked.call.volume),
            attachment: local.as_ref(),
            leaving,
            copied_by: self.state.operations().open_on(asked.call.volume).cloned(),
            unsound: attachment.and_then(|a| self.unsound(a)),
            // Asked only where everything else is as it should be.
            job: Job::MigratingOut { since: None },
        };
        match judge(&heard) {
            Judgement::Share => {
                let guests = self.ports.guests.as_ref();
                heard.job = jobs.of(guests, asked.call.instance);
                judge(&heard)
            }
            judgement => judgement,
        }
    }

    /// Why nothing of the attachment is converted now.
    fn unsound(&self, attachment: &StoredAttachment) -> Option<String> {
        if let Some(fenced) = self.state.fences().get(attachment) {
            return Some(fenced.reason.clone());
        }
        let now = self.ports.clock.monotonic();
        self.state.uncertain(&attachment.volume.pool, now)
    }

    fn answer_no(&self, pool: &PoolName, asked: &Asked, refusal: &Refusal) {
        let (call, caller) = (&asked.call, &asked.caller);
        let answer = MigrationAnswer {
            volume: call.volume,
            instance: call.instance,
            nonce: call.nonce,
            to: caller.host_id,
            generation: caller.generation,
            verdict: MigrationVerdict::Refused {
                code: refusal.code.to_string(),
                reason: refusal.message.clone(),
            },
        };
        self.state.attachment_table().refuse(pool, answer);
        self.ports.events.tell(&Event::NotLeaving {
            volume: call.volume,
            instance: call.instance,
            to: caller.host_id,
            reason: refusal.message.clone(),
        });
        self.show(pool, "why a volume is not shared");
    }
}

fn asked(said: &Correspondence) -> Vec<Asked> {
    let of_slot = |slot: &Slot| {
        let caller = Caller {
            node: slot.node.clone(),
            host_id: slot.host_id,
            generation: slot.generation,
            present: said.is_present(slot),
        };
        let calls = slot.messages.calls.iter();
        let to_us = calls.filter(|call| call.source == said.own.host_id);
        let asked = to_us.map(|call| Asked {
            call: *call,
            caller: caller.clone(),
        });
        asked.collect::<Vec<_>>()
    };
    said.live_slots().flat_map(of_slot).collect()
}
