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

use crate::buffer::BLOCK;
use crate::kernel;
use crate::label::{SECTOR, content, is_header, label, read, read_anywhere};

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
            let start = read(&disk, 0, BLOCK)?;
            let label = label(&start).ok_or_else(|| foreign(path, "label"))?;
            parts.push(label.to_vec());
            let (_, areas) = content(label).ok_or_else(|| foreign(path, "label"))?;
            for at in areas {
                let header = read_anywhere(&disk, at, SECTOR)?;
                if !is_header(&header) {
                    return Err(foreign(path, "metadata header"));
                }
                parts.push(header);
                headers += 1;
            }
        }
        Ok((headers > 0).then_some(Self(parts)))
    }
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
}
