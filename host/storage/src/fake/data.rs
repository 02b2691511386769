//! What is on a fake volume: one number per block.

use std::collections::BTreeMap;

use volward_model::Bytes;

/// The unit in which fake data is kept.
pub const BLOCK: Bytes = Bytes::kib(64);

/// What a fresh LV of a local pool holds until something is written: another tenant's data, which
/// no guest must ever read (I21).
pub const OLD_CONTENT: u64 = 0xdead_dead_dead_dead;

/// Sparse content: what is not in `written` is `rest`.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    blocks: u64,
    rest: u64,
    written: BTreeMap<u64, u64>,
}

impl Contents {
    pub(crate) fn zeroes(size: Bytes) -> Self {
        Self::filled(size, 0)
    }

    pub(crate) fn filled(size: Bytes, with: u64) -> Self {
        Self {
            blocks: size.0.div_ceil(BLOCK.0),
            rest: with,
            written: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, block: u64) -> u64 {
        *self.written.get(&block).unwrap_or(&self.rest)
    }

    pub(crate) fn set(&mut self, block: u64, value: u64) {
        self.written.insert(block, value);
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        (0..self.blocks).map(|block| self.get(block)).collect()
    }

    pub(crate) fn fill(&mut self, value: impl Fn(u64) -> u64) {
        self.written = (0..self.blocks)
            .map(|block| (block, value(block)))
            .collect();
    }

    /// Makes it longer; what comes to it holds `with`.
    pub(crate) fn grow(&mut self, size: Bytes, with: u64) {
        let blocks = size.0.div_ceil(BLOCK.0);
        for block in self.blocks..blocks {
            self.set(block, with);
        }
        self.blocks = self.blocks.max(blocks);
    }

    /// Zeroes the blocks that lie within `amount` from `start` on (and the one it ends in).
    pub(crate) fn zero(&mut self, start: Bytes, amount: Bytes) {
        let first = start.0 / BLOCK.0;
        let end = (start.0 + amount.0).div_ceil(BLOCK.0);
        for block in first..end.min(self.blocks) {
            self.set(block, 0);
        }
    }

    /// Takes over the blocks of another one that lie within `amount` from `start` on.
    pub(crate) fn copy(&mut self, from: &Self, start: Bytes, amount: Bytes) {
        let first = start.0 / BLOCK.0;
        let end = (start.0 + amount.0).div_ceil(BLOCK.0);
        for block in first..end.min(self.blocks).min(from.blocks) {
            self.set(block, from.get(block));
        }
    }

    /// Whether the block at `start` is zero: dm-clone takes what begins so as fresh metadata.
    pub(crate) fn is_zero_at(&self, start: Bytes) -> bool {
        self.get(start.0 / BLOCK.0) == 0
    }
}
