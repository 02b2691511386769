//! What is known of the copies on this node, from look to look.

use volward_model::{CloneStatus, CopyProgress, PoolName, VolumeId, VolumeRef};

use super::{CopyMonitor, CopyView, State};

impl State {
    /// Copies on this node, each with the name that its volume had when somebody looked last.
    pub(crate) fn copies(&self) -> Vec<CopyView> {
        let views: Vec<CopyView> = self.monitors().values().map(CopyMonitor::view).collect();
        let named = views.into_iter().map(|mut view| {
            if let Some(present) = self.present(view.volume.id) {
                view.volume.name = present.name;
            }
            view
        });
        named.collect()
    }

    /// Whether the volume is being written back.
    pub(crate) fn is_returning(&self, volume: VolumeId) -> bool {
        self.monitors().get(&volume).is_some_and(|w| w.returning)
    }

    /// Whether the volume's write-back has an entry in the journal.
    pub(crate) fn note_recorded(&self, volume: VolumeId, recorded: bool) {
        if let Some(monitor) = self.monitors().get_mut(&volume) {
            monitor.recorded = recorded;
        }
    }

    /// Whether a write-back of the volume is on record in the journal.
    pub(crate) fn has_recorded_write_back(&self, volume: VolumeId) -> bool {
        let monitors = self.monitors();
        monitors
            .get(&volume)
            .is_some_and(|monitor| monitor.returning && monitor.recorded)
    }

    /// A copy's latest status, for everybody to see.
    pub(crate) fn note_status(&self, volume: &VolumeRef, status: &CloneStatus) {
        let now = self.ports.clock.monotonic();
        let (stalled, progress) = {
            let mut monitors = self.monitors();
            let Some(entry) = monitors.get_mut(&volume.id) else {
                return;
            };
            let stalled = entry.see(now, status, self.settings.stall_after);
            (stalled, entry.progress())
        };
        if let Some(stalled) = stalled {
            self.ports.events.tell(&stalled);
        }
        self.show_progress(&volume.pool, progress);
    }

    /// Others are told how far it is; that they are not is no reason to stop copying.
    fn show_progress(&self, pool: &PoolName, progress: CopyProgress) {
        self.attachment_table().set_copy(pool, progress);
        if let Err(error) = self.write_slot(pool) {
            tracing::debug!(%pool, %error, "progress not published");
        }
    }

    pub(crate) fn note_complete(&self, volume: &VolumeRef) {
        let progress = {
            let mut monitors = self.monitors();
            let Some(entry) = monitors.get_mut(&volume.id) else {
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

    pub(crate) fn note_trouble(&self, volume: VolumeId, trouble: &str) {
        if let Some(entry) = self.monitors().get_mut(&volume) {
            entry.trouble = Some(trouble.to_owned());
        }
    }

    /// The clone vanished: either a write-back has taken over, or the attach was undone.
    pub(crate) fn forget_hydration(&self, volume: VolumeId) {
        // One lock after the other, never one within the other.
        let forgotten = {
            let mut monitors = self.monitors();
            let hydrates = monitors.get(&volume).is_some_and(|w| !w.returning);
            hydrates.then(|| monitors.remove(&volume))
        };
        if forgotten.is_some() {
            self.attachment_table().drop_copy(volume);
        }
    }

    /// A write-back is over.
    pub(crate) fn forget(&self, volume: &VolumeRef) {
        // Attached again in the meantime: then it is being hydrated, and watched as that.
        if self
            .monitors()
            .get(&volume.id)
            .is_some_and(|w| !w.returning)
        {
            return;
        }
        self.monitors().remove(&volume.id);
        self.attachment_table().drop_copy(volume.id);
        if let Err(error) = self.write_slot(&volume.pool) {
            tracing::debug!(%error, "a finished copy is still shown to other nodes");
        }
    }
}
