//! The node's state in SQLite: /var/lib/volward/state.db, readable with the sqlite3 tool.
//!
//! What begins and what ends something is on the disk before the call returns (`synchronous =
//! FULL`); a step's mark survives the daemon's death, which is all it is for (`NORMAL`).

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use volward_control::ports::{
    Finish, Journal, JournalEntry, JournalQuery, JournalState, PortError, PortResult, StepMark,
    StoredAttachment,
};
use volward_model::AttachmentKey;

/// The layout this version reads and writes (`PRAGMA user_version`).
const VERSION: i64 = 1;

const LAYOUT: &str = include_str!("state/layout.sql");

/// Ended entries older than the newest so many are forgotten.
const KEPT_ENTRIES: i64 = 1_000;

/// The open database.
pub(crate) struct State {
    connection: Mutex<Connection>,
}

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot open the state")]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "the state has layout {found}, this version knows up to {VERSION}: install the newer version \
         again"
    )]
    TooNew { found: i64 },
}

impl State {
    /// Opens or makes the database.
    ///
    /// # Errors
    /// If it cannot be opened, or a newer version wrote it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => connection.execute_batch(LAYOUT)?,
            VERSION => {}
            newer => return Err(OpenError::TooNew { found: newer }),
        }
        Ok(Self {
            connection: Mutex::new(connection),
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

/// What can go wrong in here.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Trouble {
    fn port(self, what: &str) -> PortError {
        PortError::Io {
            what: what.to_owned(),
            reason: self.to_string(),
        }
    }
}

impl Journal for State {
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
            let sql = "UPDATE step SET mark = ?3 WHERE entry = ?1 AND n = ?2";
            connection.prepare_cached(sql)?.execute(params![
                id_of(entry),
                i64::try_from(step).unwrap_or(i64::MAX),
                word(&mark)?
            ])?;
            Ok(())
        })();
        ran.map_err(|error: Trouble| error.port("writing the journal"))
    }

    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<u64>> {
        self.durably("writing the journal", |t| {
            t.execute(
                "UPDATE journal SET state = ?2, causes = ?3 WHERE id = ?1",
                params![
                    id_of(entry),
                    word(&end.state)?,
                    serde_json::to_string(&end.causes)?
                ],
            )?;
            change_attachments(t, &end.put, &end.remove)?;
            let follow: Result<Vec<u64>, Trouble> = end
                .follow
                .iter()
                .map(|next| insert_entry(t, next))
                .collect();
            t.execute(
                "DELETE FROM journal WHERE state <> 'open' AND id <= \
                 (SELECT max(id) FROM journal) - ?1",
                [KEPT_ENTRIES],
            )?;
            follow
        })
    }

    fn open_entries(&self) -> PortResult<Vec<JournalEntry>> {
        self.read("reading the journal", |c| {
            entries(
                c,
                "SELECT id FROM journal WHERE state = 'open' ORDER BY id",
                params![],
            )
        })
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
        self.read("reading the attachments", |c| {
            let mut statement = c.prepare("SELECT record FROM attachment ORDER BY since_ms")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
        })
    }

    fn change_attachments(
        &self,
        put: &[StoredAttachment],
        remove: &[AttachmentKey],
    ) -> PortResult<()> {
        self.durably("writing the attachments", |t| {
            change_attachments(t, put, remove)
        })
    }
}

fn id_of(entry: u64) -> i64 {
    i64::try_from(entry).unwrap_or(i64::MAX)
}

/// An enum's word, as serde has it.
fn word<T: Serialize>(value: &T) -> Result<String, Trouble> {
    let json = serde_json::to_value(value)?;
    Ok(json
        .as_str()
        .map_or_else(|| json.to_string(), str::to_owned))
}

fn from_word<T: DeserializeOwned>(word: String) -> Result<T, Trouble> {
    Ok(serde_json::from_value(serde_json::Value::String(word))?)
}

fn insert_entry(t: &Transaction<'_>, entry: &JournalEntry) -> Result<u64, Trouble> {
    t.execute(
        "INSERT INTO journal (request, kind, state, instance, boot_id, started_ms, causes, record) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            entry.request.to_string(),
            word(&entry.kind)?,
            word(&entry.state)?,
            entry.instance.map(|i| i.to_string()),
            entry.boot_id,
            id_of(entry.started_ms),
            serde_json::to_string(&entry.causes)?,
            serde_json::to_string(entry)?,
        ],
    )?;
    let id = t.last_insert_rowid();
    let mut steps =
        t.prepare_cached("INSERT INTO step (entry, n, what, mark) VALUES (?1, ?2, ?3, ?4)")?;
    for (n, planned) in entry.steps.iter().enumerate() {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        steps.execute(params![
            id,
            n,
            planned.step.to_string(),
            word(&StepMark::Waiting)?
        ])?;
    }
    let mut volumes =
        t.prepare_cached("INSERT INTO journal_volume (entry, lv, name) VALUES (?1, ?2, ?3)")?;
    for volume in &entry.volumes {
        volumes.execute(params![id, volume.id.lv.to_string(), volume.to_string()])?;
    }
    Ok(id.unsigned_abs())
}

fn change_attachments(
    t: &Transaction<'_>,
    put: &[StoredAttachment],
    remove: &[AttachmentKey],
) -> Result<(), Trouble> {
    for key in remove {
        t.execute(
            "DELETE FROM attachment WHERE lv = ?1 AND instance = ?2",
            params![key.volume.lv.to_string(), key.instance.to_string()],
        )?;
    }
    for one in put {
        t.execute(
            "INSERT OR REPLACE INTO attachment \
             (lv, instance, volume, instance_name, sharing, access, state, since_ms, record) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                one.volume.id.lv.to_string(),
                one.instance.to_string(),
                one.volume.to_string(),
                one.instance_name,
                word(&one.sharing)?,
                word(&one.access)?,
                word(&one.state)?,
                id_of(one.since_ms),
                serde_json::to_string(one)?,
            ],
        )?;
    }
    Ok(())
}

fn entries(
    c: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<JournalEntry>, Trouble> {
    let mut statement = c.prepare(sql)?;
    let ids: Result<Vec<i64>, _> = statement.query_map(params, |row| row.get(0))?.collect();
    let entries: Result<Vec<Option<JournalEntry>>, Trouble> =
        ids?.into_iter().map(|id| entry(c, id)).collect();
    Ok(entries?.into_iter().flatten().collect())
}

/// The record, with what changed since it was written.
fn entry(c: &Connection, id: i64) -> Result<Option<JournalEntry>, Trouble> {
    let columns = |row: &Row<'_>| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
        ))
    };
    let sql = "SELECT record, state, causes FROM journal WHERE id = ?1";
    let Some((record, state, causes)) = c.query_row(sql, [id], columns).optional()? else {
        return Ok(None);
    };
    let mut entry: JournalEntry = serde_json::from_str(&record)?;
    entry.id = id.unsigned_abs();
    entry.state = from_word::<JournalState>(state)?;
    entry.causes = serde_json::from_str(&causes)?;
    let mut statement = c.prepare_cached("SELECT mark FROM step WHERE entry = ?1 ORDER BY n")?;
    let marks = statement.query_map([id], |row| row.get::<_, String>(0))?;
    entry.marks = marks
        .map(|m| from_word(m?))
        .collect::<Result<_, Trouble>>()?;
    Ok(Some(entry))
}

#[cfg(test)]
mod tests;
