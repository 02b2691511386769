//! Local copies: hydration, the switch to linear, writing back.
//!
//! One thread a copy; it sleeps until the kernel says that something happened.

use std::time::Duration;

use volward_model::{
    Backing, Bytes, CloneStatus, CopyProgress, DeviceId, DeviceRole, PoolName, RequestId, Table,
    VolumeId, VolumeRef,
};
use volward_plan::home::{may_switch, write_back};
use volward_plan::{AttachPlan, Step};

use crate::execute::{Broken, Run, StepError, clone_of, return_of};
use crate::node::Node;
use crate::ports::{
    Finish, JournalEntry, JournalKind, JournalState, PortError, PortResult, StepMark,
};

/// The longest sleep: completion wakes earlier; this is for stalls, and for the others' view of
/// the progress.
const NAP: Duration = Duration::from_secs(5);
/// After a failure a write-back is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// What is remembered of a copy under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Which volume.
    pub volume: VolumeRef,
    /// Being written back (else: being hydrated).
    pub returning: bool,
    /// The latest status; `None` when the switch to linear is done.
    pub status: Option<CloneStatus>,
    /// Background copying is meant to go on.
    pub wants_progress: bool,
    /// Milliseconds since the count last changed.
    pub stalled_ms: u64,
    /// Estimate, from the rate since it was first seen.
    pub remaining_ms: Option<u64>,
    /// The latest trouble.
    pub trouble: Option<String>,
    first: (u64, Duration),
    changed: Duration,
}

/// A copy as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyView {
    /// Which volume.
    pub volume: VolumeRef,
    /// `hydrating`, `complete`, `writes-only`, `returning`, `stalled`, `failed`.
    pub state: &'static str,
    /// Done.
    pub done: Bytes,
    /// In all.
    pub total: Bytes,
    /// Estimate.
    pub remaining_ms: Option<u64>,
    /// Milliseconds without progress while there should be some.
    pub stalled_ms: u64,
    /// The latest trouble.
    pub trouble: Option<String>,
}

impl Node {
    /// Watches the copies a plan made or took up.
    pub(crate) fn tend_copies(&self, plan: &AttachPlan) {
        for planned in &plan.steps {
            if let Step::LoadClone {
                volume, hydrating, ..
            } = &planned.step
            {
                self.watch(volume, false, *hydrating);
            }
        }
    }

    /// Copies on this node.
    #[must_use]
    pub fn copies(&self) -> Vec<CopyView> {
        self.watched().values().map(Watched::view).collect()
    }

    pub(crate) fn is_returning(&self, volume: VolumeId) -> bool {
        self.watched().get(&volume).is_some_and(|w| w.returning)
    }

    /// Remembers a copy; the daemon's loop ([`Node::tend`]) does the rest.
    pub(crate) fn watch(&self, volume: &VolumeRef, returning: bool, wants_progress: bool) {
        let now = self.ports.clock.monotonic();
        let watched = Watched {
            volume: volume.clone(),
            returning,
            status: None,
            wants_progress,
            stalled_ms: 0,
            remaining_ms: None,
            trouble: None,
            first: (0, now),
            changed: now,
        };
        self.watched().insert(volume.id, watched);
        if !returning {
            self.wake(volume);
        }
    }

    fn wake(&self, volume: &VolumeRef) {
        let Some(node) = self.handle() else { return };
        let volume = volume.clone();
        let work = Box::new(move || node.tend(&volume));
        self.ports.tasks.spawn("hydration".into(), work);
    }

    /// Follows one hydration until the switch to linear is done, the clone is gone, or the daemon
    /// stops.
    pub fn tend(&self, volume: &VolumeRef) {
        let id = clone_of(volume);
        while !self.is_stopping() {
            match self.tend_once(volume, id) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%volume, %error, "hydration");
                    self.note_trouble(volume.id, &error.to_string());
                    self.ports.clock.sleep(RETRY);
                }
            }
        }
    }

    /// Says whether there is nothing more to watch.
    fn tend_once(&self, volume: &VolumeRef, id: DeviceId) -> PortResult<bool> {
        let Some(info) = self.ports.devices.get(id)? else {
            self.forget_hydration(volume.id);
            return Ok(true);
        };
        let returning = self.watched().get(&volume.id).is_none_or(|w| w.returning);
        if returning {
            return Ok(true);
        }
        let Some(status) = self.ports.devices.clone_status(id)? else {
            self.note_complete(volume);
            return Ok(true);
        };
        self.note_status(volume, &status);
        if may_switch(Some(&status)) {
            return self.switch(volume, id);
        }
        self.ports.devices.wait_event(id, info.event, NAP)?;
        Ok(false)
    }

    /// The live switch (I22): the condition is read again once nobody else works on the volume.
    fn switch(&self, volume: &VolumeRef, id: DeviceId) -> PortResult<bool> {
        let Ok(turn) = self.queue.take(&[volume.id], self.settings.wait_for_turn) else {
            return Ok(false);
        };
        let status = self.ports.devices.clone_status(id)?;
        if !may_switch(status.as_ref()) {
            return Ok(false);
        }
        let Some(local) = &self.settings.local else {
            return Ok(false);
        };
        let copy = self.copy_volumes(volume, local)?.copy;
        let size = copy.size.sectors().ok_or_else(|| PortError::Unreadable {
            what: copy.volume.to_string(),
            reason: "its size is no multiple of 512".into(),
        })?;
        let size = self.volume_sectors(volume)?.min(size);
        let table = Table::Linear {
            on: Backing::Volume(copy.volume.id),
            size,
        };
        self.ports.interruptions.at("hydrate/switch/before");
        self.ports.devices.reload(id, &table, false)?;
        self.ports.interruptions.at("hydrate/switch/after");
        self.allow_discards(volume)?;
        self.note_complete(volume);
        drop(turn);
        tracing::info!(%volume, "hydrated; the clone is linear now");
        Ok(true)
    }

    fn volume_sectors(&self, volume: &VolumeRef) -> PortResult<volward_model::Sectors> {
        let pool = self.ports.volumes.pool(&volume.pool)?;
        let info = pool.volume(volume.id);
        info.and_then(|i| i.size.sectors())
            .ok_or_else(|| PortError::Missing {
                what: volume.to_string(),
            })
    }

    /// From here on nothing old can come back through a discard (I21).
    pub(crate) fn allow_discards(&self, volume: &VolumeRef) -> PortResult<()> {
        let of_volume: Vec<_> = self
            .roster()
            .of_volume(volume.id)
            .map(|a| a.instance)
            .collect();
        for instance in of_volume {
            let id = DeviceId {
                volume: volume.id,
                role: DeviceRole::Attachment(instance),
            };
            if self.ports.devices.get(id)?.is_some() {
                self.ports.devices.set_discards(id, true)?;
            }
        }
        Ok(())
    }

    /// `Step::AwaitHydration`: a copy that must be whole before the guest starts.
    pub(crate) fn await_hydration(&self, volume: &VolumeRef) -> Result<(), StepError> {
        self.await_clone(volume, clone_of(volume))
    }

    /// `Step::AwaitReturn`: everything written back, and flushed.
    pub(crate) fn await_return(&self, volume: &VolumeRef) -> Result<(), StepError> {
        let id = return_of(volume);
        self.await_clone(volume, id)?;
        self.ports.devices.flush(id)?;
        Ok(())
    }

    fn await_clone(&self, volume: &VolumeRef, id: DeviceId) -> Result<(), StepError> {
        loop {
            let info = self.ports.devices.get(id)?;
            let info = info.ok_or_else(|| PortError::Missing {
                what: id.to_string(),
            })?;
            let Some(status) = self.ports.devices.clone_status(id)? else {
                return Ok(());
            };
            self.note_status(volume, &status);
            if status.complete() {
                return Ok(());
            }
            if self.is_stopping() {
                return Err(StepError::Stopping);
            }
            self.ports.devices.wait_event(id, info.event, NAP)?;
        }
    }

    /// The journal entry of a write-back.
    pub(crate) fn write_back_entry(&self, request: RequestId, volume: &VolumeRef) -> JournalEntry {
        JournalEntry {
            id: 0,
            request,
            kind: JournalKind::WriteBack,
            boot_id: self.ports.machine.boot_id(),
            started_ms: self.ports.clock.now_ms(),
            instance: None,
            volumes: vec![volume.clone()],
            steps: Vec::new(),
            commit_at: 0,
            puts: Vec::new(),
            removes: Vec::new(),
            write_back: Vec::new(),
            state: JournalState::Open,
            marks: Vec::<StepMark>::new(),
            causes: Vec::new(),
        }
    }

    /// Starts a journalled write-back in the background.
    pub(crate) fn start_write_back(&self, entry: Option<u64>, what: &JournalEntry) {
        let Some(volume) = what.volumes.first().cloned() else {
            return;
        };
        self.watch(&volume, true, true);
        let Some(node) = self.handle() else { return };
        let work = Box::new(move || node.write_back_until_done(entry, &volume));
        self.ports.tasks.spawn("write-back".into(), work);
    }

    fn write_back_until_done(&self, entry: Option<u64>, volume: &VolumeRef) {
        while !self.is_stopping() {
            match self.write_back_once(entry, volume) {
                Ok(()) => return,
                Err(Broken {
                    error: StepError::Stopping,
                    ..
                }) => return,
                Err(broken) => {
                    let trouble = match &broken.error {
                        StepError::Port(error) => format!("{}: {error}", broken.what),
                        other => format!("{}: {other:?}", broken.what),
                    };
                    tracing::warn!(%volume, %trouble, "write-back; trying again");
                    self.note_trouble(volume.id, &trouble);
                    self.ports.clock.sleep(RETRY);
                }
            }
        }
    }

    /// Plans from the home as it is, and runs that. A volume that was attached again while it
    /// was still `split` has its data in use: the write-back is over for now.
    fn write_back_once(&self, entry: Option<u64>, volume: &VolumeRef) -> Result<(), Broken> {
        let broken = |error| Broken {
            at: 0,
            what: format!("writing {volume} back"),
            error,
        };
        let wait = self.settings.wait_for_turn;
        let turn = self.queue.take(&[volume.id], wait).map_err(|_| {
            broken(StepError::Changed(format!(
                "another request works on {volume}"
            )))
        })?;
        if self.roster().of_volume(volume.id).next().is_none() {
            let steps = self.write_back_steps(volume).map_err(broken)?;
            let run = Run {
                entry,
                kind: JournalKind::WriteBack,
            };
            self.run(run, &steps, 0)?;
        }
        if let Some(entry) = entry {
            let end = Finish {
                state: JournalState::Done,
                causes: Vec::new(),
                put: Vec::new(),
                remove: Vec::new(),
                follow: Vec::new(),
            };
            self.ports
                .journal
                .finish(entry, &end)
                .map_err(|e| broken(e.into()))?;
        }
        self.forget(volume);
        drop(turn);
        tracing::info!(%volume, "written back");
        Ok(())
    }

    fn write_back_steps(&self, volume: &VolumeRef) -> Result<Vec<Step>, StepError> {
        let Some(local) = &self.settings.local else {
            let reason = format!("the copy of {volume} is in a local pool that is not configured");
            return Err(StepError::Port(PortError::Refused(reason)));
        };
        let sight = self.look(&volume.pool)?;
        let info = sight.info.volume(volume.id);
        let info = info.ok_or_else(|| PortError::Missing {
            what: volume.to_string(),
        })?;
        let seen = self.volume_situation(&sight, info)?;
        write_back(&self.settings.node, local, &seen, true).map_err(StepError::Refused)
    }

    fn note_status(&self, volume: &VolumeRef, status: &CloneStatus) {
        let now = self.ports.clock.monotonic();
        let progress = {
            let mut watched = self.watched();
            let Some(entry) = watched.get_mut(&volume.id) else {
                return;
            };
            entry.see(now, status, self.settings.stall_after);
            entry.progress()
        };
        self.show_progress(&volume.pool, progress);
    }

    /// Others are told how far it is; that they are not is no reason to stop copying.
    fn show_progress(&self, pool: &PoolName, progress: CopyProgress) {
        self.roster().set_copy(pool, progress);
        if let Err(error) = self.write_slot(pool) {
            tracing::debug!(%pool, %error, "progress not published");
        }
    }

    fn note_complete(&self, volume: &VolumeRef) {
        let progress = {
            let mut watched = self.watched();
            let Some(entry) = watched.get_mut(&volume.id) else {
                return;
            };
            entry.wants_progress = false;
            entry.stalled_ms = 0;
            entry.remaining_ms = Some(0);
            if let Some(status) = &mut entry.status {
                status.hydrated = status.total;
            }
            entry.progress()
        };
        self.show_progress(&volume.pool, progress);
    }

    fn note_trouble(&self, volume: VolumeId, trouble: &str) {
        if let Some(entry) = self.watched().get_mut(&volume) {
            entry.trouble = Some(trouble.to_owned());
        }
    }

    /// The clone vanished: either a write-back has taken over, or the attach was undone.
    fn forget_hydration(&self, volume: VolumeId) {
        let mut watched = self.watched();
        if watched.get(&volume).is_some_and(|w| !w.returning) {
            watched.remove(&volume);
            self.roster().drop_copy(volume);
        }
    }

    fn forget(&self, volume: &VolumeRef) {
        // Attached again in the meantime: then it is being hydrated, and watched as that.
        if self.watched().get(&volume.id).is_some_and(|w| !w.returning) {
            return;
        }
        self.watched().remove(&volume.id);
        self.roster().drop_copy(volume.id);
        if let Err(error) = self.write_slot(&volume.pool) {
            tracing::debug!(%error, "a finished copy is still shown to other nodes");
        }
    }
}

impl Watched {
    fn see(&mut self, now: Duration, status: &CloneStatus, stall_after: Duration) {
        let before = self.status.map(|s| s.hydrated);
        if before.is_none() {
            self.first = (status.hydrated, now);
        }
        if before != Some(status.hydrated) {
            self.changed = now;
        }
        self.status = Some(*status);
        let idle = now.saturating_sub(self.changed);
        let stalled = self.wants_progress && !status.complete() && idle >= stall_after;
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        if stalled && self.stalled_ms == 0 {
            tracing::error!(
                volume = %self.volume, hydrated = status.hydrated, total = status.total, idle_ms,
                "copying makes no progress: the source or the copy fails, or the guest's own I/O \
                 leaves it no time"
            );
        }
        self.stalled_ms = if stalled { idle_ms } else { 0 };
        self.remaining_ms = self.estimate(now, status);
    }

    fn estimate(&self, now: Duration, status: &CloneStatus) -> Option<u64> {
        let (count, since) = self.first;
        let done = status.hydrated.checked_sub(count).filter(|d| *d > 0)?;
        let spent = u64::try_from(now.saturating_sub(since).as_millis()).ok()?;
        Some(spent.saturating_mul(status.total.saturating_sub(status.hydrated)) / done)
    }

    fn progress(&self) -> CopyProgress {
        CopyProgress {
            volume: self.volume.id,
            returning: self.returning,
            done: self.status.map_or(0, |s| s.hydrated),
            total: self.status.map_or(0, |s| s.total),
            remaining_ms: self.remaining_ms,
        }
    }

    fn view(&self) -> CopyView {
        let region = self.status.map_or(0, |s| s.region.bytes().0);
        let (done, total) = self.status.map_or((0, 0), |s| (s.hydrated, s.total));
        let broken = self
            .status
            .is_some_and(|s| s.mode != volward_model::CloneMode::ReadWrite);
        let state = if broken {
            "failed"
        } else if self.stalled_ms > 0 {
            "stalled"
        } else if self.returning {
            "returning"
        } else if total > 0 && done == total {
            "complete"
        } else if self.wants_progress {
            "hydrating"
        } else {
            "writes-only"
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
