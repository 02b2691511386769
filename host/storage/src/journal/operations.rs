//! Records of operations on volumes: a table of its own, each record with a format of its own.
//!
//! A record is the model's [`VolumeOperation`] as JSON. What this build does not understand of one that
//! has not ended keeps it from starting, as with the journal's entries: it would leave a volume half made.

use rusqlite::{Connection, Row, params};
use volward_model::{Bytes, Course, OperationId, VolumeOperation};
use volward_ports::{Operations, PortResult};

use super::SqliteJournal;
use super::group::Safety;
use super::record::RecordError;
use super::rows::{Trouble, number};

/// Of a record, as its row says. Format 2 has copies, snapshots and renames, and which volume is copied; format 3 has moves, format 4
/// has groups, format 5 has relocations. A record of an earlier format says the same in a later one.
pub(super) const FORMAT: i64 = 5;

fn course(operation: &VolumeOperation) -> &'static str {
    match operation.course {
        Course::Forward => "forward",
        Course::Back(_) => "back",
        Course::Ended(_) => "ended",
    }
}

fn put(c: &Connection, operation: &VolumeOperation) -> Result<(), Trouble> {
    let (task, volume) = (&operation.task, operation.volume.as_ref());
    c.prepare_cached(
        "INSERT OR REPLACE INTO volume_operation \
         (id, kind, volume, lv, course, started_ms, zeroed, record, format) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        operation.id.as_str(),
        task.word(),
        format!("{}/{}", task.pool(), task.name()),
        volume.map(|volume| volume.id.lv.to_string()),
        course(operation),
        number(operation.started_ms),
        number(operation.zeroed.0),
        serde_json::to_string(operation)?,
        FORMAT,
    ])?;
    Ok(())
}

fn decode(id: &str, format: i64, text: &str) -> Result<VolumeOperation, Trouble> {
    let not_understood = |why| Trouble::Record {
        which: format!("the operation {id}"),
        why,
    };
    if !(1..=FORMAT).contains(&format) {
        return Err(not_understood(RecordError::Unknown(format!(
            "the format {format}"
        ))));
    }
    serde_json::from_str(text)
        .map_err(|error| not_understood(RecordError::Unknown(error.to_string())))
}

/// Those that a query finds.
fn read(c: &Connection, sql: &str) -> Result<Vec<VolumeOperation>, Trouble> {
    let mut statement = c.prepare(sql)?;
    let columns = |row: &Row<'_>| {
        let texts: [String; 2] = [row.get(0)?, row.get(1)?];
        Ok((texts, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    };
    let rows = statement.query_map([], columns)?;
    rows.map(|row| {
        let ([id, text], format, zeroed) = row?;
        let mut operation = decode(&id, format, &text)?;
        operation.zeroed = Bytes(zeroed.unsigned_abs());
        Ok(operation)
    })
    .collect()
}

const COLUMNS: &str = "SELECT id, record, format, zeroed FROM volume_operation";

/// Whether all that have not ended are understood. Ended ones that are not are left out.
pub(super) fn understood(c: &Connection) -> Result<(), Trouble> {
    read(c, &format!("{COLUMNS} WHERE course <> 'ended'")).map(drop)
}

impl Operations for SqliteJournal {
    fn put_all(&self, operations: &[VolumeOperation]) -> PortResult<()> {
        let operations = operations.to_vec();
        self.durably("writing an operation's record", move |c| {
            operations
                .iter()
                .try_for_each(|operation| put(c, operation))
        })
    }

    fn note_zeroed(&self, id: &OperationId, zeroed: Bytes) -> PortResult<()> {
        let id = id.clone();
        self.group.write(
            Safety::InOrder,
            "noting an operation's progress",
            move |c| {
                let sql = "UPDATE volume_operation SET zeroed = ?2 WHERE id = ?1";
                let of = params![id.as_str(), number(zeroed.0)];
                match c.prepare_cached(sql)?.execute(of)? {
                    0 => Err(Trouble::NoOperation(id.to_string())),
                    _ => Ok(()),
                }
            },
        )
    }

    fn operations(&self) -> PortResult<Vec<VolumeOperation>> {
        self.read("reading the operations", |c| {
            let open = format!("{COLUMNS} WHERE course <> 'ended' ORDER BY started_ms, id");
            let mut all = read(c, &open)?;
            let ended = "SELECT id FROM volume_operation WHERE course = 'ended'";
            let mut statement = c.prepare(ended)?;
            let ids: Result<Vec<String>, _> = statement.query_map([], |row| row.get(0))?.collect();
            for id in ids? {
                // Ids need no escaping.
                match read(c, &format!("{COLUMNS} WHERE id = '{id}'")) {
                    Ok(found) => all.extend(found),
                    Err(error) => tracing::debug!(%error, "an ended operation is left out"),
                }
            }
            all.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
            Ok(all)
        })
    }

    fn forget(&self, ids: &[OperationId]) -> PortResult<()> {
        let ids = ids.to_vec();
        self.durably("removing operations' records", move |c| {
            let sql = "DELETE FROM volume_operation WHERE id = ?1 AND course = 'ended'";
            let mut statement = c.prepare_cached(sql)?;
            for id in &ids {
                statement.execute([id.as_str()])?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
