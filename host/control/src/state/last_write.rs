//! What this node wrote last into the registries, and which pools are older than that on their disks.
//!
//! Compared before a daemon's first write in a generation, and with each write after it, which reads how often the place was
//! written anyway. Remembered in memory at once; on record in the background, so no request waits for a disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use volward_model::{AttachmentState, PoolName, Slot, VgUuid};
use volward_plan::last_write::{Found, LastWrite};
use volward_plan::{Refusal, Unmet};

use super::recording::Recording;
use super::{Identity, State};
use crate::ports::{Event, PortError, PortResult, Writes, Written};

/// On record no more often than this. A snapshot that was made less than so long before a node's last write may not be
/// told from the LUN itself; those that are put back are older.
const EVERY: Duration = Duration::from_secs(60);

/// Of all pools.
#[derive(Debug, Default)]
pub(crate) struct LastWrites {
    all: BTreeMap<VgUuid, LastWrite>,
    /// Pools that were compared and are not older, with the generation of that.
    compared: BTreeMap<PoolName, u64>,
    older: BTreeMap<PoolName, String>,
    recording: Recording,
    /// On the monotonic clock; `None`: what is not on record is to be soon.
    recorded_at: Option<Duration>,
}

/// What is said of a pool that is older.
struct Older {
    why: String,
    /// This daemon did not know it.
    is_news: bool,
    is_on_record: bool,
}

impl LastWrites {
    /// What an earlier daemon has put on record.
    pub(crate) fn load(&mut self, recorded: Vec<LastWrite>) {
        let keyed = recorded.into_iter().map(|one| (one.registry.vg, one));
        self.all.extend(keyed);
    }

    fn is_compared(&self, pool: &PoolName, generation: u64) -> bool {
        self.compared.get(pool) == Some(&generation)
    }

    /// Whether the pool is older on its disks than what was written.
    fn compare(&mut self, pool: &PoolName, found: &Found) -> Option<Older> {
        let last = self.all.get(&found.registry.vg);
        let last = last.filter(|last| last.registry == found.registry);
        let on_record = last.and_then(|last| last.older.clone());
        let is_on_record = on_record.is_some();
        let why = on_record.or_else(|| last.and_then(|last| last.is_ahead_of(found)));
        let Some(why) = why else {
            self.older.remove(pool);
            let before = self.compared.insert(pool.clone(), found.generation);
            if before != Some(found.generation) {
                self.recorded_at = None;
            }
            return None;
        };
        let before = self.older.insert(pool.clone(), why.clone());
        self.compared.remove(pool);
        Some(Older {
            why,
            is_news: before.is_none(),
            is_on_record,
        })
    }

    /// That it is older outlives this daemon: from now on the place is written, and counted, all the same. Says whether that
    /// has to be put on record.
    fn keep_older(&mut self, vg: VgUuid, why: &str) -> bool {
        let last = self.all.get_mut(&vg).filter(|last| last.older.is_none());
        let news = last.map(|last| last.older = Some(why.to_owned())).is_some();
        if news {
            // Whoever writes an earlier state of it now does not have the last word.
            self.recording.changed(true);
            self.recorded_at = None;
        }
        news
    }

    fn wrote(&mut self, last: LastWrite) {
        self.all.insert(last.registry.vg, last);
        self.recording.changed(true);
    }

    fn take_unrecorded(&mut self, now: Duration) -> Option<Vec<LastWrite>> {
        let is_due = self
            .recorded_at
            .is_none_or(|at| now.saturating_sub(at) >= EVERY);
        let begins = is_due && self.recording.begin();
        if begins {
            self.recorded_at = Some(now);
        }
        begins.then(|| self.all.values().cloned().collect())
    }
}

fn found<'a>(identity: &'a Identity, writes: &Writes, now_ms: u64) -> Found<'a> {
    Found {
        registry: writes.registry,
        host_id: identity.host_id,
        generation: identity.generation,
        boot_id: &identity.boot_id,
        sequence: writes.count,
        now_ms,
    }
}

fn refused(pool: &PoolName, why: String) -> PortError {
    let pool = pool.clone();
    PortError::from(Unmet::PoolOlder { pool, why })
}

impl State {
    /// Why a pool is older on its disks than this node left it; `None` where nothing says so.
    pub(crate) fn older(&self, pool: &PoolName) -> Option<String> {
        self.last_writes().older.get(pool).cloned()
    }

    /// What is refused in such a pool is refused so.
    pub(crate) fn older_refusal(&self, pool: &PoolName) -> Option<Refusal> {
        let (pool, why) = (pool.clone(), self.older(pool)?);
        Some(Unmet::PoolOlder { pool, why }.into())
    }

    /// Before this node's first write in a generation. In a pool that is older nothing is written unless something is
    /// attached here, which others are to hear of: so it can be compared again when the right LUN is back. Before the first
    /// such write it is put on record that it is older.
    pub(super) fn must_not_be_older(
        &self,
        pool: &PoolName,
        identity: &Identity,
        slot: &Slot,
    ) -> PortResult<()> {
        if self.last_writes().is_compared(pool, identity.generation) {
            return Ok(());
        }
        let writes = self.ports.registry.writes(pool, identity.host_id)?;
        let Some(older) = self.compare(pool, identity, &writes) else {
            return Ok(());
        };
        let is_attached = |state| !matches!(state, AttachmentState::Intent);
        let nothing =
            !slot.attachments.iter().any(|a| is_attached(a.state)) && slot.copies.is_empty();
        match older.is_on_record {
            true => Ok(()),
            false if nothing => Err(refused(pool, older.why)),
            false => self.keep_older(writes.registry.vg, &older.why),
        }
    }

    fn compare(&self, pool: &PoolName, identity: &Identity, writes: &Writes) -> Option<Older> {
        let now_ms = self.ports.clock.now_ms();
        let found = found(identity, writes, now_ms);
        let older = self.last_writes().compare(pool, &found)?;
        if older.is_news {
            self.tell_older(pool, &older.why);
        }
        Some(older)
    }

    fn tell_older(&self, pool: &PoolName, why: &str) {
        self.ports.events.tell(&Event::PoolOlder {
            pool: pool.clone(),
            why: why.to_owned(),
        });
    }

    /// Durably, once: what is counted from now on does not show it any more.
    fn keep_older(&self, vg: VgUuid, why: &str) -> PortResult<()> {
        let all = {
            let mut last = self.last_writes();
            let news = last.keep_older(vg, why);
            news.then(|| last.all.values().cloned().collect::<Vec<_>>())
        };
        match all {
            Some(all) => self.ports.last_writes.replace_last_writes(&all),
            None => Ok(()),
        }
    }

    /// After a write of the slot.
    ///
    /// # Errors
    /// [`Unmet::PoolOlder`] where it was written over less than what this daemon wrote before: the LUN was replaced under
    /// it.
    pub(super) fn note_write(
        &self,
        pool: &PoolName,
        identity: &Identity,
        written: &Written,
    ) -> PortResult<()> {
        let now_ms = self.ports.clock.now_ms();
        let registry = written.before.registry;
        let why = {
            let mut last = self.last_writes();
            if last.older.contains_key(pool) {
                return Ok(());
            }
            let found = found(identity, &written.before, now_ms);
            let older = last.compare(pool, &found).map(|older| older.why);
            if older.is_none() {
                last.wrote(LastWrite {
                    registry,
                    host_id: identity.host_id,
                    generation: identity.generation,
                    boot_id: identity.boot_id.clone(),
                    sequence: written.count,
                    at_ms: now_ms,
                    older: None,
                });
            }
            older
        };
        let Some(why) = why else { return Ok(()) };
        self.tell_older(pool, &why);
        self.keep_older(registry.vg, &why)?;
        Err(refused(pool, why))
    }

    /// Somebody says that the pool is to be used as it is on its disks: from now on that is what this node wrote last, once `first`
    /// is done. Answers why it was older; `None` where it is not.
    pub(crate) fn accept_older(
        &self,
        pool: &PoolName,
        first: impl FnOnce() -> PortResult<()>,
    ) -> PortResult<Option<String>> {
        let identity = self.identity(pool)?;
        let writes = self.ports.registry.writes(pool, identity.host_id)?;
        let Some(Older { why, .. }) = self.compare(pool, &identity, &writes) else {
            return Ok(None);
        };
        first()?;
        let last = LastWrite {
            registry: writes.registry,
            host_id: identity.host_id,
            generation: identity.generation,
            boot_id: identity.boot_id.clone(),
            sequence: writes.count.unwrap_or_default(),
            at_ms: self.ports.clock.now_ms(),
            older: None,
        };
        let mut all = self.last_writes().all.clone();
        all.insert(last.registry.vg, last.clone());
        let all: Vec<LastWrite> = all.into_values().collect();
        self.ports.last_writes.replace_last_writes(&all)?;
        let mut known = self.last_writes();
        known.wrote(last);
        known.older.remove(pool);
        known.compared.insert(pool.clone(), identity.generation);
        Ok(Some(why))
    }

    /// Reads what is on record.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn load_last_writes(&self) -> PortResult<()> {
        let recorded = self.ports.last_writes.last_writes()?;
        self.last_writes().load(recorded);
        Ok(())
    }

    /// Puts on record what is not, now and then, in the background.
    pub(crate) fn record_last_writes(self: &Arc<Self>) {
        let now = self.ports.clock.monotonic();
        let Some(all) = self.last_writes().take_unrecorded(now) else {
            return;
        };
        let state = Arc::clone(self);
        let work = move || {
            // Tried again later; the state's disk has its own place in doctor.
            let done = state.ports.last_writes.replace_last_writes(&all).is_ok();
            state.last_writes().recording.end(done);
        };
        let name = "record what was written last".to_owned();
        self.ports.tasks.spawn(name, Box::new(work));
    }
}
