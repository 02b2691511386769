//! Giving way to the guest: how much of a hydration is on its way follows the guest's own I/O.

use std::time::Duration;

use volward_model::{
    CloneStatus, CopyFate, CopyMode, CopyPlan, DeviceId, IoCounters, Sectors, VolumeRef,
};
use volward_plan::{Amounts, Pace, Reached};

use super::Copies;
use crate::ports::PortResult;

/// Between two looks at the guest's I/O.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What is remembered of a hydration from look to look.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// Made at the first look that finds a hydration, for regions of this size.
    pace: Option<(Sectors, Pace)>,
    /// What the clone was told last; `None`: nothing by this daemon.
    told: Option<Amounts>,
    /// The kernel does not say what the guest does, or does not take the amounts: told once.
    failed: bool,
}

impl Copies {
    /// One look. What fails costs speed, never the hydration: it goes on with what was set last.
    pub(super) fn pace(
        &self,
        volume: &VolumeRef,
        id: DeviceId,
        status: &CloneStatus,
        pacer: &mut Pacer,
    ) {
        match self.look_and_tell(volume, id, status, pacer) {
            Ok(()) => pacer.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut pacer.failed, true) {
                    tracing::debug!(%volume, %error, "the hydration does not follow the guest's I/O");
                }
            }
        }
    }

    fn look_and_tell(
        &self,
        volume: &VolumeRef,
        id: DeviceId,
        status: &CloneStatus,
        pacer: &mut Pacer,
    ) -> PortResult<()> {
        let counters = self.guests_io(volume)?;
        let (region, pace) = pacer
            .pace
            .get_or_insert_with(|| (status.region, Pace::new(status.region, &self.grant(volume))));
        if *region != status.region {
            // Another clone of the same volume.
            *region = status.region;
            *pace = Pace::new(status.region, &self.grant(volume));
        }
        let reached = Reached {
            regions: status.hydrated,
            at: self.ports.clock.monotonic(),
        };
        let amounts = pace.hear(counters, reached);
        if pacer.told == Some(amounts) {
            return Ok(());
        }
        let devices = &self.ports.devices;
        devices.set_amounts(id, amounts.threshold, amounts.batch)?;
        tracing::debug!(%volume, ?amounts, "amounts of the hydration");
        pacer.told = Some(amounts);
        Ok(())
    }

    /// Of all who have the volume here.
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

    /// What was granted to whoever has the volume here: the most that is on its way.
    fn grant(&self, volume: &VolumeRef) -> CopyPlan {
        let table = self.state.attachment_table();
        let granted = table.of_volume(volume.id).find_map(|a| a.copy);
        granted.unwrap_or(CopyPlan {
            mode: CopyMode::Background,
            in_flight: None,
            batch: None,
            fate: CopyFate::WriteBack,
        })
    }
}
