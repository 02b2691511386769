//! Discarding a part of a block device, for which the kernel has an ioctl only.
#![expect(
    unsafe_code,
    reason = "no crate that we have wraps this ioctl; each block says why it is sound"
)]

use std::fs::File;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `linux/fs.h`: `_IO(0x12, 119)`.
const BLKDISCARD: Opcode = opcode::none(0x12, 119);

/// Discards so many bytes from `start` on.
pub(super) fn range(device: &File, start: u64, length: u64) -> std::io::Result<()> {
    // SAFETY: BLKDISCARD reads two 64-bit numbers, start and length, and Setter hands it a pointer to these.
    let call = unsafe { Setter::<BLKDISCARD, [u64; 2]>::new([start, length]) };
    // SAFETY: it reads nothing else of ours and writes nothing of ours; the file is open while it runs.
    unsafe { ioctl(device, call) }.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_block_device_takes_no_discard() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let error = range(&file, 0, 4096).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(25), "ENOTTY: {error}");
        assert_eq!(BLKDISCARD, 0x1277);
    }
}
