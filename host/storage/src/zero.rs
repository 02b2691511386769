//! Zeroing the start of a device (I28).

use rustix::fs::{FallocateFlags, fallocate};
use volward_model::Bytes;
use volward_ports::{PortError, PortResult};

use crate::blockdev::{self, Checked, io};

/// Zeroed at a time: the kernel cannot be interrupted within one.
const CHUNK: u64 = 64 << 20;

/// Zeroes and flushes. To be opened with O_EXCL, which is refused while another dm device or a mount
/// has the device; `what` it is, for messages.
pub(crate) fn zero(device: &Checked, what: &str, amount: Bytes) -> PortResult<()> {
    zero_from(device, what, Bytes(0), amount)
}

/// The same of what lies between `start` and `amount` more.
pub(crate) fn zero_from(
    device: &Checked,
    what: &str,
    start: Bytes,
    amount: Bytes,
) -> PortResult<()> {
    let size = blockdev::size(device.number)?;
    let end = start.0.saturating_add(amount.0);
    if size.0 < end {
        return Err(PortError::Identity {
            what: what.to_owned(),
            expected: format!("at least {}", Bytes(end)),
            found: size.to_string(),
        });
    }
    let failed = || io(format!("cannot zero {what} ({})", device.path.display()));
    let mut done = start.0;
    while done < end {
        let length = CHUNK.min(end - done);
        // Keeps the blocks allocated; the device does it itself where it can.
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        fallocate(&device.file, flags, done, length).map_err(|e| failed()(e.into()))?;
        done += length;
    }
    device.file.sync_all().map_err(failed())
}
