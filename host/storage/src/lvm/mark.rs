//! What tells one state of a VG's metadata from the next, for a few sectors' reading.
//!
//! Every commit of LVM writes the header of each metadata area anew: it says where the text
//! begins, how long it is and its checksum. As long as label and headers of all PVs are, byte by
//! byte, what they were *before* a report was made, the report still holds (I10). LVM's own
//! commands go by the same: what they scanned before they had the VG's lease is used under it
//! where the header is the same. Layout: LVM's lib/format_text/layout.h and lib/label/label.h,
//! unchanged since LVM2 began.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::buffer::{BLOCK, Buffer};
use crate::kernel;

/// LVM's sectors, whatever the disk's are.
const SECTOR: usize = 512;
/// The label is in one of the first sectors.
const LABEL_SECTORS: usize = 4;
const LABEL_MAGIC: &[u8] = b"LABELONE";
const LABEL_TYPE: &[u8] = b"LVM2 001";
const HEADER_MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// More areas than any PV has: LVM makes at most two of each kind.
const MOST_AREAS: usize = 8;

/// Labels and metadata headers of all PVs of a VG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(Vec<Vec<u8>>);

impl Mark {
    /// Reads it from the disks, past the page cache. `None` if there is nothing to tell states
    /// apart by: then there is no short way.
    ///
    /// # Errors
    /// If a disk cannot be opened or read, or is not a PV.
    pub(super) fn read(pvs: &[PathBuf]) -> io::Result<Option<Self>> {
        let mut parts = Vec::new();
        let mut headers = 0;
        for path in pvs {
            let disk = kernel::open(path, false, OFlags::DIRECT)?;
            let start = blocks(&disk, 0, BLOCK)?;
            let label = label(&start).ok_or_else(|| foreign(path, "label"))?;
            parts.push(label.to_vec());
            for at in metadata_areas(label).ok_or_else(|| foreign(path, "label"))? {
                parts.push(header(&disk, at)?.ok_or_else(|| foreign(path, "metadata header"))?);
                headers += 1;
            }
        }
        Ok((headers > 0).then_some(Self(parts)))
    }
}

fn blocks(disk: &File, at: u64, len: usize) -> io::Result<Buffer> {
    let mut buffer = Buffer::zeroed(len);
    disk.read_exact_at(&mut buffer, at)?;
    Ok(buffer)
}

/// The label's sector.
fn label(start: &[u8]) -> Option<&[u8]> {
    let mut sectors = start.chunks_exact(SECTOR).take(LABEL_SECTORS);
    sectors.find(|sector| sector.starts_with(LABEL_MAGIC) && sector.get(24..32) == Some(LABEL_TYPE))
}

/// Where the metadata areas begin: the label's content is a PV UUID, a size, the list of data
/// areas and the list of metadata areas, each ended by an area at 0.
fn metadata_areas(label: &[u8]) -> Option<Vec<u64>> {
    let number = |at: usize| {
        let bytes = label.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let content = u32::from_le_bytes(label.get(20..24)?.try_into().ok()?);
    let mut at = usize::try_from(content).ok()?.checked_add(32 + 8)?;
    let mut list = || {
        let mut areas = Vec::new();
        while areas.len() <= MOST_AREAS {
            let begins = number(at)?;
            at += 16;
            match begins {
                0 => return Some(areas),
                begins => areas.push(begins),
            }
        }
        None
    };
    let _data = list()?;
    list()
}

/// The header of the area at `at`, or `None` if there is none.
fn header(disk: &File, at: u64) -> io::Result<Option<Vec<u8>>> {
    let block = at - at % BLOCK as u64;
    let within = usize::try_from(at - block).map_err(io::Error::other)?;
    let bytes = blocks(disk, block, within + SECTOR)?;
    let header = bytes.get(within..within + SECTOR);
    let header = header.filter(|header| header.get(4..20) == Some(HEADER_MAGIC));
    Ok(header.map(<[u8]>::to_vec))
}

fn foreign(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{} has no {what} of LVM's", path.display()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A PV as LVM lays it out: label in the second sector, header at 4096, data at 1 MiB.
    pub(in crate::lvm) fn disk(checksum: u8) -> Vec<u8> {
        let mut disk = vec![0; 2 * BLOCK];
        let label = &mut disk[SECTOR..2 * SECTOR];
        label[..8].copy_from_slice(LABEL_MAGIC);
        label[20] = 32;
        label[24..32].copy_from_slice(LABEL_TYPE);
        // UUID and size; one data area; the list's end; one metadata area; the list's end.
        label[72..80].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        label[104..112].copy_from_slice(&4096_u64.to_le_bytes());
        label[112..120].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        disk[BLOCK + 4..BLOCK + 20].copy_from_slice(HEADER_MAGIC);
        disk[BLOCK + 56] = checksum;
        disk
    }

    #[test]
    fn a_label_leads_to_the_headers() {
        let disk = disk(1);
        let label = label(&disk).unwrap();
        assert_eq!(metadata_areas(label), Some(vec![4096]));
        assert_eq!(metadata_areas(&label[..80]), None, "a list without an end");
        assert_eq!(self::label(&disk[2 * SECTOR..]), None);
    }

    #[test]
    fn i10_a_commit_changes_the_mark() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("pv");
        let read = |content: Vec<u8>| {
            std::fs::write(&path, content).unwrap();
            Mark::read(std::slice::from_ref(&path))
        };
        let before = read(disk(1)).unwrap();
        assert!(before.is_some());
        assert_eq!(read(disk(1)).unwrap(), before);
        assert_ne!(read(disk(2)).unwrap(), before);
        let mut torn = disk(1);
        torn[BLOCK + 4] = 0;
        assert!(read(torn).is_err(), "no header where the label says one is");
        assert!(read(vec![0; 2 * BLOCK]).is_err(), "not a PV");
    }
}
