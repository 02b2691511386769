//! dm-clone's metadata, read only: which regions are in the destination. The kernel's own words are in
//! `drivers/md/dm-clone-metadata.c` and `drivers/md/persistent-data`.
//!
//! Blocks of 4 KiB, each with a checksum and its own number. The first is the superblock; it names the root of a B-tree,
//! whose leaves name, by their index, the blocks of an array of 64-bit words: a bit a region. What is committed is never
//! written over, so a reader finds the state of one commit, or a block with another number or checksum.

use rustix::fs::OFlags;
use volward_model::{Backing, RegionMap, Sectors};
use volward_ports::{PortError, PortResult};

use super::table::dm_uuid;
use crate::blockdev;
// dm-clone's and dm-persistent-data's block is as large.
use crate::buffer::BLOCK;
use crate::label;

const MAGIC: u64 = 0x8af2_7f64;
const VERSION: u32 = 1;
/// What each kind of block's checksum is combined with: the kernel's `SUPERBLOCK_CSUM_XOR`, `BTREE_CSUM_XOR`, and the
/// `CSUM_XOR` of arrays.
const SUPERBLOCK_XOR: u32 = 257_649_492;
const NODE_XOR: u32 = 121_107;
const ARRAY_XOR: u32 = 595_846_735;
/// Behind the superblock's version: the space map's root.
const SPACE_MAP_ROOT: usize = 128;
/// A node's flags.
const INTERNAL: u32 = 1;
const LEAF: u32 = 2;
/// A B-tree of 2^31 regions has three levels.
const DEEPEST: u32 = 8;

/// Why the metadata says nothing.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// The disk.
    #[error("block {0} cannot be read")]
    Disk(u64, #[source] std::io::Error),
    /// Torn, or something else.
    #[error("block {0} is no {1}")]
    NotOne(u64, &'static str),
    /// The kernel would not take it.
    #[error("it does not have a word for each region")]
    Incomplete,
}

/// Reads the map from the device that the metadata is on.
pub(super) fn of(metadata: &Backing) -> PortResult<RegionMap> {
    read_of(metadata, Sectors(0), map)
}

/// The size of the regions; `None` of zeroes, which dm-clone takes for fresh metadata.
pub(super) fn region(on: &Backing, at: Sectors) -> PortResult<Option<Sectors>> {
    read_of(on, at, region_in)
}

type Read<'a> = dyn FnMut(u64) -> std::io::Result<Vec<u8>> + 'a;

/// Past the page cache: the kernel writes it past that too.
fn read_of<T>(
    metadata: &Backing,
    at: Sectors,
    what: fn(&mut Read<'_>) -> Result<T, Unread>,
) -> PortResult<T> {
    let uuid = dm_uuid(metadata);
    let device = blockdev::open(&uuid, false, OFlags::DIRECT)?;
    let size = blockdev::size(device.number)?;
    let blocks = size.0.saturating_sub(at.bytes().0) / BLOCK as u64;
    let mut read = |number: u64| {
        if number >= blocks {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let at = at.bytes().0 + number * BLOCK as u64;
        label::read(&device.file, at, BLOCK).map(|block| block.to_vec())
    };
    what(&mut read).map_err(|error| PortError::Unreadable {
        what: format!("dm-clone's metadata on {uuid}"),
        reason: match &error {
            Unread::Disk(_, cause) => format!("{error}: {cause}"),
            _ => error.to_string(),
        },
    })
}

fn region_in(read: &mut Read<'_>) -> Result<Option<Sectors>, Unread> {
    let block = read(0).map_err(|error| Unread::Disk(0, error))?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let superblock = Block::new(block, 0, Kind::Superblock)?;
    fields_of(&superblock).map(|(region, ..)| Some(region))
}

/// Size of a region, size of the clone, and the block that is the root of its map.
fn fields_of(superblock: &Block) -> Result<(Sectors, Sectors, u64), Unread> {
    let fields = 44 + SPACE_MAP_ROOT;
    let region = Sectors(superblock.long(fields));
    let size = Sectors(superblock.long(fields + 8));
    if superblock.long(32) != MAGIC || superblock.word(40) != VERSION || region.0 == 0 {
        return Err(Unread::NotOne(0, "superblock of dm-clone's"));
    }
    Ok((region, size, superblock.long(fields + 16)))
}

/// Reads the map; `read` gives a block by its number.
fn map(read: &mut Read<'_>) -> Result<RegionMap, Unread> {
    let mut read = |number, kind| {
        let block = read(number).map_err(|error| Unread::Disk(number, error))?;
        Block::new(block, number, kind)
    };
    let (region, size, root) = fields_of(&read(0, Kind::Superblock)?)?;
    let words = size.0.div_ceil(region.0).div_ceil(64);
    let mut walk = Walk {
        read: &mut read,
        words: Vec::new(),
        most: words,
        next_key: 0,
    };
    walk.node(root, 0)?;
    RegionMap::new(region, size, walk.words).ok_or(Unread::Incomplete)
}

/// Collects the array's words, in their order.
struct Walk<'a> {
    read: &'a mut dyn FnMut(u64, Kind) -> Result<Block, Unread>,
    words: Vec<u64>,
    /// So many there are to be.
    most: u64,
    /// The array's next block.
    next_key: u64,
}

impl Walk<'_> {
    fn node(&mut self, number: u64, depth: u32) -> Result<(), Unread> {
        let bad = || Unread::NotOne(number, "node of its B-tree");
        let node = (self.read)(number, Kind::Node)?;
        let (flags, entries, room) = (node.word(4), node.word(16), node.word(20));
        let fits = 32 + u64::from(room) * 16 <= BLOCK as u64 && entries <= room;
        let is_leaf = flags & LEAF != 0;
        let of_one_kind = is_leaf != (flags & INTERNAL != 0);
        if !fits || node.word(24) != 8 || !of_one_kind || depth >= DEEPEST {
            return Err(bad());
        }
        for at in 0..entries as usize {
            let child = node.long(32 + (room as usize + at) * 8);
            if !is_leaf {
                self.node(child, depth + 1)?;
                continue;
            }
            if node.long(32 + at * 8) != self.next_key {
                return Err(bad());
            }
            self.array(child)?;
            self.next_key += 1;
        }
        Ok(())
    }

    fn array(&mut self, number: u64) -> Result<(), Unread> {
        let block = (self.read)(number, Kind::Array)?;
        let entries = block.word(8) as usize;
        let left = self.most.saturating_sub(self.words.len() as u64);
        let most = u64::min(left, (BLOCK as u64 - 24) / 8);
        // All but the last are full.
        if block.word(12) != 8 || entries as u64 != most || entries == 0 {
            return Err(Unread::NotOne(number, "block of its array"));
        }
        self.words
            .extend((0..entries).map(|at| block.long(24 + at * 8)));
        Ok(())
    }
}

/// What a block is to be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Superblock,
    Node,
    Array,
}

impl Kind {
    /// The checksum's last operand, and where the block has its own number.
    fn known_by(self) -> (u32, usize, &'static str) {
        match self {
            Self::Superblock => (SUPERBLOCK_XOR, 8, "superblock of dm-clone's"),
            Self::Node => (NODE_XOR, 8, "node of its B-tree"),
            Self::Array => (ARRAY_XOR, 16, "block of its array"),
        }
    }
}

/// A block that was checked.
#[derive(Debug)]
struct Block(Vec<u8>);

impl Block {
    fn new(bytes: Vec<u8>, number: u64, kind: Kind) -> Result<Self, Unread> {
        let (xor, at, what) = kind.known_by();
        let block = Self(bytes);
        let whole = block.0.len() == BLOCK && block.word(0) == checksum(&block.0, xor);
        match whole && block.long(at) == number {
            true => Ok(block),
            false => Err(Unread::NotOne(number, what)),
        }
    }

    fn word(&self, at: usize) -> u32 {
        self.long(at) as u32
    }

    /// 0 behind the end, where nothing is read from.
    fn long(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }
}

/// The kernel's `dm_bm_checksum` of all behind the checksum itself: CRC-32C without its last inversion.
fn checksum(block: &[u8], xor: u32) -> u32 {
    !crc32c::crc32c(&block[4..]) ^ xor
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Metadata as the kernel writes it: an array's block holds 509 words, a node as many children as are given.
    fn image(size: u64, words: &[u64], fan: usize) -> BTreeMap<u64, Vec<u8>> {
        let mut blocks = BTreeMap::new();
        // The space map has the first blocks.
        let mut next = 10;
        let mut level: Vec<(u64, u64)> = Vec::new();
        for (key, chunk) in words.chunks(509).enumerate() {
            let mut block = vec![0; BLOCK];
            put(&mut block, 4, 509, 4);
            put(&mut block, 8, chunk.len() as u64, 4);
            put(&mut block, 12, 8, 4);
            for (at, word) in chunk.iter().enumerate() {
                put(&mut block, 24 + at * 8, *word, 8);
            }
            level.push((
                key as u64,
                finish(&mut blocks, &mut next, block, Kind::Array),
            ));
        }
        let mut flags = LEAF;
        loop {
            level = level
                .chunks(fan)
                .map(|children| {
                    let mut block = vec![0; BLOCK];
                    let room = 252;
                    for (at, value) in
                        [(4, flags), (16, children.len() as u32), (20, room), (24, 8)]
                    {
                        put(&mut block, at, u64::from(value), 4);
                    }
                    for (at, (key, child)) in children.iter().enumerate() {
                        put(&mut block, 32 + at * 8, *key, 8);
                        put(&mut block, 32 + (room as usize + at) * 8, *child, 8);
                    }
                    let key = children[0].0;
                    (key, finish(&mut blocks, &mut next, block, Kind::Node))
                })
                .collect();
            flags = INTERNAL;
            if level.len() == 1 {
                break;
            }
        }
        let mut block = vec![0; BLOCK];
        for (at, value, bytes) in [
            (32, MAGIC, 8),
            (40, 1, 4),
            (172, 128, 8),
            (180, size, 8),
            (188, level[0].1, 8),
        ] {
            put(&mut block, at, value, bytes);
        }
        finish(&mut blocks, &mut 0, block, Kind::Superblock);
        blocks
    }

    fn put(block: &mut [u8], at: usize, value: u64, bytes: usize) {
        block[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    }

    fn finish(
        blocks: &mut BTreeMap<u64, Vec<u8>>,
        next: &mut u64,
        mut block: Vec<u8>,
        kind: Kind,
    ) -> u64 {
        let number = *next;
        *next += 1;
        let (xor, at, _) = kind.known_by();
        put(&mut block, at, number, 8);
        let sum = u64::from(checksum(&block, xor));
        put(&mut block, 0, sum, 4);
        blocks.insert(number, block);
        number
    }

    fn read(blocks: &BTreeMap<u64, Vec<u8>>) -> Result<RegionMap, Unread> {
        map(&mut |number| {
            let block = blocks.get(&number).cloned();
            block.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
        })
    }

    fn words(count: usize) -> Vec<u64> {
        (1..=count as u64)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect()
    }

    #[test]
    fn the_map_of_small_and_large_clones_is_read_word_by_word() {
        for (count, fan) in [
            (1, 2),
            (508, 2),
            (509, 2),
            (510, 2),
            (5000, 3),
            (50_000, 126),
        ] {
            let words = words(count);
            let size = count as u64 * 64 * 128;
            let read = read(&image(size, &words, fan)).unwrap();
            let expected = RegionMap::new(Sectors(128), Sectors(size), words).unwrap();
            assert_eq!(read, expected, "{count}");
        }
    }

    #[test]
    fn the_size_of_regions_is_in_the_superblock_and_nothing_is_in_zeroes() {
        let blocks = image(5000 * 64 * 128, &words(5000), 3);
        let read = |block: Vec<u8>| region_in(&mut |_| Ok(block.clone()));
        assert_eq!(read(blocks[&0].clone()).unwrap(), Some(Sectors(128)));
        assert_eq!(read(vec![0; BLOCK]).unwrap(), None);
        let mut torn = blocks[&0].clone();
        torn[172] ^= 1;
        assert!(read(torn).is_err());
        assert!(read(vec![0xaa; BLOCK]).is_err());
    }

    /// Whatever bit is wrong, and whatever block is missing or another.
    #[test]
    fn i24_metadata_that_is_torn_says_nothing() {
        let good = image(5000 * 64 * 128, &words(5000), 3);
        for (number, block) in &good {
            for at in [0, 5, 9, 17, 33, 41, 173, 189, 1000, 4095] {
                let mut torn = good.clone();
                let mut bytes = block.clone();
                bytes[at] ^= 1;
                torn.insert(*number, bytes);
                assert!(read(&torn).is_err(), "block {number}, byte {at}");
            }
            let mut gone = good.clone();
            gone.remove(number);
            assert!(read(&gone).is_err(), "without block {number}");
            let mut moved = good.clone();
            moved.insert(*number, good[&10].clone());
            assert_eq!(
                read(&moved).is_err(),
                *number != 10,
                "another in place of block {number}"
            );
        }
    }

    #[test]
    fn i24_an_array_of_another_size_says_nothing() {
        let words = words(600);
        for size in [599 * 64 * 128, 601 * 64 * 128, 5000 * 64 * 128, 0] {
            assert!(read(&image(size, &words, 4)).is_err(), "{size} sectors");
        }
    }

    /// The example of RFC 3720, B.4: 32 bytes of zeroes have the CRC-32C 8a9136aa.
    #[test]
    fn the_checksum_is_the_kernels() {
        assert_eq!(checksum(&[0; 36], 0), !0x8a91_36aa);
    }
}
