//! Memory that O_DIRECT accepts: it begins at a multiple of the block size.

use std::ops::{Deref, DerefMut};

/// A logical block of any disk we may meet.
pub(crate) const BLOCK: usize = 4096;

pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Zeroes; whole blocks, at least `len` bytes.
    pub(crate) fn zeroed(len: usize) -> Self {
        let len = len.div_ceil(BLOCK) * BLOCK;
        let bytes = vec![0; len + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Self { bytes, start, len }
    }

    /// The bytes, and zeroes up to the end of their last block.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_whole() {
        for len in [1, BLOCK - 1, BLOCK, BLOCK + 1, 100_000] {
            let buffer = Buffer::zeroed(len);
            assert!(buffer.as_ptr().addr().is_multiple_of(BLOCK));
            assert!(buffer.len() >= len && buffer.len().is_multiple_of(BLOCK));
        }
    }
}
