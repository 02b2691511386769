//! LVM's label and metadata headers as they lie on a disk. Layout: LVM's lib/label/label.h and
//! lib/format_text/layout.h, unchanged since LVM2 began.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use volward_model::LvmUuid;

use crate::buffer::{BLOCK, Buffer};

/// LVM's sectors, whatever the disk's are.
pub(crate) const SECTOR: usize = 512;
/// The label is in one of the first sectors.
const LABEL_SECTORS: usize = 4;
const LABEL_MAGIC: &[u8] = b"LABELONE";
const LABEL_TYPE: &[u8] = b"LVM2 001";
const HEADER_MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// What LVM's checksums begin with (`INITIAL_CRC`).
const INITIAL_CRC: u32 = 0xf597_a6cf;
/// More areas than any PV has: LVM makes at most two of each kind.
const MOST_AREAS: usize = 8;

/// So many bytes of a disk that was opened past the page cache; `at` is a block's.
pub(crate) fn read(disk: &File, at: u64, size: usize) -> io::Result<Buffer> {
    let mut buffer = Buffer::zeroed(size);
    disk.read_exact_at(&mut buffer, at)?;
    Ok(buffer)
}

/// The same from any byte on.
pub(crate) fn read_anywhere(disk: &File, at: u64, size: usize) -> io::Result<Vec<u8>> {
    let block = at - at % BLOCK as u64;
    let within = usize::try_from(at - block).map_err(io::Error::other)?;
    let bytes = read(disk, block, within + size)?;
    Ok(bytes
        .get(within..within + size)
        .unwrap_or_default()
        .to_vec())
}

/// LVM's CRC is the usual one, begun elsewhere and not inverted at its end.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL_CRC);
    hasher.update(bytes);
    !hasher.finalize()
}

pub(crate) fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The label's sector: magic, its sector number, the checksum of what follows, where its content
/// begins, and its type.
pub(crate) fn label(start: &[u8]) -> Option<&[u8]> {
    let mut sectors = start.chunks_exact(SECTOR).take(LABEL_SECTORS);
    sectors.find(|sector| {
        sector.starts_with(LABEL_MAGIC)
            && sector.get(24..32) == Some(LABEL_TYPE)
            && number32(sector, 16) == sector.get(20..).map(checksum)
    })
}

/// The label's content: the PV's UUID, a size, the list of data areas and the list of metadata areas,
/// each ended by an area at 0. Returned are the UUID and where the metadata areas begin, in bytes.
pub(crate) fn content(label: &[u8]) -> Option<(LvmUuid, Vec<u64>)> {
    let begins = usize::try_from(number32(label, 20)?).ok()?;
    let uuid = label.get(begins..begins.checked_add(32)?)?;
    let uuid = std::str::from_utf8(uuid).ok()?.parse().ok()?;
    let mut at = begins + 40;
    let mut list = || {
        let mut areas = Vec::new();
        while areas.len() <= MOST_AREAS {
            let begins = number64(label, at)?;
            at += 16;
            match begins {
                0 => return Some(areas),
                begins => areas.push(begins),
            }
        }
        None
    };
    let _data = list()?;
    Some((uuid, list()?))
}

/// What a metadata area's header says of the text in use: its length and its checksum. `None` of an area that
/// holds none, or that LVM was told to leave alone (`--metadataignore`).
pub(crate) fn text_of(header: &[u8]) -> Option<(u64, u32)> {
    let ignored = number32(header, 60)? & 1 == 1;
    let begins = number64(header, 40)?;
    (begins > 0 && !ignored).then_some((number64(header, 48)?, number32(header, 56)?))
}

/// Whether a sector is a metadata area's header.
pub(crate) fn is_header(sector: &[u8]) -> bool {
    sector.get(4..20) == Some(HEADER_MAGIC)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PV as LVM lays it out: label in the second sector, header at 4096, data at 1 MiB.
    pub(crate) fn disk(checksum_of_text: u8) -> Vec<u8> {
        let mut disk = vec![0; 2 * BLOCK];
        let label = &mut disk[SECTOR..2 * SECTOR];
        label[..8].copy_from_slice(LABEL_MAGIC);
        label[20] = 32;
        label[24..32].copy_from_slice(LABEL_TYPE);
        // UUID and size; one data area; the list's end; one metadata area; the list's end.
        label[32..64].fill(b'a');
        label[72..80].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        label[104..112].copy_from_slice(&4096_u64.to_le_bytes());
        label[112..120].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        let sum = checksum(&label[20..]);
        label[16..20].copy_from_slice(&sum.to_le_bytes());
        disk[BLOCK + 4..BLOCK + 20].copy_from_slice(HEADER_MAGIC);
        disk[BLOCK + 56] = checksum_of_text;
        disk
    }

    #[test]
    fn a_label_leads_to_the_headers() {
        let disk = disk(1);
        let found = label(&disk).unwrap();
        let (uuid, areas) = content(found).unwrap();
        assert_eq!((uuid.compact(), areas), (&*"a".repeat(32), vec![4096]));
        assert_eq!(content(&found[..80]), None, "a list without an end");
        assert_eq!(label(&disk[2 * SECTOR..]), None);
        let mut torn = disk.clone();
        torn[SECTOR + 72] ^= 1;
        assert_eq!(label(&torn), None, "another checksum");
    }
}
