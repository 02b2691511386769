//! Discarding a part of a block device, for which the kernel has an ioctl only.
#![expect(
    unsafe_code,
    reason = "no crate that we have wraps this ioctl; each block says why it is sound"
)]

use std::fs::File;
use std::ops::Range;

use rustix::fs::OFlags;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use volward_model::{DeviceId, Sectors};
use volward_ports::PortResult;

use crate::blockdev::{self, io};

/// `linux/fs.h`: `_IO(0x12, 119)`.
const BLKDISCARD: Opcode = opcode::none(0x12, 119);

/// Discards runs of regions of a device of ours.
pub(super) fn regions(id: DeviceId, region: Sectors, runs: &[Range<u64>]) -> PortResult<()> {
    let device = blockdev::open(&id.dm_uuid(), true, OFlags::empty())?;
    let bytes = region.bytes().0;
    for run in runs {
        range(
            &device.file,
            run.start * bytes,
            (run.end - run.start) * bytes,
        )
        .map_err(io(format!("cannot pass over regions of device {id}")))?;
    }
    Ok(())
}

/// Discards so many bytes from `start` on.
fn range(device: &File, start: u64, length: u64) -> std::io::Result<()> {
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
