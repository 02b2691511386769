//! Rows of the state: a record and its format, the columns that change, and columns for people.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use volward_model::AttachmentKey;
use volward_ports::{
    DamagedEntry, JournalEntry, MarksMismatch, OpenEntries, PortError, StepMark, StoredAttachment,
};

use super::operations;
use super::record::words::{Access, Mark, Settled, Sharing, State};
use super::record::{self, FORMAT, Operation, RecordError};

/// What can go wrong in here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("{which}: {why}")]
    Record { which: String, why: RecordError },
    #[error("entry {id} of the journal: {why}")]
    Marks { id: u64, why: MarksMismatch },
    #[error("there is no operation {0}")]
    NoOperation(String),
    #[error("entry {entry} of the journal keeps no step {step}")]
    NoStep { entry: u64, step: usize },
    #[error("{0}")]
    Commit(String),
    #[error("what was written beside it failed at once; nobody knows whether this is written")]
    Lost,
}

impl Trouble {
    pub(super) fn port(self, what: &str) -> PortError {
        PortError::Io {
            what: what.to_owned(),
            reason: self.to_string(),
        }
    }
}

/// A number for SQLite, which has signed ones only.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The records that a query with one parameter, the format, selects. One that is not understood counts as none: whoever asks
/// says what that means.
pub(super) fn records_understood<R, T>(
    c: &Connection,
    select: &str,
    format: i64,
) -> Result<Vec<T>, Trouble>
where
    R: DeserializeOwned + Into<T>,
{
    let mut statement = c.prepare(select)?;
    let rows = statement.query_map([format], |row| row.get::<_, String>(0))?;
    let mut all = Vec::new();
    for text in rows {
        if let Ok(record) = serde_json::from_str::<R>(&text?) {
            all.push(record.into());
        }
    }
    Ok(all)
}

fn index(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Writes an entry, and says its number.
pub(super) fn insert_entry(c: &Connection, entry: &JournalEntry) -> Result<u64, Trouble> {
    c.prepare_cached(
        "INSERT INTO journal \
         (request, kind, state, instance, boot_id, started_ms, causes, record, format) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        entry.request.to_string(),
        Operation::word(&entry.operation),
        State::from(entry.state).word(),
        entry.operation.instance().map(|i| i.to_string()),
        entry.boot_id,
        number(entry.started_ms),
        serde_json::to_string(&entry.causes)?,
        record::encode_entry(entry)?,
        FORMAT,
    ])?;
    let id = c.last_insert_rowid();
    let mut steps =
        c.prepare_cached("INSERT INTO step (entry, n, what, mark) VALUES (?1, ?2, ?3, ?4)")?;
    for (n, (step, mark)) in entry.operation.steps().into_iter().enumerate() {
        let mark = Mark::from(mark).word();
        steps.execute(params![id, index(n), step.to_string(), mark])?;
    }
    let mut volumes =
        c.prepare_cached("INSERT INTO journal_volume (entry, lv, name) VALUES (?1, ?2, ?3)")?;
    for volume in entry.operation.volumes() {
        volumes.execute(params![id, volume.id.lv.to_string(), volume.to_string()])?;
    }
    Ok(id.unsigned_abs())
}

/// Says how far a step is.
pub(super) fn set_mark(
    c: &Connection,
    entry: u64,
    step: usize,
    mark: StepMark,
) -> Result<(), Trouble> {
    let sql = "UPDATE step SET mark = ?3 WHERE entry = ?1 AND n = ?2";
    let word = Mark::from(mark).word();
    let marked = c
        .prepare_cached(sql)?
        .execute(params![number(entry), index(step), word])?;
    match marked {
        0 => Err(Trouble::NoStep { entry, step }),
        _ => Ok(()),
    }
}

/// Removes attachments, then puts others.
pub(super) fn change_attachments(
    c: &Connection,
    put: &[StoredAttachment],
    remove: &[AttachmentKey],
) -> Result<(), Trouble> {
    for key in remove {
        c.prepare_cached("DELETE FROM attachment WHERE lv = ?1 AND instance = ?2")?
            .execute(params![key.volume.lv.to_string(), key.instance.to_string()])?;
    }
    for one in put {
        c.prepare_cached(
            "INSERT OR REPLACE INTO attachment \
             (lv, instance, volume, instance_name, sharing, access, state, since_ms, record, format) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(
            params![
                one.volume.id.lv.to_string(),
                one.instance.to_string(),
                one.volume.to_string(),
                one.instance_name,
                Sharing::from(one.sharing).word(),
                Access::from(one.access).word(),
                Settled::from(one.state).word(),
                number(one.since_ms),
                record::encode_attachment(one)?,
                FORMAT,
            ],
        )?;
    }
    Ok(())
}

/// All attachments, the oldest first.
pub(super) fn attachments(c: &Connection) -> Result<Vec<StoredAttachment>, Trouble> {
    let sql = "SELECT volume, instance, format, record FROM attachment ORDER BY since_ms";
    let mut statement = c.prepare(sql)?;
    let columns = |row: &Row<'_>| {
        let which: (String, String) = (row.get(0)?, row.get(1)?);
        Ok((which, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
    };
    let rows = statement.query_map([], columns)?;
    rows.map(|row| {
        let ((volume, instance), format, text) = row?;
        record::decode_attachment(format, &text).map_err(|why| Trouble::Record {
            which: format!("the attachment of {volume} for instance {instance}"),
            why,
        })
    })
    .collect()
}

/// The numbers that a query finds.
fn numbers(
    c: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<i64>, Trouble> {
    let mut statement = c.prepare(sql)?;
    let ids: Result<Vec<i64>, _> = statement.query_map(params, |row| row.get(0))?.collect();
    Ok(ids?)
}

/// The entries whose numbers a query finds.
///
/// # Errors
/// Also if one of them is not understood, or damaged.
pub(super) fn entries(
    c: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<JournalEntry>, Trouble> {
    let mut entries = Vec::new();
    for id in numbers(c, sql, params)? {
        let Some((mut entry, marks)) = entry(c, id)? else {
            continue;
        };
        let marked = entry.operation.mark_all(&marks);
        marked.map_err(|why| Trouble::Marks { id: entry.id, why })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The open ones, those that are damaged apart.
pub(super) fn open_entries(c: &Connection) -> Result<OpenEntries, Trouble> {
    let sql = "SELECT id FROM journal WHERE state = 'open' ORDER BY id";
    let mut open = OpenEntries::default();
    for id in numbers(c, sql, params![])? {
        let Some((mut entry, marks)) = entry(c, id)? else {
            continue;
        };
        match entry.operation.mark_all(&marks) {
            Ok(()) => open.whole.push(entry),
            Err(why) => {
                let cause = Trouble::Marks { id: entry.id, why }.to_string();
                open.damaged.push(DamagedEntry { entry, cause });
            }
        }
    }
    Ok(open)
}

/// The record with state and causes, and beside it the marks that were made since, one a step.
fn entry(c: &Connection, id: i64) -> Result<Option<(JournalEntry, Vec<StepMark>)>, Trouble> {
    let columns = |row: &Row<'_>| {
        let texts: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        Ok((row.get::<_, i64>(0)?, texts))
    };
    let sql = "SELECT format, record, state, causes FROM journal WHERE id = ?1";
    let Some((format, [text, state, causes])) = c.query_row(sql, [id], columns).optional()? else {
        return Ok(None);
    };
    let not_understood = |why| Trouble::Record {
        which: format!("entry {id} of the journal"),
        why,
    };
    let unknown = |word: &str| not_understood(RecordError::Unknown(format!("the word `{word}`")));
    let mut entry = record::decode_entry(format, &text).map_err(not_understood)?;
    entry.id = id.unsigned_abs();
    entry.state = State::of(&state).ok_or_else(|| unknown(&state))?.into();
    entry.causes = serde_json::from_str(&causes)?;
    let mut marks = Vec::new();
    let mut statement = c.prepare_cached("SELECT n, mark FROM step WHERE entry = ?1 ORDER BY n")?;
    for row in statement.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))? {
        let (n, mark): (i64, String) = row?;
        // Behind a gap a mark would count for another step: none of those is taken.
        if n != index(marks.len()) {
            break;
        }
        let known = Mark::of(&mark).ok_or_else(|| unknown(&mark))?;
        marks.push(known.into());
    }
    Ok(Some((entry, marks)))
}

/// Whether all that must be acted upon is understood: attachments, open entries, and which entries
/// are open. Ended ones are for people, who are told where one is not understood; what is damaged
/// is understood well enough to be quarantined.
pub(super) fn understood(c: &Connection) -> Result<(), Trouble> {
    let mut statement = c.prepare("SELECT DISTINCT state FROM journal")?;
    for state in statement.query_map([], |row| row.get::<_, String>(0))? {
        let state = state?;
        if State::of(&state).is_none() {
            return Err(Trouble::Record {
                which: "the journal".to_owned(),
                why: RecordError::Unknown(format!("the word `{state}`")),
            });
        }
    }
    attachments(c)?;
    open_entries(c)?;
    operations::understood(c)
}
