//! Records of the last use of volumes: a table of its own, each record with a format of its own.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use volward_model::{Bytes, InstanceId, VolumeRef};
use volward_plan::last_use::LastUse;
use volward_ports::{LastUses, PortResult};

use super::SqliteJournal;
use super::rows::{Trouble, number, records_understood};

/// Of a record, as its row says.
const FORMAT: i64 = 1;

/// A record of format 1. Sizes are bytes, times milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    instance: InstanceId,
    volume: VolumeRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    at_ms: u64,
}

impl From<&LastUse> for Record {
    fn from(theirs: &LastUse) -> Self {
        Self {
            instance: theirs.instance,
            volume: theirs.volume.clone(),
            version: theirs.version,
            size: theirs.size.map(|size| size.0),
            at_ms: theirs.at_ms,
        }
    }
}

impl From<Record> for LastUse {
    fn from(ours: Record) -> Self {
        Self {
            instance: ours.instance,
            volume: ours.volume,
            version: ours.version,
            size: ours.size.map(Bytes),
            at_ms: ours.at_ms,
        }
    }
}

fn replace(c: &Connection, all: &[LastUse]) -> Result<(), Trouble> {
    c.prepare_cached("DELETE FROM last_use")?.execute([])?;
    let sql =
        "INSERT INTO last_use (lv, instance, at_ms, record, format) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = c.prepare_cached(sql)?;
    for one in all {
        insert.execute(params![
            one.volume.id.lv.to_string(),
            one.instance.to_string(),
            number(one.at_ms),
            serde_json::to_string(&Record::from(one))?,
            FORMAT,
        ])?;
    }
    Ok(())
}

/// Without a record that is not understood nothing is known of that use.
fn read(c: &Connection) -> Result<Vec<LastUse>, Trouble> {
    let select = "SELECT record FROM last_use WHERE format = ?1 ORDER BY at_ms, lv";
    records_understood::<Record, _>(c, select, FORMAT)
}

impl LastUses for SqliteJournal {
    fn replace_last_uses(&self, all: &[LastUse]) -> PortResult<()> {
        let all = all.to_vec();
        self.durably("writing the last use of volumes", move |c| replace(c, &all))
    }

    fn last_uses(&self) -> PortResult<Vec<LastUse>> {
        self.read("reading the last use of volumes", read)
    }
}

#[cfg(test)]
mod tests {
    use volward_folder::Folder;
    use volward_model::VolumeId;

    use super::super::fixture;
    use super::*;

    fn open(dir: &tempfile::TempDir) -> SqliteJournal {
        SqliteJournal::open(&Folder::open(dir.path()).unwrap()).unwrap()
    }

    fn record(n: u64, version: Option<u64>) -> LastUse {
        LastUse {
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
            volume: VolumeRef {
                id: VolumeId {
                    vg: "v".repeat(32).parse().unwrap(),
                    lv: n.to_string().repeat(32).parse().unwrap(),
                },
                pool: "san".parse().unwrap(),
                name: "a".parse().unwrap(),
            },
            version,
            size: version.map(|_| Bytes::mib(8)),
            at_ms: 1_795_900_000_000 + n,
        }
    }

    #[test]
    fn what_is_on_record_is_what_was_written_last_and_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir);
        assert_eq!(state.last_uses().unwrap(), []);
        let all = [record(1, Some(7)), record(2, None)];
        state.replace_last_uses(&all).unwrap();
        assert_eq!(state.last_uses().unwrap(), all);
        drop(state);
        let state = open(&dir);
        assert_eq!(state.last_uses().unwrap(), all);
        let change = "UPDATE last_use SET format = 2 WHERE lv LIKE '1%'";
        state.group.connection().execute(change, []).unwrap();
        assert_eq!(state.last_uses().unwrap(), all[1..]);
        state.replace_last_uses(&all[..1]).unwrap();
        assert_eq!(state.last_uses().unwrap(), all[..1]);
    }

    #[test]
    fn records_are_written_as_the_fixture_has_them() {
        let all = [record(1, Some(7)), record(2, None)];
        fixture::is_as_written::<Record, _>("last-uses-1.json", &all);
    }
}
