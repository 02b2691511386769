//! What became of a decision, where its line in the log says no more than that it was begun: the
//! journal knows it, or nobody does.

use volward_control::ports::{JournalEntry, JournalQuery, JournalState, Operation};
use volward_model::RequestId;
use volward_model::scenario::Hook;
use volward_policy::{LogEntry, Outcome};

use super::problem::Failure;
use crate::wiring::Daemon;

/// Entries that one request has at most: each decision's, and the write-backs that follow.
const ENTRIES: usize = 64;

/// Puts an outcome into those that are begun. [`Outcome::Begun`] stays where it is under way.
pub(super) fn settle(daemon: &Daemon, entries: &mut [LogEntry]) -> Result<(), Failure> {
    for entry in entries.iter_mut().filter(|e| e.outcome == Outcome::Begun) {
        let request = entry.record.facts.request.id;
        entry.outcome = outcome(daemon, request, &entry.record.hook)?;
    }
    Ok(())
}

fn outcome(daemon: &Daemon, request: RequestId, hook: &str) -> Result<Outcome, Failure> {
    if daemon.node.is_attaching(request) {
        return Ok(Outcome::Begun);
    }
    if hook == Hook::Operate.word() {
        let mut operations = daemon.node.operations().into_iter();
        let on_record = operations.any(|one| one.operation.request == request);
        return Ok(match on_record {
            true => Outcome::Done,
            false => Outcome::Interrupted {
                message:
                    "it was allowed, and the daemon ended before the operation was on record: \
                          nothing was begun"
                        .to_owned(),
            },
        });
    }
    let known = daemon
        .node
        .history(&JournalQuery::Request(request), ENTRIES)?;
    // What followed from it, a write-back, is not what was decided.
    let own = known.iter().find(|entry| entry.operation.name() == hook);
    Ok(own.map_or_else(interrupted, of_entry))
}

fn of_entry(entry: &JournalEntry) -> Outcome {
    let causes = || entry.causes.join("; ");
    match entry.state {
        JournalState::Open => Outcome::Begun,
        JournalState::Done => Outcome::Done,
        JournalState::Undone => Outcome::Failed {
            message: format!("taken back: {}", causes()),
        },
        JournalState::Quarantined => Outcome::Failed {
            message: format!("quarantined: {}", causes()),
        },
    }
}

fn interrupted() -> Outcome {
    Outcome::Interrupted {
        message: "it was begun, and how it ended is not on record: the daemon ended in between, \
                  or its disk was full; `volward ls` shows what is attached"
            .to_owned(),
    }
}

/// Why a request has no decision to show, in a sentence.
pub(super) fn undecided(entry: &JournalEntry) -> String {
    match &entry.operation {
        Operation::WriteBack { .. } => {
            "policies are not asked about a write-back: it follows from a detach".to_owned()
        }
        Operation::Detach { .. } => "no decision of it is in the log: policies are asked about a \
                                     detach's copies only"
            .to_owned(),
        Operation::Attach { steps, puts, .. } if steps.is_empty() && puts.is_empty() => {
            "it ended before a decision of it was on record".to_owned()
        }
        Operation::Attach { .. } => {
            "its decision is not in the log of this node: it was put aside \
                                     with older ones, or could not be written"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use volward_api::{DecisionsQuery, ExplainQuery, Open};
    use volward_control::ports::Decisions;
    use volward_model::InstanceId;

    use super::*;

    fn entry(state: JournalState, operation: Operation) -> JournalEntry {
        JournalEntry {
            id: 1,
            request: RequestId(uuid::Uuid::nil()),
            boot_id: "b007".into(),
            started_ms: 1,
            operation,
            state,
            causes: vec!["the disk is full".into()],
        }
    }

    fn attach(state: JournalState) -> JournalEntry {
        let attach = Operation::Attach {
            instance: InstanceId(uuid::Uuid::nil()),
            steps: Vec::new(),
            commit_at: 0,
            puts: Vec::new(),
        };
        entry(state, attach)
    }

    #[test]
    fn what_the_log_does_not_know_the_journal_says() {
        assert_eq!(of_entry(&attach(JournalState::Open)), Outcome::Begun);
        assert_eq!(of_entry(&attach(JournalState::Done)), Outcome::Done);
        for (state, word) in [
            (JournalState::Undone, "taken back"),
            (JournalState::Quarantined, "quarantined"),
        ] {
            let message = format!("{word}: the disk is full");
            assert_eq!(of_entry(&attach(state)), Outcome::Failed { message });
        }
    }

    /// The daemon died between its decision's line and the journal's entry: nothing was begun.
    #[test]
    fn a_decision_that_stayed_begun_is_shown_as_interrupted() {
        let served = crate::http::testing::Served::new("", |_| {});
        let mut facts = volward_model::Scenario::default().facts();
        facts.request.id = RequestId(uuid::Uuid::from_u128(7));
        let record = volward_model::DecisionRecord {
            hook: "attach".into(),
            facts,
            copies: Vec::new(),
            plugins: Vec::new(),
            combined: volward_model::Combined::Granted(volward_model::Answer::default()),
            micros: 3,
        };
        let request = record.facts.request.id;
        let log = &served.daemon.decisions;
        log.record(&record, &Outcome::Begun).unwrap();
        let client = served.client();
        let said = || {
            let listed = client.decisions(&DecisionsQuery::default()).unwrap();
            let shown = client.decision(request).unwrap();
            let became = shown[0].outcome["became"].as_str().unwrap().to_owned();
            assert_eq!(listed.decisions[0].became, Open::of_word(&became));
            became
        };
        assert_eq!(said(), "interrupted");
        let explained = client.explain(&ExplainQuery::Request(request)).unwrap();
        assert!(explained.summary.contains("interrupted"), "{explained:?}");
        assert!(explained.decision.is_some() && explained.undecided.is_none());
        log.end(request, &Outcome::Done).unwrap();
        assert_eq!(said(), "done");
    }

    /// "It never reached the policies" was said of whatever was not in the log.
    #[test]
    fn what_has_no_decision_is_told_apart() {
        let failed = undecided(&attach(JournalState::Undone));
        assert!(failed.contains("before a decision"), "{failed}");
        let detach = Operation::Detach {
            instance: InstanceId(uuid::Uuid::nil()),
            steps: Vec::new(),
            leaving: Vec::new(),
        };
        let detach = undecided(&entry(JournalState::Done, detach));
        assert!(detach.contains("copies only"), "{detach}");
    }
}
