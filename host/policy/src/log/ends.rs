//! How a decision that was begun ended: a line of its own, written when it is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use serde::{Deserialize, Serialize};
use volward_model::RequestId;

use super::{DecisionLog, LogEntry, Outcome};

/// The format of these lines. A reader passes over one of a later format, and the decision stays
/// begun for it.
pub(super) const FORMAT: u32 = 1;
/// What is kept of an outcome's sentence: storage's output can be long, and the log is for
/// decisions.
const SENTENCE_BYTES: usize = 4 << 10;

/// How a decision ended; the other keys of a line are not in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// The format of the line.
    pub(super) format: u32,
    /// The request whose latest decision it is about.
    pub(super) request: RequestId,
}

/// A line of it, to write.
#[derive(Serialize)]
struct EndLine<'a> {
    ends: End,
    outcome: &'a Outcome,
}

impl DecisionLog {
    /// Adds how a request's latest decision ended, and waits until that is on the disk.
    ///
    /// # Errors
    /// As for [`DecisionLog::append`].
    pub fn end(&mut self, request: RequestId, outcome: &Outcome) -> io::Result<()> {
        let format = FORMAT;
        let ends = End { format, request };
        let outcome = &shortened(outcome);
        let mut text = serde_json::to_vec(&EndLine { ends, outcome })?;
        text.push(b'\n');
        self.make_room();
        self.put(&text)
    }
}

/// The same, with no longer sentence than the log keeps.
pub(super) fn shortened(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    match &mut outcome {
        Outcome::Begun | Outcome::Done => {}
        Outcome::Refused { message, .. }
        | Outcome::Failed { message }
        | Outcome::Interrupted { message } => {
            if message.len() > SENTENCE_BYTES {
                let end = message.floor_char_boundary(SENTENCE_BYTES);
                message.truncate(end);
                message.push_str(" ...");
            }
        }
    }
    outcome
}

/// Outcomes on their way to their decisions. A decision and its end may stand in two files, and
/// files are read from the newest on.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Of decisions in files that are still to be read.
    of_older: BTreeMap<RequestId, Outcome>,
    /// Found in this file, and not ended so far.
    begun: BTreeSet<RequestId>,
}

impl Ends {
    /// A decision is among those found.
    pub(super) fn found(&mut self, entry: &LogEntry) {
        if entry.outcome == Outcome::Begun {
            self.begun.insert(entry.record.facts.request.id);
        }
    }

    /// A line says how a decision ended that stands before it.
    pub(super) fn ended(
        &mut self,
        found: &mut VecDeque<LogEntry>,
        request: RequestId,
        outcome: Outcome,
    ) {
        if self.begun.remove(&request) {
            give(found, request, outcome);
        } else {
            self.of_older.insert(request, outcome);
        }
    }

    /// The file is at its end: what is begun in it may have ended in a newer one.
    pub(super) fn file_ends(&mut self, found: &mut VecDeque<LogEntry>) {
        for request in std::mem::take(&mut self.begun) {
            if let Some(outcome) = self.of_older.remove(&request) {
                give(found, request, outcome);
            }
        }
    }
}

fn give(found: &mut VecDeque<LogEntry>, request: RequestId, outcome: Outcome) {
    let begun = |entry: &&mut LogEntry| {
        entry.record.facts.request.id == request && entry.outcome == Outcome::Begun
    };
    if let Some(entry) = found.iter_mut().rev().find(begun) {
        entry.outcome = outcome;
    }
}
