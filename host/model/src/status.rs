//! The words for what is done with a volume. Which of them is a volume's is `plan`'s to say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is done with a volume, in a word. The greater one counts before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeStatus {
    /// Nobody has it, and nothing keeps it from anybody.
    Available,
    /// No instance has it, and something keeps it: an operation's mark, a copy that has its data or brings it home, or a
    /// lease that this node has for no attachment.
    Held,
    /// It is being given back, and nobody else has it.
    Detaching,
    /// It is asked for, and nobody has it yet.
    Attaching,
    /// At least one instance has it.
    InUse,
    /// An attachment of it is quarantined or cut off; or what is known of it contradicts itself, or cannot all be read.
    Fault,
}

impl VolumeStatus {
    /// Every word, the least first.
    pub const ALL: [Self; 6] = [
        Self::Available,
        Self::Held,
        Self::Detaching,
        Self::Attaching,
        Self::InUse,
        Self::Fault,
    ];
}

impl fmt::Display for VolumeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::Detaching => "detaching",
            Self::Attaching => "attaching",
            Self::InUse => "in-use",
            Self::Fault => "fault",
        })
    }
}
