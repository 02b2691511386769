//! A volume that somebody has: what has to be done before it can be changed.

use volward_model::{AttachmentState, VolumeRef};

use crate::input::{ForeignAttachment, LocalAttachment, VolumeInput};
use crate::refusal::{Refusal, RefusalCode};

/// How an attachment goes. Of one that is quarantined a detach was tried: as long as something has the device open,
/// another one changes nothing.
pub(super) fn how_it_goes(state: AttachmentState, place: &str) -> String {
    match state {
        AttachmentState::Quarantined => format!(
            "it is quarantined: `volward ls` {place} says what keeps it; a guest that runs keeps it until it is \
             stopped, which releases it; where no guest has it, end what has its device open, then `volward detach` \
             {place}"
        ),
        _ if place == HERE => "detach it first".to_owned(),
        _ => "detach it there first".to_owned(),
    }
}

pub(super) const HERE: &str = "on this node";
pub(super) const THERE: &str = "on that node";

pub(super) fn unattached(seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    if let Some(here) = seen.here.first() {
        let message = format!(
            "{volume} is attached to instance {} on this node; {}",
            here.instance,
            how_it_goes(here.state, HERE)
        );
        return Err(Refusal::of(RefusalCode::HeldHere, volume, message));
    }
    match seen.elsewhere.first() {
        None => Ok(()),
        Some(other) => {
            let (node, instance) = (&other.attachment.node, other.attachment.instance);
            let message = format!(
                "{volume} is attached to instance {instance} on node {node}; {}",
                how_it_goes(other.attachment.state, THERE)
            );
            Err(Refusal::of(RefusalCode::HeldElsewhere, volume, message))
        }
    }
}

/// Another node has it, and that one alone can do what is asked for.
pub(super) fn held_by_another(
    volume: &VolumeRef,
    other: &ForeignAttachment,
    what: &str,
) -> Refusal {
    let message = format!(
        "{volume} is attached on node {}, and only the node that has it can {what}; {}",
        other.attachment.node,
        how_it_goes(other.attachment.state, THERE)
    );
    Refusal::of(RefusalCode::HeldElsewhere, volume, message)
}

/// This node has it, in a way that does not allow what is asked for.
pub(super) fn held_so(volume: &VolumeRef, here: &LocalAttachment, why: &str) -> Refusal {
    let message = format!(
        "{volume} is attached to instance {} on this node, and that attachment is {why}; {}",
        here.instance,
        how_it_goes(here.state, HERE)
    );
    Refusal::of(RefusalCode::HeldHere, volume, message)
}
