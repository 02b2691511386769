//! Whose turn it is: one request at a time on a volume, and one attach at a time of an instance.

use std::time::Duration;

use volward_model::{InstanceId, VolumeRef};
use volward_plan::RefusalCode;

use super::{Attach, AttachRequest, still_wanted};
use crate::error::ControlError;
use crate::state::{TurnGuard, VolumeGuard};

/// Between two looks whether what is waited for is a write-back, or whether the caller is gone.
const LOCK_POLL: Duration = Duration::from_secs(2);

impl Attach {
    /// Waits until nobody else works on the volumes. A write-back does so to its end, which can
    /// take hours: whoever asks meanwhile is told so, as soon as the home says it.
    pub(super) fn lock_volumes(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<VolumeGuard<'_>, ControlError> {
        let ids: Vec<_> = volumes.iter().map(|v| v.id).collect();
        let wait = self.settings.lock_wait;
        let mut busy = None;
        for _ in 0..looks(wait) {
            still_wanted(ask)?;
            if volumes.iter().any(|v| self.state.is_returning(v.id)) {
                self.told_beside_a_write_back(ask)?;
            }
            match self.state.volume_locks.take(&ids, wait.min(LOCK_POLL)) {
                Ok(guard) => return Ok(guard),
                Err(volume) => busy = volumes.iter().find(|v| v.id == volume),
            }
        }
        Err(ControlError::Waiting {
            volume: busy.map(ToString::to_string).unwrap_or_default(),
            seconds: wait.as_secs(),
        })
    }

    /// What is refused while a copy goes home is told at once. Between two steps of the write-back the
    /// witnesses need not agree: whether they do is told under the lock.
    fn told_beside_a_write_back(&self, ask: &AttachRequest) -> Result<(), ControlError> {
        match self.dry_run(ask) {
            Err(ControlError::Refused { refusal, .. })
                if refusal.code == RefusalCode::Contradiction =>
            {
                Ok(())
            }
            told => told.map(drop),
        }
    }

    /// Waits until no other attach of the instance is under way: what a policy counts has to be there
    /// when the next one is decided. Taken when the volumes are locked: whoever has the turn waits for
    /// no volume any more.
    pub(super) fn instance_turn(
        &self,
        ask: &AttachRequest,
    ) -> Result<TurnGuard<'_, InstanceId>, ControlError> {
        let wait = self.settings.lock_wait;
        for _ in 0..looks(wait) {
            still_wanted(ask)?;
            let turns = &self.state.instance_turns;
            if let Ok(turn) = turns.take(&[ask.instance], wait.min(LOCK_POLL)) {
                return Ok(turn);
            }
        }
        Err(ControlError::Waiting {
            volume: format!("instance {}", ask.instance),
            seconds: wait.as_secs(),
        })
    }
}

fn looks(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(LOCK_POLL.as_millis()).max(1)
}
