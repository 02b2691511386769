//! Taking up operations that were interrupted, as their recovery says. No policy is asked (I32).

use volward_plan::Step;

use super::Engine;
use super::execute::{Begun, DueWriteBack, Kept};
use crate::ports::{DamagedEntry, JournalEntry, JournalState, LinkPath, Operation, Recovery};
use crate::state::Rest;

/// Why an attach is kept that by its record had not come so far that a guest could have had it.
const RESTORED: &str = "its path is there, and the record says that it was not made yet: the state was restored from an older \
                        copy; the guest goes on, and when it has ended, detaching it releases its volumes";
/// Why an attach of an earlier boot was not completed.
const RESTARTED: &str = "the node was restarted before it was done";
/// Why an attach of this boot was not completed.
const DIED: &str = "the daemon died before it was done";

/// What became of an operation that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenUp {
    /// Its entry's state; open if it goes on in the background, or is tried again.
    pub state: JournalState,
    /// It is tried again.
    pub owed: bool,
    /// What goes on in the background, or follows from it.
    pub due: Vec<DueWriteBack>,
}

impl Engine {
    /// Takes up an interrupted operation, as its recovery says ([`Operation::recovery`]);
    /// `restarted` says that the node was restarted since. What fails for now is tried again; what
    /// needs a person is quarantined.
    pub(crate) fn take_up(&self, entry: &JournalEntry, restarted: bool) -> TakenUp {
        let begun = Begun {
            number: Some(entry.id),
            entry,
        };
        let concerned = self.concerned(&entry.operation);
        let ended = |state, due| TakenUp {
            state,
            owed: false,
            due,
        };
        let (state, rest, cause) = match entry.operation.recovery(restarted) {
            Recovery::Undo { begun: steps } => {
                // By its record no guest can have had it; its path may say otherwise.
                if let Some(cause) = self.published(&entry.operation) {
                    self.quarantine(begun, &concerned, &[cause]);
                    return ended(JournalState::Quarantined, Vec::new());
                }
                let until = steps.len();
                (JournalState::Undone, Rest::Undo { until }, DIED)
            }
            Recovery::Complete { from } => (JournalState::Done, Rest::Complete { from }, DIED),
            Recovery::Lapsed { copies } => {
                let due = self.end_undone(begun, vec![RESTARTED.to_owned()], &copies);
                return ended(JournalState::Undone, due);
            }
            Recovery::PlanAnew { volume } => {
                let due = DueWriteBack {
                    entry: begun.number,
                    volume: volume.clone(),
                };
                return ended(JournalState::Open, vec![due]);
            }
        };
        let (rest, failure) = match self.go_on(begun, rest, &[cause.to_owned()]) {
            Ok(due) => return ended(state, due),
            Err(failed) => failed,
        };
        match self.keep_or_owe(begun, rest, &concerned, &failure, vec![failure.cause()]) {
            Kept::Quarantined { due } => ended(JournalState::Quarantined, due),
            Kept::Owed => TakenUp {
                state: JournalState::Open,
                owed: true,
                due: Vec::new(),
            },
        }
    }

    /// Quarantines an operation of this boot of which nobody can say how far it is.
    pub(crate) fn give_up(&self, damaged: &DamagedEntry) {
        let entry = &damaged.entry;
        let concerned = self.concerned(&entry.operation);
        let begun = Begun {
            number: Some(entry.id),
            entry,
        };
        self.quarantine(begun, &concerned, std::slice::from_ref(&damaged.cause));
    }

    /// Why somebody may have opened what the operation made, whatever the record says: a path of its
    /// is there, or nobody can say.
    fn published(&self, operation: &Operation) -> Option<String> {
        match self.ports.devices.links() {
            Ok(links) => links_of(operation)
                .any(|link| links.contains(&link))
                .then(|| RESTORED.to_owned()),
            Err(error) => Some(format!(
                "whether a guest has its path is not known: {error}"
            )),
        }
    }
}

/// The paths that an attach makes, as the last thing it does.
fn links_of(operation: &Operation) -> impl Iterator<Item = LinkPath> + '_ {
    operation
        .steps()
        .into_iter()
        .filter_map(|(step, _)| match step {
            Step::Link { volume, instance } => Some(LinkPath {
                instance: *instance,
                pool: volume.pool.clone(),
                volume: volume.name.clone(),
            }),
            _ => None,
        })
}
