//! The node's state in SQLite: /var/lib/volward/state.db, readable with the sqlite3 tool.
//!
//! What begins and what ends something is on the disk before the call returns (`synchronous =
//! FULL`); a step's mark survives the daemon's death, which is all it is for (`NORMAL`). What several
//! requests write at once shares one transaction (`group`).
//!
//! The database has a layout (`open`), each record a format (`record`): both numbered, both
//! kept readable. A state that this build does not understand is refused before it is touched.

#[cfg(any(test, feature = "fake"))]
mod fake;
mod fences;
#[cfg(test)]
mod fixture;
mod group;
mod last_uses;
mod last_writes;
mod open;
mod operations;
mod record;
mod rows;

use rusqlite::{Connection, params};
use volward_folder::Folder;
use volward_model::AttachmentKey;
use volward_ports::{
    Finish, Journal, JournalEntry, JournalQuery, OpenEntries, PortResult, StepMark,
    StoredAttachment,
};

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeJournal;
use group::{Group, Safety};
pub use open::{DATABASE, OpenError, look};
pub use record::RecordError;
use record::words::State;
use rows::{Trouble, entries, insert_entry, number};

/// Ended entries older than the newest so many are forgotten.
const KEPT_ENTRIES: i64 = 1_000;

/// The open database.
pub struct SqliteJournal {
    group: Group,
}

impl SqliteJournal {
    /// Opens or makes the database in the folder of the state, and brings an older one to this
    /// build's layout.
    ///
    /// # Errors
    /// If it cannot be opened, or this build does not understand it: then nothing was changed.
    pub fn open(state: &Folder) -> Result<Self, OpenError> {
        Ok(Self {
            group: Group::new(open::open(state)?),
        })
    }

    /// Writes what is on the disk when this returns.
    fn durably<T: Send + 'static>(
        &self,
        what: &str,
        work: impl Fn(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> PortResult<T> {
        self.group.write(Safety::OnDisk, what, work)
    }

    fn read<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> PortResult<T> {
        work(&self.group.connection()).map_err(|error| error.port(what))
    }
}

impl Journal for SqliteJournal {
    fn next_sequence(&self) -> PortResult<u64> {
        // On the disk with the entry that follows, before anybody hears of the number.
        self.group
            .write(Safety::InOrder, "counting a request", |c| {
                let sql =
                    "UPDATE counter SET value = value + 1 WHERE name = 'sequence' RETURNING value";
                let value: i64 = c.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
                Ok(value.unsigned_abs())
            })
    }

    fn begin(&self, entry: &JournalEntry) -> PortResult<u64> {
        let entry = entry.clone();
        self.durably("writing the journal", move |c| insert_entry(c, &entry))
    }

    fn mark(&self, entry: u64, step: usize, mark: StepMark) -> PortResult<()> {
        self.group
            .write(Safety::InOrder, "writing the journal", move |c| {
                rows::set_mark(c, entry, step, mark)
            })
    }

    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<JournalEntry>> {
        let end = end.clone();
        self.durably("writing the journal", move |c| {
            c.prepare_cached("UPDATE journal SET state = ?2, causes = ?3 WHERE id = ?1")?
                .execute(params![
                    number(entry),
                    State::from(end.state).word(),
                    serde_json::to_string(&end.causes)?
                ])?;
            rows::change_attachments(c, &end.put, &end.remove)?;
            let numbered = |next: &JournalEntry| {
                let id = insert_entry(c, next)?;
                Ok(JournalEntry { id, ..next.clone() })
            };
            let follow = end.follow.iter().map(numbered).collect();
            c.prepare_cached(
                "DELETE FROM journal WHERE state <> 'open' AND id <= \
                 (SELECT max(id) FROM journal) - ?1",
            )?
            .execute([KEPT_ENTRIES])?;
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
        let (put, remove) = (put.to_vec(), remove.to_vec());
        self.durably("writing the attachments", move |c| {
            rows::change_attachments(c, &put, &remove)
        })
    }
}

#[cfg(test)]
mod tests;
