//! What comes next of a volume that is made, and of its way back.

use volward_model::{Bytes, End, VolumeOperation};

use super::sight::{Seen, Sight};
use super::step::OperationStep;
use super::{Next, Wipe, is_new, is_ours, step, to_zero, wiped};
use crate::refusal::Refusal;

pub(super) fn next(
    operation: &VolumeOperation,
    wipe: Wipe,
    seen: &Seen,
    sight: &Sight,
) -> Result<Next, Refusal> {
    let Some(mark) = &seen.mark else {
        // Its mark is off, which was the last step; or it was never this operation's.
        return match (sight.known, sight.holds) {
            (true, true) => Ok(step(OperationStep::Release)),
            (true, false) => Ok(Next::End(End::Done)),
            (false, _) => Err(Refusal::name_taken(&operation.task)),
        };
    };
    if !is_ours(Some(mark), &operation.id) || !is_new(seen) {
        return Err(Refusal::name_taken(&operation.task));
    }
    let all = to_zero(operation, wipe, seen);
    let next = wiped(operation, sight, Bytes(0), all);
    Ok(next.unwrap_or_else(|| step(OperationStep::Unmark { mark: mark.clone() })))
}

/// The way back: what was made goes.
pub(super) fn back(operation: &VolumeOperation, end: &End, seen: &Seen, sight: &Sight) -> Next {
    if !is_ours(seen.mark.as_ref(), &operation.id) {
        if sight.known && sight.holds {
            return step(OperationStep::Release);
        }
        // Committed before the way back began; or another's, which was in the way.
        return Next::End(match (sight.known, &seen.mark) {
            (true, None) => End::Done,
            _ => end.clone(),
        });
    }
    match sight.holds {
        true => step(OperationStep::Release),
        false => step(OperationStep::Remove),
    }
}
