//! Copies that count no more because a person said so: their node was dead, and its data was not waited for.
//!
//! The shared volume says so in a tag of its own, for its node may come back and must not write an old copy home:
//! `volward.given-up=NODE:COPY-UUID:GENERATION:SECONDS:UID:REASON`.

use std::fmt;
use std::str::FromStr;

use crate::ids::{LvUuid, NodeName, ParseIdError};

/// Starts the tag, on the shared volume.
pub const GIVEN_UP_TAG_PREFIX: &str = "volward.given-up=";
/// Of a reason, so much is kept: LVM takes tags of 1,024 bytes.
const REASON: usize = 200;

/// A copy that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The node that has the copy.
    pub node: NodeName,
    /// LV UUID of the copy in that node's local pool.
    pub copy: LvUuid,
    /// The home's generation when it was given up.
    pub generation: u64,
    /// When that was, in seconds since the Unix epoch, by the clock of the node where it was said.
    pub at: u64,
    /// The user id of who said it.
    pub uid: u32,
    /// Why, in the letters that a tag may have.
    reason: String,
}

impl GivenUp {
    /// What a person says of a copy. Of the reason, what a tag cannot hold becomes `_`.
    #[must_use]
    pub fn new(node: NodeName, copy: LvUuid, generation: u64, at: u64, by: (u32, &str)) -> Self {
        let (uid, reason) = by;
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-/=!&#".contains(c);
        let kept = reason.trim().chars().take(REASON);
        Self {
            node,
            copy,
            generation,
            at,
            uid,
            reason: kept.map(|c| if legal(c) { c } else { '_' }).collect(),
        }
    }

    /// Those that a volume's tags name. A tag that is not understood names none: the copy contradicts the home
    /// then, as it would without one.
    pub fn of_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Self> {
        let named = |tag: &'a str| tag.strip_prefix(GIVEN_UP_TAG_PREFIX);
        let found = tags.into_iter().filter_map(named);
        found.filter_map(|text| text.parse().ok())
    }

    /// As an LVM tag.
    #[must_use]
    pub fn tag(&self) -> String {
        format!(
            "{GIVEN_UP_TAG_PREFIX}{}:{}:{}:{}:{}:{}",
            self.node,
            self.copy.compact(),
            self.generation,
            self.at,
            self.uid,
            self.reason
        )
    }
}

impl FromStr for GivenUp {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let read = || {
            let mut words = text.splitn(6, ':');
            let mut word = || words.next();
            Some(Self {
                node: word()?.parse().ok()?,
                copy: word()?.parse().ok()?,
                generation: word()?.parse().ok()?,
                at: word()?.parse().ok()?,
                uid: word()?.parse().ok()?,
                reason: word()?.to_owned(),
            })
        };
        read().ok_or_else(|| ParseIdError {
            value: text.chars().take(80).collect(),
            expected: "a copy that was given up (NODE:COPY-UUID:GENERATION:SECONDS:UID:REASON)",
        })
    }
}

/// For people: who said so, and why.
impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.replace('_', " ");
        write!(f, "given up by uid {} ({reason})", self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tag_says_is_read_as_it_was_written() {
        // The tag as it was first written, letter by letter: every later one reads it.
        let tag = "volward.given-up=node2:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:3:1795900000:0:its_RAID_burned:_all_of_it";
        let found: Vec<GivenUp> = GivenUp::of_tags([tag, "volward.shareable"]).collect();
        let [given_up] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(given_up.tag(), tag);
        assert_eq!(
            given_up.to_string(),
            "given up by uid 0 (its RAID burned: all of it)"
        );
        assert_eq!((given_up.generation, given_up.uid), (3, 0));
        let again = GivenUp::new(
            given_up.node.clone(),
            given_up.copy,
            3,
            1_795_900_000,
            (0, " its RAID burned, \u{1b}all\n"),
        );
        assert!(
            again.tag().ends_with(":0:its_RAID_burned___all"),
            "{}",
            again.tag()
        );
    }

    #[test]
    fn what_is_not_understood_names_no_copy() {
        for tag in [
            "volward.given-up=",
            "volward.given-up=node2",
            "volward.given-up=node2:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:x:1:0:why",
            "volward.given-up=node2:short:3:1:0:why",
        ] {
            assert_eq!(GivenUp::of_tags([tag]).count(), 0, "{tag}");
        }
    }

    #[test]
    fn a_long_reason_is_cut() {
        let found = "node2:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:3:1:0:x".parse::<GivenUp>();
        let found = found.unwrap();
        let long = "x".repeat(5_000);
        let new = GivenUp::new(found.node, found.copy, 3, 1, (0, &long));
        assert!(new.tag().len() < 400, "{}", new.tag().len());
    }
}
