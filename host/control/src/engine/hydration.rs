//! Waiting for dm-clone: a copy that must be whole before its guest starts, and a write-back.

use std::time::Duration;

use volward_model::{CopyPlan, DeviceId, DeviceRole, VolumeRef};

use super::pacing::Pacer;
use super::{Engine, StepError, clone_of, return_of};
use crate::ports::PortError;
use crate::state::Cancellation;

/// The longest sleep: completion wakes earlier; this is for stalls, and for the others' view of
/// the progress.
pub(crate) const NAP: Duration = Duration::from_secs(5);

impl Engine {
    /// `Step::AwaitHydration`: a copy that must be whole before the guest starts.
    pub(crate) fn await_hydration(
        &self,
        volume: &VolumeRef,
        granted: Option<CopyPlan>,
        cancellation: &Cancellation,
    ) -> Result<(), StepError> {
        let pacer = Pacer::new(granted);
        self.await_clone(volume, clone_of(volume), pacer, cancellation)
    }

    fn await_clone(
        &self,
        volume: &VolumeRef,
        id: DeviceId,
        mut pacer: Pacer,
        cancellation: &Cancellation,
    ) -> Result<(), StepError> {
        loop {
            let info = self.ports.devices.get(id)?;
            let info = info.ok_or_else(|| PortError::Missing {
                what: id.to_string(),
            })?;
            let Some(status) = self.ports.devices.clone_status(id)? else {
                // Linear is what a hydrated clone becomes; anything else (an error table, say)
                // has copied nothing, and must not be taken for done (I24).
                if id.role == DeviceRole::Clone && info.target.as_deref() == Some("linear") {
                    return Ok(());
                }
                let found = info.target.unwrap_or_else(|| "no table".into());
                return Err(StepError::Port(PortError::Identity {
                    what: format!("device {id}"),
                    expected: "clone".to_owned(),
                    found,
                }));
            };
            self.state.note_status(volume, &status);
            if status.complete() {
                return Ok(());
            }
            let put_down = id.role == DeviceRole::Return && self.state.are_copies_put_down();
            if self.state.is_stopping() || put_down {
                return Err(StepError::Stopping);
            }
            if cancellation.is_cancelled() {
                return Err(StepError::Cancelled);
            }
            let nap = match status.hydrating {
                true => self.pace(volume, id, &status, &mut pacer),
                false => NAP,
            };
            self.ports.devices.wait_event(id, info.event, nap)?;
        }
    }

    /// `Step::AwaitWriteBack`: everything written back, and flushed.
    pub(crate) fn await_return(&self, volume: &VolumeRef) -> Result<(), StepError> {
        let id = return_of(volume);
        self.await_clone(volume, id, Pacer::default(), &Cancellation::default())?;
        self.ports.devices.flush(id)?;
        Ok(())
    }
}
