//! Two nodes that want the same volume at the same moment.
//!
//! A node publishes its intent first and reads the slots afterwards; so of two at least one sees
//! the other. The one with the lower host-id goes on, the other withdraws and asks again. It
//! looks once more under the lease: an intent of a lower host-id that came in between still wins.

use std::fmt;

use volward_model::{Attachment, AttachmentState, VolumeRef};

use crate::input::VolumeInput;

/// Another node's intent, as its slot shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// The node's number in the lockspace.
    pub host_id: u64,
    /// The volume that both want.
    pub volume: VolumeRef,
    /// For whom, where, and since when: a node that asks again publishes a later `since_ms`, so an
    /// intent that stays the same through a full wait is one that nobody pursues any more.
    pub intent: Attachment,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (node, instance) = (&self.intent.node, self.intent.instance);
        let (host_id, volume) = (self.host_id, &self.volume);
        write!(
            f,
            "{node} (host-id {host_id}) attaches {volume} for instance {instance} at the same time"
        )
    }
}

/// How a request stands against other nodes' intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// No node with a lower host-id intends any of the volumes.
    GoOn,
    /// A node with a lower host-id intends one of them: withdraw, and ask again.
    Yield(Box<Contender>),
}

/// Whether the node of `own` host-id goes on with these volumes. Any intent on the same volume
/// counts, also of two readers: a policy may allow one of them only.
#[must_use]
pub fn precedence<'a>(own: u64, volumes: impl IntoIterator<Item = &'a VolumeInput>) -> Precedence {
    match contenders(own, volumes).into_iter().next() {
        Some(first) => Precedence::Yield(Box::new(first)),
        None => Precedence::GoOn,
    }
}

/// The intents that the node of `own` host-id yields to, of each volume the one of the lowest
/// host-id, in the order of the volumes.
#[must_use]
pub fn contenders<'a>(
    own: u64,
    volumes: impl IntoIterator<Item = &'a VolumeInput>,
) -> Vec<Contender> {
    let mut found = Vec::new();
    for volume in volumes {
        let lower = volume
            .elsewhere
            .iter()
            .filter(|f| f.attachment.state == AttachmentState::Intent && f.host_id < own)
            .min_by_key(|f| f.host_id);
        found.extend(lower.map(|other| Contender {
            host_id: other.host_id,
            volume: volume.info.volume.clone(),
            intent: other.attachment.clone(),
        }));
    }
    found
}
