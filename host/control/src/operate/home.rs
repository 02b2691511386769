//! The volume's data is in a local copy: it comes home first.

use volward_model::VolumeOperation;
use volward_plan::operate::OperationStep;

use super::Operate;
use super::look::Look;
use crate::engine::StepError;
use crate::error::ControlError;
use crate::ports::PortError;

impl Operate {
    /// Begins to bring the copy home, under the guest that has it. It goes on by itself, whatever becomes of the operation.
    pub(super) fn bring_home(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<(), StepError> {
        let Some(seen) = look.subject() else {
            return Ok(());
        };
        let volume = &seen.info.volume;
        let begun = self
            .copies
            .bring_home(operation.request, (&volume.pool, &volume.name), false);
        match begun {
            Ok(_) => Ok(()),
            Err(ControlError::Refused { refusal, .. }) => Err(StepError::Refused(refusal)),
            Err(ControlError::Storage { error, .. }) => Err(StepError::Port(error)),
            // Its turn did not come, or a step failed that is tried again.
            Err(other) => Err(StepError::Port(PortError::Busy {
                what: other.to_string(),
            })),
        }
    }
}

/// What an operation waits for, as people are told.
pub(super) fn until_home(step: &OperationStep) -> &'static str {
    match step {
        OperationStep::AwaitWhole => {
            "its guest runs on a local copy, which is to be whole before it comes home; `volward hydration ls` shows how far \
             it is"
        }
        _ => "its local copy comes home; `volward hydration ls` shows how far it is",
    }
}
