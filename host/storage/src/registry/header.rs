//! A copy's header on disk: little-endian numbers, a checksum of the payload, one of the header.
//!
//! Magic, numbers and the header's checksum stay where they are in every version: so a header
//! that is whole and newer can be told from one that is damaged.

use crate::buffer::BLOCK;

/// What a copy's header starts with; its last two digits are the version of this layout.
const MAGIC: &[u8; 8] = b"VWSLOT01";
/// Bytes of a header, and of a superblock, before its own checksum.
pub(super) const CHECKED: usize = 36;

/// Describes one copy of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) host_id: u64,
    /// Goes up by one at every write of the place; the greater is the newer.
    pub(super) sequence: u64,
    pub(super) length: u32,
    /// CRC-32 of the payload.
    pub(super) checksum: u32,
}

/// What a header's block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Zeroes: never written.
    Empty,
    Header(Header),
    /// Whole, and of a version after this one.
    Newer,
    /// Why it cannot be used.
    Bad(String),
}

/// The bytes of a number at that place.
pub(super) fn number<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&block[at..at + N]);
    bytes
}

impl Header {
    pub(super) fn of(host_id: u64, sequence: u64, payload: &[u8]) -> Option<Self> {
        Some(Self {
            host_id,
            sequence,
            length: u32::try_from(payload.len()).ok()?,
            checksum: crc32fast::hash(payload),
        })
    }

    pub(super) fn to_block(self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(MAGIC);
        block[8..16].copy_from_slice(&self.host_id.to_le_bytes());
        block[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        block[24..28].copy_from_slice(&self.length.to_le_bytes());
        block[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&block[..CHECKED]);
        block[CHECKED..CHECKED + 4].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads the header of a copy of `host_id`'s place.
    pub(super) fn read(block: &[u8], host_id: u64, most: u32) -> Found {
        if block.iter().all(|byte| *byte == 0) {
            return Found::Empty;
        }
        if block[..6] != MAGIC[..6] {
            return Found::Bad("no slot".to_owned());
        }
        if crc32fast::hash(&block[..CHECKED]) != u32::from_le_bytes(number(block, CHECKED)) {
            return Found::Bad("torn header".to_owned());
        }
        if block[..8] != *MAGIC {
            return Found::Newer;
        }
        let header = Self {
            host_id: u64::from_le_bytes(number(block, 8)),
            sequence: u64::from_le_bytes(number(block, 16)),
            length: u32::from_le_bytes(number(block, 24)),
            checksum: u32::from_le_bytes(number(block, 28)),
        };
        if header.host_id != host_id {
            return Found::Bad(format!("written by host-id {}", header.host_id));
        }
        if header.length > most {
            return Found::Bad(format!("{} bytes are more than a place", header.length));
        }
        Found::Header(header)
    }

    /// Whether the payload is the one described.
    pub(super) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize && crc32fast::hash(payload) == self.checksum
    }
}
