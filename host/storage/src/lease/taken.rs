//! Whose place this node's host-id is, in a lockspace that it is not in: sanlock does not let it join while another node
//! has the place, and tells nobody but its own log. The place itself is on the LUN, with the name of who has it.
//!
//! It is read in the background, and what was read last is told: whoever follows the leases waits for no LUN. lvmlockd
//! leaves the volume with the places active when a join fails, and until then nothing is known.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use volward_model::PoolName;
use volward_plan::HostIdTaken;
use volward_ports::PortResult;

use super::lockspace;
use crate::blockdev;
use crate::buffer::{BLOCK, Buffer};

/// The LV with a VG's leases; its lockspace is at the beginning.
const LEASE_VOLUME: &str = "lvmlock";
/// Between two looks at the LUN.
const PAUSE: Duration = Duration::from_secs(5);
/// What was seen is not told any longer.
const TOLD: Duration = Duration::from_secs(60);

// leader.h and ondisk.c of sanlock 3: little-endian.
const MAGIC: u32 = 0x1221_2010;
const SECTOR_SIZE: usize = 12;
const OWNER_ID: usize = 32;
const GENERATION: usize = 40;
const SPACE: usize = 56;
const OWNER: usize = 104;
const TIMESTAMP: usize = 152;
const IO_TIMEOUT: usize = 174;
const NAME: usize = 48;

/// What a node has written into its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    node: String,
    generation: u64,
    /// Of its monotonic clock, in seconds: another one at each renewal.
    timestamp: u64,
    io_timeout_s: u64,
}

/// What was seen of one lockspace's place.
#[derive(Debug, Default)]
struct Seen {
    looked_at: Option<Instant>,
    looking: bool,
    host_id: u64,
    place: Option<Place>,
    /// Since when it is as it is now; `None` as long as it was never seen to change.
    renewed_at: Option<Instant>,
}

type All = Arc<Mutex<HashMap<PoolName, Seen>>>;
type HostId = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Who has this node's places.
pub(super) struct Takers {
    host_id: HostId,
    seen: All,
}

impl fmt::Debug for Takers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takers").finish_non_exhaustive()
    }
}

/// A look at the LUN that is due.
pub(super) struct Look {
    pool: PoolName,
    our_name: String,
    host_id: HostId,
    seen: All,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how old a reading is says whether it is told; nothing is decided by it"
)]
fn now() -> Instant {
    Instant::now()
}

fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
}

fn locked(all: &All) -> MutexGuard<'_, HashMap<PoolName, Seen>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Takers {
    pub(super) fn new(host_id: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self {
            host_id: Arc::new(host_id),
            seen: Arc::default(),
        }
    }

    /// A look, if one is due; whoever takes it says with [`Takers::is_looked_at`] whether it is made.
    pub(super) fn look(&self, pool: &PoolName, our_name: &str) -> Option<Look> {
        let mut all = locked(&self.seen);
        let seen = all.entry(pool.clone()).or_default();
        let is_due = seen.looked_at.is_none_or(|at| since(at) >= PAUSE);
        if seen.looking || !is_due {
            return None;
        }
        Some(Look {
            pool: pool.clone(),
            our_name: our_name.to_owned(),
            host_id: Arc::clone(&self.host_id),
            seen: Arc::clone(&self.seen),
        })
    }

    pub(super) fn is_looked_at(&self, pool: &PoolName, is: bool) {
        let mut all = locked(&self.seen);
        let seen = all.entry(pool.clone()).or_default();
        // One that has ended by now has said so itself.
        seen.looking = is && seen.looked_at.is_none_or(|at| since(at) >= PAUSE);
    }

    /// Another node that has the place, as it was seen last.
    pub(super) fn taker(&self, pool: &PoolName) -> Option<HostIdTaken> {
        let all = locked(&self.seen);
        let seen = all.get(pool)?;
        seen.looked_at.filter(|at| since(*at) < TOLD)?;
        seen.taken(now())
    }
}

impl Seen {
    fn taken(&self, now: Instant) -> Option<HostIdTaken> {
        let place = self.place.as_ref()?;
        // After so long without a renewal sanlock gives the place to whoever asks for it.
        let lives_for = Duration::from_secs(8 * place.io_timeout_s.max(1));
        let renewed = self
            .renewed_at
            .is_some_and(|at| now.saturating_duration_since(at) < lives_for);
        Some(HostIdTaken {
            host_id: self.host_id,
            node: place.node.clone(),
            renewed,
        })
    }

    /// Takes note of what was read, whoever has the place.
    fn note(&mut self, now: Instant, host_id: u64, found: Option<Place>) {
        let same = |before: &Place, found: &Place| before.node == found.node;
        let before = self.place.take().filter(|_| self.host_id == host_id);
        self.renewed_at = match (&before, &found) {
            (Some(before), Some(found)) if before == found => self.renewed_at,
            (Some(before), Some(found)) if same(before, found) => Some(now),
            _ => None,
        };
        (self.host_id, self.place) = (host_id, found);
        (self.looked_at, self.looking) = (Some(now), false);
    }
}

impl Look {
    /// Reads the place.
    pub(super) fn take(self) {
        let host_id = (self.host_id)().unwrap_or_default();
        // What cannot be read now is not known: it only says why a join fails, and is read again.
        let found = match host_id {
            0 => None,
            id => read(&self.pool, id).unwrap_or_default(),
        };
        let found = found.filter(|place| place.node != self.our_name);
        let mut all = locked(&self.seen);
        let seen = all.entry(self.pool).or_default();
        seen.note(now(), host_id, found);
    }
}

/// The place as it is on the LUN; `None` where the volume is not active here, or nobody has it.
fn read(pool: &PoolName, host_id: u64) -> PortResult<Option<Place>> {
    let Some(uuid) = blockdev::lv_uuid_named(pool.as_str(), LEASE_VOLUME)? else {
        return Ok(None);
    };
    let device = blockdev::open(&uuid, false, OFlags::DIRECT)?;
    let block = |at: u64| {
        let mut block = Buffer::zeroed(BLOCK);
        let what = format!("cannot read {pool}/{LEASE_VOLUME}");
        device
            .file
            .read_exact_at(&mut block, at)
            .map_err(blockdev::io(what))?;
        Ok::<Buffer, volward_ports::PortError>(block)
    };
    let first = block(0)?;
    let Some(sector) = sector_size(&first) else {
        return Ok(None);
    };
    let at = (host_id - 1) * sector;
    let aligned = at - at % BLOCK as u64;
    let found = block(aligned)?;
    let record = found.get((at - aligned) as usize..).unwrap_or_default();
    Ok(place(record, &lockspace(pool), host_id))
}

/// Bytes from one place to the next, by the first of them, which is always there.
fn sector_size(first: &[u8]) -> Option<u64> {
    let sector = u64::from(word(first, SECTOR_SIZE)?);
    (word(first, 0)? == MAGIC && matches!(sector, 512 | 4096)).then_some(sector)
}

/// A place that somebody has.
fn place(record: &[u8], lockspace: &str, host_id: u64) -> Option<Place> {
    let is_it = word(record, 0)? == MAGIC
        && text(record, SPACE)? == lockspace
        && long(record, OWNER_ID)? == host_id;
    let timestamp = long(record, TIMESTAMP)?;
    // A node that leaves writes zero.
    if !is_it || timestamp == 0 {
        return None;
    }
    let io_timeout = record.get(IO_TIMEOUT..IO_TIMEOUT + 2)?;
    Some(Place {
        node: text(record, OWNER)?,
        generation: long(record, GENERATION)?,
        timestamp,
        io_timeout_s: u64::from(u16::from_le_bytes(io_timeout.try_into().ok()?)),
    })
}

fn word(record: &[u8], at: usize) -> Option<u32> {
    let bytes = record.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn long(record: &[u8], at: usize) -> Option<u64> {
    let bytes = record.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn text(record: &[u8], at: usize) -> Option<String> {
    let field = record.get(at..at + NAME)?;
    let text = field.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests;
