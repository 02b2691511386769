//! Tables in the kernel's words, their backing resolved by UUID to a number.

use volward_model::device::lv_dm_uuid;
use volward_model::{Backing, CloneTable, DeviceNumber, Sectors, Table};
use volward_ports::{PortError, PortResult};

use super::mirror;
use crate::blockdev;

/// Start, length, target, parameters.
pub(super) type Line = (u64, u64, String, String);

/// A table with its backing resolved.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) lines: Vec<Line>,
    backing: Vec<(DeviceNumber, String)>,
}

/// Finds the backing devices.
pub(super) fn resolve(table: &Table) -> PortResult<Resolved> {
    resolve_with(table, |uuid| {
        Ok(blockdev::find(uuid)?.map(|device| device.number))
    })
}

fn resolve_with(
    table: &Table,
    find: impl Fn(&str) -> PortResult<Option<DeviceNumber>>,
) -> PortResult<Resolved> {
    let mut backing = Vec::new();
    let mut number = |of: &Backing| {
        let uuid = dm_uuid(of);
        let number = find(&uuid)?.ok_or_else(|| PortError::Missing {
            what: format!("the device {uuid} a table stands on"),
        })?;
        backing.push((number, uuid));
        Ok::<_, PortError>(number)
    };
    let (size, target, words) = match table {
        Table::Linear { on, size } => (*size, "linear", format!("{} 0", number(on)?)),
        Table::Part { on, start, size } => {
            (*size, "linear", format!("{} {}", number(on)?, start.0))
        }
        Table::Mirror(mirror) => {
            let [on, copy] = [&mirror.on, &mirror.copy].map(&mut number);
            (mirror.size, "mirror", mirror::words([on?, copy?]))
        }
        Table::Error { size } => (*size, "error", String::new()),
        Table::Clone(clone) => {
            let devices = [&clone.metadata, &clone.destination, &clone.source];
            let [metadata, destination, source] = devices.map(&mut number);
            let words = clone_words(clone, [metadata?, destination?, source?])?;
            (clone.size, "clone", words)
        }
    };
    if size == Sectors(0) {
        return Err(PortError::Invalid {
            what: format!("a {target} device"),
            reason: "it has no length".to_owned(),
        });
    }
    Ok(Resolved {
        lines: vec![(0, size.0, target.to_owned(), words)],
        backing,
    })
}

pub(super) fn dm_uuid(backing: &Backing) -> String {
    match backing {
        Backing::Volume(volume) => lv_dm_uuid(*volume),
        Backing::Device(device) => device.dm_uuid(),
    }
}

fn clone_words(clone: &CloneTable, devices: [DeviceNumber; 3]) -> PortResult<String> {
    if clone.threshold == 0 || clone.batch == 0 {
        // The kernel takes it, and nothing ever hydrates.
        return Err(PortError::Invalid {
            what: "a clone".to_owned(),
            reason: "its hydration_threshold or hydration_batch_size is 0".to_owned(),
        });
    }
    let [metadata, destination, source] = devices;
    let features = if clone.hydrating {
        "1 no_discard_passdown"
    } else {
        "2 no_hydration no_discard_passdown"
    };
    Ok(format!(
        "{metadata} {destination} {source} {} {features} \
         4 hydration_threshold {} hydration_batch_size {}",
        clone.region.0, clone.threshold, clone.batch
    ))
}

impl Resolved {
    /// Checks that the numbers in the table still belong to the devices meant.
    pub(super) fn check(&self) -> PortResult<()> {
        for (number, uuid) in &self.backing {
            let found = blockdev::dm_uuid(*number).unwrap_or_else(|| "no dm UUID".to_owned());
            if found != *uuid {
                return Err(PortError::Identity {
                    what: format!("block device {number}"),
                    expected: uuid.clone(),
                    found,
                });
            }
        }
        Ok(())
    }

    /// Whether the kernel's live table is this one. What a clone reports of its own knobs
    /// (hydration on or off, threshold, batch) changes by messages and is left aside.
    pub(super) fn same_as(&self, live: &[Line]) -> bool {
        let core = |line: &Line| {
            let words: Vec<&str> = line.3.split_whitespace().collect();
            let count = if line.2 == "clone" { 4 } else { words.len() };
            let kept: Vec<String> = words.into_iter().take(count).map(str::to_owned).collect();
            (line.0, line.1, line.2.clone(), kept)
        };
        self.lines.iter().map(core).eq(live.iter().map(core))
    }
}

/// A table for messages.
pub(super) fn text(lines: &[Line], read_only: bool) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|(start, length, target, words)| format!("{start} {length} {target} {words}"))
        .collect();
    let mode = if read_only { "read-only" } else { "read-write" };
    format!("{} ({mode})", lines.join("; "))
}

#[cfg(test)]
mod tests {
    use volward_model::VolumeId;

    use super::*;

    fn volume(letter: &str) -> Backing {
        Backing::Volume(VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: letter.repeat(32).parse().unwrap(),
        })
    }

    fn clone() -> CloneTable {
        CloneTable {
            metadata: volume("m"),
            destination: volume("d"),
            source: volume("s"),
            size: Sectors(1_048_576),
            region: Sectors(128),
            hydrating: false,
            threshold: 1,
            batch: 1,
        }
    }

    /// 253:N, N by the LV's letter.
    fn find(uuid: &str) -> PortResult<Option<DeviceNumber>> {
        let minor = match uuid.chars().last() {
            Some('m') => 1,
            Some('d') => 2,
            Some('s') => 3,
            _ => return Ok(None),
        };
        Ok(Some(DeviceNumber { major: 253, minor }))
    }

    #[test]
    fn a_clone_is_written_as_the_kernel_wants_it() {
        let resolved = resolve_with(&Table::Clone(clone()), find).unwrap();
        let words = "253:1 253:2 253:3 128 2 no_hydration no_discard_passdown \
                     4 hydration_threshold 1 hydration_batch_size 1";
        assert_eq!(
            resolved.lines,
            [(0, 1_048_576, "clone".to_owned(), words.to_owned())]
        );
    }

    #[test]
    fn a_part_begins_where_it_is_said_to() {
        let part = Table::Part {
            on: volume("d"),
            start: Sectors(2048),
            size: Sectors(8192),
        };
        let resolved = resolve_with(&part, find).unwrap();
        let words = "253:2 2048".to_owned();
        assert_eq!(resolved.lines, [(0, 8192, "linear".to_owned(), words)]);
        let other = |start: &str| vec![(0, 8192, "linear".to_owned(), format!("253:2 {start}"))];
        assert!(resolved.same_as(&other("2048")) && !resolved.same_as(&other("0")));
    }

    #[test]
    fn a_live_clone_is_known_again_whatever_its_knobs_say() {
        let resolved = resolve_with(&Table::Clone(clone()), find).unwrap();
        // As the kernel shows a table: facts of a real node.
        let live = |words: &str| vec![(0, 1_048_576, "clone".to_owned(), words.to_owned())];
        assert!(resolved.same_as(&live(
            "253:1 253:2 253:3 128 1 no_discard_passdown \
             4 hydration_threshold 16 hydration_batch_size 16"
        )));
        assert!(!resolved.same_as(&live("253:1 253:2 253:4 128 1 no_discard_passdown")));
        assert!(!resolved.same_as(&[]));
    }

    #[test]
    fn what_would_never_hydrate_is_refused() {
        let table = CloneTable {
            threshold: 0,
            ..clone()
        };
        assert!(resolve_with(&Table::Clone(table), find).is_err());
    }

    #[test]
    fn a_backing_that_is_not_there_is_named() {
        let table = Table::Linear {
            on: volume("x"),
            size: Sectors(8),
        };
        let error = resolve_with(&table, find).unwrap_err();
        assert!(error.to_string().contains("xxxx"), "{error}");
    }
}
