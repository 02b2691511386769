//! What comes next of a relocation: all of a volume goes to one disk of its pool. LVM copies it beneath the device (`pvmove`), so whoever
//! has it here goes on with it, and neither its identity nor its lease changes.
//!
//! Where nobody has it, it is activated under its own lease, with the mark of what is copied: nobody attaches it meanwhile.
//! Where an instance has it, that one's exclusive lease keeps all others away; when the instance goes, what was on its way
//! is halted beneath it before its lease is given up, and the operation takes back what LVM still thinks of it.
//!
//! It can be cancelled until the end: the volume is whole on the disk that it leaves as long as LVM moves it.

use volward_model::{Bytes, End, LvmUuid, Mark, VolumeOperation};

use super::sight::{Place, Seen, Sight};
use super::step::OperationStep;
use super::{Next, step};
use crate::refusal::Refusal;

pub(super) fn next(
    operation: &VolumeOperation,
    disk: LvmUuid,
    seen: &Seen,
    sight: &Sight,
    end: Option<&End>,
) -> Result<Next, Refusal> {
    let ours = matches!(&seen.mark, Some(Mark::Copying { by, .. }) if *by == operation.id);
    let place = sight.place.unwrap_or(Place::There);
    let ended = match (place, end) {
        // Cancelled too late, or not: all of it is there.
        (Place::There, Some(_) | None) => Some(End::Done),
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
