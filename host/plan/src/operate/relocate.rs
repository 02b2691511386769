//! What comes next of a relocation: all of a volume goes to one disk of its pool. LVM copies it beneath the device (`pvmove`), so whoever
//! has it here goes on with it, and neither its identity nor its lease changes.
//!
//! Where nobody has it, it is activated under its own lease, with the mark of what is copied: nobody attaches it meanwhile.
//! Where an instance has it, that one's exclusive lease keeps all others away; when the instance goes, what was on its way
//! is halted beneath it before its lease is given up, and the operation takes back what LVM still thinks of it.
//!
//! It can be cancelled until the end: the volume is whole on the disk that it leaves as long as LVM moves it.

use volward_model::{AttachmentState, Bytes, End, LvmUuid, Mark, Sharing, VolumeOperation};

use super::attached::{held_by_another, held_so};
use super::sight::{Place, Seen, Sight};
use super::step::OperationStep;
use super::{Next, step};
use crate::input::{DiskForm, VolumeInput};
use crate::refusal::{Refusal, RefusalCode};
use crate::service::Kind;

pub(super) fn next(
    operation: &VolumeOperation,
    disk: LvmUuid,
    seen: &Seen,
    sight: &Sight,
    end: Option<&End>,
) -> Result<Next, Refusal> {
    let ours = matches!(&seen.mark, Some(Mark::Copying { by, .. }) if *by == operation.id);
    let Some(place) = sight.place else {
        // Of that nothing follows.
        return Ok(step(OperationStep::AwaitRelocation));
    };
    let ended = match (place, end) {
        // Cancelled too late, or not: all of it is there.
        (Place::There, _) => Some(End::Done),
        (Place::On { .. }, Some(end)) => Some(end.clone()),
        _ if end.is_some() && seen.mark.is_some() && !ours => end.cloned(),
        _ => None,
    };
    if let Some(ended) = ended {
        return Ok(match (sight.holds, &seen.mark) {
            (true, _) => step(OperationStep::Release),
            (false, Some(mark)) if ours => step(OperationStep::Unmark { mark: mark.clone() }),
            (false, _) => Next::End(ended),
        });
    }
    let reachable = sight.attached || sight.works;
    if end.is_some() {
        return Ok(step(match reachable {
            true => OperationStep::EndRelocation,
            false => OperationStep::Lease,
        }));
    }
    if !sight.attached {
        if seen.mark.is_some() && !ours {
            return Err(Refusal::marked(&operation.task, seen.mark.as_ref()));
        }
        // It had begun beneath an instance, whose next start does not wait for it.
        if !ours && operation.zeroed > Bytes(0) {
            return Err(Refusal::relocation_detached(&operation.task));
        }
        if !sight.works {
            return Ok(step(OperationStep::Lease));
        }
        if !ours {
            let by = operation.id.clone();
            let size = seen.size;
            return Ok(step(OperationStep::Mark {
                mark: Mark::Copying { by, size },
            }));
        }
    }
    match place {
        Place::Halted { .. } => Err(Refusal::relocation_halted(&operation.task)),
        Place::Moving { .. } => Ok(step(OperationStep::AwaitRelocation)),
        Place::On { from } => Ok(step(OperationStep::Relocate { from, to: disk })),
        Place::There => Ok(Next::End(End::Done)),
    }
}

/// One instance on this node alone has it, with a device of its own, or nobody has it: LVM's mirror beneath it is this node's, and
/// another node would not see it.
pub(super) fn may(seen: &VolumeInput) -> Result<(), Refusal> {
    let volume = &seen.info.volume;
    if Kind::of(&seen.info) != Kind::Plain {
        let message = format!(
            "{volume} is of the type {}, of which LVM decides what is on which disk; move it with LVM's own commands",
            seen.info.segment_type
        );
        return Err(Refusal::of(RefusalCode::SegmentType, volume, message));
    }
    if let Some(other) = seen.elsewhere.first() {
        let what =
            "move it beneath its guest: one node alone, exclusively, completely attached and alive";
        return Err(held_by_another(volume, other, what));
    }
    for here in &seen.here {
        let why = match (here.state, here.form, here.sharing) {
            (AttachmentState::Attached, DiskForm::Own, Sharing::Exclusive)
                if here.arriving.is_none() && !here.leaving =>
            {
                continue;
            }
            (AttachmentState::Attached, DiskForm::Lv, _) => {
                "given as the LV itself, which Volward cannot cut off from a move when its lease is lost"
            }
            (AttachmentState::Attached, _, Sharing::Shared) => {
                "shared, so other nodes may have it, which see nothing of a move"
            }
            _ => "neither complete nor gone, or on its way to another node",
        };
        return Err(held_so(volume, here, why));
    }
    Ok(())
}
