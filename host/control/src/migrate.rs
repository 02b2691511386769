//! Live migration, beside any request (I6, I7): the source judges what destinations ask of it, and
//! shares a volume with one of them; the destination takes it for itself when the source has let it
//! go; the source takes it back when nothing came of it. What is done is decided in
//! [`volward_plan::migrate`]; whether it can be done is sanlock's to say, each time.
//!
//! | module | is |
//! |---|---|
//! | here | the looks, one a pool at a time |
//! | `calls` | (source) what others ask |
//! | `leaving` | (source) from the answer to the end |
//! | `arriving` | (destination) from the attach to the end |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_model::{
    AttachmentKey, AttachmentState, InstanceId, LeaseMode, MigrationNonce, PoolName, VolumeId,
    VolumeRef,
};
use volward_plan::migrate::Job;

use crate::engine::Engine;
use crate::observe::Observer;
use crate::operate::Operate;
use crate::ports::{
    Clock, Event, Events, Guests, Journal, Leases, Migration, PortResult, StoredAttachment, Tasks,
};
use crate::settings::{Settings, needs};
use crate::state::{State, VolumeGuard};

mod arriving;
mod calls;
mod leaving;

/// Looks that are further apart than this have not seen what happened between them.
const CONTINUOUS: Duration = Duration::from_secs(15);

needs!(MigratePorts {
    leases: Leases,
    guests: Guests,
    journal: Journal,
    clock: Clock,
    events: Events,
    tasks: Tasks,
});

/// The migrations of one node.
pub(crate) struct Migrate {
    pub(crate) ports: MigratePorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) engine: Arc<Engine>,
    /// The same looks are for what nodes have each other do.
    pub(crate) operate: Arc<Operate>,
    pub(crate) seen: Mutex<BTreeMap<PoolName, Seen>>,
}

/// A call by what names it: who asks, which attempt, about which volume.
type CallName = (u64, MigrationNonce, VolumeId);

/// What earlier looks at a pool have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// A look is under way.
    looking: bool,
    /// When the last look was, on the monotonic clock.
    at: Option<Duration>,
    /// The calls that stand, and when each was seen first; `None`: nobody saw it come.
    calls: BTreeMap<CallName, Option<Duration>>,
    /// How often in a row libvirt showed no migration of what is leaving.
    idle: BTreeMap<AttachmentKey, u8>,
}

/// What libvirt says during one look, each instance asked about once.
#[derive(Debug, Default)]
struct Jobs(BTreeMap<InstanceId, Job>);

impl Jobs {
    fn of(&mut self, guests: &dyn Guests, instance: InstanceId) -> Job {
        let job = self.0.entry(instance);
        job.or_insert_with(|| guests.job(instance)).clone()
    }
}

impl Migrate {
    /// One look at every pool, to be called each second. Returns at once: what a pool is waiting for
    /// keeps back no other.
    pub(crate) fn follow(self: &Arc<Self>) {
        for pool in &self.settings.pools {
            // Nobody asks for what is not here; and whoever looks has the registry open, which an
            // administrator may want to deactivate.
            let nothing_here = self.state.attachment_table().has_nothing_to_say_in(pool)
                && !self.state.orders().reports_in(pool);
            {
                let mut pools = self.seen();
                let seen = pools.entry(pool.clone()).or_default();
                if nothing_here && !seen.looking {
                    seen.calls.clear();
                    seen.at = Some(self.ports.clock.monotonic());
                    continue;
                }
                if std::mem::replace(&mut seen.looking, true) {
                    continue;
                }
            }
            let (this, pool) = (Arc::clone(self), pool.clone());
            let look = move || {
                this.look(&pool);
                this.seen().entry(pool).or_default().looking = false;
            };
            let name = "migrations".to_owned();
            self.ports.tasks.spawn(name, Box::new(look));
        }
    }

    fn look(&self, pool: &PoolName) {
        let now = self.ports.clock.monotonic();
        let said = match self.observer.correspondence(pool) {
            Ok(said) => said,
            Err(error) => {
                tracing::trace!(%pool, %error, "no look at migrations");
                return;
            }
        };
        let mut jobs = Jobs::default();
        self.hear(pool, &said, now, &mut jobs);
        self.follow_leaving(pool, &said, &mut jobs);
        self.follow_arriving(pool, &said);
        self.operate.hear(pool, &said);
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PoolName, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is attached in the pool and part of a migration.
    fn migrating(&self, pool: &PoolName) -> Vec<StoredAttachment> {
        let table = self.state.attachment_table();
        let all = table.attachments();
        all.filter(|a| {
            a.volume.pool == *pool && a.migration.is_some() && a.state == AttachmentState::Attached
        })
        .cloned()
        .collect()
    }

    /// The volume for this look alone; `None` while a request has it, its I/O is cut off, or the
    /// attachment is not what it was. The next look comes in a second.
    fn take(&self, attachment: &StoredAttachment) -> Option<VolumeGuard<'_>> {
        let volumes = [attachment.volume.id];
        let guard = self
            .state
            .volume_locks
            .take(&volumes, Duration::ZERO)
            .ok()?;
        let is_cut = self.state.fences().get(attachment).is_some();
        let table = self.state.attachment_table();
        let mut now = table.of_instance(attachment.instance);
        let same = now.any(|a| a == attachment);
        (same && !is_cut).then_some(guard)
    }

    /// The lease that the volume needs once this attachment is part of `migration`.
    fn needed(&self, key: AttachmentKey, migration: Option<&Migration>) -> LeaseMode {
        let table = self.state.attachment_table();
        let modes = table.of_volume(key.volume).map(|a| match a.key() == key {
            true => StoredAttachment {
                migration: migration.cloned(),
                ..a.clone()
            }
            .lease(),
            false => a.lease(),
        });
        modes.max().unwrap_or(LeaseMode::Exclusive)
    }

    /// Converts, and reads back.
    fn convert(&self, volume: &VolumeRef, mode: LeaseMode) -> PortResult<()> {
        let volumes = std::slice::from_ref(volume);
        let converted = self.engine.take_leases(&volume.pool, volumes, mode);
        let is_so = self.engine.leases_must_be(&volume.pool, volumes, mode);
        // What counts is what sanlock says afterwards (I29).
        match (converted, is_so) {
            (Err(error), Err(_)) => Err(error),
            (_, is_so) => is_so.map(drop),
        }
    }

    /// Durably, and only then in memory: what recovery loads is followed again.
    fn mark(&self, attachment: &StoredAttachment, migration: Option<Migration>) -> PortResult<()> {
        let marked = StoredAttachment {
            migration: migration.clone(),
            ..attachment.clone()
        };
        self.ports.journal.change_attachments(&[marked], &[])?;
        let mut table = self.state.attachment_table();
        table.set_migration(attachment.key(), migration);
        Ok(())
    }

    /// The migration is over: the lease is what the volume needs without it, and then the mark goes. `false`: not yet, and the
    /// next look tries again. Where another node has the volume still, sanlock says no.
    fn is_over(&self, attachment: &StoredAttachment) -> bool {
        let volume = &attachment.volume;
        let mode = self.needed(attachment.key(), None);
        if let Err(error) = self.convert(volume, mode) {
            tracing::debug!(%volume, %error, "not this node's alone yet");
            return false;
        }
        if let Err(error) = self.mark(attachment, None) {
            self.unrecorded(attachment, &error);
            return false;
        }
        true
    }

    /// Where that fails it is written again by whoever tries again what failed.
    fn show(&self, pool: &PoolName, what: &'static str) {
        if let Err(error) = self.state.write_slot(pool) {
            let (pool, reason) = (pool.clone(), error.to_string());
            self.ports
                .events
                .tell(&Event::Unseen { pool, what, reason });
        }
    }

    fn unrecorded(&self, attachment: &StoredAttachment, error: &dyn std::fmt::Display) {
        self.ports.events.tell(&Event::Unrecorded {
            what: format!("the migration of {}, for now", attachment.volume),
            reason: error.to_string(),
        });
    }
}
