//! Attachments: volume x instance x node, with a sharing and an access.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{InstanceId, NodeName, VolumeId};

/// Whether others may have the volume too. Ordered by strictness: the greater is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Others may attach it at the same time.
    Shared,
    /// Nobody else may.
    Exclusive,
}

/// Whether the attachment may write. Ordered by strictness: the greater is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// May read and write.
    ReadWrite,
    /// May read; the kernel refuses writes on the attachment's own device (I17).
    ReadOnly,
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
        })
    }
}

/// What names one attachment on a node: idempotence is per instance and volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttachmentKey {
    /// VG UUID and LV UUID of the volume.
    pub volume: VolumeId,
    /// The virtual machine.
    pub instance: InstanceId,
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentState {
    /// Asked for and not decided or not finished yet. Visible to other nodes, so that two who
    /// decide at the same moment see each other.
    Intent,
    /// Whole: lease, activation and device are there.
    Attached,
    /// Undo failed: something may be left over. Counts as attached until somebody cleans up.
    Quarantined,
}

impl fmt::Display for AttachmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Intent => "intent",
            Self::Attached => "attached",
            Self::Quarantined => "quarantined",
        })
    }
}

/// One attachment as the registry shows it to every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// VG UUID and LV UUID of the volume.
    pub volume: VolumeId,
    /// The virtual machine.
    pub instance: InstanceId,
    /// Where it runs.
    pub node: NodeName,
    /// Exclusive or shared.
    pub sharing: Sharing,
    /// Read-only or read-write.
    pub access: Access,
    /// Milliseconds since the Unix epoch, by the attaching node's clock.
    pub since_ms: u64,
    /// How far it is.
    pub state: AttachmentState,
}

impl Attachment {
    /// What names it on its node.
    #[must_use]
    pub fn key(&self) -> AttachmentKey {
        AttachmentKey {
            volume: self.volume,
            instance: self.instance,
        }
    }

    /// Whether this attachment and a new one of the given sharing exclude each other.
    #[must_use]
    pub fn conflicts_with(&self, sharing: Sharing) -> bool {
        self.sharing == Sharing::Exclusive || sharing == Sharing::Exclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_is_the_greater() {
        assert!(Sharing::Exclusive > Sharing::Shared);
        assert!(Access::ReadOnly > Access::ReadWrite);
    }
}
