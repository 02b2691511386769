//! dm-clone's status line (Documentation/admin-guide/device-mapper/dm-clone.rst):
//! `METADATA-BLOCK USED/TOTAL REGION HYDRATED/TOTAL HYDRATING N FEATURE... N CORE-ARG... MODE`

use volward_model::{CloneMode, CloneStatus, Sectors};
use volward_ports::{PortError, PortResult};

pub(super) fn parse(line: &str) -> PortResult<CloneStatus> {
    read(line).ok_or_else(|| PortError::Unreadable {
        what: "dm-clone's status".to_owned(),
        reason: format!("{line:?}"),
    })
}

fn read(line: &str) -> Option<CloneStatus> {
    let mut words = line.split_whitespace();
    if line.trim() == "Fail" {
        // Nothing else is said then.
        return Some(CloneStatus {
            region: Sectors(0),
            hydrated: 0,
            total: 0,
            in_flight: 0,
            hydrating: false,
            mode: CloneMode::Fail,
        });
    }
    let _metadata_block = words.next()?;
    let _metadata_used = words.next()?;
    let region = words.next()?.parse().ok()?;
    let (hydrated, total) = words.next()?.split_once('/')?;
    let in_flight = words.next()?.parse().ok()?;
    let features: usize = words.next()?.parse().ok()?;
    let features: Vec<&str> = words.by_ref().take(features).collect();
    let core: usize = words.next()?.parse().ok()?;
    let mut words = words.skip(core);
    let mode = match words.next()? {
        "rw" => CloneMode::ReadWrite,
        "ro" => CloneMode::ReadOnly,
        "Fail" => CloneMode::Fail,
        _ => return None,
    };
    let status = CloneStatus {
        region: Sectors(region),
        hydrated: hydrated.parse().ok()?,
        total: total.parse().ok()?,
        in_flight,
        hydrating: !features.contains(&"no_hydration"),
        mode,
    };
    let sane = words.next().is_none() && status.hydrated <= status.total && status.total > 0;
    sane.then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From real nodes.
    const HYDRATING: &str = "8 6/4096 128 18/8192 0 1 no_discard_passdown \
                             4 hydration_threshold 16 hydration_batch_size 16 rw";
    const HELD: &str = "8 6/4096 128 0/8192 0 2 no_hydration no_discard_passdown \
                        4 hydration_threshold 1 hydration_batch_size 1 rw";

    #[test]
    fn real_lines_are_understood() {
        let status = parse(HYDRATING).unwrap();
        assert_eq!(
            status,
            CloneStatus {
                region: Sectors(128),
                hydrated: 18,
                total: 8192,
                in_flight: 0,
                hydrating: true,
                mode: CloneMode::ReadWrite,
            }
        );
        assert!(!parse(HELD).unwrap().hydrating);
    }

    #[test]
    fn i22_complete_needs_everything() {
        let done = HYDRATING.replace("18/8192", "8192/8192");
        assert!(parse(&done).unwrap().complete());
        for not in [
            HYDRATING.to_owned(),
            done.replace("8192/8192 0 ", "8192/8192 1 "),
            done.replace(" rw", " ro"),
        ] {
            assert!(!parse(&not).unwrap().complete(), "{not}");
        }
    }

    #[test]
    fn a_failed_clone_is_not_complete() {
        let status = parse("Fail").unwrap();
        assert_eq!(status.mode, CloneMode::Fail);
        assert!(!status.complete());
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "rw",
            &HYDRATING.replace("18/8192", "8193/8192"),
            &HYDRATING.replace(" rw", ""),
            &HYDRATING.replace(" rw", " rw more"),
            &HYDRATING.replace(" rw", " maybe"),
            &HYDRATING.replace("18/8192", "18"),
            &HYDRATING.replace(" 4 hyd", " 5 hyd"),
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
