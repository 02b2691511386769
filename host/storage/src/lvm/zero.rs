//! Zeroing the start of an LV (I28).

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use volward_model::{Bytes, VolumeRef};
use volward_ports::{PortError, PortResult};

use crate::blockdev::{self, io};

/// Zeroed at a time: the kernel cannot be interrupted within one.
const CHUNK: u64 = 64 << 20;

/// Zeroes and flushes. O_EXCL: refused while another dm device or a mount has the LV.
pub(super) fn zero(volume: &VolumeRef, amount: Bytes) -> PortResult<()> {
    let device = blockdev::open_lv(volume.id, true, OFlags::EXCL)?;
    let size = blockdev::size(device.number)?;
    if size < amount {
        return Err(PortError::Identity {
            what: volume.to_string(),
            expected: format!("at least {amount}"),
            found: size.to_string(),
        });
    }
    let failed = || io(format!("cannot zero {volume} ({})", device.path.display()));
    let mut done = 0;
    while done < amount.0 {
        let length = CHUNK.min(amount.0 - done);
        // Keeps the blocks allocated; the device does it itself where it can.
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        fallocate(&device.file, flags, done, length).map_err(|e| failed()(e.into()))?;
        done += length;
    }
    device.file.sync_all().map_err(failed())
}
