//! What this node wrote last into a pool's registry: whether the disks that it finds under the pool's UUIDs are those. A LUN that
//! was replaced by an earlier snapshot or replica of itself has the same UUIDs, and what was written since is not on it.
//!
//! A node is the only writer of its place, and counts what it writes there; sanlock counts how often a node joins. Both
//! numbers go up only. What is remembered is never ahead of the LUN: it is remembered after the LUN has it.

use volward_model::VolumeId;

/// What a node wrote last into its place of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// The registry's volume: one that is made anew has another UUID.
    pub registry: VolumeId,
    /// Whose place: sanlock's host-id of the node.
    pub host_id: u64,
    /// How often the node had joined the lockspace, as sanlock says.
    pub generation: u64,
    /// The boot of the node in which it was in that generation.
    pub boot_id: String,
    /// How often the place had been written.
    pub sequence: u64,
    /// When that was, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The disks were found to be older than this, and nobody has said yet that they are to be used so: a sentence.
    pub older: Option<String>,
}

/// What a node finds before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The registry's volume.
    pub registry: VolumeId,
    /// This node's place.
    pub host_id: u64,
    /// How often this node has joined.
    pub generation: u64,
    /// The boot of the node.
    pub boot_id: &'a str,
    /// How often the place was written, 0 where never; `None` where that cannot be told.
    pub sequence: Option<u64>,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl LastWrite {
    /// Why what is found is older than what was written: a sentence without its full stop. `None` where nothing says so: of
    /// another registry or another place nothing is remembered.
    #[must_use]
    pub fn is_ahead_of(&self, found: &Found) -> Option<String> {
        if (self.registry, self.host_id) != (found.registry, found.host_id) {
            return None;
        }
        let ago = age(found.now_ms.saturating_sub(self.at_ms));
        if let Some(sequence) = found.sequence.filter(|now| *now < self.sequence) {
            return Some(format!(
                "this node's place in its registry (host-id {}) was written {sequence} times, and {} times when this node wrote \
                 there last, {ago} before that was seen",
                self.host_id, self.sequence
            ));
        }
        // Each join counts, and a boot is followed by one.
        let back = found.generation < self.generation
            || (found.generation == self.generation && found.boot_id != self.boot_id);
        back.then(|| {
            format!(
                "sanlock counts generation {} of this node (host-id {}) in its lockspace, and counted {} {ago} before, in an \
                 earlier boot",
                found.generation, self.host_id, self.generation
            )
        })
    }
}

fn age(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..=119 => format!("{minutes} minute(s)"),
        120..=2_879 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(letter: char) -> VolumeId {
        VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: letter.to_string().repeat(32).parse().unwrap(),
        }
    }

    fn last() -> LastWrite {
        LastWrite {
            registry: registry('r'),
            host_id: 1,
            generation: 4,
            boot_id: "b1".to_owned(),
            sequence: 100,
            at_ms: 0,
            older: None,
        }
    }

    fn found() -> Found<'static> {
        Found {
            registry: registry('r'),
            host_id: 1,
            generation: 4,
            boot_id: "b1",
            sequence: Some(100),
            now_ms: 3 * 3_600_000,
        }
    }

    #[test]
    fn fewer_writes_than_were_made_are_an_older_lun() {
        let says = |sequence| {
            last().is_ahead_of(&Found {
                sequence,
                ..found()
            })
        };
        assert_eq!(says(Some(100)), None);
        // Written, and not remembered: a crash in between, or a state that was restored from its backup.
        assert_eq!(says(Some(101)), None);
        assert_eq!(says(None), None, "nobody can tell");
        let why = says(Some(99)).unwrap();
        assert!(
            why.contains("99 times") && why.contains("100 times"),
            "{why}"
        );
        assert!(why.contains("3 hours"), "{why}");
        assert!(says(Some(0)).is_some(), "from before this node first wrote");
    }

    #[test]
    fn a_join_that_counts_less_than_an_earlier_one_is_an_older_lun() {
        let says = |generation, boot_id| {
            last().is_ahead_of(&Found {
                generation,
                boot_id,
                ..found()
            })
        };
        assert_eq!(says(4, "b1"), None, "the daemon alone was started again");
        assert_eq!(says(5, "b1"), None, "sanlock was started again");
        assert_eq!(says(5, "b2"), None, "the node was");
        let why = says(4, "b2").unwrap();
        assert!(why.contains("generation 4"), "{why}");
        assert!(says(3, "b1").is_some());
    }

    #[test]
    fn of_another_registry_or_another_place_nothing_is_remembered() {
        let says = |found: Found| last().is_ahead_of(&found);
        let less = Found {
            sequence: Some(1),
            generation: 1,
            ..found()
        };
        assert!(says(less).is_some());
        assert_eq!(
            says(Found {
                registry: registry('n'),
                ..less
            }),
            None,
            "it was made anew"
        );
        assert_eq!(
            says(Found { host_id: 2, ..less }),
            None,
            "the node was given another number"
        );
    }
}
