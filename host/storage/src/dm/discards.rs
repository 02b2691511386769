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
    let granularity = read(number, "discard_granularity")?;
    let Some(wanted) = wanted(allowed, now, most, granularity) else {
        return Ok(());
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

/// What is to be written; `None` where all is as it is to be. A clone takes discards whatever the disks below can, and
/// the kernel shows 0 for the hardware then: its own limit is left alone, for it could not be given back.
fn wanted(allowed: bool, now: u64, most: u64, granularity: u64) -> Option<u64> {
    match (allowed, now) {
        (false, 0) => None,
        (false, _) => Some(0),
        (true, 0) if most > 0 => Some(at_most(most, granularity)),
        (true, _) => None,
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
    use super::{at_most, wanted};

    #[test]
    fn discards_are_allowed_and_refused_and_left_as_they_are() {
        let most = 1 << 31;
        assert_eq!(wanted(false, most, most, 512), Some(0));
        assert_eq!(wanted(false, 0, most, 512), None);
        assert_eq!(wanted(true, 0, most, 512), Some(most));
        assert_eq!(wanted(true, 0, 0, 512), None, "it cannot");
        assert_eq!(
            wanted(true, 4096, most, 512),
            None,
            "lower than it could be"
        );
        // A clone on disks that take none.
        assert_eq!(wanted(true, 1 << 32, 0, 65_536), None);
        assert_eq!(wanted(false, 1 << 32, 0, 65_536), Some(0));
    }

    #[test]
    fn what_is_written_is_a_multiple_of_the_granularity() {
        // A disk's limit as the kernel reports it, under a clone's region of 64 KiB.
        assert_eq!(at_most(2_147_483_136, 65_536), 1 << 31);
        assert_eq!(at_most(2_147_483_136, 512), 2_147_483_136);
        assert_eq!(at_most(4096, 0), 4096);
    }
}
