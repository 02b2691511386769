//! What becomes of a pool's disks on this node, beyond what a report of the pool says: why LVM misses one,
//! which entries of the devices file are of no use any more, whether all disks hold the same metadata. For
//! `doctor`; nothing is decided by it.

use std::path::PathBuf;
use std::time::Duration;

use volward_model::{LvmUuid, PhysicalVolume, PoolName};
use volward_ports::{PortError, PortResult};

use super::pvs::{Pv, is_device};
use super::{Lvm, PoolKind, config, mark};

/// A commit of another node writes disk after disk: metadata that still differ after this do not by chance.
const COMMIT: Duration = Duration::from_millis(500);
/// A disk that does not answer so long hangs, and the report of its pool says so.
const DISK_DEADLINE: Duration = Duration::from_secs(5);

/// A pool's disks as this node's LVM has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenDisks {
    /// What LVM misses.
    pub missing: Vec<MissingDisk>,
    /// Entries of the devices file of disks that the pool is not on any more.
    pub stale: Vec<DeviceEntry>,
    /// Disks that do not all hold the same metadata; empty while they do.
    pub differing: Vec<String>,
}

/// A physical volume that LVM misses on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingDisk {
    /// LVM's UUID of it.
    pub id: LvmUuid,
    /// As far as it can be told.
    pub why: WhyMissing,
}

/// What keeps a physical volume from being found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyMissing {
    /// It is there, and the pool's devices file does not list it.
    NotListed {
        /// The path of the disk.
        path: String,
    },
    /// It is there and listed, and LVM has written that it is missing: a node that missed it has changed the
    /// pool meanwhile.
    Flagged {
        /// The path of the disk.
        path: String,
    },
    /// It is on no device that this node's LVM finds.
    Gone,
}

/// A line of a devices file, `IDTYPE=... IDNAME=... DEVNAME=... PVID=...` (lvmdevices(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// Where the device was when the line was written.
    pub device: String,
    /// The physical volume that was on it; `None` where LVM wrote none.
    pub pv: Option<LvmUuid>,
}

/// The entries of a devices file; lines of another form are left out.
#[must_use]
pub fn entries(text: &str) -> Vec<DeviceEntry> {
    let lines = text.lines().map(str::trim);
    let entries = lines.filter(|line| line.starts_with("IDTYPE="));
    entries
        .map(|line| {
            let field = |name: &str| {
                let mut words = line.split_ascii_whitespace();
                words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            };
            DeviceEntry {
                device: field("DEVNAME").unwrap_or_default().to_owned(),
                pv: field("PVID").and_then(|id| id.parse().ok()),
            }
        })
        .collect()
}

/// Entries of physical volumes that are none of the pool's.
pub(super) fn stale(entries: Vec<DeviceEntry>, pool: &[LvmUuid]) -> Vec<DeviceEntry> {
    let is_stale = |entry: &DeviceEntry| entry.pv.is_some_and(|id| !pool.contains(&id));
    entries.into_iter().filter(is_stale).collect()
}

/// Why each disk that a pool misses is missing; `everywhere`: what LVM finds on all devices of the node.
fn missing(disks: &[PhysicalVolume], everywhere: &[(LvmUuid, String)]) -> Vec<MissingDisk> {
    let missing = disks.iter().filter(|disk| disk.missing);
    missing
        .map(|disk| {
            let seen = everywhere.iter().find(|(id, _)| *id == disk.id);
            let why = match seen {
                _ if is_device(&disk.path) => WhyMissing::Flagged {
                    path: disk.path.clone(),
                },
                Some((_, path)) => WhyMissing::NotListed { path: path.clone() },
                None => WhyMissing::Gone,
            };
            MissingDisk { id: disk.id, why }
        })
        .collect()
}

impl Lvm {
    pub(super) fn seen_disks(&self, pool: &PoolName) -> PortResult<SeenDisks> {
        let settings = self.settings(pool)?;
        let disks = self.disks_of(pool)?;
        let everywhere = match disks.iter().any(|disk| disk.missing) {
            true => self.disks_of_the_node(pool.as_str())?,
            false => Vec::new(),
        };
        let file = settings.devices_file.as_deref();
        let text = file.and_then(|file| Self::devices_file(self, file).1.ok());
        let ids: Vec<LvmUuid> = disks.iter().map(|disk| disk.id).collect();
        let paths = disks.iter().map(|disk| &disk.path);
        let paths: Vec<PathBuf> = paths
            .filter(|path| is_device(path))
            .map(PathBuf::from)
            .collect();
        Ok(SeenDisks {
            missing: missing(&disks, &everywhere),
            stale: stale(entries(text.as_deref().unwrap_or_default()), &ids),
            differing: self.differing(pool, &paths)?,
        })
    }

    /// The disks, where they do not all hold the same metadata, and that not only for a moment.
    fn differing(&self, pool: &PoolName, disks: &[PathBuf]) -> PortResult<Vec<String>> {
        let reader = self.memory.reader(pool);
        let what = format!("reading the metadata headers of pool {pool}");
        let differ = || {
            let (disks, reading) = (disks.to_vec(), what.clone());
            reader.call(&what, DISK_DEADLINE, move |()| {
                mark::differ(&disks).map_err(|error| PortError::Io {
                    what: reading,
                    reason: error.to_string(),
                })
            })
        };
        if !differ()? {
            return Ok(Vec::new());
        }
        std::thread::sleep(COMMIT);
        Ok(match differ()? {
            true => disks
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            false => Vec::new(),
        })
    }

    /// The physical volumes that LVM finds on all devices it looks at by itself, with their paths.
    fn disks_of_the_node(&self, lane: &str) -> PortResult<Vec<(LvmUuid, String)>> {
        // Read without lvmlockd: it may be what is missing.
        let options = ["--shared", "--config", config(PoolKind::Local)];
        let all = self.pvs(lane, &options)?.into_iter().filter(Pv::is_there);
        all.map(|pv| Ok((pv.id()?, pv.pv_name))).collect()
    }
}

#[cfg(test)]
mod tests;
