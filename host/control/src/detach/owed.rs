//! What a detach meets that was begun before, and is not finished: it is tried at once.

use std::collections::BTreeSet;

use volward_model::VolumeId;

use super::{Detach, DetachDone, DetachRequest, is_let_go, is_written_back, names};
use crate::engine::Settled;
use crate::error::{ControlError, unfinished};
use crate::ports::Operation;
use crate::state::{Owed, VolumeGuard};

impl Detach {
    /// The locks of all volumes that the request is about, those included of what was begun for
    /// the instance and is tried again; `None` where there are none.
    pub(super) fn lock_concerned(
        &self,
        ask: &DetachRequest,
    ) -> Result<Option<VolumeGuard<'_>>, ControlError> {
        let wait = self.settings.detach_lock_wait;
        loop {
            let volumes = self.concerned_by(ask);
            if volumes.is_empty() {
                return Ok(None);
            }
            let ids: Vec<_> = volumes.iter().copied().collect();
            let guard = self.state.volume_locks.take(&ids, wait);
            let guard = guard.map_err(|busy| ControlError::Waiting {
                volume: busy.to_string(),
                seconds: wait.as_secs(),
            })?;
            // A disk that came meanwhile is another volume's lock (I1).
            if self.concerned_by(ask).is_subset(&volumes) {
                return Ok(Some(guard));
            }
            drop(guard);
        }
    }

    fn concerned_by(&self, ask: &DetachRequest) -> BTreeSet<VolumeId> {
        let mut volumes: BTreeSet<VolumeId> =
            self.selected(ask).iter().map(|a| a.volume.id).collect();
        for (_, owed) in self.owed(ask) {
            volumes.extend(owed.volumes());
        }
        volumes
    }

    /// What was begun for the instance, is not finished, and is about a volume that is named.
    fn owed(&self, ask: &DetachRequest) -> Vec<(u64, Owed)> {
        let is_named = |owed: &Owed| {
            let mut volumes = owed.entry.operation.volumes().into_iter();
            ask.volumes.is_empty() || volumes.any(|v| names(&ask.volumes, v))
        };
        let mut owed = self.state.owed().serving(ask.instance);
        owed.retain(|(_, owed)| is_named(owed));
        owed
    }

    /// Tries at once what was begun for the instance and failed for now. Returns why what came to
    /// need a person does.
    pub(super) fn settle_owed(
        &self,
        ask: &DetachRequest,
        done: &mut DetachDone,
    ) -> Result<Vec<String>, ControlError> {
        let mut needs_a_person = Vec::new();
        for (id, owed) in self.owed(ask) {
            match (self.engine.try_again(id), &owed.entry.operation) {
                (Settled::Ended(due), Operation::Detach { leaving, .. }) => {
                    self.copies.start_write_backs(due);
                    let detached = leaving.iter().filter(|l| is_let_go(l));
                    let detached = detached.map(|l| (l.volume.clone(), is_written_back(l)));
                    done.detached.extend(detached);
                }
                (Settled::Ended(due), _) => self.copies.start_write_backs(due),
                (Settled::Still { causes }, Operation::Detach { leaving, .. }) => {
                    let cause = causes.last().cloned().unwrap_or_default();
                    let volumes = leaving.iter().map(|l| (l.volume.clone(), cause.clone()));
                    done.trying_again.extend(volumes);
                }
                // Neither whole nor gone: there is nothing to detach yet.
                (Settled::Still { .. }, _) => return Err(unfinished(&owed)),
                (Settled::Quarantined { causes, due }, operation) => {
                    self.copies.start_write_backs(due);
                    if let Operation::Detach { leaving, .. } = operation {
                        self.note_let_go(ask.instance, leaving, done);
                    }
                    needs_a_person.extend(causes);
                }
            }
        }
        Ok(needs_a_person)
    }
}
