//! An operation from its journal entry to its end: begun, run, and undone or quarantined where a
//! step fails; taken up after a crash. What differs between operations they say themselves
//! ([`Operation`]).

use volward_model::{CopyLayout, RequestId, VolumeId, VolumeRef};
use volward_plan::Step;

use super::{Engine, Run, StepError, StepFailure, StillGranted};
use crate::ports::{
    Event, Finish, JournalEntry, JournalState, Operation, PortError, PortResult, StoredAttachment,
};
use crate::state::{Cancellation, Rest};

/// An operation that may begin now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun<'a> {
    /// The number of its entry; `None` where the state cannot be written and it goes on without.
    pub number: Option<u64>,
    /// What was journalled, or was to be.
    pub entry: &'a JournalEntry,
}

impl<'a> Begun<'a> {
    pub(super) fn run(self) -> Run<'a> {
        Run {
            entry: self.number,
            operation: &self.entry.operation,
        }
    }
}

/// A write-back that has to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueWriteBack {
    /// The number of its entry; `None` where there is none: its home alone tells of it then.
    pub entry: Option<u64>,
    /// The volume whose copy is written back.
    pub volume: VolumeRef,
}

/// How an operation failed.
#[derive(Clone, Debug)]
pub(crate) enum ExecuteError {
    /// All that was begun is undone.
    Undone(StepFailure),
    /// It is neither done nor undone, and what failed may pass: it is tried again.
    Owed {
        /// The failure first, then the undo's, each a sentence.
        causes: Vec<String>,
    },
    /// It is neither done nor undone: the attachments it was about are quarantined.
    Quarantined {
        /// The failure first, then the undo's, each a sentence.
        causes: Vec<String>,
        /// Write-backs that follow all the same, of a detach's other volumes.
        due: Vec<DueWriteBack>,
    },
}

/// What becomes of an operation that is neither done nor undone.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// It is tried again.
    Owed,
    /// The attachments at which it failed are quarantined; these write-backs follow from the rest.
    Quarantined { due: Vec<DueWriteBack> },
}

impl Engine {
    /// An entry for an operation that begins now.
    pub(crate) fn new_entry(&self, request: RequestId, operation: Operation) -> JournalEntry {
        JournalEntry {
            id: 0,
            request,
            boot_id: self.ports.machine.boot_id(),
            started_ms: self.ports.clock.now_ms(),
            operation,
            state: JournalState::Open,
            causes: Vec::new(),
        }
    }

    /// Journals an operation; its first step may begin when this returns.
    ///
    /// # Errors
    /// If the journal cannot be written and the operation needs it.
    pub(crate) fn begin<'a>(&self, entry: &'a JournalEntry) -> PortResult<Begun<'a>> {
        let begun = self
            .record_ends()
            .and_then(|()| self.ports.journal.begin(entry));
        let number = match begun {
            Ok(number) => Some(number),
            Err(error) if entry.operation.needs_record() => return Err(error),
            Err(error) => {
                let name = entry.operation.name();
                self.unrecorded(
                    format!("the {name}, which goes on without a journal"),
                    &error,
                );
                None
            }
        };
        Ok(Begun { number, entry })
    }

    /// Runs an operation to its end, and records that. Says which write-backs follow.
    ///
    /// # Errors
    /// If a step failed, or the end of an operation that needs its record could not be written:
    /// what cannot be remembered must not be left behind.
    pub(crate) fn execute(
        &self,
        begun: Begun<'_>,
        cancellation: &Cancellation,
        still_granted: StillGranted<'_>,
    ) -> Result<Vec<DueWriteBack>, ExecuteError> {
        // Before its steps: a detach withdraws what it is about.
        let concerned = self.concerned(&begun.entry.operation);
        self.run_all(begun, 0, cancellation, still_granted)
            .and_then(|()| self.finish(begun))
            .map_err(|failure| self.break_off(begun, &concerned, failure))
    }

    /// Has an operation tried again that is neither done nor undone; one that needs a person is
    /// quarantined.
    pub(super) fn keep_or_owe(
        &self,
        begun: Begun<'_>,
        rest: Rest,
        concerned: &[StoredAttachment],
        failure: &StepFailure,
        causes: Vec<String>,
    ) -> Kept {
        if failure.error.needs_a_person() {
            match self.let_go_of_others(begun, failure) {
                Some(Ok(due)) => return Kept::Quarantined { due },
                None => {
                    self.restore_paths(&begun.entry.operation);
                    self.quarantine(begun, concerned, &causes);
                    return Kept::Quarantined { due: Vec::new() };
                }
                // The others fail for now: all of it is tried again.
                Some(Err(_)) => {}
            }
        }
        self.owe(begun, rest, concerned, &causes);
        Kept::Owed
    }

    /// Runs an operation's steps from `from` on. Meanwhile the local pool's space that they will
    /// take is nobody else's.
    pub(super) fn run_all(
        &self,
        begun: Begun<'_>,
        from: usize,
        cancellation: &Cancellation,
        still_granted: StillGranted<'_>,
    ) -> Result<(), StepFailure> {
        let steps = begun.entry.operation.steps();
        let steps: Vec<&Step> = steps.into_iter().map(|(step, _)| step).collect();
        let promises: Vec<(VolumeId, u64)> = steps
            .iter()
            .skip(from)
            .copied()
            .filter_map(promised)
            .collect();
        for (volume, bytes) in &promises {
            self.state.promise(*volume, *bytes);
        }
        let ran = self.run(begun.run(), &steps, from, cancellation, still_granted);
        for (volume, _) in &promises {
            self.state.promise_no_more(*volume);
        }
        ran
    }

    /// Records that all of it is done, and what that changes.
    pub(super) fn finish(&self, begun: Begun<'_>) -> Result<Vec<DueWriteBack>, StepFailure> {
        let operation = &begun.entry.operation;
        let changes = operation.changes();
        let kept = self.quarantined(&changes.quarantine);
        let end = Finish {
            put: [changes.put.as_slice(), kept.as_slice()].concat(),
            remove: changes.remove.clone(),
            follow: self.write_backs(begun, &changes.write_back),
            ..Finish::new(JournalState::Done)
        };
        let due = if operation.needs_record() {
            let recorded = self.record(begun.number, &end);
            due_of(&recorded.map_err(|error| StepFailure {
                at: operation.steps().len().saturating_sub(1),
                what: format!("recording the {}", operation.name()),
                error: StepError::Port(error),
            })?)
        } else {
            // If the daemon ends before it can be recorded, the next start finds no device, and
            // completes it.
            self.end_and_follow(begun, end)
        };
        let mut attachment_table = self.state.attachment_table();
        attachment_table.put(changes.put);
        attachment_table.remove(&changes.remove);
        drop(attachment_table);
        let of = begun.entry.into();
        self.ports.events.tell(&Event::Done { of });
        if !kept.is_empty() {
            let causes = changes.quarantine.into_iter().map(|(_, why)| why);
            self.keep(begun, kept, causes.collect());
        }
        Ok(due)
    }

    /// Undoes what was begun. Where that fails or nothing has an undo it is tried again, or
    /// quarantined where it needs a person.
    fn break_off(
        &self,
        begun: Begun<'_>,
        concerned: &[StoredAttachment],
        failure: StepFailure,
    ) -> ExecuteError {
        let mut causes = vec![failure.cause()];
        let (rest, last) = match begun.entry.operation.undoable() {
            Some(steps) => {
                // Where all was attached already there are no steps, and nothing to undo.
                let steps = steps.get(..=failure.at).unwrap_or(steps);
                match self.undo(begun.run(), steps) {
                    Ok(()) => {
                        self.end_undone(begun, causes, &[]);
                        return ExecuteError::Undone(failure);
                    }
                    Err(undo) => {
                        causes.push(undo.cause());
                        let until = steps.len();
                        (Rest::Undo { until }, undo)
                    }
                }
            }
            None => (Rest::Complete { from: failure.at }, failure),
        };
        match self.keep_or_owe(begun, rest, concerned, &last, causes.clone()) {
            Kept::Owed => ExecuteError::Owed { causes },
            Kept::Quarantined { due } => ExecuteError::Quarantined { causes, due },
        }
    }

    pub(super) fn end_undone(
        &self,
        begun: Begun<'_>,
        causes: Vec<String>,
        copies: &[&VolumeRef],
    ) -> Vec<DueWriteBack> {
        let copies: Vec<VolumeRef> = copies.iter().copied().cloned().collect();
        self.ports.events.tell(&Event::Undone {
            of: begun.entry.into(),
            causes: causes.clone(),
        });
        let end = Finish {
            causes,
            follow: self.write_backs(begun, &copies),
            ..Finish::new(JournalState::Undone)
        };
        self.end_and_follow(begun, end)
    }

    /// Ends an operation, now or when the state can be written again; what follows from it goes on
    /// in either case.
    fn end_and_follow(&self, begun: Begun<'_>, end: Finish) -> Vec<DueWriteBack> {
        let without_entry = due_of(&end.follow);
        let what = format!("the end of the {}, for now", begun.entry.operation.name());
        match self.end(begun.number, end) {
            Ok(follow) => due_of(&follow),
            Err(error) => {
                self.unrecorded(what, &error);
                without_entry
            }
        }
    }

    fn write_backs(&self, begun: Begun<'_>, volumes: &[VolumeRef]) -> Vec<JournalEntry> {
        let entry = |volume: &VolumeRef| {
            let volume = volume.clone();
            self.new_entry(begun.entry.request, Operation::WriteBack { volume })
        };
        volumes.iter().map(entry).collect()
    }

    /// The attachments that an operation leaves neither attached nor gone where it stops half-way:
    /// those it was to make, and those it was to remove. What the instance had before and keeps is
    /// whole, whatever becomes of the operation.
    pub(super) fn concerned(&self, operation: &Operation) -> Vec<StoredAttachment> {
        let changes = operation.changes();
        let attachment_table = self.state.attachment_table();
        let fresh = |put: &StoredAttachment| !attachment_table.has(put.key());
        let leaves = |key| {
            changes.remove.contains(&key) || changes.quarantine.iter().any(|(kept, _)| *kept == key)
        };
        let leaving = attachment_table.attachments().filter(|a| leaves(a.key()));
        let mut concerned: Vec<_> = leaving.cloned().collect();
        concerned.extend(changes.put.into_iter().filter(fresh));
        concerned
    }

    /// Tells of what the state does not have.
    pub(crate) fn unrecorded(&self, what: String, error: &PortError) {
        let reason = error.to_string();
        self.ports.events.tell(&Event::Unrecorded { what, reason });
    }
}

/// The write-backs among entries that follow from another; those without a number are not
/// journalled.
fn due_of(follow: &[JournalEntry]) -> Vec<DueWriteBack> {
    let due = |entry: &JournalEntry| match &entry.operation {
        Operation::WriteBack { volume } => Some(DueWriteBack {
            entry: (entry.id != 0).then_some(entry.id),
            volume: volume.clone(),
        }),
        // Nobody's follow-up: whoever makes one has it started here.
        Operation::Attach { .. } | Operation::Detach { .. } => None,
    };
    follow.iter().filter_map(due).collect()
}

/// Bytes of the local pool that a step will take, and for the copy of which volume.
fn promised(step: &Step) -> Option<(VolumeId, u64)> {
    match step {
        Step::MakeCopy {
            volume,
            size,
            metadata,
            ..
        } => CopyLayout::new(*size, *metadata).map(|layout| (volume.id, layout.total().0)),
        _ => None,
    }
}
