//! Copies that count no more because a person said so: their node was dead, and its data was not waited for.
//!
//! The shared volume says so in a tag of its own, for its node may come back and must not write an old copy home:
//! `volward.given-up=NODE:COPY-UUID:GENERATION:SECONDS:UID:REASON`.
//!
//! A tag has few letters. In a reason a space is `_`; where it has more that a tag cannot hold it begins with `=Q=`, and
//! each byte of that is `=` with two digits in base 16, as in RFC 2047's encoding Q. Earlier versions show such a
//! reason as it stands.

use std::fmt;
use std::str::FromStr;

use crate::ids::{LvUuid, NodeName, ParseIdError};

/// Starts the tag, on the shared volume.
pub const GIVEN_UP_TAG_PREFIX: &str = "volward.given-up=";
/// Of a reason, so many characters are kept.
const REASON: usize = 200;
/// And so many bytes of the tag: LVM takes tags of 1,024 bytes, and what is before the reason has 200 at most.
const ENCODED: usize = 800;
/// Begins a reason with bytes that are written in base 16.
const QUOTED: &str = "=Q=";

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
    /// What a person says of a copy.
    #[must_use]
    pub fn new(node: NodeName, copy: LvUuid, generation: u64, at: u64, by: (u32, &str)) -> Self {
        let (uid, reason) = by;
        Self {
            node,
            copy,
            generation,
            at,
            uid,
            reason: encoded(reason),
        }
    }

    /// Why, as it was said.
    #[must_use]
    pub fn reason(&self) -> String {
        decoded(&self.reason)
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
        write!(f, "given up by uid {} ({})", self.uid, self.reason())
    }
}

/// A reason in the letters of a tag. What moves a terminal's cursor is a space.
fn encoded(reason: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+.-/!:&#".contains(c);
    let reason = reason.trim().chars().take(REASON);
    let reason = reason.map(|c| if c.is_control() { ' ' } else { c });
    let reason: String = reason.collect();
    let mut text = match reason.chars().all(|c| plain(c) || c == ' ') {
        true => String::new(),
        false => QUOTED.to_owned(),
    };
    for c in reason.chars() {
        let mut bytes = [0; 4];
        let one: String = match c {
            ' ' => "_".to_owned(),
            c if plain(c) => c.to_string(),
            c => {
                let bytes = c.encode_utf8(&mut bytes).bytes();
                bytes.map(|byte| format!("={byte:02X}")).collect()
            }
        };
        if text.len() + one.len() > ENCODED {
            break;
        }
        text.push_str(&one);
    }
    text
}

/// The reason that a tag has. One of an earlier version is without bytes in base 16.
fn decoded(text: &str) -> String {
    let Some(quoted) = text.strip_prefix(QUOTED) else {
        return text.replace('_', " ");
    };
    let mut bytes = Vec::new();
    let mut rest = quoted.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'=');
        let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if *first == b'_' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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
            again.tag().ends_with(":0:=Q=its_RAID_burned=2C__all"),
            "{}",
            again.tag()
        );
        // What an earlier version wrote stays as it is, also where it looks like base 16.
        let earlier = tag.replace("its_RAID", "a=3B");
        let [earlier] = &GivenUp::of_tags([earlier.as_str()]).collect::<Vec<_>>()[..] else {
            panic!("{earlier}")
        };
        assert!(earlier.reason().starts_with("a=3B"), "{earlier}");
    }

    /// Whoever is on call later reads what was typed, whatever it was.
    #[test]
    fn a_reason_is_read_as_it_was_typed_and_its_tag_has_the_letters_of_tags() {
        let found = "node2:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:3:1:0:x".parse::<GivenUp>();
        let found = found.unwrap();
        for reason in [
            "node 3 burnt, on call: walk ; 'x' & \u{fc}",
            "a_b=c =Q= 100%",
            "=Q=",
            "plain words",
            "\u{65e5}\u{672c}",
        ] {
            let new = GivenUp::new(found.node.clone(), found.copy, 3, 1, (0, reason));
            let tag = new.tag();
            let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-/=!:&#".contains(c);
            assert!(tag.chars().all(legal), "{tag}");
            let [read] = &GivenUp::of_tags([tag.as_str()]).collect::<Vec<_>>()[..] else {
                panic!("{tag}")
            };
            assert_eq!((read.reason().as_str(), read.tag()), (reason, tag));
        }
        // Written by somebody else: no cursor is moved.
        let moved = "node2:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:3:1:0:=Q=a=1B=Z";
        let moved = moved.parse::<GivenUp>().unwrap();
        assert_eq!(moved.reason(), "a =Z");
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
        let found = new;
        let long = "\u{65e5}".repeat(5_000);
        let new = GivenUp::new(found.node, found.copy, 3, 1, (0, &long));
        assert!(new.tag().len() < 1_000, "{}", new.tag().len());
        assert!(new.reason().chars().all(|c| c == '\u{65e5}'), "{new}");
    }
}
