//! Why a plan is not made.

use std::fmt;

use serde::{Deserialize, Serialize};
use volward_model::{VolumeId, VolumeRef};

/// A refusal: an invariant would not hold. Policies have no say in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which rule.
    pub code: RefusalCode,
    /// About which volume.
    pub volume: Option<VolumeId>,
    /// One sentence: what is wrong, where, what to do.
    pub message: String,
    /// When asking again makes sense.
    pub retry_after_ms: Option<u64>,
}

/// The rules. The text form is stable: programs match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// A policy allows less than was asked for, and the caller did not say that will do.
    Narrowed,
    /// Another instance on this node has it.
    HeldHere,
    /// Another node has it.
    HeldElsewhere,
    /// The instance has this disk already, in another way.
    AttachedDifferently,
    /// Shared read-write, but the volume is not marked shareable (I18).
    NotShareable,
    /// The data is (partly) in another node's copy.
    HomeElsewhere,
    /// The copy is being written back.
    Returning,
    /// The home tag cannot be understood.
    HomeUnreadable,
    /// A copy that was kept: attaching it is not supported yet.
    CopyKept,
    /// The slot of a node that may be alive cannot be read (I6).
    SlotUnreadable,
    /// A node that may be alive runs a newer version, whose slot names the volume, or does not say
    /// what it names.
    SlotNewer,
    /// Read-write without an armed watchdog (I26).
    NoWatchdog,
    /// A disk given as the LV itself can have neither read-only, nor a copy, nor company.
    LvPath,
    /// lvmlockd lost the lease to an orphan: nothing can be done with it until it is adopted.
    LeaseOrphaned,
    /// Something is left over of an earlier attachment.
    Quarantined,
    /// It changed under our hands, three times.
    KeepsChanging,
    /// It is one of Volward's own volumes.
    Internal,
    /// The same volume twice in one request.
    Twice,
}

impl RefusalCode {
    /// The stable text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Narrowed => "narrowed",
            Self::HeldHere => "held-here",
            Self::HeldElsewhere => "held-elsewhere",
            Self::AttachedDifferently => "attached-differently",
            Self::NotShareable => "not-shareable",
            Self::HomeElsewhere => "home-elsewhere",
            Self::Returning => "returning",
            Self::HomeUnreadable => "home-unreadable",
            Self::CopyKept => "copy-kept",
            Self::SlotUnreadable => "slot-unreadable",
            Self::SlotNewer => "slot-newer",
            Self::NoWatchdog => "no-watchdog",
            Self::LvPath => "lv-path",
            Self::LeaseOrphaned => "lease-orphaned",
            Self::Quarantined => "quarantined",
            Self::KeepsChanging => "keeps-changing",
            Self::Internal => "internal-volume",
            Self::Twice => "twice",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Refusal {
    pub(crate) fn of(code: RefusalCode, volume: &VolumeRef, message: String) -> Self {
        Self {
            code,
            volume: Some(volume.id),
            message,
            retry_after_ms: None,
        }
    }

    pub(crate) fn retry_after(mut self, ms: Option<u64>) -> Self {
        self.retry_after_ms = ms;
        self
    }
}
