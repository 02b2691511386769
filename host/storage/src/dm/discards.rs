//! Refusing discards: `discard_max_bytes` 0 makes the kernel refuse them on the device (I21).

use std::fs;

use volward_control::ports::{PortError, PortResult};
use volward_model::DeviceNumber;

use crate::blockdev::{io, sysfs};

fn read(number: DeviceNumber, name: &str) -> PortResult<u64> {
    let path = sysfs(number).join("queue").join(name);
    let text = fs::read_to_string(&path).map_err(io(format!("cannot read {}", path.display())))?;
    text.trim().parse().map_err(|_| PortError::Unreadable {
        what: path.display().to_string(),
        reason: format!("{text:?} is no number"),
    })
}

/// Whether discards are passed on. A device that could not discard anyway counts as allowed: then
/// a table that can is not refused by accident.
pub(super) fn allowed(number: DeviceNumber) -> PortResult<bool> {
    let most = read(number, "discard_max_hw_bytes")?;
    Ok(most == 0 || read(number, "discard_max_bytes")? > 0)
}

/// Allows what the device can do, or nothing.
pub(super) fn set(number: DeviceNumber, allowed: bool) -> PortResult<()> {
    let most = read(number, "discard_max_hw_bytes")?;
    let wanted = if allowed { most } else { 0 };
    if read(number, "discard_max_bytes")? == wanted {
        return Ok(());
    }
    let path = sysfs(number).join("queue/discard_max_bytes");
    fs::write(&path, wanted.to_string())
        .map_err(io(format!("cannot write {wanted} to {}", path.display())))?;
    // The kernel rounds; only whether it is zero matters.
    let now = read(number, "discard_max_bytes")?;
    if (now == 0) == (wanted == 0) {
        Ok(())
    } else {
        Err(PortError::Refused(format!(
            "{} is {now} after {wanted} was written",
            path.display()
        )))
    }
}
