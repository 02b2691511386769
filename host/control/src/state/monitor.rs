//! How far a copy is, how fast, and whether it is stuck (I23).

use std::time::Duration;

use volward_model::{Bytes, CloneMode, CloneStatus, CopyProgress, CopyState, VolumeRef};

use crate::ports::Event;

/// What is remembered of a copy under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyMonitor {
    /// Which volume.
    pub volume: VolumeRef,
    /// Being written back (else: being hydrated).
    pub returning: bool,
    /// The write-back has an entry in the journal: it is on record, and did not begin on the word
    /// of the home tag alone.
    pub recorded: bool,
    /// The latest status; `None` before the first look.
    pub status: Option<CloneStatus>,
    /// All is copied, and the clone has become linear: no region is looked up any more.
    pub switched: bool,
    /// Background copying is meant to go on.
    pub wants_progress: bool,
    /// Milliseconds since the count last changed.
    pub stalled_ms: u64,
    /// Estimate, from the rate since it was first seen.
    pub remaining_ms: Option<u64>,
    /// The latest trouble, until it is seen to go on.
    pub trouble: Option<String>,
    first: (u64, Duration),
    changed: Duration,
}

/// A copy as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyView {
    /// Which volume.
    pub volume: VolumeRef,
    /// What it is doing, or what keeps it from that.
    pub state: CopyState,
    /// Copied so far.
    pub done: Bytes,
    /// What has to be copied.
    pub total: Bytes,
    /// Estimated milliseconds to the end, where the rate allows an estimate.
    pub remaining_ms: Option<u64>,
    /// Milliseconds without progress while there should be some.
    pub stalled_ms: u64,
    /// The latest trouble.
    pub trouble: Option<String>,
}

impl CopyMonitor {
    pub(crate) fn new(
        volume: &VolumeRef,
        returning: bool,
        wants_progress: bool,
        now: Duration,
    ) -> Self {
        Self {
            volume: volume.clone(),
            returning,
            recorded: false,
            status: None,
            switched: false,
            wants_progress,
            stalled_ms: 0,
            remaining_ms: None,
            trouble: None,
            first: (0, now),
            changed: now,
        }
    }

    /// Takes a status in; the event is there when it has begun to make no progress (I23).
    pub(crate) fn see(
        &mut self,
        now: Duration,
        status: &CloneStatus,
        stall_after: Duration,
    ) -> Option<Event> {
        let before = self.status.map(|s| s.hydrated);
        if before.is_none() {
            self.first = (status.hydrated, now);
        }
        if before != Some(status.hydrated) {
            self.changed = now;
        }
        self.status = Some(*status);
        self.trouble = None;
        let idle = now.saturating_sub(self.changed);
        let stalled = self.wants_progress && !status.complete() && idle >= stall_after;
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let begun = (stalled && self.stalled_ms == 0).then(|| Event::CopyStalled {
            volume: self.volume.clone(),
            hydrated: status.hydrated,
            total: status.total,
            idle,
        });
        self.stalled_ms = if stalled { idle_ms } else { 0 };
        self.remaining_ms = self.estimate(now, status);
        begun
    }

    fn estimate(&self, now: Duration, status: &CloneStatus) -> Option<u64> {
        let (count, since) = self.first;
        let done = status.hydrated.checked_sub(count).filter(|d| *d > 0)?;
        let spent = u64::try_from(now.saturating_sub(since).as_millis()).ok()?;
        Some(spent.saturating_mul(status.total.saturating_sub(status.hydrated)) / done)
    }

    pub(crate) fn progress(&self) -> CopyProgress {
        CopyProgress {
            volume: self.volume.id,
            returning: self.returning,
            done: self.status.map_or(0, |s| s.hydrated),
            total: self.status.map_or(0, |s| s.total),
            remaining_ms: self.remaining_ms,
        }
    }

    pub(crate) fn view(&self) -> CopyView {
        let region = self.status.map_or(0, |s| s.region.bytes().0);
        let (done, total) = self.status.map_or((0, 0), |s| (s.hydrated, s.total));
        let broken = self.status.is_some_and(|s| s.mode != CloneMode::ReadWrite);
        let state = if broken {
            CopyState::Failed
        } else if self.stalled_ms > 0 {
            CopyState::Stalled
        } else if self.returning {
            CopyState::Returning
        } else if self.switched {
            CopyState::Complete
        } else if self.wants_progress {
            CopyState::Hydrating
        } else {
            CopyState::WritesOnly
        };
        CopyView {
            volume: self.volume.clone(),
            state,
            done: Bytes(done * region),
            total: Bytes(total * region),
            remaining_ms: self.remaining_ms,
            stalled_ms: self.stalled_ms,
            trouble: self.trouble.clone(),
        }
    }
}
