//! Giving way: how much of a copy is on its way follows the guest's own I/O, and the speed of the disks. A copy that no guest is
//! beside (before the start, a write-back) still has sanlock beside it.

use std::time::Duration;

use volward_model::{
    CloneStatus, CopyFate, CopyMode, CopyPlan, DeviceId, DeviceRole, IoCounters, Sectors, VolumeRef,
};
use volward_plan::pace::LOOK;
use volward_plan::{Amounts, Pace, Reached};

use super::Engine;
use crate::ports::PortResult;

/// What is remembered of a copy from look to look.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// What was granted, where no attachment says so yet.
    granted: Option<CopyPlan>,
    /// Made at the first look that finds the clone copying, for regions of this size.
    pace: Option<(Sectors, Pace)>,
    /// What the clone was told last; `None`: nothing by this daemon.
    told: Option<Amounts>,
    /// It goes home, whichever device that is.
    returning: bool,
    /// The kernel does not say what the guest does, or does not take the amounts: told once.
    failed: bool,
}

impl Pacer {
    /// Of a copy that somebody is about to get, with what was granted.
    pub(super) fn new(granted: Option<CopyPlan>) -> Self {
        Self {
            granted,
            ..Self::default()
        }
    }

    /// Of a copy that comes home under its guest.
    pub(super) fn returning() -> Self {
        Self {
            returning: true,
            ..Self::default()
        }
    }
}

impl Engine {
    /// One look; answers when the next is due. What fails costs speed, never the copy: it goes on with what was set last.
    pub(crate) fn pace(
        &self,
        volume: &VolumeRef,
        id: DeviceId,
        status: &CloneStatus,
        pacer: &mut Pacer,
    ) -> Duration {
        match self.look_and_tell(volume, id, status, pacer) {
            Ok(next_look) => {
                pacer.failed = false;
                next_look
            }
            Err(error) => {
                if !std::mem::replace(&mut pacer.failed, true) {
                    tracing::debug!(%volume, %error, "the copy does not follow the guest's I/O");
                }
                LOOK
            }
        }
    }

    fn look_and_tell(
        &self,
        volume: &VolumeRef,
        id: DeviceId,
        status: &CloneStatus,
        pacer: &mut Pacer,
    ) -> PortResult<Duration> {
        let counters = self.guests_io(volume)?;
        let at = self.ports.clock.monotonic();
        let returning = pacer.returning || id.role == DeviceRole::Return;
        let granted = pacer.granted;
        let new = || {
            let speed = self.speeds().of(&volume.pool, returning, at);
            let grant = granted.unwrap_or_else(|| self.grant(volume));
            Pace::new(status.region, &grant, speed)
        };
        let (region, pace) = pacer.pace.get_or_insert_with(|| (status.region, new()));
        if *region != status.region {
            // Another clone of the same volume.
            (*region, *pace) = (status.region, new());
        }
        let regions = status.hydrated;
        let amounts = pace.hear(counters, Reached { regions, at });
        if let Some(speed) = pace.speed() {
            let mut speeds = self.speeds();
            speeds.note(&volume.pool, returning, speed, at);
        }
        let next_look = pace.next_look();
        if pacer.told != Some(amounts) {
            let devices = &self.ports.devices;
            devices.set_amounts(id, amounts.threshold, amounts.batch)?;
            tracing::debug!(device = %id, ?amounts, "amounts of the copy");
            pacer.told = Some(amounts);
        }
        Ok(next_look)
    }

    /// Of all who have the volume here; none of a volume that nobody has yet, or any more.
    fn guests_io(&self, volume: &VolumeRef) -> PortResult<IoCounters> {
        let instances: Vec<_> = {
            let table = self.state.attachment_table();
            table.of_volume(volume.id).map(|a| a.instance).collect()
        };
        let mut all = IoCounters::default();
        for instance in instances {
            let id = DeviceId::attachment(volume.id, instance);
            if let Some(counters) = self.ports.devices.io(id)? {
                all = all.and(counters);
            }
        }
        Ok(all)
    }

    /// What was granted to whoever has the volume here: the most that is on its way. A write-back has the defaults.
    fn grant(&self, volume: &VolumeRef) -> CopyPlan {
        let granted = {
            let table = self.state.attachment_table();
            table.of_volume(volume.id).find_map(|a| a.copy)
        };
        granted.unwrap_or(CopyPlan {
            mode: CopyMode::Background,
            in_flight: None,
            batch: None,
            fate: CopyFate::WriteBack,
        })
    }
}
