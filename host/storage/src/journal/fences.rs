//! Records of what is cut off: a table of its own, each record with a format of its own.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use volward_model::{AttachmentKey, InstanceId, VolumeId};
use volward_ports::{FenceRecord, FenceRecords, PortResult};

use super::SqliteJournal;
use super::rows::{Trouble, number, records_understood};

/// Of a record, as its row says.
const FORMAT: i64 = 1;

/// A record of format 1. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fence {
    volume: VolumeId,
    instance: InstanceId,
    granted_ms: u64,
    reason: String,
    since_ms: u64,
    regainable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    asked: bool,
}

impl From<&FenceRecord> for Fence {
    fn from(theirs: &FenceRecord) -> Self {
        Self {
            volume: theirs.attachment.volume,
            instance: theirs.attachment.instance,
            granted_ms: theirs.granted_ms,
            reason: theirs.reason.clone(),
            since_ms: theirs.since_ms,
            regainable: theirs.regainable,
            version: theirs.version,
            asked: theirs.asked,
        }
    }
}

impl From<Fence> for FenceRecord {
    fn from(ours: Fence) -> Self {
        Self {
            attachment: AttachmentKey {
                volume: ours.volume,
                instance: ours.instance,
            },
            granted_ms: ours.granted_ms,
            reason: ours.reason,
            since_ms: ours.since_ms,
            regainable: ours.regainable,
            version: ours.version,
            asked: ours.asked,
        }
    }
}

fn replace(c: &Connection, all: &[FenceRecord]) -> Result<(), Trouble> {
    c.prepare_cached("DELETE FROM fence")?.execute([])?;
    let sql =
        "INSERT INTO fence (lv, instance, since_ms, record, format) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = c.prepare_cached(sql)?;
    for one in all {
        insert.execute(params![
            one.attachment.volume.lv.to_string(),
            one.attachment.instance.to_string(),
            number(one.since_ms),
            serde_json::to_string(&Fence::from(one))?,
            FORMAT,
        ])?;
    }
    Ok(())
}

/// Without a record that is not understood the attachment stays cut off, which is safe.
fn read(c: &Connection) -> Result<Vec<FenceRecord>, Trouble> {
    let select = "SELECT record FROM fence WHERE format = ?1 ORDER BY since_ms";
    records_understood::<Fence, _>(c, select, FORMAT)
}

impl FenceRecords for SqliteJournal {
    fn replace_fences(&self, all: &[FenceRecord]) -> PortResult<()> {
        let all = all.to_vec();
        self.durably("writing what is cut off", move |c| replace(c, &all))
    }

    fn fences(&self) -> PortResult<Vec<FenceRecord>> {
        self.read("reading what is cut off", read)
    }
}

#[cfg(test)]
mod tests;
