//! Local copies: hydration, the switch to linear, writing back.
//!
//! One thread a copy; it sleeps until the kernel says that something happened.

use std::time::Duration;

use volward_model::{
    Backing, CloneStatus, CopyProgress, DeviceId, DeviceRole, PoolName, Table, VolumeId, VolumeRef,
};
use volward_plan::home::may_switch;
use volward_plan::{AttachPlan, Step};

use crate::execute::{StepError, clone_of, return_of};
use crate::in_flight::Cancellation;
use crate::node::Node;
use crate::ports::{PortError, PortResult};

mod watched;
mod write_back;

pub use watched::{CopyMonitor, CopyView};

/// The longest sleep: completion wakes earlier; this is for stalls, and for the others' view of
/// the progress.
const NAP: Duration = Duration::from_secs(5);
/// After a failure a write-back is tried again.
const RETRY: Duration = Duration::from_secs(10);

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
        self.watched().values().map(CopyMonitor::view).collect()
    }

    pub(crate) fn is_returning(&self, volume: VolumeId) -> bool {
        self.watched().get(&volume).is_some_and(|w| w.returning)
    }

    /// Remembers a copy; the daemon's loop ([`Node::tend`]) does the rest.
    pub(crate) fn watch(&self, volume: &VolumeRef, returning: bool, wants_progress: bool) {
        let now = self.ports.clock.monotonic();
        let mut watched = CopyMonitor {
            volume: volume.clone(),
            returning,
            status: None,
            switched: false,
            wants_progress,
            stalled_ms: 0,
            remaining_ms: None,
            trouble: None,
            first: (0, now),
            changed: now,
        };
        // After a restart the kernel has gone on: whoever asks is told how far it is before the
        // steps, which may have to wait for LVM, come to look.
        let id = if returning {
            return_of(volume)
        } else {
            clone_of(volume)
        };
        if let Ok(Some(status)) = self.ports.devices.clone_status(id) {
            watched.see(now, &status, self.settings.stall_after);
        }
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
        let Ok(turn) = self
            .volume_locks
            .take(&[volume.id], self.settings.lock_wait)
        else {
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
        self.ports.fault_points.at("hydrate/switch/before");
        self.ports.devices.reload(id, &table, false)?;
        self.ports.fault_points.at("hydrate/switch/after");
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
            .attachment_table()
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
    pub(crate) fn await_hydration(
        &self,
        volume: &VolumeRef,
        cancellation: &Cancellation,
    ) -> Result<(), StepError> {
        self.await_clone(volume, clone_of(volume), cancellation)
    }

    fn await_clone(
        &self,
        volume: &VolumeRef,
        id: DeviceId,
        cancellation: &Cancellation,
    ) -> Result<(), StepError> {
        loop {
            let info = self.ports.devices.get(id)?;
            let info = info.ok_or_else(|| PortError::Missing {
                what: id.to_string(),
            })?;
            let Some(status) = self.ports.devices.clone_status(id)? else {
                // Linear is what a hydrated clone becomes; anything else (an error table, say)
                // has copied nothing, and must not be taken for done (I24).
                if id.role == DeviceRole::Clone && info.target.as_deref() == Some("linear") {
                    return Ok(());
                }
                let found = info.target.unwrap_or_else(|| "no table".into());
                return Err(StepError::Port(PortError::Identity {
                    what: format!("device {id}"),
                    expected: "clone".to_owned(),
                    found,
                }));
            };
            self.note_status(volume, &status);
            if status.complete() {
                return Ok(());
            }
            if self.is_stopping() {
                return Err(StepError::Stopping);
            }
            if cancellation.is_cancelled() {
                return Err(StepError::Cancelled);
            }
            self.ports.devices.wait_event(id, info.event, NAP)?;
        }
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
        self.attachment_table().set_copy(pool, progress);
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
            entry.switched = true;
            entry.wants_progress = false;
            entry.stalled_ms = 0;
            entry.remaining_ms = None;
            entry.trouble = None;
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
            self.attachment_table().drop_copy(volume);
        }
    }

    fn forget(&self, volume: &VolumeRef) {
        // Attached again in the meantime: then it is being hydrated, and watched as that.
        if self.watched().get(&volume.id).is_some_and(|w| !w.returning) {
            return;
        }
        self.watched().remove(&volume.id);
        self.attachment_table().drop_copy(volume.id);
        if let Err(error) = self.write_slot(&volume.pool) {
            tracing::debug!(%error, "a finished copy is still shown to other nodes");
        }
    }
}
