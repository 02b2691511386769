//! A device's I/O by sysfs (`Documentation/block/stat.rst`): device-mapper accounts what is made of
//! bios in the same way as a disk.

use volward_model::{DeviceNumber, IoCounters, Sectors};
use volward_ports::{PortError, PortResult};

use crate::blockdev::{io, sysfs};
use crate::kernel;

/// The counters; `None` if the device is gone.
pub(super) fn of(number: DeviceNumber) -> PortResult<Option<IoCounters>> {
    let path = sysfs(number).join("stat");
    let text = match kernel::text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(format!("cannot read {}", path.display()))(error)),
    };
    match parse(&text) {
        Some(counters) => Ok(Some(counters)),
        None => Err(PortError::Unreadable {
            what: path.display().to_string(),
            reason: format!("{text:?}"),
        }),
    }
}

/// Reads: ended, merged, sectors, milliseconds; writes: the same; then what is in flight.
fn parse(text: &str) -> Option<IoCounters> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|w| w.parse().ok()).collect();
    let [
        reads,
        _,
        _,
        read_ms,
        writes,
        _,
        sectors,
        write_ms,
        in_flight,
        ..,
    ] = numbers?[..]
    else {
        return None;
    };
    Some(IoCounters {
        done: reads.checked_add(writes)?,
        busy_us: read_ms.checked_add(write_ms)?.checked_mul(1000)?,
        in_flight,
        written: Sectors(sectors),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of Linux 6.1, with discards and flushes behind.
    const STAT: &str = "     120        0    9600       30       80       0     640      \
                        50        2       77       80        0        0        0        0        0        0\n";

    #[test]
    fn reads_and_writes_count_and_what_is_in_flight() {
        let expected = IoCounters {
            done: 200,
            busy_us: 80_000,
            in_flight: 2,
            written: Sectors(640),
        };
        assert_eq!(parse(STAT), Some(expected));
        for text in ["", "1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7 8 x"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
