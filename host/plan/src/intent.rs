//! Two nodes that want the same volume at the same moment.
//!
//! A node publishes its intent first and reads the slots afterwards; so of two at least one sees
//! the other. The one with the lower host-id goes on, the other withdraws and asks again. It
//! looks once more under the lease: an intent of a lower host-id that came in between still wins.

use volward_model::{AttachmentState, VolumeRef};

use crate::input::VolumeInput;

/// How a request stands against other nodes' intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No node with a lower host-id intends any of the volumes.
    GoOn,
    /// A node with a lower host-id intends one of them: withdraw, and ask again.
    Yield {
        /// The lowest host-id that intends it.
        host_id: u64,
        /// The volume that both want.
        volume: VolumeRef,
    },
}

/// Whether the node of `own` host-id goes on with these volumes. Any intent on the same volume
/// counts, also of two readers: a policy may allow one of them only.
#[must_use]
pub fn standing<'a>(own: u64, volumes: impl IntoIterator<Item = &'a VolumeInput>) -> Standing {
    for volume in volumes {
        let lower = volume
            .elsewhere
            .iter()
            .filter(|f| f.attachment.state == AttachmentState::Intent && f.host_id < own)
            .min_by_key(|f| f.host_id);
        if let Some(other) = lower {
            return Standing::Yield {
                host_id: other.host_id,
                volume: volume.info.volume.clone(),
            };
        }
    }
    Standing::GoOn
}
