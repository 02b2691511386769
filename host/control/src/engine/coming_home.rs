//! A copy that comes home under its guest: the clone device beneath the guest's is turned round, and later
//! put onto the shared volume.

use volward_model::{
    Backing, CloneTable, DeviceId, DeviceRole, InstanceId, PoolName, Sectors, Table, VolumeRef,
};
use volward_plan::CloneGeometry;

use super::{Engine, NAP, Pacer, StepError, clone_of};
use crate::ports::{PortError, PortResult};

impl Engine {
    /// `Step::TurnClone`. Done already where the device stands on the shared volume.
    pub(super) fn turn_clone(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Sectors,
        geometry: CloneGeometry,
    ) -> PortResult<()> {
        let id = clone_of(volume);
        let devices = &self.ports.devices;
        let loaded = self.is_loaded(id)?;
        let at_home = linear(Backing::Volume(volume.id), size);
        if loaded.as_deref() == Some("linear") && self.must_stand_on(id, &at_home).is_ok() {
            return Ok(());
        }
        let lvs = self.current_copy(volume, local)?;
        let copy = Backing::Volume(lvs.copy.volume.id);
        let (metadata, geometry) = self.begun_with(&lvs, &lvs.return_metadata, geometry)?;
        let turned = Table::Clone(CloneTable {
            metadata,
            destination: Backing::Volume(volume.id),
            // The copy itself: all of it is there, or the home would not say `returning` under a guest.
            source: copy,
            size,
            region: geometry.region,
            hydrating: true,
            threshold: geometry.threshold,
            batch: geometry.batch,
        });
        match loaded.as_deref() {
            Some("clone") => {
                self.must_stand_on(id, &turned)?;
                return devices.set_hydration(id, true);
            }
            Some("linear") => self.must_stand_on(id, &linear(copy, size))?,
            other => {
                return Err(PortError::Identity {
                    what: format!("device {id}"),
                    expected: "linear, on the copy".to_owned(),
                    found: other.unwrap_or("no table").to_owned(),
                });
            }
        }
        // What a guest discards before it is copied would be read as it was long ago (I21).
        for instance in self.instances_on(volume)? {
            devices.set_discards(DeviceId::attachment(volume.id, instance), false)?;
        }
        devices.reload(id, &turned, false)
    }

    /// Waits until the turned clone has written everything home, its users are gone, or something is to be done first;
    /// with the volume's lock free. Says whether all is there.
    pub(crate) fn await_home(
        &self,
        volume: &VolumeRef,
        is_over: impl Fn() -> bool,
    ) -> Result<bool, StepError> {
        let id = clone_of(volume);
        let mut pacer = Pacer::returning();
        loop {
            let Some(info) = self.ports.devices.get(id)? else {
                return Ok(false);
            };
            let Some(status) = self.ports.devices.clone_status(id)? else {
                return Ok(info.target.as_deref() == Some("linear"));
            };
            self.state.note_status(volume, &status);
            if status.complete() {
                return Ok(true);
            }
            if is_over() {
                return Ok(false);
            }
            let nap = self.pace(volume, id, &status, &mut pacer).min(NAP);
            self.ports.devices.wait_event(id, info.event, nap)?;
        }
    }

    /// `Step::StandAtHome`. What says that all is there is durable before the first write that it does not know of.
    /// A volume that has grown since keeps its new end to itself, which nobody has zeroed (I27).
    pub(super) fn stand_at_home(&self, volume: &VolumeRef) -> PortResult<()> {
        let id = clone_of(volume);
        let devices = &self.ports.devices;
        let info = devices.get(id)?.ok_or_else(|| PortError::Missing {
            what: id.to_string(),
        })?;
        let at_home = linear(Backing::Volume(volume.id), info.size);
        let Some(status) = devices.clone_status(id)? else {
            return self.must_stand_on(id, &at_home);
        };
        devices.flush(id)?;
        if !status.complete() {
            return Err(PortError::Identity {
                what: format!("device {id}"),
                expected: "everything copied".to_owned(),
                found: format!("{} of {} regions", status.hydrated, status.total),
            });
        }
        devices.reload(id, &at_home, false)
    }

    /// `Step::Restack`. What is cut off stays so: it gets its I/O back by another way.
    pub(super) fn restack(&self, volume: &VolumeRef, instance: InstanceId) -> PortResult<()> {
        let id = DeviceId::attachment(volume.id, instance);
        let devices = &self.ports.devices;
        let Some(info) = devices.get(id)? else {
            return Ok(());
        };
        if info.target.as_deref() == Some("error") {
            return Ok(());
        }
        let at_home = linear(Backing::Volume(volume.id), info.size);
        devices.reload(id, &at_home, info.read_only)?;
        if self.is_cut_off(volume, instance) {
            // Its error table may have been loaded before this one.
            let error = Table::Error { size: info.size };
            return devices.reload(id, &error, info.read_only);
        }
        devices.set_discards(id, true)
    }

    fn is_cut_off(&self, volume: &VolumeRef, instance: InstanceId) -> bool {
        let attachment = {
            let table = self.state.attachment_table();
            let mut of_instance = table.of_instance(instance);
            of_instance.find(|a| a.volume.id == volume.id).cloned()
        };
        attachment.is_some_and(|a| self.state.fences().get(&a).is_some())
    }

    /// Whoever has a device of the volume here, and is not cut off.
    fn instances_on(&self, volume: &VolumeRef) -> PortResult<Vec<InstanceId>> {
        let all = self.ports.devices.list()?.into_iter();
        let of_volume = all.filter(|d| d.id.volume == volume.id);
        let in_use = of_volume.filter(|d| d.target.as_deref() == Some("linear"));
        let instances = in_use.filter_map(|d| match d.id.role {
            DeviceRole::Attachment(instance) => Some(instance),
            _ => None,
        });
        Ok(instances.collect())
    }
}

fn linear(on: Backing, size: Sectors) -> Table {
    Table::Linear { on, size }
}
