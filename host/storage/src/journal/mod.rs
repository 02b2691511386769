//! The node's state in SQLite: /var/lib/volward/state.db, readable with the sqlite3 tool.
//!
//! What begins and what ends something is on the disk before the call returns (`synchronous =
//! FULL`); a step's mark survives the daemon's death, which is all it is for (`NORMAL`).
//!
//! The database has a layout (`open`), each record a format (`record`): both numbered, both
//! kept readable. A state that this build does not understand is refused before it is touched.

#[cfg(any(test, feature = "fake"))]
mod fake;
mod open;
mod record;
mod rows;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, params};
use volward_folder::Folder;
use volward_model::AttachmentKey;
use volward_ports::{
    Finish, Journal, JournalEntry, JournalQuery, OpenEntries, PortResult, StepMark,
    StoredAttachment,
};

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeJournal;
pub use open::{DATABASE, OpenError, look};
pub use record::RecordError;
use record::words::State;
use rows::{Trouble, entries, insert_entry, number};

/// Ended entries older than the newest so many are forgotten.
const KEPT_ENTRIES: i64 = 1_000;

/// The open database.
pub struct SqliteJournal {
    connection: Mutex<Connection>,
}

impl SqliteJournal {
    /// Opens or makes the database in the folder of the state, and brings an older one to this
    /// build's layout.
    ///
    /// # Errors
    /// If it cannot be opened, or this build does not understand it: then nothing was changed.
    pub fn open(state: &Folder) -> Result<Self, OpenError> {
        Ok(Self {
            connection: Mutex::new(open::open(state)?),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a transaction that is on the disk when this returns.
    fn durably<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>,
    ) -> PortResult<T> {
        let mut connection = self.lock();
        let ran = (|| {
            connection.pragma_update(None, "synchronous", "FULL")?;
            let transaction = connection.transaction()?;
            let out = work(&transaction)?;
            transaction.commit()?;
            Ok(out)
        })();
        ran.map_err(|error: Trouble| error.port(what))
    }

    fn read<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> PortResult<T> {
        work(&self.lock()).map_err(|error| error.port(what))
    }
}

impl Journal for SqliteJournal {
    fn next_sequence(&self) -> PortResult<u64> {
        self.durably("counting a request", |t| {
            let sql =
                "UPDATE counter SET value = value + 1 WHERE name = 'sequence' RETURNING value";
            let value: i64 = t.query_row(sql, [], |row| row.get(0))?;
            Ok(value.unsigned_abs())
        })
    }

    fn begin(&self, entry: &JournalEntry) -> PortResult<u64> {
        self.durably("writing the journal", |t| insert_entry(t, entry))
    }

    fn mark(&self, entry: u64, step: usize, mark: StepMark) -> PortResult<()> {
        let connection = self.lock();
        let ran = (|| {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            rows::set_mark(&connection, entry, step, mark)
        })();
        ran.map_err(|error: Trouble| error.port("writing the journal"))
    }

    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<JournalEntry>> {
        self.durably("writing the journal", |t| {
            t.execute(
                "UPDATE journal SET state = ?2, causes = ?3 WHERE id = ?1",
                params![
                    number(entry),
                    State::from(end.state).word(),
                    serde_json::to_string(&end.causes)?
                ],
            )?;
            rows::change_attachments(t, &end.put, &end.remove)?;
            let numbered = |next: &JournalEntry| {
                let id = insert_entry(t, next)?;
                Ok(JournalEntry { id, ..next.clone() })
            };
            let follow = end.follow.iter().map(numbered).collect();
            t.execute(
                "DELETE FROM journal WHERE state <> 'open' AND id <= \
                 (SELECT max(id) FROM journal) - ?1",
                [KEPT_ENTRIES],
            )?;
            follow
        })
    }

    fn open_entries(&self) -> PortResult<OpenEntries> {
        self.read("reading the journal", rows::open_entries)
    }

    fn find(&self, what: &JournalQuery, limit: usize) -> PortResult<Vec<JournalEntry>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("reading the journal", |c| match what {
            JournalQuery::Request(request) => entries(
                c,
                "SELECT id FROM journal WHERE request = ?1 ORDER BY id DESC LIMIT ?2",
                params![request.to_string(), limit],
            ),
            JournalQuery::Instance(instance) => entries(
                c,
                "SELECT id FROM journal WHERE instance = ?1 ORDER BY id DESC LIMIT ?2",
                params![instance.to_string(), limit],
            ),
            JournalQuery::Volume(volume) => entries(
                c,
                "SELECT j.id FROM journal j JOIN journal_volume v ON v.entry = j.id \
                 WHERE v.lv = ?1 ORDER BY j.id DESC LIMIT ?2",
                params![volume.id.lv.to_string(), limit],
            ),
        })
    }

    fn attachments(&self) -> PortResult<Vec<StoredAttachment>> {
        self.read("reading the attachments", rows::attachments)
    }

    fn change_attachments(
        &self,
        put: &[StoredAttachment],
        remove: &[AttachmentKey],
    ) -> PortResult<()> {
        self.durably("writing the attachments", |t| {
            rows::change_attachments(t, put, remove)
        })
    }
}

#[cfg(test)]
mod tests;
