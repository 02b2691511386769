//! LVM's label, metadata headers and metadata text, read from the disks past the page cache.
//!
//! Every commit writes the headers anew, with the checksum of the text, so a header that is the same means a text that
//! is the same (I10); LVM's own commands go by that too.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use volward_model::{DeviceNumber, LvmUuid};
use volward_ports::{PortError, PortResult};

use crate::blockdev::{from_dev, io};
use crate::buffer::BLOCK;
use crate::kernel;
use crate::label::{
    SECTOR, checksum, content, is_header, label, number32, number64, read, read_anywhere,
};

/// `RAW_LOCN_IGNORED`: an area that LVM does not write (`pvchange --metadataignore`).
const IGNORED: u32 = 1;
/// A text of 5,000 LVs has some 3 MB; an area of more than this is none that LVM makes.
const MOST_TEXT: u64 = 256 << 20;

/// A disk with a label of LVM's. While it is open its number cannot become another disk's.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    path: PathBuf,
    /// `None` for what is no block device, which only a test opens.
    pub(crate) number: Option<DeviceNumber>,
    /// The PV's UUID, as the label has it now.
    pub(crate) pv: LvmUuid,
    /// The label's sector.
    pub(crate) label: Vec<u8>,
    areas: Vec<u64>,
}

/// A metadata area's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its sector, byte for byte.
    pub(crate) sector: Vec<u8>,
    at: u64,
    size: u64,
    text: Option<TextAt>,
}

/// Where a text is within its area, which is a ring behind the header's sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TextAt {
    offset: u64,
    size: u64,
    checksum: u32,
}

impl Header {
    /// Whether its text is the other one's, wherever that is: by length and checksum.
    pub(crate) fn is_of_the_same_commit(&self, other: &Self) -> bool {
        let text = |header: &Self| header.text.map(|text| (text.size, text.checksum));
        text(self) == text(other)
    }
}

impl Disk {
    /// Opens a disk and reads its label.
    ///
    /// # Errors
    /// If it cannot be read, or has no label of LVM's.
    pub(crate) fn open(path: &Path) -> PortResult<Self> {
        let failed = || io(format!("cannot read {}", path.display()));
        let file = kernel::open(path, false, OFlags::DIRECT).map_err(failed())?;
        let meta = file.metadata().map_err(failed())?;
        let is_block = meta.file_type().is_block_device();
        let start = read(&file, 0, BLOCK).map_err(failed())?;
        let label = label(&start).ok_or_else(|| foreign(path, "label"))?;
        let (pv, areas) = content(label).ok_or_else(|| foreign(path, "label"))?;
        Ok(Self {
            number: is_block.then(|| from_dev(meta.rdev())),
            path: path.to_owned(),
            pv,
            label: label.to_vec(),
            areas,
            file,
        })
    }

    /// The headers of its metadata areas, those that LVM ignores left out.
    ///
    /// # Errors
    /// If one cannot be read, or is torn.
    pub(crate) fn headers(&self) -> PortResult<Vec<Header>> {
        let mut headers = Vec::new();
        for &at in &self.areas {
            let sector = self.bytes(at, SECTOR as u64)?;
            let header =
                header(&sector, at).ok_or_else(|| foreign(&self.path, "metadata header"))?;
            headers.extend(header);
        }
        Ok(headers)
    }

    /// The text that a header of this disk leads to; `None` where there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is not the one the header was written for: LVM writes the text first,
    /// so that happens only when many commits have gone over it since.
    pub(crate) fn text(&self, header: &Header) -> PortResult<Option<String>> {
        let Some(text) = header.text else {
            return Ok(None);
        };
        let ring = header.size - SECTOR as u64;
        let first = text.size.min(header.size.saturating_sub(text.offset));
        let mut bytes = self.bytes(header.at + text.offset, first)?;
        // The ring goes on behind the header.
        bytes.extend(self.bytes(header.at + SECTOR as u64, text.size - first)?);
        if text.size > ring || checksum(&bytes) != text.checksum {
            return Err(foreign(
                &self.path,
                "metadata text with the header's checksum",
            ));
        }
        // LVM ends it with a zero.
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        let text = String::from_utf8(bytes);
        text.map(Some)
            .map_err(|_| foreign(&self.path, "metadata text in UTF-8"))
    }

    fn bytes(&self, at: u64, size: u64) -> PortResult<Vec<u8>> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let size = usize::try_from(size).unwrap_or_default();
        let failed = io(format!("cannot read {}", self.path.display()));
        read_anywhere(&self.file, at, size).map_err(failed)
    }
}

fn foreign(path: &Path, what: &str) -> PortError {
    PortError::Unreadable {
        what: path.display().to_string(),
        reason: format!("it has no {what} of LVM's"),
    }
}

/// A header: checksum, magic, version, its own place, the area's size, and places of texts, of which the
/// first is the committed one. `Some(None)` is an area that LVM ignores.
fn header(sector: &[u8], at: u64) -> Option<Option<Header>> {
    let whole = is_header(sector)
        && number32(sector, 0) == sector.get(4..).map(checksum)
        && number64(sector, 24) == Some(at);
    let size = number64(sector, 32)?;
    if !whole || size <= SECTOR as u64 {
        return None;
    }
    let text = TextAt {
        offset: number64(sector, 40)?,
        size: number64(sector, 48)?,
        checksum: number32(sector, 56)?,
    };
    if number32(sector, 60)? & IGNORED != 0 {
        return Some(None);
    }
    let inside = (SECTOR as u64..size).contains(&text.offset) && text.size <= MOST_TEXT;
    // An area without a VG's text has zeroes there.
    let text = (text.offset != 0).then_some(text);
    if text.is_some() && !inside {
        return None;
    }
    Some(Some(Header {
        sector: sector.to_vec(),
        at,
        size,
        text,
    }))
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
