//! What the daemon does without being asked, where it is told so: `[fence]`, `[copies]`.

use std::time::Duration;

use serde::Deserialize;

use super::Timeouts;

/// `[fence]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct FenceSection {
    /// Who gives I/O back when the same leases are sound again.
    pub(crate) unfence: Unfence,
    /// Seconds for which they have been sound before it is given back by itself.
    pub(crate) unfence_pause: u64,
}

/// Who gives I/O back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unfence {
    /// Somebody says `volward unfence`.
    ByHand,
    /// The daemon, where nobody can have had the volume meanwhile.
    ByItself,
}

impl Default for FenceSection {
    fn default() -> Self {
        // A path that has just come back often goes again; sanlock renews every 20 s.
        Self {
            unfence: Unfence::ByHand,
            unfence_pause: 30,
        }
    }
}

impl FenceSection {
    /// After how long; `None`: never by itself.
    pub(crate) fn after(&self) -> Option<Duration> {
        let after = Timeouts::seconds(self.unfence_pause);
        (self.unfence == Unfence::ByItself).then_some(after)
    }
}

/// `[copies]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct CopiesSection {
    /// What becomes of a copy whose guest did not start again after a boot.
    pub(crate) left_alone: LeftAlone,
    /// Seconds that its guest has for that.
    pub(crate) left_alone_pause: u64,
}

/// What becomes of a copy that no guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LeftAlone {
    /// It waits for its guest to start here again.
    Stays,
    /// It is written back, and other nodes may have the volume.
    ComesHome,
}

impl Default for CopiesSection {
    fn default() -> Self {
        // A host whose guests start one after the other takes minutes for the last one.
        Self {
            left_alone: LeftAlone::Stays,
            left_alone_pause: 600,
        }
    }
}

impl CopiesSection {
    /// After how long; `None`: never by itself.
    pub(crate) fn after(&self) -> Option<Duration> {
        let after = Timeouts::seconds(self.left_alone_pause);
        (self.left_alone == LeftAlone::ComesHome).then_some(after)
    }
}
