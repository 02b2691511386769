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
    /// Everything in it is in the shared volume; set just before the home becomes `pool`. It is
    /// never used again. Tag: `volward.copy-stage=returned`.
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
    /// Its size in bytes: the volume's when it was made, in whole extents of the local pool.
    pub size: Bytes,
    /// What its tags say; `None` on a copy of 0.1.0.
    pub stage: Option<CopyStage>,
}

impl fmt::Display for CopyLv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Some(CopyStage::Fresh) => write!(f, "{}, never used", self.lv),
            Some(CopyStage::Returned) => write!(f, "{}, written back already", self.lv),
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
