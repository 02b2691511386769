//! What an instance had when its volume was detached: whether anybody can have written to the volume since. A guest whose memory was
//! saved goes on with what it had cached of its disks; on a disk that was written to meanwhile it damages what is there.
//!
//! sanlock counts how often a lease was taken. What this node takes itself is noted, so a number that is not the next one
//! says that another node has had the lease.

use volward_model::{Bytes, InstanceId, VolumeRef};

/// The last use of a volume by an instance that had it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The virtual machine.
    pub instance: InstanceId,
    /// What it had.
    pub volume: VolumeRef,
    /// sanlock's version of the lease, of that use or of what this node has taken since; `None`: this node knows that it is not as
    /// it was, see [`LastUse::spoiled`].
    pub version: Option<u64>,
    /// How large it was, in bytes; `None` where that was not seen.
    pub size: Option<Bytes>,
    /// When it was detached, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl LastUse {
    /// This node has taken the lease: for itself, or for somebody who is looked at by [`LastUse::spoiled`].
    pub fn leased(&mut self, version: u64) {
        let next = self
            .version
            .is_some_and(|had| version == had || version == had + 1);
        if next {
            self.version = Some(version);
        }
    }

    /// Another instance on this node writes to it, or somebody says here which of its data counts.
    pub fn spoiled(&mut self) {
        self.version = None;
    }

    /// Under the lease, which has been taken once more: what has become of the volume since; `None` where nobody can have
    /// written to it.
    #[must_use]
    pub fn differs(&self, version: u64, size: Bytes) -> Option<String> {
        match (self.version, self.size) {
            (None, _) => Some(
                "another instance on this node has had it to write to, or somebody has said here which of its data counts"
                    .to_owned(),
            ),
            (Some(had), _) if version != had && version != had + 1 => Some(
                "another node has had its lease, and whoever is there may have written to it"
                    .to_owned(),
            ),
            (_, Some(had)) if had != size => Some(format!("it was {had} and is {size} now")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use volward_model::VolumeId;

    use super::*;

    fn used() -> LastUse {
        LastUse {
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
            volume: VolumeRef {
                id: VolumeId {
                    vg: "v".repeat(32).parse().unwrap(),
                    lv: "l".repeat(32).parse().unwrap(),
                },
                pool: "vg0".parse().unwrap(),
                name: "a".parse().unwrap(),
            },
            version: Some(7),
            size: Some(Bytes::mib(8)),
            at_ms: 1,
        }
    }

    #[test]
    fn what_this_node_takes_itself_is_no_use_by_others() {
        let mut one = used();
        for version in [8, 8, 9, 10] {
            one.leased(version);
        }
        assert_eq!(one.differs(11, Bytes::mib(8)), None);
        assert_eq!(one.differs(10, Bytes::mib(8)), None, "held since");
    }

    #[test]
    fn a_lease_that_another_node_has_had_stays_so() {
        let mut one = used();
        assert!(
            one.differs(9, Bytes::mib(8))
                .unwrap()
                .contains("another node")
        );
        // Taken by this node afterwards, as often as it likes.
        for version in [9, 10, 11] {
            one.leased(version);
        }
        assert_eq!(one.version, Some(7));
        assert!(one.differs(12, Bytes::mib(8)).is_some());
    }

    #[test]
    fn another_instance_and_another_size_are_told() {
        let mut one = used();
        assert!(one.differs(8, Bytes::mib(16)).unwrap().contains("8 MiB"));
        one.spoiled();
        one.leased(8);
        assert!(
            one.differs(9, Bytes::mib(8))
                .unwrap()
                .contains("another instance")
        );
    }
}
