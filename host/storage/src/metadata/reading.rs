//! A VG as its disks say it is at this moment: labels, headers and, where those are not what they were
//! at the last look, the text.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use volward_model::{DeviceNumber, LvmUuid, PoolName};
use volward_ports::{PortError, PortResult};

use super::disk::{Disk, Header};
use super::layout::{self, Layout};

/// Metadata with what it was read under.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Labels and headers of all disks, byte for byte.
    mark: Vec<Vec<u8>>,
    pub(crate) layout: Layout,
}

/// Metadata, and the open disks that it is about: as long as this lives, no number passes to another
/// disk.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) reading: Arc<Reading>,
    /// The numbers of the disks, by the UUID in their label as it is now.
    pub(crate) numbers: BTreeMap<LvmUuid, DeviceNumber>,
    /// Open: that is all that they are kept for.
    disks: Vec<Disk>,
}

/// A commit of another node may fall between reading a header and its text; two in a row do not.
const ATTEMPTS: u32 = 3;

impl Look {
    /// Opens the disks and reads them; `known` is used again where its mark is found unchanged. A disk that
    /// cannot be read is left out: a volume that is on none of it is served all the same.
    ///
    /// # Errors
    /// If none of the disks can be read, if it cannot be told which of two commits is the later one, or if a physical
    /// volume is on two of the disks.
    pub(crate) fn at(
        pool: &PoolName,
        paths: &[PathBuf],
        known: Option<&Arc<Reading>>,
    ) -> PortResult<Self> {
        let mut disks = Vec::new();
        let mut unread = None;
        for path in paths {
            match Disk::open(path) {
                Ok(disk) => disks.push(disk),
                Err(error) => {
                    tracing::debug!(%pool, %error, "a disk is left out");
                    unread.get_or_insert(error);
                }
            }
        }
        if let (true, Some(error)) = (disks.is_empty(), unread) {
            return Err(error);
        }
        let mut attempt = 1;
        let reading = loop {
            match read(pool, &disks, known) {
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(%pool, %error, "reading the metadata again"),
                Ok(reading) => break reading,
            }
            attempt += 1;
        };
        let numbers = disks.iter();
        let numbers = numbers.filter_map(|disk| Some((disk.pv, disk.number?)));
        let look = Self {
            reading,
            numbers: numbers.collect(),
            disks,
        };
        match look
            .reading
            .layout
            .pvs
            .iter()
            .find(|pv| look.disks_of(pv.id) > 1)
        {
            None => Ok(look),
            Some(pv) => Err(PortError::Identity {
                what: format!("the physical volume {} of pool {pool}", pv.id),
                expected: "on one disk".to_owned(),
                found: format!("on {}", look.disks_of(pv.id)),
            }),
        }
    }

    fn disks_of(&self, pv: LvmUuid) -> usize {
        self.disks.iter().filter(|disk| disk.pv == pv).count()
    }

    /// Whether each PV of the VG was found.
    pub(crate) fn is_whole(&self) -> bool {
        let mut pvs = self.reading.layout.pvs.iter();
        pvs.all(|pv| self.disks_of(pv.id) == 1)
    }

    /// As if read of disks that have this layout, PV n being 8:(16 n).
    #[cfg(test)]
    pub(crate) fn made_up(layout: Layout) -> Self {
        let number = |n: usize| DeviceNumber {
            major: 8,
            minor: 16 * u32::try_from(n).unwrap_or_default(),
        };
        let pvs = layout.pvs.iter().enumerate();
        let numbers = pvs.map(|(n, pv)| (pv.id, number(n))).collect();
        let mark = Vec::new();
        Self {
            reading: Arc::new(Reading { mark, layout }),
            numbers,
            disks: Vec::new(),
        }
    }
}

fn read(pool: &PoolName, disks: &[Disk], known: Option<&Arc<Reading>>) -> PortResult<Arc<Reading>> {
    let mut mark = Vec::new();
    let mut headers: Vec<(&Disk, Header)> = Vec::new();
    for disk in disks {
        mark.push(disk.label.clone());
        for header in disk.headers()? {
            mark.push(header.sector.clone());
            headers.push((disk, header));
        }
    }
    if let Some(known) = known.filter(|known| known.mark == mark) {
        return Ok(Arc::clone(known));
    }
    let layout = newest(pool, &headers)?;
    if layout.name != pool.as_str() {
        return Err(differs(pool, &format!("its disks are of {}", layout.name)));
    }
    Ok(Arc::new(Reading { mark, layout }))
}

/// What the latest commit made of the VG, which is what LVM's commands go by. Areas of an earlier one are of a disk
/// that was away while the others were written, or of a commit that broke off: the next one writes them all
/// (docs/adr/0063).
fn newest(pool: &PoolName, headers: &[(&Disk, Header)]) -> PortResult<Layout> {
    let mut commits: Vec<&(&Disk, Header)> = Vec::new();
    for area in headers {
        if !commits
            .iter()
            .any(|(_, other)| other.is_of_the_same_commit(&area.1))
        {
            commits.push(area);
        }
    }
    if commits.is_empty() {
        return Err(differs(pool, "no disk has metadata"));
    }
    let mut newest: Option<Layout> = None;
    for (disk, header) in commits {
        let Some(text) = disk.text(header)? else {
            continue;
        };
        let layout = layout::read(&text)?;
        let other = newest.as_ref().map(|known| (known.vg, known.seqno));
        match other {
            Some((id, _)) if id != layout.vg => {
                return Err(differs(pool, "its disks are of two volume groups"));
            }
            Some((_, seqno)) if seqno == layout.seqno => {
                return Err(differs(pool, "its disks have two texts of one commit"));
            }
            Some((_, seqno)) if seqno > layout.seqno => {}
            _ => newest = Some(layout),
        }
    }
    newest.ok_or_else(|| differs(pool, "its disks have empty metadata"))
}

fn differs(pool: &PoolName, why: &str) -> PortError {
    PortError::Unreadable {
        what: format!("the metadata of pool {pool}"),
        reason: format!("{why} (`vgck {pool}` says more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &[u8] = include_bytes!("testdata/pv.bin");

    fn pool() -> PoolName {
        "vg-a_1".parse().unwrap()
    }

    #[test]
    fn i10_a_reading_is_used_again_as_long_as_its_headers_are_there() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("pv");
        std::fs::write(&path, REAL).unwrap();
        let open = || vec![Disk::open(&path).unwrap()];
        let first = read(&pool(), &open(), None).unwrap();
        let second = read(&pool(), &open(), Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        // Another mark: the text is read again.
        let stale = Arc::new(Reading {
            mark: vec![vec![1]],
            layout: first.layout.clone(),
        });
        let third = read(&pool(), &open(), Some(&stale)).unwrap();
        assert!(!Arc::ptr_eq(&stale, &third) && third.layout == first.layout);
        // Under another pool's name it is refused.
        let other = "vg0".parse().unwrap();
        let error = read(&other, &open(), None).unwrap_err().to_string();
        assert!(
            error.contains("vg-a_1") && error.contains("vgck vg0"),
            "{error}"
        );
    }

    #[test]
    fn i12_each_physical_volume_is_on_one_disk_or_left_out() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("pv");
        std::fs::write(&path, REAL).unwrap();
        // One of four, and a path that leads to nothing.
        let gone = folder.path().join("gone");
        let look = Look::at(&pool(), &[gone.clone(), path.clone()], None).unwrap();
        assert!(!look.is_whole());
        // The same one twice, as a disk beside its multipath device.
        let error = Look::at(&pool(), &[path.clone(), path], None).unwrap_err();
        assert!(error.to_string().contains("on 2"), "{error}");
        let error = Look::at(&pool(), &[gone], None).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    /// As LVM's own commands do: a disk that was away while the others were written keeps nobody from the pool.
    #[test]
    fn of_areas_of_different_commits_the_newest_counts() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let disk = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let now = disk("now", REAL);
        let before = disk("before", &edited("seqno = 8", "seqno = 7"));
        for paths in [[&now, &before], [&before, &now]] {
            let disks = paths.map(|path| Disk::open(path).unwrap());
            assert_eq!(read(&pool(), &disks, None).unwrap().layout.seqno, 8);
        }
        // Neither can be told to be the later one.
        let same = disk("same", &edited("extent_count = ", "extent_count =  "));
        let disks = [&now, &same].map(|path| Disk::open(path).unwrap());
        let error = read(&pool(), &disks, None).unwrap_err().to_string();
        assert!(error.contains("two texts of one commit"), "{error}");
    }

    /// The same disk with another text of that length or longer, and the checksums to go with it.
    fn edited(from: &str, to: &str) -> Vec<u8> {
        let mut bytes = REAL.to_vec();
        let number = |bytes: &[u8], at: usize| {
            usize::try_from(crate::label::number64(bytes, at).unwrap()).unwrap()
        };
        let (offset, size) = (number(&bytes, 4096 + 40), number(&bytes, 4096 + 48));
        let text = bytes[4096 + offset..4096 + offset + size].to_vec();
        let text = String::from_utf8(text).unwrap().replacen(from, to, 1);
        bytes[4096 + offset..4096 + offset + text.len()].copy_from_slice(text.as_bytes());
        bytes[4096 + 48..4096 + 56].copy_from_slice(&(text.len() as u64).to_le_bytes());
        let sum = crate::label::checksum(text.as_bytes());
        bytes[4096 + 56..4096 + 60].copy_from_slice(&sum.to_le_bytes());
        let sum = crate::label::checksum(&bytes[4100..4608]);
        bytes[4096..4100].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}
