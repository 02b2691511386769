//! Whether an operation may be asked for, and go on: what this node knows beside the pool's report.

use volward_model::VolumeOperation;
use volward_plan::Refusal;
use volward_plan::operate::{may_be_copied, may_be_told, may_change};

use super::look::Look;
use super::{Operate, OperationRequest};
use crate::error::{ControlError, refuse, storage};
use crate::ports::StoredAttachment;

impl Operate {
    /// LVM would say so in words of its own, or wait for disks that hang.
    pub(super) fn leases_must_be_sound(
        &self,
        asked: &OperationRequest,
    ) -> Result<(), ControlError> {
        let now = self.ports.clock.monotonic();
        for pool in asked.task.pools() {
            if let Some(why) = self.state.uncertain(pool, now) {
                let refusal = Refusal::leases_uncertain(pool, &why);
                return Err(refuse(asked.request, refusal));
            }
            if let Some(refusal) = self.state.older_refusal(pool) {
                return Err(refuse(asked.request, refusal));
            }
        }
        Ok(())
    }

    /// Zeroes are written under a lease: a node that loses it is to be reset before others use the volume
    /// (I26).
    pub(super) fn must_have_a_watchdog(
        &self,
        asked: &OperationRequest,
    ) -> Result<(), ControlError> {
        let armed = self.settings.lab_without_watchdog
            || self.ports.leases.watchdog_armed().map_err(|error| {
                storage(asked.request, "asking whether a watchdog is armed", error)
            })?;
        match armed {
            true => Ok(()),
            false => Err(refuse(
                asked.request,
                Refusal::operation_without_watchdog(&asked.task, self.node()),
            )),
        }
    }

    pub(super) fn may_be_told(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<(), Refusal> {
        look.subject().map_or(Ok(()), |seen| {
            may_be_told(&operation.id, &operation.task, self.node(), seen)
        })
    }

    /// What is cut off has no device that could grow or be copied: the operation would wait for somebody who knows
    /// nothing of it.
    pub(super) fn must_not_be_cut_off(&self, look: &Look) -> Result<(), Refusal> {
        let Some(seen) = look.subject() else {
            return Ok(());
        };
        let volume = &seen.info.volume;
        let attached: Vec<StoredAttachment> = {
            let table = self.state.attachment_table();
            table.of_volume(volume.id).cloned().collect()
        };
        let fences = self.state.fences();
        let fenced = attached.iter().find_map(|a| fences.get(a));
        fenced.map_or(Ok(()), |fenced| {
            Err(Refusal::fenced(volume, &fenced.reason))
        })
    }

    /// Whether what is seen lets it go on: before anything is begun, and again at the steps that the rest
    /// follows from.
    pub(super) fn may(&self, operation: &VolumeOperation, look: &Look) -> Result<(), Refusal> {
        if let Some(seen) = &look.seen {
            may_change(&operation.id, &operation.task, self.node(), seen)?;
        }
        match &look.source {
            Some(source) => may_be_copied(&operation.id, &operation.task, self.node(), source),
            None => Ok(()),
        }
    }
}
