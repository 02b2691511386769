//! A copy of what a guest writes to: the kernel makes it the second leg of a mirror under the guest's device, and when
//! both are equal it is split off.

use volward_model::{
    Access, Backing, Bytes, DeviceId, DeviceInfo, DeviceRole, MirrorTable, Sharing, Table,
    VolumeInfo, VolumeOperation,
};
use volward_plan::operate::Writer;
use volward_plan::{Refusal, VolumeInput};

use super::Operate;
use super::look::{Look, is_whole};
use super::work::Went;
use crate::engine::StepError;
use crate::ports::{Event, PortError, PortResult, Split, SplitAt, StoredAttachment};

impl Operate {
    /// How the device of the instance that writes to the source stands to the copy; `None` where nobody does, or more
    /// than one may.
    pub(super) fn writer(
        &self,
        info: &VolumeInfo,
        attached: &[StoredAttachment],
    ) -> PortResult<Option<Writer>> {
        let [only] = attached else {
            return Ok(None);
        };
        if (only.sharing, only.access) != (Sharing::Exclusive, Access::ReadWrite) {
            return Ok(None);
        }
        let id = DeviceId::attachment(info.volume.id, only.instance);
        let device = self.ports.devices.get(id)?;
        let Some(device) = device.filter(|_| is_whole(only)) else {
            return Ok(None);
        };
        Ok(Some(match device.target.as_deref() {
            Some("linear") => Writer::Apart,
            Some("mirror") => match self.ports.devices.mirror_status(id)? {
                Some(status) if status.whole() => Writer::Equal,
                Some(status) if status.sound => Writer::Filling,
                Some(_) => Writer::Failed,
                // Given another table between the two looks.
                None => Writer::Apart,
            },
            _ => Writer::Cut,
        }))
    }

    /// From here on the guest writes to both.
    pub(super) fn mirror(
        &self,
        operation: &VolumeOperation,
        source: &VolumeInput,
        look: &Look,
    ) -> Result<(), StepError> {
        self.may(operation, look).map_err(StepError::Refused)?;
        let copy = self.held_copy(source, look)?;
        let (id, device) = self.device_of(&source.info)?;
        let size = device.size;
        if size.bytes() != source.info.size {
            // It was grown behind our back, and its guest does not see that.
            return Err(StepError::Refused(Refusal::copy_broken(&operation.task)));
        }
        let table = Table::Mirror(MirrorTable {
            on: Backing::Volume(source.info.volume.id),
            copy: Backing::Volume(copy.volume.id),
            size,
        });
        Ok(self.ports.devices.reload(id, &table, device.read_only)?)
    }

    /// Looks again in a while. What is equal by now is told, and is not on record: it is of no moment.
    pub(super) fn await_mirror(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<Went, StepError> {
        let source = look.source.as_ref().ok_or_else(|| PortError::Missing {
            what: operation.task.to_string(),
        })?;
        self.held_copy(source, look)?;
        let (id, _) = self.device_of(&source.info)?;
        let status = self.ports.devices.mirror_status(id)?;
        let equal = status.map_or(Bytes(0), |status| {
            let share = u128::from(source.info.size.0) * u128::from(status.equal);
            Bytes(u64::try_from(share / u128::from(status.total.max(1))).unwrap_or(0))
        });
        let seen = look.sight.source.as_ref().and_then(|seen| seen.writer);
        let what = match seen {
            Some(Writer::Awaited) => {
                "its guest writes to both, which are equal; it waits for the others of its group"
                    .to_owned()
            }
            _ => format!(
                "its guest writes to both, {equal} of {} are equal",
                source.info.size
            ),
        };
        Ok(self.waits(&operation.id, what))
    }

    /// The guest writes to the source alone from one moment on, and what the copy holds of that moment is on record.
    pub(super) fn split(
        &self,
        operation: &VolumeOperation,
        source: &VolumeInput,
        (look, content): (&Look, Bytes),
    ) -> Result<(), StepError> {
        if operation.group.is_some() {
            return self.split_all(&operation.id);
        }
        self.may(operation, look).map_err(StepError::Refused)?;
        self.held_copy(source, look)?;
        match self.ports.devices.split(&[self.split_of(&source.info)?])? {
            SplitAt::Done => Ok(self.note(&operation.id, content)?),
            SplitAt::Kept(_) => Err(StepError::Refused(Refusal::copy_broken(&operation.task))),
        }
    }

    /// The guest writes to the source alone, whatever became of the copy.
    pub(super) fn unmirror(&self, info: &VolumeInfo) -> Result<(), StepError> {
        let (id, device) = self.device_of(info)?;
        Ok(self
            .ports
            .devices
            .reload(id, &alone(info, &device), device.read_only)?)
    }

    /// Ends mirrors that no operation on record has made: its record was lost, and with it whoever would end it. What
    /// they were to become stays, with its mark.
    pub(crate) fn end_stray_mirrors(&self) {
        let stays = |what: String, error: PortError| {
            let reason = error.to_string();
            self.ports.events.tell(&Event::StrayStays { what, reason });
        };
        let devices = match self.ports.devices.list() {
            Ok(devices) => devices,
            Err(error) => return stays("mirrors under guests".to_owned(), error),
        };
        let mirrors = devices.iter().filter(|device| {
            let of_guest = matches!(device.id.role, DeviceRole::Attachment(_));
            of_guest && device.target.as_deref() == Some("mirror")
        });
        for device in mirrors {
            let (id, size, read_only) = (device.id, device.size, device.read_only);
            if self.state.operations().open_on(id.volume).is_some() {
                continue;
            }
            let table = Table::Linear {
                on: Backing::Volume(id.volume),
                size,
            };
            if let Err(error) = self.ports.devices.reload(id, &table, read_only) {
                stays(format!("the mirror under device {id}"), error);
            }
        }
    }

    /// The copy, whose lease is held like the source's at this moment.
    pub(super) fn held_copy<'a>(
        &self,
        source: &VolumeInput,
        look: &'a Look,
    ) -> PortResult<&'a VolumeInfo> {
        let copy = look.info.as_ref().ok_or_else(|| PortError::Missing {
            what: format!("the copy of {}", source.info.volume),
        })?;
        self.must_be_held(&copy.volume, false)?;
        self.must_be_held(&source.info.volume, true)?;
        Ok(copy)
    }

    pub(super) fn split_of(&self, info: &VolumeInfo) -> PortResult<Split> {
        let (id, device) = self.device_of(info)?;
        Ok(Split {
            id,
            table: alone(info, &device),
            read_only: device.read_only,
        })
    }

    fn device_of(&self, info: &VolumeInfo) -> PortResult<(DeviceId, DeviceInfo)> {
        let attached = self.attachments_of(info);
        let instance = attached.first().map(|attachment| attachment.instance);
        let missing = || PortError::Missing {
            what: format!("the device of an instance that has {}", info.volume),
        };
        let id = DeviceId::attachment(info.volume.id, instance.ok_or_else(missing)?);
        let device = self.ports.devices.get(id)?.ok_or_else(missing)?;
        Ok((id, device))
    }
}

fn alone(info: &VolumeInfo, device: &DeviceInfo) -> Table {
    Table::Linear {
        on: Backing::Volume(info.volume.id),
        size: device.size,
    }
}
