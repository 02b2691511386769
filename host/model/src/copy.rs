//! What a copy's LV in a node's local pool says of itself.
//!
//! A home tag can be lost: taken away by hand, or rolled back by `vgcfgrestore`. So the copy keeps a
//! record of its own, in its tags, of whether and since when the volume's data is in it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::LvUuid;
use crate::units::Bytes;

/// Starts the tag that says, on a copy's LV, whether a guest has ever written to it.
pub const COPY_STAGE_TAG_PREFIX: &str = "volward.copy-stage=";

/// Starts the tag that says, on a copy's LV, what is where on it.
pub const COPY_LAYOUT_TAG_PREFIX: &str = "volward.copy-layout=";

/// What is where on a copy's LV: the data from its first byte on, behind it the metadata of the clone, and
/// behind that the metadata of the clone that writes back. Tag:
/// `volward.copy-layout=1:<data>:<metadata>`, both in bytes.
///
/// A copy of 0.1.0 has no such tag: its LV is the data, and each metadata has an LV of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyLayout {
    /// Room for the data: the volume's size in whole parts.
    pub data: Bytes,
    /// Room for the metadata of each of the two clones.
    pub metadata: Bytes,
}

/// Each part begins at a whole MiB: LVM's own alignment of an LV's first byte.
const PART: u64 = 1 << 20;

impl CopyLayout {
    /// The layout for a volume of that size; `None` if it is more than 64 bits of bytes.
    #[must_use]
    pub fn new(size: Bytes, metadata: Bytes) -> Option<Self> {
        let layout = Self {
            data: Bytes(size.0.checked_next_multiple_of(PART)?),
            metadata: Bytes(metadata.0.checked_next_multiple_of(PART)?),
        };
        layout.is_sound().then_some(layout)
    }

    /// What the tags of a copy's LV say; `None` where they say nothing, as on a copy of 0.1.0.
    ///
    /// # Errors
    /// With a sentence if the tag is not understood: nothing is known of where things are then.
    pub fn from_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>, String> {
        let mut layouts = tags
            .into_iter()
            .filter_map(|tag| tag.strip_prefix(COPY_LAYOUT_TAG_PREFIX));
        let Some(text) = layouts.next() else {
            return Ok(None);
        };
        let alone = layouts.next().is_none();
        let of_version_1 = || {
            let (data, metadata) = text.strip_prefix("1:")?.split_once(':')?;
            let layout = Self {
                data: Bytes(data.parse().ok()?),
                metadata: Bytes(metadata.parse().ok()?),
            };
            (alone && layout.is_sound()).then_some(layout)
        };
        match of_version_1() {
            Some(layout) => Ok(Some(layout)),
            None => Err(format!(
                "the tag {COPY_LAYOUT_TAG_PREFIX}{text} is not understood: a newer version may have \
                 made the copy"
            )),
        }
    }

    fn is_sound(self) -> bool {
        let whole = |bytes: Bytes| bytes.0 > 0 && bytes.0.is_multiple_of(PART);
        let total = self.metadata.0.checked_mul(2);
        let total = total.and_then(|both| both.checked_add(self.data.0));
        whole(self.data) && whole(self.metadata) && total.is_some()
    }

    /// As an LVM tag.
    #[must_use]
    pub fn tag(self) -> String {
        format!(
            "{COPY_LAYOUT_TAG_PREFIX}1:{}:{}",
            self.data.0, self.metadata.0
        )
    }

    /// Size of the LV in bytes.
    #[must_use]
    pub fn total(self) -> Bytes {
        Bytes(self.data.0 + 2 * self.metadata.0)
    }

    /// Where the metadata of the clone begins, in bytes from the LV's first.
    #[must_use]
    pub fn metadata_at(self) -> Bytes {
        self.data
    }

    /// Where the metadata of the clone that writes back begins, in bytes from the LV's first.
    #[must_use]
    pub fn return_metadata_at(self) -> Bytes {
        Bytes(self.data.0 + self.metadata.0)
    }
}

/// Whether there is anything in a copy that the shared volume has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyStage {
    /// Made, and never under a clone: nothing is in it. Tag: `volward.copy-stage=fresh`.
    Fresh,
    /// Under a clone since the home had this generation: guests may have written to it. Tag:
    /// `volward.copy-stage=used:<generation>:<bytes>`.
    Used {
        /// The home's generation when it became `split`.
        generation: u64,
        /// The size of the clone in bytes: what the volume had when the copy was made, whatever it
        /// was grown to since.
        size: Bytes,
    },
    /// Nothing in it is needed any more: everything is in the shared volume (set just before the home becomes
    /// `pool`), or somebody discarded a copy that was given up. It is never used again. Tag:
    /// `volward.copy-stage=returned`.
    Returned,
}

impl CopyStage {
    /// What the tags of a copy's LV say; `None` where they say nothing that is understood, as on a
    /// copy of 0.1.0: anything may be in it.
    #[must_use]
    pub fn from_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut states = tags
            .into_iter()
            .filter_map(|tag| tag.strip_prefix(COPY_STAGE_TAG_PREFIX));
        let state = states.next()?;
        if states.next().is_some() {
            return None;
        }
        match state {
            "fresh" => return Some(Self::Fresh),
            "returned" => return Some(Self::Returned),
            _ => {}
        }
        let (generation, size) = state.strip_prefix("used:")?.split_once(':')?;
        Some(Self::Used {
            generation: generation.parse().ok()?,
            size: Bytes(size.parse().ok()?),
        })
    }

    /// As an LVM tag.
    #[must_use]
    pub fn tag(self) -> String {
        match self {
            Self::Fresh => format!("{COPY_STAGE_TAG_PREFIX}fresh"),
            Self::Returned => format!("{COPY_STAGE_TAG_PREFIX}returned"),
            Self::Used { generation, size } => {
                format!("{COPY_STAGE_TAG_PREFIX}used:{generation}:{}", size.0)
            }
        }
    }
}

/// An LV of this node's local pool that says it is a copy of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyLv {
    /// Its UUID, which the home names.
    pub lv: LvUuid,
    /// Room for data in bytes: the volume's size when it was made, rounded up.
    pub size: Bytes,
    /// What its tags say; `None` on a copy of 0.1.0.
    pub stage: Option<CopyStage>,
}

impl fmt::Display for CopyLv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Some(CopyStage::Fresh) => write!(f, "{}, never used", self.lv),
            // The tag does not say which of the two.
            Some(CopyStage::Returned) => {
                write!(f, "{}, which was written back or discarded", self.lv)
            }
            Some(CopyStage::Used { generation, .. }) => {
                write!(
                    f,
                    "{}, in use since the home's generation {generation}",
                    self.lv
                )
            }
            None => write!(f, "{}, which does not say since when it is in use", self.lv),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_as_it_was_written_and_one_that_is_not_understood_is_no_old_one() {
        let layout = CopyLayout::new(Bytes((5 << 20) + 512), Bytes::mib(4)).unwrap();
        assert_eq!(layout.data, Bytes::mib(6));
        assert_eq!(layout.total(), Bytes::mib(14));
        assert_eq!(layout.metadata_at(), Bytes::mib(6));
        assert_eq!(layout.return_metadata_at(), Bytes::mib(10));
        let tag = layout.tag();
        let read = CopyLayout::from_tags(["other", tag.as_str()]);
        assert_eq!(read, Ok(Some(layout)));
        assert_eq!(CopyLayout::from_tags(["volward.copy-of=x"]), Ok(None));
        assert_eq!(CopyLayout::new(Bytes(u64::MAX), Bytes::mib(4)), None);
        for tags in [
            &["volward.copy-layout=2:1048576:1048576"][..],
            &["volward.copy-layout=1:1048576"],
            &["volward.copy-layout=1:0:1048576"],
            &["volward.copy-layout=1:1048577:1048576"],
            &["volward.copy-layout=1:1048576:18446744073708503040"],
            &[tag.as_str(), "volward.copy-layout=1:1048576:1048576"],
        ] {
            assert!(
                CopyLayout::from_tags(tags.iter().copied()).is_err(),
                "{tags:?}"
            );
        }
    }

    #[test]
    fn a_tag_is_read_as_it_was_written_and_anything_else_says_nothing() {
        for state in [
            CopyStage::Fresh,
            CopyStage::Returned,
            CopyStage::Used {
                generation: 7,
                size: Bytes(64 << 20),
            },
        ] {
            let tag = state.tag();
            assert_eq!(CopyStage::from_tags(["other", tag.as_str()]), Some(state));
        }
        for tags in [
            &["volward.copy-stage=used:7"][..],
            &["volward.copy-stage=used:x:1"],
            &["volward.copy-stage=kept"],
            &["volward.copy-stage=fresh", "volward.copy-stage=used:1:2"],
            &["volward.copy-of=x"],
        ] {
            assert_eq!(CopyStage::from_tags(tags.iter().copied()), None, "{tags:?}");
        }
    }
}
