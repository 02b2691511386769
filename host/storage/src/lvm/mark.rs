//! What tells one state of a VG's metadata from the next, for a few sectors' reading.
//!
//! Every commit of LVM writes the header of each metadata area anew: it says where the text
//! begins, how long it is and its checksum. As long as label and headers of all PVs are, byte by
//! byte, what they were *before* a report was made, the report still holds (I10). LVM's own
//! commands go by the same: what they scanned before they had the VG's lease is used under it
//! where the header is the same.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use volward_ports::{PortError, PortResult};

use crate::buffer::BLOCK;
use crate::kernel;
use crate::label::{SECTOR, content, is_header, label, read, read_anywhere, text_of};

/// Labels and metadata headers of all PVs of a VG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(pub(super) Vec<Vec<u8>>);

impl Mark {
    /// The same as [`Mark::read`], for whoever speaks of ports.
    ///
    /// # Errors
    /// As [`Mark::read`].
    pub(super) fn of(pvs: &[PathBuf]) -> PortResult<Option<Self>> {
        Self::read(pvs).map_err(|error| PortError::Io {
            what: "reading LVM's metadata headers".to_owned(),
            reason: error.to_string(),
        })
    }

    /// Reads it from the disks, past the page cache. `None` if there is nothing to tell states
    /// apart by: then there is no short way.
    ///
    /// # Errors
    /// If a disk cannot be opened or read, or is not a PV.
    pub(super) fn read(pvs: &[PathBuf]) -> io::Result<Option<Self>> {
        let mut parts = Vec::new();
        let mut headers = 0;
        for path in pvs {
            let (label, of_disk) = label_and_headers(path)?;
            headers += of_disk.len();
            parts.push(label);
            parts.extend(of_disk);
        }
        Ok((headers > 0).then_some(Self(parts)))
    }
}

/// Whether the metadata areas in use on these disks do not all hold the same text, as it is where a disk was
/// away while the others were written.
///
/// # Errors
/// As [`Mark::read`].
pub(super) fn differ(pvs: &[PathBuf]) -> io::Result<bool> {
    let mut texts = Vec::new();
    for path in pvs {
        let (_, headers) = label_and_headers(path)?;
        texts.extend(headers.iter().filter_map(|header| text_of(header)));
    }
    texts.dedup();
    Ok(texts.len() > 1)
}

fn label_and_headers(path: &Path) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let disk = kernel::open(path, false, OFlags::DIRECT)?;
    let start = read(&disk, 0, BLOCK)?;
    let label = label(&start).ok_or_else(|| foreign(path, "label"))?;
    let (_, areas) = content(label).ok_or_else(|| foreign(path, "label"))?;
    let mut headers = Vec::new();
    for at in areas {
        let header = read_anywhere(&disk, at, SECTOR)?;
        if !is_header(&header) {
            return Err(foreign(path, "metadata header"));
        }
        headers.push(header);
    }
    Ok((label.to_vec(), headers))
}

fn foreign(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{} has no {what} of LVM's", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::tests::disk;

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

    /// A disk that was away while the others were written has an older text; an area that is not in use has none.
    #[test]
    fn disks_that_hold_other_metadata_differ() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let pv = |name: &str, content: Vec<u8>| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let text = |checksum: u8| {
            let mut disk = disk(checksum);
            // Where the text begins, and how long it is.
            disk[BLOCK + 41] = 2;
            disk[BLOCK + 49] = 4;
            disk
        };
        let (one, same) = (pv("one", text(1)), pv("same", text(1)));
        let (old, empty) = (pv("old", text(2)), pv("empty", disk(2)));
        let mut ignored = text(2);
        ignored[BLOCK + 60] = 1;
        let ignored = pv("ignored", ignored);
        let all = [one.clone(), same, empty, ignored];
        assert!(!differ(&all).unwrap());
        assert!(differ(&[one, old]).unwrap());
        assert!(!differ(&[]).unwrap());
    }
}
