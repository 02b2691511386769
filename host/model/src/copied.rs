//! When a copy was made that a volume's home names: what is on the shared volume is as of then.
//!
//! The shared volume says so in a tag of its own beside its home, `volward.copied=COPY-UUID:SECONDS`, from the commit in
//! which the copy begins to count to the one in which the data is home again. A version before this tag makes copies without one.

use crate::ids::LvUuid;

/// Starts the tag, on the shared volume.
pub const COPIED_TAG_PREFIX: &str = "volward.copied=";

/// When a copy was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// LV UUID of the copy in its node's local pool.
    pub copy: LvUuid,
    /// When that was, in seconds since the Unix epoch by the clock of that node.
    pub at: u64,
}

impl Copied {
    /// As an LVM tag.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{COPIED_TAG_PREFIX}{}:{}", self.copy.compact(), self.at)
    }

    /// What a volume's tags say of this copy. `None` where they say nothing, or of another copy: an earlier version leaves the
    /// tag behind.
    pub fn of_tags<'a>(tags: impl IntoIterator<Item = &'a str>, copy: LvUuid) -> Option<Self> {
        let said = tags.into_iter().filter_map(|tag| {
            let (of, at) = tag.strip_prefix(COPIED_TAG_PREFIX)?.split_once(':')?;
            Some(Self {
                copy: of.parse().ok()?,
                at: at.parse().ok()?,
            })
        });
        said.filter(|said| said.copy == copy).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_of_one_copy() {
        let (copy, other) = (
            "c".repeat(32).parse().unwrap(),
            "d".repeat(32).parse().unwrap(),
        );
        let said = Copied {
            copy,
            at: 1_795_900_000,
        };
        let tag = "volward.copied=cccccccccccccccccccccccccccccccc:1795900000";
        assert_eq!(said.tag(), tag);
        let of = |tags: &[&'static str], copy| Copied::of_tags(tags.iter().copied(), copy);
        assert_eq!(of(&["volward.home=pool:::2", tag], copy), Some(said));
        assert_eq!(of(&[tag], other), None);
        for broken in [
            "volward.copied=cccccccccccccccccccccccccccccccc",
            "volward.copied=cccccccccccccccccccccccccccccccc:x",
            "volward.copied=c:1",
        ] {
            assert_eq!(of(&[broken], copy), None);
        }
    }
}
