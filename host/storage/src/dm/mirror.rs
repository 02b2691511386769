//! dm-mirror's table and status
//! (Linux 6.1, `drivers/md/dm-raid1.c`, `mirror_ctr` and `mirror_status`):
//! `2 DEVICE DEVICE EQUAL/TOTAL 1 HEALTH 1 core`, a letter of the health for each leg: `A` is alive.

use volward_model::{DeviceNumber, MirrorStatus, Sectors};
use volward_ports::{PortError, PortResult};

/// What the kernel copies in one piece, and what a write waits for meanwhile: 1 MiB. A bit of memory is needed for
/// each, twice.
const REGION: Sectors = Sectors(2_048);

/// A mirror whose second leg counts as unlike the first one.
pub(super) fn words([on, copy]: [DeviceNumber; 2]) -> String {
    format!("core 1 {} 2 {on} 0 {copy} 0", REGION.0)
}

pub(super) fn parse(line: &str) -> PortResult<MirrorStatus> {
    read(line).ok_or_else(|| PortError::Unreadable {
        what: "dm-mirror's status".to_owned(),
        reason: format!("{line:?}"),
    })
}

fn read(line: &str) -> Option<MirrorStatus> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["2", _, _, regions, "1", health, "1", "core"] = words.as_slice() else {
        return None;
    };
    let (equal, total) = regions.split_once('/')?;
    let status = MirrorStatus {
        equal: equal.parse().ok()?,
        total: total.parse().ok()?,
        sound: *health == "AA",
    };
    let sane = health.len() == 2 && status.equal <= status.total && status.total > 0;
    sane.then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From a real node.
    const FILLING: &str = "2 253:2 253:4 31/128 1 AA 1 core";

    #[test]
    fn real_lines_are_understood() {
        let status = parse(FILLING).unwrap();
        assert_eq!((status.equal, status.total, status.sound), (31, 128, true));
        assert!(!status.whole());
        assert!(parse(&FILLING.replace("31/", "128/")).unwrap().whole());
    }

    #[test]
    fn a_leg_that_has_failed_is_not_whole() {
        for health in ["AD", "DA", "AS", "AR", "UU"] {
            let line = FILLING.replace("31/", "128/").replace("AA", health);
            assert!(!parse(&line).unwrap().whole(), "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "2 253:2 253:4 31/128 1 AA",
            &FILLING.replace("31/", "129/"),
            &FILLING.replace("31/128", "31"),
            &FILLING.replace("31/128", "0/0"),
            &FILLING.replace("AA", "A"),
            &FILLING.replace("core", "disk"),
            &format!("{FILLING} more"),
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
