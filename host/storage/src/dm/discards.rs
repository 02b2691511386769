//! Refusing discards: `discard_max_bytes` 0 makes the kernel refuse them on the device (I21).

use volward_model::DeviceNumber;
use volward_ports::{PortError, PortResult};

use crate::blockdev::{io, sysfs};
use crate::kernel;

fn read(number: DeviceNumber, name: &str) -> PortResult<u64> {
    let path = sysfs(number).join("queue").join(name);
    let text = kernel::text(&path).map_err(io(format!("cannot read {}", path.display())))?;
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
    let now = read(number, "discard_max_bytes")?;
    if (now > 0) == (allowed && most > 0) {
        return Ok(());
    }
    let wanted = if allowed {
        at_most(most, read(number, "discard_granularity")?)
    } else {
        0
    };
    let path = sysfs(number).join("queue/discard_max_bytes");
    kernel::set(&path, &wanted.to_string())
        .map_err(io(format!("cannot write {wanted} to {}", path.display())))?;
    // The kernel lowers it; only whether it is zero matters.
    let now = read(number, "discard_max_bytes")?;
    if (now == 0) == (wanted == 0) {
        Ok(())
    } else {
        Err(PortError::NotInEffect {
            what: path.display().to_string(),
            expected: wanted.to_string(),
            found: now.to_string(),
        })
    }
}

/// The kernel refuses what is no multiple of the granularity (64 KiB on a clone), and lowers what
/// is more than the hardware's limit, which need not be a multiple itself.
fn at_most(most: u64, granularity: u64) -> u64 {
    match granularity {
        0 => most,
        _ => most.next_multiple_of(granularity),
    }
}

#[cfg(test)]
mod tests {
    use super::at_most;

    #[test]
    fn what_is_written_is_a_multiple_of_the_granularity() {
        // A disk's limit as the kernel reports it, under a clone's region of 64 KiB.
        assert_eq!(at_most(2_147_483_136, 65_536), 1 << 31);
        assert_eq!(at_most(2_147_483_136, 512), 2_147_483_136);
        assert_eq!(at_most(4096, 0), 4096);
    }
}
