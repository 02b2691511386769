//! The node's durable state in memory: it survives the daemon, and the node's power.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::{AttachmentKey, Bytes, OperationId, VolumeOperation};
use volward_plan::last_use::LastUse;
use volward_plan::last_write::LastWrite;
use volward_ports::{
    DamagedEntry, FenceRecord, FenceRecords, Finish, Journal, JournalEntry, JournalQuery,
    JournalState, LastUses, LastWrites, OpenEntries, Operations, PortError, PortResult, StepMark,
    StoredAttachment,
};

use crate::fake::FakeNode;

/// A journal on a disk that a test can fill up; clones are the same journal.
#[derive(Clone, Debug)]
pub struct FakeJournal {
    kernel: FakeNode,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    sequence: u64,
    entries: BTreeMap<u64, JournalEntry>,
    attachments: BTreeMap<AttachmentKey, StoredAttachment>,
    /// Open entries whose marks are lost, each with what is wrong.
    damaged: BTreeMap<u64, String>,
    full: bool,
    operations: BTreeMap<OperationId, VolumeOperation>,
    fences: Vec<FenceRecord>,
    last_uses: Vec<LastUse>,
    last_writes: Vec<LastWrite>,
}

impl FakeJournal {
    /// An empty one, on that node's own disk.
    #[must_use]
    pub fn new(kernel: FakeNode) -> Self {
        Self {
            kernel,
            state: Arc::default(),
        }
    }

    /// What another journal holds, on that node's disk: entries with their numbers, attachments,
    /// and the last sequence number that was given.
    #[must_use]
    pub fn holding(
        kernel: FakeNode,
        entries: Vec<JournalEntry>,
        attachments: Vec<StoredAttachment>,
        sequence: u64,
    ) -> Self {
        let state = State {
            sequence,
            entries: entries.into_iter().map(|e| (e.id, e)).collect(),
            attachments: attachments.into_iter().map(|a| (a.key(), a)).collect(),
            ..State::default()
        };
        Self {
            kernel,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A copy of it as it is now, as a backup has it.
    #[must_use]
    pub fn backup(&self) -> Self {
        Self {
            kernel: self.kernel.clone(),
            state: Arc::new(Mutex::new(self.state().clone())),
        }
    }

    /// The disk is full, or has space again.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// What a power cut may do to marks, which need not be durable: they are lost.
    pub fn forget_marks(&self) {
        for entry in self.state().entries.values_mut() {
            if entry.state == JournalState::Open {
                unmark(entry);
            }
        }
    }

    /// What a damaged disk may do: the marks of the open entries do not belong to their steps.
    pub fn damage_open_entries(&self) {
        let state = &mut *self.state();
        for entry in state.entries.values_mut() {
            if entry.state == JournalState::Open {
                unmark(entry);
                let cause = format!("entry {} of the journal: it was damaged", entry.id);
                state.damaged.insert(entry.id, cause);
            }
        }
    }

    /// Every entry there ever was.
    #[must_use]
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.state().entries.values().cloned().collect()
    }

    /// What is remembered as attached.
    #[must_use]
    pub fn remembered(&self) -> Vec<StoredAttachment> {
        self.state().attachments.values().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction: whole or not at all, and a daemon can die before it or after it.
    fn change<T>(&self, what: &str, change: impl FnOnce(&mut State) -> T) -> PortResult<T> {
        self.kernel.note(&format!("journal-{what}"))?;
        let mut state = self.state();
        if state.full {
            return Err(PortError::Io {
                what: format!("writing the journal ({what})"),
                reason: "no space left on device".to_owned(),
            });
        }
        Ok(change(&mut state))
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> PortResult<T> {
        if self.kernel.crashed() {
            return Err(PortError::Io {
                what: "the journal".to_owned(),
                reason: "the daemon is dead".to_owned(),
            });
        }
        Ok(look(&self.state()))
    }
}

fn unmark(entry: &mut JournalEntry) {
    for step in 0..entry.operation.steps().len() {
        entry.operation.mark(step, StepMark::Waiting);
    }
}

fn next_id(state: &State) -> u64 {
    state.entries.keys().next_back().map_or(1, |last| last + 1)
}

fn insert(state: &mut State, entry: &JournalEntry) -> JournalEntry {
    let id = next_id(state);
    let numbered = JournalEntry {
        id,
        ..entry.clone()
    };
    state.entries.insert(id, numbered.clone());
    numbered
}

fn apply(state: &mut State, put: &[StoredAttachment], remove: &[AttachmentKey]) {
    for key in remove {
        state.attachments.remove(key);
    }
    for attachment in put {
        state
            .attachments
            .insert(attachment.key(), attachment.clone());
    }
}

impl Journal for FakeJournal {
    fn next_sequence(&self) -> PortResult<u64> {
        self.change("sequence", |state| {
            state.sequence += 1;
            state.sequence
        })
    }

    fn begin(&self, entry: &JournalEntry) -> PortResult<u64> {
        self.change("begin", |state| insert(state, entry).id)
    }

    fn mark(&self, entry: u64, step: usize, mark: StepMark) -> PortResult<()> {
        self.change("mark", |state| {
            let entry = state.entries.get_mut(&entry);
            entry.is_some_and(|entry| entry.operation.mark(step, mark))
        })?
        .then_some(())
        .ok_or_else(|| PortError::Missing {
            what: format!("step {step} of entry {entry} of the journal"),
        })
    }

    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<JournalEntry>> {
        self.change("finish", |state| {
            if let Some(entry) = state.entries.get_mut(&entry) {
                entry.state = end.state;
                entry.causes.clone_from(&end.causes);
            }
            apply(state, &end.put, &end.remove);
            end.follow
                .iter()
                .map(|entry| insert(state, entry))
                .collect()
        })
    }

    fn open_entries(&self) -> PortResult<OpenEntries> {
        self.look(|state| {
            let mut open = OpenEntries::default();
            for entry in state.entries.values() {
                let entry = entry.clone();
                match (entry.state, state.damaged.get(&entry.id).cloned()) {
                    (JournalState::Open, None) => open.whole.push(entry),
                    (JournalState::Open, Some(cause)) => {
                        open.damaged.push(DamagedEntry { entry, cause });
                    }
                    _ => {}
                }
            }
            open
        })
    }

    fn find(&self, what: &JournalQuery, limit: usize) -> PortResult<Vec<JournalEntry>> {
        let wanted = |e: &&JournalEntry| match what {
            JournalQuery::Request(request) => e.request == *request,
            JournalQuery::Instance(instance) => e.operation.instance() == Some(*instance),
            JournalQuery::Volume(volume) => e.operation.volumes().contains(&volume),
        };
        self.look(|state| {
            let newest = state.entries.values().rev().filter(wanted);
            newest.take(limit).cloned().collect()
        })
    }

    fn attachments(&self) -> PortResult<Vec<StoredAttachment>> {
        self.look(|state| state.attachments.values().cloned().collect())
    }

    fn change_attachments(
        &self,
        put: &[StoredAttachment],
        remove: &[AttachmentKey],
    ) -> PortResult<()> {
        self.change("attachments", |state| apply(state, put, remove))
    }
}

impl Operations for FakeJournal {
    fn put_all(&self, operations: &[VolumeOperation]) -> PortResult<()> {
        self.change("operation", |state| {
            let with_ids = operations.iter().map(|one| (one.id.clone(), one.clone()));
            state.operations.extend(with_ids);
        })
    }

    fn note_zeroed(&self, id: &OperationId, zeroed: Bytes) -> PortResult<()> {
        self.change("zeroed", |state| {
            let operation = state.operations.get_mut(id);
            operation.map(|operation| operation.zeroed = zeroed)
        })?
        .ok_or_else(|| PortError::Missing {
            what: format!("the operation {id}"),
        })
    }

    fn operations(&self) -> PortResult<Vec<VolumeOperation>> {
        self.look(|state| {
            let mut all: Vec<_> = state.operations.values().cloned().collect();
            all.sort_by_key(|operation| operation.started_ms);
            all
        })
    }

    fn forget(&self, ids: &[OperationId]) -> PortResult<()> {
        self.change("forget", |state| {
            let open = |operation: &VolumeOperation| operation.end().is_none();
            state
                .operations
                .retain(|id, operation| open(operation) || !ids.contains(id));
        })
    }
}

impl LastUses for FakeJournal {
    fn replace_last_uses(&self, all: &[LastUse]) -> PortResult<()> {
        self.change("last-uses", |state| state.last_uses = all.to_vec())
    }

    fn last_uses(&self) -> PortResult<Vec<LastUse>> {
        self.look(|state| state.last_uses.clone())
    }
}

impl LastWrites for FakeJournal {
    fn replace_last_writes(&self, all: &[LastWrite]) -> PortResult<()> {
        self.change("last-writes", |state| state.last_writes = all.to_vec())
    }

    fn last_writes(&self) -> PortResult<Vec<LastWrite>> {
        self.look(|state| state.last_writes.clone())
    }
}

impl FenceRecords for FakeJournal {
    fn replace_fences(&self, all: &[FenceRecord]) -> PortResult<()> {
        self.change("fences", |state| state.fences = all.to_vec())
    }

    fn fences(&self) -> PortResult<Vec<FenceRecord>> {
        self.look(|state| state.fences.clone())
    }
}
