//! A journal entry as it was when it was begun. What changes afterwards, its state, marks and
//! causes, is in columns.

use serde::{Deserialize, Serialize};
use volward_model::RequestId;
use volward_ports::{JournalEntry, JournalState};

use super::RecordError;
use super::operation::Operation;

/// An entry of format 2. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    request: RequestId,
    boot_id: String,
    started_ms: u64,
    operation: Operation,
}

impl From<&JournalEntry> for Entry {
    fn from(theirs: &JournalEntry) -> Self {
        Self {
            request: theirs.request,
            boot_id: theirs.boot_id.clone(),
            started_ms: theirs.started_ms,
            operation: (&theirs.operation).into(),
        }
    }
}

impl TryFrom<Entry> for JournalEntry {
    type Error = RecordError;

    /// Open, without a number, with every step waiting: those are the columns'.
    fn try_from(ours: Entry) -> Result<Self, RecordError> {
        Ok(Self {
            id: 0,
            request: ours.request,
            boot_id: ours.boot_id,
            started_ms: ours.started_ms,
            operation: ours.operation.try_into()?,
            state: JournalState::Open,
            causes: Vec::new(),
        })
    }
}
