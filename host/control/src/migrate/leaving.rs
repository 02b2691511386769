//! The source, from the answer to the end.

use volward_model::{AttachmentState, LeaseMode, PoolName, Slot};
use volward_plan::migrate::{Job, Leaving, Next, leaving};

use super::{Jobs, Migrate};
use crate::observe::Correspondence;
use crate::ports::{Event, Migration, StoredAttachment};

impl Migrate {
    /// "To that node only" is durable, in the state and then in the slot, before the conversion.
    pub(super) fn begin_leaving(&self, attachment: &StoredAttachment, to: Migration) {
        let Some(guard) = self.take(attachment) else {
            return;
        };
        if let Err(error) = self.mark(attachment, Some(to.clone())) {
            self.unrecorded(attachment, &error);
            return;
        }
        let marked = StoredAttachment {
            migration: Some(to),
            ..attachment.clone()
        };
        self.share(&marked);
        drop(guard);
    }

    /// The conversion, and the word that it is done. The volume is locked. What the others do not see is
    /// not begun; the next look goes on from the mark.
    fn share(&self, attachment: &StoredAttachment) {
        let (volume, key) = (&attachment.volume, attachment.key());
        if let Err(error) = self.state.write_slot(&volume.pool) {
            tracing::warn!(%volume, %error, "not shared yet");
            return;
        }
        let mode = self.needed(key, attachment.migration.as_ref());
        if let Err(error) = self.convert(volume, mode) {
            tracing::warn!(%volume, %error, "not shared yet");
            return;
        }
        if mode > LeaseMode::Shared {
            // Another attachment of the volume needs the exclusive lease: nobody else gets it.
            return;
        }
        self.state.attachment_table().note_shared(key);
        self.show(&volume.pool, "that a volume is shared");
        if let Some(Migration::Leaving { to, .. }) = attachment.migration {
            self.ports.events.tell(&Event::Leaving {
                volume: volume.clone(),
                instance: attachment.instance,
                to,
            });
        }
    }

    /// Looks at everything that is leaving.
    pub(super) fn follow_leaving(&self, pool: &PoolName, said: &Correspondence, jobs: &mut Jobs) {
        let migrating = self.migrating(pool);
        let keys: Vec<_> = migrating.iter().map(StoredAttachment::key).collect();
        if let Some(seen) = self.seen().get_mut(pool) {
            seen.idle.retain(|key, _| keys.contains(key));
        }
        for attachment in migrating {
            if let Some(seen) = self.look_at(&attachment, said, jobs) {
                self.go_on(&attachment, &seen);
            }
        }
    }

    /// What there is to see of it; `None` where it does not leave, or sanlock does not answer.
    fn look_at(
        &self,
        attachment: &StoredAttachment,
        said: &Correspondence,
        jobs: &mut Jobs,
    ) -> Option<Leaving> {
        let Some(Migration::Leaving {
            to,
            generation,
            nonce,
        }) = attachment.migration
        else {
            return None;
        };
        let (volume, key) = (&attachment.volume, attachment.key());
        let held = self.ports.leases.held(&volume.pool).ok()?;
        let shared = held.get(&volume.id.lv).map(|lease| lease.mode) == Some(LeaseMode::Shared);
        let slot = said.live_slots().find(|slot| slot.host_id == to);
        let has = |slot: &Slot| {
            let mut theirs = slot.attachments.iter();
            theirs.any(|a| a.key() == key && a.state != AttachmentState::Intent)
        };
        let calls = |slot: &Slot| slot.messages.calls.iter().any(|call| call.nonce == nonce);
        let job = jobs.of(self.ports.guests.as_ref(), attachment.instance);
        let idle_looks = {
            let mut pools = self.seen();
            let idle = &mut pools.entry(volume.pool.clone()).or_default().idle;
            let idle = idle.entry(key).or_default();
            let before = *idle;
            *idle = match job {
                Job::None => idle.saturating_add(1),
                Job::MigratingOut { .. } | Job::Unknown(_) => 0,
            };
            before
        };
        Some(Leaving {
            dead: said.living(to).is_none() && slot.is_none(),
            present: said
                .living(to)
                .is_some_and(|member| member.generation == generation),
            called: slot.is_some_and(calls),
            // What cannot be read may say so.
            arrived: slot.is_some_and(has) || said.is_unclear(to),
            shared,
            job,
            idle_looks,
        })
    }

    fn go_on(&self, attachment: &StoredAttachment, seen: &Leaving) {
        let next = leaving(seen);
        // What an earlier daemon did is told by this one.
        let untold = seen.shared && !self.state.attachment_table().is_shared(attachment.key());
        if next == Next::Stay && !untold {
            return;
        }
        let Some(guard) = self.take(attachment) else {
            return;
        };
        match next {
            Next::TakeBack => self.take_back(attachment),
            Next::Share | Next::Stay => self.share(attachment),
        }
        drop(guard);
    }

    fn take_back(&self, attachment: &StoredAttachment) {
        if !self.is_over(attachment) {
            return;
        }
        let volume = &attachment.volume;
        self.show(&volume.pool, "that a volume is not shared any more");
        self.ports.events.tell(&Event::TakenBack {
            volume: volume.clone(),
            instance: attachment.instance,
        });
    }
}
