//! The answer of `sanlock client status -D`: a line per thing, then indented `key=value` lines.

use volward_control::ports::{PortError, PortResult};
use volward_model::{HeldLease, LeaseMode};

/// What is used of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// The running daemon has wdmd reset the node when it cannot renew: it refuses to join a
    /// lockspace otherwise, so there is no need to ask wdmd too.
    pub(super) use_watchdog: bool,
    /// Lockspaces this node is in; those being joined or left are not among them.
    pub(super) lockspaces: Vec<String>,
    /// Leases this node holds; those being taken or given up are not among them.
    pub(super) resources: Vec<Resource>,
}

/// A lease this node holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) lockspace: String,
    pub(super) name: String,
    pub(super) lease: HeldLease,
}

/// A line that is not indented, and the values under it.
struct Block<'a> {
    head: &'a str,
    values: Vec<(&'a str, &'a str)>,
}

impl Block<'_> {
    fn value(&self, key: &str) -> PortResult<&str> {
        let found = self.values.iter().find(|(name, _)| *name == key);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| unreadable(format!("{:?} has no {key}", self.head)))
    }
}

fn unreadable(reason: String) -> PortError {
    PortError::Unreadable {
        what: "`sanlock client status -D`".to_owned(),
        reason,
    }
}

fn blocks(text: &str) -> PortResult<Vec<Block<'_>>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !line.starts_with(' ') {
            blocks.push(Block {
                head: line,
                values: Vec::new(),
            });
            continue;
        }
        let value = line.trim().split_once('=');
        match (blocks.last_mut(), value) {
            (Some(block), Some(value)) => block.values.push(value),
            _ => return Err(unreadable(format!("{line:?}"))),
        }
    }
    Ok(blocks)
}

pub(super) fn parse(text: &str) -> PortResult<Status> {
    let blocks = blocks(text)?;
    let daemon = blocks
        .iter()
        .find(|block| block.head.starts_with("daemon "));
    let daemon = daemon.ok_or_else(|| unreadable("no daemon answered".to_owned()))?;
    let mut status = Status {
        use_watchdog: match daemon.value("use_watchdog")? {
            "1" => true,
            "0" => false,
            other => return Err(unreadable(format!("use_watchdog={other}"))),
        },
        ..Status::default()
    };
    for block in &blocks {
        match block.head.split_once(' ') {
            Some(("daemon" | "p", _)) => {}
            Some(("s", lockspace)) => {
                if block.value("list")? == "spaces" {
                    let name = lockspace.split(':').next().unwrap_or_default();
                    status.lockspaces.push(name.to_owned());
                }
            }
            Some(("r", resource)) => status.resources.extend(read(block, resource)?),
            _ => return Err(unreadable(format!("{:?}", block.head))),
        }
    }
    Ok(status)
}

/// `LOCKSPACE:NAME:PATH:OFFSET:VERSION p PID`, or `SH` instead of the version; the version of a
/// shared one is among the values.
fn read(block: &Block<'_>, resource: &str) -> PortResult<Option<Resource>> {
    let bad = || unreadable(format!("{:?}", block.head));
    let orphan = match block.value("list")? {
        "held" => false,
        "orphan" => true,
        // Not yet, or no more.
        "add" | "rem" => return Ok(None),
        other => return Err(unreadable(format!("list={other}"))),
    };
    let (address, _) = resource.split_once(' ').ok_or_else(bad)?;
    let mut parts = address.split(':');
    let (lockspace, name) = (parts.next(), parts.next());
    let (Some(lockspace), Some(name), Some(last)) = (lockspace, name, parts.next_back()) else {
        return Err(bad());
    };
    let version = block.value("lver")?.parse().map_err(|_| bad())?;
    let mode = if last == "SH" {
        LeaseMode::Shared
    } else if last.parse() == Ok(version) {
        LeaseMode::Exclusive
    } else {
        return Err(bad());
    };
    Ok(Some(Resource {
        lockspace: lockspace.to_owned(),
        name: name.to_owned(),
        lease: HeldLease {
            mode,
            version,
            orphan,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by sanlock 3.8.5 on a node: one exclusive, one shared lease, then lvmlockd killed.
    const HELD: &str = include_str!("testdata/status-held.txt");
    const ORPHAN: &str = include_str!("testdata/status-orphan.txt");

    fn lease(mode: LeaseMode, orphan: bool) -> HeldLease {
        HeldLease {
            mode,
            version: 1,
            orphan,
        }
    }

    #[test]
    fn leases_held_are_read_with_mode_and_version() {
        let status = parse(HELD).unwrap();
        assert!(!status.use_watchdog);
        assert_eq!(status.lockspaces, ["lvm_vg0"]);
        let modes: Vec<_> = status.resources.iter().map(|r| r.lease).collect();
        assert_eq!(
            modes,
            [
                lease(LeaseMode::Exclusive, false),
                lease(LeaseMode::Shared, false)
            ]
        );
        assert_eq!(
            status.resources[0].name,
            "kLwIEg-5XEo-5dn7-qHcF-gXlO-OmQN-i4sdiI"
        );
    }

    #[test]
    fn i5_orphans_are_seen() {
        let status = parse(ORPHAN).unwrap();
        let leases: Vec<_> = status.resources.iter().map(|r| r.lease).collect();
        assert_eq!(
            leases,
            [
                lease(LeaseMode::Exclusive, true),
                lease(LeaseMode::Shared, true)
            ]
        );
    }

    #[test]
    fn leases_on_their_way_are_not_held() {
        for list in ["add", "rem"] {
            let text = HELD.replace("list=held", &format!("list={list}"));
            assert!(parse(&text).unwrap().resources.is_empty());
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (from, to) in [
            ("list=held", "list=kept"),
            ("use_watchdog=0", "use_watchdog=2"),
            ("use_watchdog=0", "use=0"),
            ("lver=1", "lver=2"),
            ("71303168:1 p", "71303168 p"),
            ("s lvm", "x lvm"),
            ("    lver=1", "    lver"),
            ("daemon node1", "p 3"),
        ] {
            let text = HELD.replace(from, to);
            assert_ne!(text, HELD);
            assert!(parse(&text).is_err(), "{to}");
        }
        assert!(parse("").is_err());
    }
}
