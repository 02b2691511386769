//! What is found of the volume of an operation.

use volward_model::{
    AttachmentState, DeviceId, LeaseMode, Mark, VolumeInfo, VolumeOperation, VolumeRef,
};
use volward_plan::operate::{Away, Place, Seen, Sight, Writer};
use volward_plan::{DiskForm, VolumeInput};

use super::Operate;
use crate::engine::StepError;
use crate::ports::{PortError, PortResult, StoredAttachment};

/// One look.
pub(super) struct Look {
    pub(super) sight: Sight,
    /// The volume as the pool lists it.
    pub(super) info: Option<VolumeInfo>,
    /// The same with who has it; none of one that is made, which nobody can have.
    pub(super) seen: Option<VolumeInput>,
    /// Of a copy: the source, with who has it.
    pub(super) source: Option<VolumeInput>,
}

impl Look {
    /// The volume that there is before the operation: of a copy, the source.
    pub(super) fn subject(&self) -> Option<&VolumeInput> {
        self.source.as_ref().or(self.seen.as_ref())
    }
}

impl Operate {
    /// Looks at the volume that the operation is about. Under its turn where anything follows from it.
    ///
    /// # Errors
    /// If storage does not answer, or an earlier request on the volume is not finished.
    pub(super) fn look(&self, operation: &VolumeOperation) -> Result<Look, StepError> {
        let mut look = self.look_at_its_own(operation)?;
        if let Some(source) = &operation.source {
            let found = self.look_at_source(source)?;
            (look.sight.source, look.source) = found.unzip();
            if let Some(seen) = &mut look.sight.source
                && seen.writer == Some(Writer::Equal)
                && !self.splits_all(operation)?
            {
                seen.writer = Some(Writer::Awaited);
            }
        }
        look.sight.away = look.subject().and_then(|seen| Away::of(self.node(), seen));
        if look.sight.away.is_some() {
            // The lease is the write-back's.
            match &mut look.sight.source {
                Some(source) => (source.holds, source.works) = (false, false),
                None => (look.sight.holds, look.sight.works) = (false, false),
            }
        }
        Ok(look)
    }

    fn look_at_its_own(&self, operation: &VolumeOperation) -> Result<Look, StepError> {
        let snapshot = self.observer.validated_snapshot(operation.task.pool())?;
        let known = operation.volume.as_ref();
        let info = match known {
            Some(volume) => snapshot.info.volume(volume.id),
            None => snapshot.info.named(operation.task.name()),
        };
        let Some(info) = info else {
            return Ok(Look {
                sight: Sight::nothing(known.is_some()),
                info: None,
                seen: None,
                source: None,
            });
        };
        let volume = &info.volume;
        self.must_be_finished(volume)?;
        let attached = self.attachments_of(info);
        let lease = snapshot.held.get(&volume.id.lv).copied();
        let by_hand = snapshot.by_hand.contains(&volume.id.lv);
        let ours = attached.is_empty();
        let whole = lease.is_some_and(|l| l.mode == LeaseMode::Exclusive && !l.orphan);
        let sight = Sight {
            known: known.is_some(),
            volume: Some(Seen::of(info).map_err(|error| PortError::Unreadable {
                what: format!("the UUID of {volume}"),
                reason: error.to_string(),
            })?),
            holds: ours && (lease.is_some() || (info.active && !by_hand)),
            works: ours && whole && info.active,
            attached: !ours,
            behind: self.is_behind(info, &attached)?,
            away: None,
            source: None,
            place: self.place(operation, volume)?,
        };
        let seen = match operation.task.makes() {
            true => None,
            false => Some(self.observer.volume_input(&snapshot, info)?),
        };
        Ok(Look {
            sight,
            info: Some(info.clone()),
            seen,
            source: None,
        })
    }

    /// Of a relocation: where the volume is.
    fn place(&self, operation: &VolumeOperation, volume: &VolumeRef) -> PortResult<Option<Place>> {
        let Some(disk) = operation.task.disk() else {
            return Ok(None);
        };
        let found = self.ports.volumes.whereabouts(volume)?;
        let halted = self.ports.devices.is_move_halted(volume.id)?;
        Ok(Some(Place::of(&found, halted, disk)))
    }

    /// No attach or detach of it is to be tried again.
    pub(super) fn must_be_finished(&self, volume: &VolumeRef) -> Result<(), StepError> {
        match self.state.owed().touching(&[volume.id]).is_empty() {
            true => Ok(()),
            false => Err(StepError::Port(PortError::Busy {
                what: format!("{volume}: an earlier attach or detach is not finished; it"),
            })),
        }
    }

    /// What instances on this node have of it.
    pub(super) fn attachments_of(&self, info: &VolumeInfo) -> Vec<StoredAttachment> {
        let table = self.state.attachment_table();
        table.of_volume(info.volume.id).cloned().collect()
    }

    /// Whether a device of theirs is shorter than the volume.
    fn is_behind(&self, info: &VolumeInfo, attached: &[StoredAttachment]) -> PortResult<bool> {
        for attachment in attached.iter().filter(|a| is_whole(a)) {
            let id = DeviceId::attachment(info.volume.id, attachment.instance);
            let device = self.ports.devices.get(id)?;
            if device.is_some_and(|device| device.size.bytes() < info.size) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Complete, and with a device of its own.
pub(super) fn is_whole(attachment: &StoredAttachment) -> bool {
    attachment.state == AttachmentState::Attached && attachment.form == DiskForm::Own
}

/// Whether the volume is what this operation has made, and does not know yet.
pub(super) fn is_unclaimed(operation: &VolumeOperation, look: &Look) -> bool {
    let mark = look.info.as_ref().and_then(VolumeInfo::mark);
    let new = matches!(&mark, Some(Mark::New { by }) if *by == operation.id);
    new && operation.volume.is_none() && operation.task.makes()
}
