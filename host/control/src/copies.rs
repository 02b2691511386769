//! Local copies: hydration, the switch to linear, writing back.
//!
//! One thread a copy; it sleeps until the kernel says that something happened.

use std::sync::{Arc, Weak};

use volward_model::{Backing, Bytes, CopyStage, DeviceId, DeviceRole, Table, VolumeRef};
use volward_plan::home::may_switch;
use volward_plan::{AttachPlan, Step};

use crate::engine::{Engine, NAP, Pacer, clone_of, return_of};
use crate::observe::Observer;
use crate::ports::{
    Clock, Devices, Event, Events, FaultPoints, PortError, PortResult, Tasks, Volumes,
};
use crate::settings::{Ports, Settings, needs};
use crate::state::{CopyMonitor, State, pause_after};

mod coming_home;
mod write_back;

needs!(CopiesPorts {
    volumes: Volumes,
    devices: Devices,
    clock: Clock,
    tasks: Tasks,
    fault_points: FaultPoints,
    events: Events,
});

/// Follows hydrations and writes copies back, in the background.
pub(crate) struct Copies {
    ports: CopiesPorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    observer: Arc<Observer>,
    engine: Arc<Engine>,
    /// For background work, which outlives the request that started it.
    me: Weak<Self>,
}

impl Copies {
    pub(crate) fn new(
        settings: &Arc<Settings>,
        state: &Arc<State>,
        observer: &Arc<Observer>,
        engine: &Arc<Engine>,
        ports: &Ports,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            state: Arc::clone(state),
            observer: Arc::clone(observer),
            engine: Arc::clone(engine),
            me: me.clone(),
        })
    }

    /// Watches the copies a plan made or took up.
    pub(crate) fn watch_all(&self, plan: &AttachPlan) {
        for planned in &plan.steps {
            if let Step::LoadClone {
                volume, hydrating, ..
            } = &planned.step
            {
                self.watch(volume, false, *hydrating);
            }
        }
    }

    /// Remembers a copy; the daemon's loop ([`Copies::follow`]) does the rest.
    pub(crate) fn watch(&self, volume: &VolumeRef, returning: bool, wants_progress: bool) {
        let now = self.ports.clock.monotonic();
        let mut monitor = CopyMonitor::new(volume, returning, wants_progress, now);
        // After a restart the kernel has gone on: whoever asks is told how far it is before the
        // steps, which may have to wait for LVM, come to look.
        let id = if returning {
            return_of(volume)
        } else {
            clone_of(volume)
        };
        if let Ok(Some(status)) = self.ports.devices.clone_status(id) {
            // The first look has nothing to compare with: it never finds a stall.
            monitor.see(now, &status, self.settings.stall_after);
        }
        let begun = match returning {
            true => Event::WriteBackBegun {
                volume: volume.clone(),
            },
            false => Event::HydrationBegun {
                volume: volume.clone(),
                in_background: wants_progress,
            },
        };
        self.ports.events.tell(&begun);
        self.state.monitors().insert(volume.id, monitor);
        if !returning {
            self.wake(volume);
        }
    }

    fn wake(&self, volume: &VolumeRef) {
        // `None` when the node is on its way out: then nothing new is begun.
        let Some(copies) = self.me.upgrade() else {
            return;
        };
        let volume = volume.clone();
        let work = Box::new(move || copies.follow(&volume));
        self.ports.tasks.spawn("hydration".into(), work);
    }

    /// Follows one hydration until the switch to linear is done, the clone is gone, or the daemon
    /// stops.
    fn follow(&self, volume: &VolumeRef) {
        let id = clone_of(volume);
        let mut failures = 0;
        let mut pacer = Pacer::default();
        while !self.state.is_stopping() {
            match self.follow_once(volume, id, &mut pacer) {
                Ok(true) => return,
                Ok(false) => failures = 0,
                Err(error) => {
                    self.note_trouble(volume, false, &error.to_string());
                    failures += 1;
                    self.ports.clock.sleep(pause_after(failures));
                }
            }
        }
    }

    /// Says whether there is nothing more to watch.
    fn follow_once(&self, volume: &VolumeRef, id: DeviceId, pacer: &mut Pacer) -> PortResult<bool> {
        let Some(info) = self.ports.devices.get(id)? else {
            self.state.forget_hydration(volume.id);
            return Ok(true);
        };
        let returning = self
            .state
            .monitors()
            .get(&volume.id)
            .is_none_or(|w| w.returning);
        if returning {
            return Ok(true);
        }
        let Some(status) = self.ports.devices.clone_status(id)? else {
            // Switched already, by an earlier daemon or by a try of which the rest failed.
            self.switched(volume)?;
            return Ok(true);
        };
        self.state.note_status(volume, &status);
        if may_switch(Some(&status)) {
            return self.switch(volume, id);
        }
        let nap = match status.hydrating {
            true => self.engine.pace(volume, id, &status, pacer),
            // Nothing is copied that the guest does not write itself.
            false => NAP,
        };
        self.ports.devices.wait_event(id, info.event, nap)?;
        Ok(false)
    }

    /// The live switch (I22): the condition is read again once nobody else works on the volume.
    fn switch(&self, volume: &VolumeRef, id: DeviceId) -> PortResult<bool> {
        let Ok(guard) = self
            .state
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
        let lvs = self.engine.copy_volumes(volume, local)?;
        let copy = &lvs.copy;
        // As long as the clone, whatever the volume was grown to and the copy was rounded up to.
        let size = match CopyStage::from_tags(copy.tags.iter().map(String::as_str)) {
            Some(CopyStage::Used { size, .. }) => size,
            _ => self.volume_size(volume)?.min(lvs.data()),
        };
        let size = size.sectors().ok_or_else(|| PortError::Unreadable {
            what: copy.volume.to_string(),
            reason: "its size is no multiple of 512".into(),
        })?;
        let table = Table::Linear {
            on: Backing::Volume(copy.volume.id),
            size,
        };
        self.ports.fault_points.at("hydrate/switch/before");
        self.ports.devices.reload(id, &table, false)?;
        self.ports.fault_points.at("hydrate/switch/after");
        self.switched(volume)?;
        drop(guard);
        Ok(true)
    }

    /// What follows from the switch.
    fn switched(&self, volume: &VolumeRef) -> PortResult<()> {
        self.allow_discards(volume)?;
        self.state.note_complete(volume);
        let volume = volume.clone();
        self.ports.events.tell(&Event::HydrationComplete { volume });
        Ok(())
    }

    /// For whoever asks, and whoever is told.
    fn note_trouble(&self, volume: &VolumeRef, returning: bool, trouble: &str) {
        self.state.note_trouble(volume.id, trouble);
        self.ports.events.tell(&Event::CopyTrouble {
            volume: volume.clone(),
            returning,
            trouble: trouble.to_owned(),
        });
    }

    fn volume_size(&self, volume: &VolumeRef) -> PortResult<Bytes> {
        let pool = self.ports.volumes.validated_pool(&volume.pool)?;
        let info = pool.volume(volume.id);
        info.map(|i| i.size).ok_or_else(|| PortError::Missing {
            what: volume.to_string(),
        })
    }

    /// From here on nothing old can come back through a discard (I21).
    pub(crate) fn allow_discards(&self, volume: &VolumeRef) -> PortResult<()> {
        let of_volume: Vec<_> = self
            .state
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
}
