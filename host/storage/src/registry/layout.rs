//! Where things lie in a registry, and the superblock that says so.
//!
//! | at | layout 1 (0.1.0) | layout 2 |
//! |---|---|---|
//! | 0 | superblock | superblock |
//! | `base` | | a flag for each segment of 32 places, `stride` bytes each |
//! | then | two headers a place, 4 KiB each | two headers a place, `stride` bytes each |
//! | then | two payloads a place, 64 KiB each | two payloads a place, `place_size` bytes each |
//!
//! Layout 2 lies behind layout 1 in a registry that was converted (`base`), so that the
//! superblock, written last, is all that changes of the old one.

use volward_model::{Bytes, RegistryLayout};

use super::header::{CHECKED, number};
use crate::buffer::BLOCK;

/// sanlock has no more host-ids.
pub(super) const MOST_PLACES: u64 = 2000;
/// Room for one copy of a slot: 2,000 attachments of 2,000 volumes and as many copies.
pub(super) const PLACE_SIZE: u32 = 256 << 10;
/// Places that share a flag.
pub(super) const SEGMENT: u64 = 32;

/// Most bytes of a copy in layout 1.
const FIRST_PLACE_SIZE: u32 = 64 << 10;
/// A place size that no version would choose: a damaged superblock must not make us ask for it.
const LARGEST_PLACE: u32 = 16 << 20;
/// What a superblock starts with; its last two digits are the layout.
const FAMILY: &[u8; 6] = b"VWREGS";
const BLOCK_BYTES: u64 = BLOCK as u64;

/// Where things lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// 1 or 2.
    pub(super) format: u32,
    /// Places: host-ids 1 to this.
    pub(super) places: u32,
    /// Bytes for one copy of a slot.
    pub(super) place_size: u32,
    /// Bytes from one header to the next: what the device writes as a whole.
    pub(super) stride: u32,
    /// Where all but the superblock begins.
    pub(super) base: u64,
}

/// Why a superblock gives no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLayout {
    /// There is no registry.
    None,
    /// Of a version after this one.
    Newer,
    Damaged,
}

impl NoLayout {
    /// The end of a sentence that begins with the registry's name.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::None => "holds no registry (`volward pool init` makes one)",
            Self::Newer => {
                "holds a registry in a layout this version does not know: a newer Volward made or \
                 converted it; upgrade this node"
            }
            Self::Damaged => "holds a registry whose superblock is damaged",
        }
    }
}

impl Layout {
    /// As 0.1.0 lays it out.
    pub(super) fn first(places: u32) -> Self {
        Self {
            format: 1,
            places,
            place_size: FIRST_PLACE_SIZE,
            stride: BLOCK as u32,
            base: BLOCK_BYTES,
        }
    }

    /// Layout 2 with as many places as fit between `base` and `size`; `None` if not even one does.
    pub(super) fn fitting(size: Bytes, base: u64, stride: u32, place_size: u32) -> Option<Self> {
        let a_place = 2 * (u64::from(stride) + u64::from(place_size));
        let most = (size.0.checked_sub(base)? / a_place).min(MOST_PLACES);
        (1..=most).rev().find_map(|places| {
            let layout = Self {
                format: 2,
                places: u32::try_from(places).ok()?,
                place_size,
                stride,
                base,
            };
            (layout.end() <= size.0).then_some(layout)
        })
    }

    /// For those who only want to know how large it is.
    pub(super) fn summary(&self) -> RegistryLayout {
        RegistryLayout {
            format: self.format,
            places: self.places,
            place_size: Bytes(u64::from(self.place_size)),
        }
    }

    /// Flags there are. Layout 1 has none: its index is read as a whole.
    pub(super) fn segments(&self) -> u64 {
        match self.format {
            1 => 0,
            _ => u64::from(self.places).div_ceil(SEGMENT),
        }
    }

    /// The flag of a segment, from 0.
    pub(super) fn flag_at(&self, segment: u64) -> u64 {
        self.base + segment * u64::from(self.stride)
    }

    /// The header of a copy, 0 or 1. That of the first place after the last is where they end.
    pub(super) fn header_at(&self, host_id: u64, copy: usize) -> u64 {
        self.flag_at(self.segments()) + ((host_id - 1) * 2 + copy as u64) * u64::from(self.stride)
    }

    /// The payload of a copy, 0 or 1.
    pub(super) fn payload_at(&self, host_id: u64, copy: usize) -> u64 {
        let size = u64::from(self.place_size);
        let start = self
            .header_at(u64::from(self.places) + 1, 0)
            .next_multiple_of(size);
        start + ((host_id - 1) * 2 + copy as u64) * size
    }

    /// The first byte that is not the registry's.
    pub(super) fn end(&self) -> u64 {
        self.payload_at(u64::from(self.places) + 1, 0)
    }

    pub(super) fn superblock(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..6].copy_from_slice(FAMILY);
        block[6..8].copy_from_slice(if self.format == 1 { b"01" } else { b"02" });
        block[8..12].copy_from_slice(&self.places.to_le_bytes());
        if self.format != 1 {
            block[12..16].copy_from_slice(&self.place_size.to_le_bytes());
            block[16..20].copy_from_slice(&self.stride.to_le_bytes());
            block[20..28].copy_from_slice(&self.base.to_le_bytes());
        }
        let checksum = crc32fast::hash(&block[..CHECKED]);
        block[CHECKED..CHECKED + 4].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads a superblock.
    pub(super) fn read(block: &[u8]) -> Result<Self, NoLayout> {
        if block[..6] != *FAMILY {
            return Err(NoLayout::None);
        }
        if crc32fast::hash(&block[..CHECKED]) != u32::from_le_bytes(number(block, CHECKED)) {
            return Err(NoLayout::Damaged);
        }
        let places = u32::from_le_bytes(number(block, 8));
        let layout = match &block[6..8] {
            b"01" => Self::first(places),
            b"02" => Self {
                format: 2,
                places,
                place_size: u32::from_le_bytes(number(block, 12)),
                stride: u32::from_le_bytes(number(block, 16)),
                base: u64::from_le_bytes(number(block, 20)),
            },
            _ => return Err(NoLayout::Newer),
        };
        if layout.is_sane() {
            Ok(layout)
        } else {
            Err(NoLayout::Damaged)
        }
    }

    /// What direct I/O and arithmetic rest on.
    fn is_sane(&self) -> bool {
        let block = BLOCK as u32;
        (1..=MOST_PLACES).contains(&u64::from(self.places))
            && (block..=LARGEST_PLACE).contains(&self.place_size)
            && self.place_size.is_multiple_of(block)
            && [512, 1024, 2048, block].contains(&self.stride)
            && (BLOCK_BYTES..1 << 40).contains(&self.base)
            && self.base.is_multiple_of(BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use volward_ports::{REGISTRY_NODES, REGISTRY_SIZE};

    use super::*;

    /// What `pool init` promises holds on every block size, also behind a registry of layout 1.
    #[test]
    fn the_size_pool_init_gives_has_the_documented_places_fresh_and_converted() {
        let old = Layout::first(89);
        assert!(old.end() <= Bytes::mib(12).0);
        let behind = old.end().next_multiple_of(u64::from(PLACE_SIZE));
        for stride in [512, 4096] {
            for base in [BLOCK_BYTES, behind] {
                let layout = Layout::fitting(REGISTRY_SIZE, base, stride, PLACE_SIZE).unwrap();
                assert!(layout.places >= REGISTRY_NODES, "{layout:?}");
                assert!(layout.end() <= REGISTRY_SIZE.0, "{layout:?}");
            }
        }
    }

    #[test]
    fn the_last_place_ends_within_the_device() {
        for mib in 0..64 {
            let size = Bytes::mib(mib);
            if let Some(layout) = Layout::fitting(size, BLOCK_BYTES, 512, PLACE_SIZE) {
                assert!(layout.end() <= size.0, "{size}: {layout:?}");
            }
        }
        assert_eq!(
            Layout::fitting(Bytes(0), BLOCK_BYTES, 512, PLACE_SIZE),
            None
        );
        let endless = Layout::fitting(Bytes::mib(1 << 20), BLOCK_BYTES, 512, PLACE_SIZE).unwrap();
        assert_eq!(u64::from(endless.places), MOST_PLACES);
    }

    #[test]
    fn a_superblock_says_its_layout_and_any_damage_is_noticed() {
        for layout in [
            Layout::first(89),
            Layout::fitting(Bytes::mib(64), 1 << 20, 512, PLACE_SIZE).unwrap(),
        ] {
            let block = layout.superblock();
            assert_eq!(Layout::read(&block), Ok(layout));
            for at in 0..CHECKED + 4 {
                let mut damaged = block;
                damaged[at] ^= 0x10;
                assert!(Layout::read(&damaged).is_err(), "byte {at}");
            }
        }
        assert_eq!(Layout::read(&[0; BLOCK]), Err(NoLayout::None));
    }

    #[test]
    fn a_layout_after_this_one_is_said_to_be_newer() {
        let mut block = Layout::first(89).superblock();
        block[6..8].copy_from_slice(b"03");
        let checksum = crc32fast::hash(&block[..CHECKED]);
        block[CHECKED..CHECKED + 4].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Layout::read(&block), Err(NoLayout::Newer));
        assert!(NoLayout::Newer.sentence().contains("upgrade this node"));
    }
}
