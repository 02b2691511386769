//! A volume that nothing else of this node works on while somebody looks at it.

use volward_model::{PoolName, RequestId, VolumeId, VolumeInfo, VolumeName};
use volward_plan::VolumeInput;
use volward_plan::witness::Owner;

use super::Observer;
use crate::error::{ControlError, storage};
use crate::state::TurnGuard;

/// What is known of the volume, read after its turn had come. Other nodes are known by what they publish.
pub(crate) struct Alone<'a> {
    pub(crate) info: VolumeInfo,
    pub(crate) seen: VolumeInput,
    /// Of the node that has the copy which the home names.
    pub(crate) owner: Owner,
    /// Its turn; given back when this is dropped.
    _turn: TurnGuard<'a, VolumeId>,
}

impl Observer {
    /// Takes the volume's turn and reads what there is to know: an attach that is under way has its facts
    /// already, and between two steps of a request the witnesses need not agree.
    ///
    /// # Errors
    /// If there is no such volume, its turn does not come in time, or storage fails at `doing`.
    pub(crate) fn alone(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        doing: &str,
    ) -> Result<Alone<'_>, ControlError> {
        self.managed(pool)?;
        let failed = |error| storage(request, doing, error);
        let before = self.snapshot(pool).map_err(failed)?;
        let volume = &self.find(&before.info, name)?.volume;
        let wait = self.settings.lock_wait;
        let turn = self.state.volume_locks.take(&[volume.id], wait);
        let turn = turn.map_err(|_| ControlError::Waiting {
            volume: volume.to_string(),
            seconds: wait.as_secs(),
        })?;
        let snapshot = self.snapshot(pool).map_err(failed)?;
        let info = self.find(&snapshot.info, name)?.clone();
        let seen = self.volume_input(&snapshot, &info).map_err(failed)?;
        let now_ms = self.ports.clock.now_ms();
        let owner = match info.home() {
            Ok(home) => snapshot.owner(&home, &info, &self.settings.node, now_ms),
            Err(_) => Owner::Here,
        };
        Ok(Alone {
            info,
            seen,
            owner,
            _turn: turn,
        })
    }
}
