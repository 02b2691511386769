//! A volume goes to another disk of its pool, beneath whoever has it here.

use volward_model::{Bytes, LvmUuid, Mark, PoolName, RequestId, VolumeInfo, VolumeOperation};
use volward_plan::Refusal;
use volward_plan::operate::Place;

use super::look::Look;
use super::work::Went;
use super::{Operate, OperationRequest};
use crate::engine::StepError;
use crate::error::{ControlError, refuse, storage};
use crate::ports::PortError;

/// What is on record as on both disks, before any of it is.
const BEGUN: Bytes = Bytes(512);

impl Operate {
    /// The disk of a pool that somebody names by its path on this node, or by LVM's UUID.
    ///
    /// # Errors
    /// If the pool has none of that name here, or storage does not answer.
    pub(crate) fn disk(
        &self,
        request: RequestId,
        pool: &PoolName,
        named: &str,
    ) -> Result<LvmUuid, ControlError> {
        self.observer.managed(pool)?;
        let disk = self.ports.volumes.physical_volume(pool, named);
        let disk = disk.map_err(|error| storage(request, "looking for the disk", error))?;
        disk.map(|disk| disk.id).ok_or_else(|| {
            ControlError::NotFound(format!(
                "{pool} has no disk {named} on this node; `volward pool show {pool}` lists those that it has"
            ))
        })
    }

    /// What of the volume is on other disks has to fit on the one that it goes to. LVM would say so too, in words of its own.
    pub(super) fn disk_must_have_room(
        &self,
        asked: &OperationRequest,
        look: &Look,
    ) -> Result<(), ControlError> {
        let (Some(disk), Some(Place::On { .. })) = (asked.task.disk(), look.sight.place) else {
            return Ok(());
        };
        let lv = look.info.as_ref().map(|info| info.volume.id.lv);
        let disks = self.ports.volumes.physical_volumes(asked.task.pool());
        let disks = disks.map_err(|error| storage(asked.request, "looking at the disks", error))?;
        let others = disks.iter().filter(|one| one.id != disk);
        let carried = others.flat_map(|one| &one.carries);
        let wanted = carried.filter(|one| Some(one.lv) == lv).map(|one| one.size);
        let wanted = Bytes(wanted.map(|size| size.0).sum());
        let found = disks.iter().find(|one| one.id == disk);
        match found.filter(|one| one.free < wanted) {
            None => Ok(()),
            Some(full) => Err(refuse(
                asked.request,
                Refusal::disk_full(&asked.task, &full.path, full.free, wanted),
            )),
        }
    }

    /// Of one that nobody has only the mark counts, which keeps all others away.
    pub(super) fn may_relocate(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<(), StepError> {
        let mark = look.info.as_ref().and_then(VolumeInfo::mark);
        if mark.as_ref().and_then(Mark::by) == Some(&operation.id) {
            return Ok(());
        }
        self.may(operation, look).map_err(StepError::Refused)
    }

    /// Puts on record that it has begun beneath an instance: when that one goes, it ends.
    pub(super) fn note_begun(&self, operation: &VolumeOperation) -> Result<(), PortError> {
        match operation.zeroed < BEGUN {
            true => self.note(&operation.id, BEGUN),
            false => Ok(()),
        }
    }

    /// Looks again in a while. Where both disks are equal, lvmpolld is about to end the move; in case that it is gone, the move is
    /// ended here.
    pub(super) fn await_relocation(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<Went, StepError> {
        let (Some(info), Some(disk)) = (look.info.as_ref(), operation.task.disk()) else {
            return Err(StepError::Port(PortError::Missing {
                what: operation.task.to_string(),
            }));
        };
        self.must_be_held(&info.volume, false)?;
        let mut percent = 0;
        if let Some(Place::Moving {
            from,
            percent: seen,
        }) = look.sight.place
        {
            percent = seen.unwrap_or_default();
            let equal = share(info.size, percent);
            if operation.zeroed < equal {
                self.note(&operation.id, equal)?;
            }
            if seen.is_none_or(|percent| percent >= 100) {
                self.ports.volumes.relocate(&info.volume, from, disk)?;
            }
        }
        let what = format!(
            "LVM moves {} to the other disk: {percent} % is on both",
            info.volume
        );
        Ok(self.waits(&operation.id, what))
    }
}

fn share(size: Bytes, percent: u8) -> Bytes {
    Bytes(size.0 / 100 * u64::from(percent.min(100)))
}
