//! Records of what this node wrote last into registries: a table of its own, each record with a format of its own.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use volward_model::VolumeId;
use volward_plan::last_write::LastWrite;
use volward_ports::{LastWrites, PortResult};

use super::SqliteJournal;
use super::rows::{Trouble, number, records_understood};

/// Of a record, as its row says.
const FORMAT: i64 = 1;

/// A record of format 1. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    registry: VolumeId,
    host_id: u64,
    generation: u64,
    boot_id: String,
    sequence: u64,
    at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    older: Option<String>,
}

impl From<&LastWrite> for Record {
    fn from(theirs: &LastWrite) -> Self {
        Self {
            registry: theirs.registry,
            host_id: theirs.host_id,
            generation: theirs.generation,
            boot_id: theirs.boot_id.clone(),
            sequence: theirs.sequence,
            at_ms: theirs.at_ms,
            older: theirs.older.clone(),
        }
    }
}

impl From<Record> for LastWrite {
    fn from(ours: Record) -> Self {
        Self {
            registry: ours.registry,
            host_id: ours.host_id,
            generation: ours.generation,
            boot_id: ours.boot_id,
            sequence: ours.sequence,
            at_ms: ours.at_ms,
            older: ours.older,
        }
    }
}

fn replace(c: &Connection, all: &[LastWrite]) -> Result<(), Trouble> {
    c.prepare_cached("DELETE FROM last_write")?.execute([])?;
    let sql = "INSERT INTO last_write (vg, generation, sequence, at_ms, record, format) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = c.prepare_cached(sql)?;
    for one in all {
        insert.execute(params![
            one.registry.vg.to_string(),
            number(one.generation),
            number(one.sequence),
            number(one.at_ms),
            serde_json::to_string(&Record::from(one))?,
            FORMAT,
        ])?;
    }
    Ok(())
}

/// Without a record that is not understood nothing is remembered of that pool.
fn read(c: &Connection) -> Result<Vec<LastWrite>, Trouble> {
    let select = "SELECT record FROM last_write WHERE format = ?1 ORDER BY vg";
    records_understood::<Record, _>(c, select, FORMAT)
}

impl LastWrites for SqliteJournal {
    fn replace_last_writes(&self, all: &[LastWrite]) -> PortResult<()> {
        let all = all.to_vec();
        self.durably("writing what was written to the pools", move |c| {
            replace(c, &all)
        })
    }

    fn last_writes(&self) -> PortResult<Vec<LastWrite>> {
        self.read("reading what was written to the pools", read)
    }
}

#[cfg(test)]
mod tests {
    use volward_folder::Folder;

    use super::super::fixture;
    use super::*;

    fn open(dir: &tempfile::TempDir) -> SqliteJournal {
        SqliteJournal::open(&Folder::open(dir.path()).unwrap()).unwrap()
    }

    fn record(n: u64, older: Option<&str>) -> LastWrite {
        LastWrite {
            registry: VolumeId {
                vg: n.to_string().repeat(32).parse().unwrap(),
                lv: "r".repeat(32).parse().unwrap(),
            },
            host_id: n,
            generation: 4,
            boot_id: "b007b007-0000-0000-0000-000000000000".to_owned(),
            sequence: 1_041,
            at_ms: 1_795_900_000_000 + n,
            older: older.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_on_record_is_what_was_written_last_and_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir);
        assert_eq!(state.last_writes().unwrap(), []);
        let all = [record(1, None), record(2, Some("it is older"))];
        state.replace_last_writes(&all).unwrap();
        drop(state);
        let state = open(&dir);
        assert_eq!(state.last_writes().unwrap(), all);
        let change = "UPDATE last_write SET format = 2 WHERE vg LIKE '1%'";
        state.group.connection().execute(change, []).unwrap();
        assert_eq!(state.last_writes().unwrap(), all[1..]);
        state.replace_last_writes(&all[..1]).unwrap();
        assert_eq!(state.last_writes().unwrap(), all[..1]);
    }

    #[test]
    fn records_are_written_as_the_fixture_has_them() {
        let all = [record(1, None), record(2, Some("it is older"))];
        fixture::is_as_written::<Record, _>("last-writes-1.json", &all);
    }
}
