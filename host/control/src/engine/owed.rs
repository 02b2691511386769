//! Operations that a failure interrupted that may pass: they stay open, and are tried again until
//! they end or need a person. Who tries is none of the engine's business.

use volward_model::{AttachmentKey, DeviceId, VolumeRef};
use volward_plan::DiskForm;

use super::execute::{Begun, DueWriteBack};
use super::{Engine, StepFailure, UNASKED};
use crate::ports::{Afterwards, Event, LeavingVolume, Operation, StoredAttachment};
use crate::state::{Cancellation, Owed, Rest, Tries};

/// What another try of an owed operation came to.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// It has ended, or had ended already; these write-backs follow.
    Ended(Vec<DueWriteBack>),
    /// It failed again, and is tried again.
    Still {
        /// The first failure, then the latest where it is another one.
        causes: Vec<String>,
    },
    /// It needs a person: the attachments at which it failed are quarantined.
    Quarantined {
        /// The first failure, then the latest where it is another one.
        causes: Vec<String>,
        /// Write-backs that follow all the same, of a detach's other volumes.
        due: Vec<DueWriteBack>,
    },
}

impl Settled {
    /// The write-backs that follow.
    pub(crate) fn due(self) -> Vec<DueWriteBack> {
        match self {
            Self::Ended(due) | Self::Quarantined { due, .. } => due,
            Self::Still { .. } => Vec::new(),
        }
    }
}

impl Engine {
    /// Keeps an operation open, and has it tried again.
    pub(super) fn owe(
        &self,
        begun: Begun<'_>,
        rest: Rest,
        concerned: &[StoredAttachment],
        causes: &[String],
    ) {
        let mut tries = Tries::default();
        tries.failed(self.ports.clock.monotonic());
        let of = begun.entry.into();
        let causes = causes.to_vec();
        let told = Event::TryingAgain {
            of,
            causes: causes.clone(),
        };
        self.ports.events.tell(&told);
        let owed = Owed {
            number: begun.number,
            entry: begun.entry.clone(),
            rest,
            concerned: concerned.to_vec(),
            causes,
            tries,
        };
        let volumes = begun.entry.operation.volumes();
        let pool = volumes.first().map(|volume| volume.pool.clone());
        let lane = pool.filter(|pool| self.settings.pools.contains(pool));
        self.state.owed().owe(lane, owed);
    }

    /// Tries an owed operation once more; the caller has locked its volumes.
    pub(crate) fn try_again(&self, id: u64) -> Settled {
        // Bound first: the steps take the list's lock too.
        let owed = self.state.owed().get(id);
        let Some(owed) = owed else {
            return Settled::Ended(Vec::new());
        };
        let begun = Begun {
            number: owed.number,
            entry: &owed.entry,
        };
        let (rest, failure) = match self.go_on(begun, owed.rest, &owed.causes) {
            Ok(due) => {
                self.state.owed().remove(id);
                return Settled::Ended(due);
            }
            Err(failed) => failed,
        };
        let now = self.ports.clock.monotonic();
        let cause = failure.cause();
        self.state.owed().failed(id, rest, cause, now);
        let causes = self.state.owed().get(id).map(|owed| owed.causes);
        let causes = causes.unwrap_or_default();
        if !failure.error.needs_a_person() {
            tracing::debug!(request = %owed.entry.request, ?causes, "not finished yet");
            return Settled::Still { causes };
        }
        let due = match self.let_go_of_others(begun, &failure) {
            Some(Ok(due)) => due,
            // The others fail for now: all of it is tried again.
            Some(Err(_)) => return Settled::Still { causes },
            None => {
                self.restore_paths(&owed.entry.operation);
                self.quarantine(begun, &owed.concerned, &causes);
                Vec::new()
            }
        };
        self.state.owed().remove(id);
        Settled::Quarantined { causes, due }
    }

    /// Does what of an operation is not done; an error says what is left, and why.
    pub(super) fn go_on(
        &self,
        begun: Begun<'_>,
        rest: Rest,
        causes: &[String],
    ) -> Result<Vec<DueWriteBack>, (Rest, StepFailure)> {
        match rest {
            Rest::Complete { from } => self
                .run_all(begun, from, &Cancellation::default(), UNASKED)
                .and_then(|()| self.finish(begun))
                .map_err(|failure| (Rest::Complete { from: failure.at }, failure)),
            Rest::Undo { until } => {
                let steps = begun.entry.operation.undoable().unwrap_or_default();
                let steps = steps.get(..until).unwrap_or(steps);
                self.undo(begun.run(), steps)
                    .map_err(|failure| (Rest::Undo { until }, failure))?;
                Ok(self.end_undone(begun, causes.to_vec(), &[]))
            }
        }
    }

    /// Those of a detach's attachments whose device and lease are gone: they are detached, whatever
    /// becomes of the others.
    pub(super) fn released(
        &self,
        operation: &Operation,
        concerned: &[StoredAttachment],
    ) -> Vec<AttachmentKey> {
        let Operation::Detach { leaving, .. } = operation else {
            return Vec::new();
        };
        let ends = |volume: &VolumeRef| {
            let ends =
                |l: &LeavingVolume| l.volume.id == volume.id && l.then == Afterwards::Nothing;
            leaving.iter().any(ends)
        };
        let gone = |a: &&StoredAttachment| {
            ends(&a.volume) && self.has_no_device(a) && self.has_no_lease(a)
        };
        let released = concerned.iter().filter(gone);
        released.map(StoredAttachment::key).collect()
    }

    fn has_no_device(&self, attachment: &StoredAttachment) -> bool {
        let id = DeviceId::attachment(attachment.volume.id, attachment.instance);
        attachment.form == DiskForm::Lv || matches!(self.ports.devices.get(id), Ok(None))
    }

    /// Where another instance keeps the lease, there is none of this one's to be given up.
    fn has_no_lease(&self, attachment: &StoredAttachment) -> bool {
        let volume = &attachment.volume;
        let kept = self
            .state
            .attachment_table()
            .of_volume(volume.id)
            .any(|other| other.instance != attachment.instance);
        if kept {
            return attachment.form == DiskForm::Own;
        }
        let held = self.ports.leases.held(&volume.pool);
        held.is_ok_and(|held| !held.contains_key(&volume.id.lv))
    }
}
