//! A journal entry as it was when it was begun. What changes afterwards, its state, marks and
//! causes, is in columns.

use serde::{Deserialize, Serialize};
use volward_model::{InstanceId, RequestId};
use volward_ports::{JournalEntry, JournalState};

use super::RecordError;
use super::attachment::Attachment;
use super::parts::{Key, Volume, refs, volumes};
use super::step::Planned;
use super::words::Kind;

/// An entry of format 2. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    request: RequestId,
    kind: Kind,
    boot_id: String,
    started_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<InstanceId>,
    volumes: Vec<Volume>,
    steps: Vec<Planned>,
    commit_at: usize,
    puts: Vec<Attachment>,
    removes: Vec<Key>,
    write_back: Vec<Volume>,
}

impl From<&JournalEntry> for Entry {
    fn from(theirs: &JournalEntry) -> Self {
        Self {
            request: theirs.request,
            kind: theirs.kind.into(),
            boot_id: theirs.boot_id.clone(),
            started_ms: theirs.started_ms,
            instance: theirs.instance,
            volumes: volumes(&theirs.volumes),
            steps: theirs.steps.iter().map(Planned::from).collect(),
            commit_at: theirs.commit_at,
            puts: theirs.puts.iter().map(Attachment::from).collect(),
            removes: theirs.removes.iter().copied().map(Key::from).collect(),
            write_back: volumes(&theirs.write_back),
        }
    }
}

impl TryFrom<Entry> for JournalEntry {
    type Error = RecordError;

    /// Open, without a number and without marks: those are the columns'.
    fn try_from(ours: Entry) -> Result<Self, RecordError> {
        let steps: Result<_, _> = ours.steps.into_iter().map(TryInto::try_into).collect();
        Ok(Self {
            id: 0,
            request: ours.request,
            kind: ours.kind.into(),
            boot_id: ours.boot_id,
            started_ms: ours.started_ms,
            instance: ours.instance,
            volumes: refs(ours.volumes),
            steps: steps?,
            commit_at: ours.commit_at,
            puts: ours.puts.into_iter().map(Into::into).collect(),
            removes: ours.removes.into_iter().map(Into::into).collect(),
            write_back: refs(ours.write_back),
            state: JournalState::Open,
            marks: Vec::new(),
            causes: Vec::new(),
        })
    }
}
