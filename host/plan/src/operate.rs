//! Operations on volumes: what comes next, read from the volume as it is found.
//!
//! An operation keeps no list of steps. Each time it is asked what comes next, the volume is looked at: by
//! its UUID, its size, its mark, and what this node holds of it. So a step that was interrupted is done
//! again or found done, and an operation goes on after a crash, or on another node, from where it is. The
//! only thing that cannot be seen is how much is zeroed; that is on record.
//!
//! A *mark* is a tag on the volume ([`Mark`]), which refuses every attach. Until it is there, the operation
//! has the volume's turn on its node; from then on the mark protects it.
//!
//! | module | decides |
//! |---|---|
//! | here | the next step, of each operation and of its way back |
//! | `create` | the same of a volume that is made |
//! | `copies` | the same of copies and snapshots |
//! | `relocate` | the same of a volume that goes to another disk of its pool |
//! | `away` | whether the volume's data is in a local copy, which is to come home first |
//! | `may` | whether an operation may begin, and again under the lease |
//! | `group` | whether snapshots may hold one moment together |
//! | `step` | (the output) what can be done |
//! | `sight` | what a step does to what is seen: a dry run is the same decisions over a volume in thought |

mod attached;
mod away;
mod copies;
mod create;
mod group;
mod may;
mod relocate;
mod sight;
mod step;

use std::fmt;

use volward_model::{
    Bytes, Course, End, Mark, OperationId, VolumeName, VolumeOperation, VolumeTask,
};

use crate::refusal::Refusal;

pub use away::Away;
pub use group::{may_be_of_group, may_hold_all};
pub use may::{
    Room, may_be_copied, may_be_told, may_begin, may_change, may_hold, who_is_told, writes_alone,
};
pub use sight::{Place, Seen, Sight, SourceSeen, Writer, dry_run};
pub use step::OperationStep;

/// Zeroed at a time. What is under way cannot be interrupted: an array that zeroes 100 MiB/s by itself
/// needs less than a second for it.
pub const CHUNK: Bytes = Bytes::mib(64);

/// What begins the name of a volume that is being deleted; its UUID follows. Its own name is free again.
pub const DYING_PREFIX: &str = "volward-dying-";

/// When a pool's extents are zeroed. What a guest can read of a new or grown volume is another's old
/// content otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wipe {
    /// Before a guest can read them: what is made, and what is grown.
    #[default]
    BeforeUse,
    /// When a volume is deleted: for a pool of which nothing else has ever had an extent.
    AfterUse,
    /// Both.
    Both,
    /// Never: for a lab.
    None,
}

impl Wipe {
    fn before(self) -> bool {
        matches!(self, Self::BeforeUse | Self::Both)
    }

    /// Whether what is deleted is zeroed.
    #[must_use]
    pub fn after(self) -> bool {
        matches!(self, Self::AfterUse | Self::Both)
    }
}

impl fmt::Display for Wipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BeforeUse => "before-use",
            Self::AfterUse => "after-use",
            Self::Both => "both",
            Self::None => "none",
        })
    }
}

/// What comes next of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(OperationStep),
    /// Nothing: it ends so.
    End(End),
}

/// What comes next, or why it cannot go on. `sight` is of the volume that the operation knows, and of the
/// one with its name where it knows none.
///
/// # Errors
/// Where the volume is not what the operation can go on with: before its commit point only.
pub fn next(operation: &VolumeOperation, wipe: Wipe, sight: &Sight) -> Result<Next, Refusal> {
    let end = match &operation.course {
        Course::Ended(end) => return Ok(Next::End(end.clone())),
        Course::Back(end) => Some(end),
        Course::Forward => None,
    };
    if let (Some(away), None) = (sight.away, end) {
        return Ok(step(away.next()));
    }
    let Some(seen) = &sight.volume else {
        return match operation.task.source() {
            Some(_) => copies::next(operation, wipe, sight, end),
            None => Ok(absent(operation, sight.known, end)),
        };
    };
    match (&operation.task, end) {
        (VolumeTask::Create { .. }, None) => create::next(operation, wipe, seen, sight),
        (VolumeTask::Create { .. }, Some(end)) => Ok(create::back(operation, end, seen, sight)),
        (VolumeTask::Delete { .. }, end) => delete(operation, wipe, seen, sight, end),
        (VolumeTask::Extend { size, .. }, end) => {
            extend(operation, wipe, seen, sight, (*size, end))
        }
        (VolumeTask::Rename { to, .. }, end) => rename(operation, to, seen, sight, end),
        (VolumeTask::Relocate { disk, .. }, end) => {
            relocate::next(operation, *disk, seen, sight, end)
        }
        (VolumeTask::Copy { .. } | VolumeTask::Snapshot { .. } | VolumeTask::Move { .. }, end) => {
            copies::next(operation, wipe, sight, end)
        }
    }
}

/// Whether nothing can be taken back any more: the operation goes on whatever happens.
#[must_use]
pub fn is_committed(operation: &VolumeOperation, sight: &Sight) -> bool {
    if let (VolumeTask::Rename { to, .. }, Some(seen)) = (&operation.task, &sight.volume) {
        return seen.name == *to;
    }
    // All of a group or none: each of them has the same moment on record.
    if operation.has_moment() {
        return true;
    }
    let mark = sight
        .volume
        .as_ref()
        .map(|seen| (seen.mark.as_ref(), seen.size));
    match (&operation.task, mark) {
        (VolumeTask::Delete { .. }, Some((mark, _))) => matches!(mark, Some(Mark::Dying { .. })),
        (VolumeTask::Extend { .. }, Some((Some(Mark::Growing { from, .. }), size))) => size > *from,
        (
            VolumeTask::Create { .. }
            | VolumeTask::Copy { .. }
            | VolumeTask::Snapshot { .. }
            | VolumeTask::Move { .. },
            Some((mark, _)),
        ) => sight.known && mark.is_none(),
        (
            VolumeTask::Extend { .. } | VolumeTask::Rename { .. } | VolumeTask::Relocate { .. },
            Some(_),
        ) => false,
        (_, None) => sight.known,
    }
}

/// How much there is to be copied and zeroed in all, in bytes: what the progress is of.
#[must_use]
pub fn to_write(operation: &VolumeOperation, wipe: Wipe, sight: &Sight) -> Bytes {
    if operation.task.source().is_some() {
        return copies::total(operation, wipe, sight);
    }
    let seen = sight.volume.as_ref();
    seen.map_or(Bytes(0), |seen| match operation.task.disk() {
        Some(_) => seen.size,
        None => to_zero(operation, wipe, seen),
    })
}

fn to_zero(operation: &VolumeOperation, wipe: Wipe, seen: &Seen) -> Bytes {
    match &operation.task {
        VolumeTask::Create { .. } if wipe.before() => seen.size,
        VolumeTask::Delete { .. } if wipe.after() && !is_new(seen) => seen.size,
        VolumeTask::Extend { .. } if wipe.before() => match seen.mark {
            Some(Mark::Growing { from, .. }) => Bytes(seen.size.0.saturating_sub(from.0)),
            _ => Bytes(0),
        },
        _ => Bytes(0),
    }
}

fn step(step: OperationStep) -> Next {
    Next::Do(step)
}

fn failed(code: &str, message: String) -> Next {
    let code = code.to_owned();
    Next::End(End::Failed { code, message })
}

fn is_ours(mark: Option<&Mark>, id: &OperationId) -> bool {
    mark.and_then(Mark::by) == Some(id)
}

/// A volume that nobody has ever read: what it holds is nobody's.
fn is_new(seen: &Seen) -> bool {
    matches!(seen.mark, Some(Mark::New { .. }))
}

/// There is no such volume.
fn absent(operation: &VolumeOperation, known: bool, end: Option<&End>) -> Next {
    match (&operation.task, known, end) {
        (VolumeTask::Create { size, .. }, false, None) => step(OperationStep::Make {
            size: *size,
            mark: Mark::New {
                by: operation.id.clone(),
            },
        }),
        (VolumeTask::Delete { .. }, _, _) => Next::End(End::Done),
        (_, _, Some(end)) => Next::End(end.clone()),
        (task, _, None) => {
            let volume = format!("{}/{}", task.pool(), task.name());
            failed(
                "not-found",
                format!("{volume} was removed meanwhile; ask anew"),
            )
        }
    }
}

/// Zeroes what is left of `all`, from `start` on; then gives the lease up. `None`: that is done too.
fn wiped(operation: &VolumeOperation, sight: &Sight, start: Bytes, all: Bytes) -> Option<Next> {
    let left = all.0.saturating_sub(operation.zeroed.0);
    if left > 0 {
        if !sight.works {
            return Some(step(OperationStep::Lease));
        }
        return Some(step(OperationStep::Zero {
            from: Bytes(start.0 + operation.zeroed.0),
            amount: Bytes(left.min(CHUNK.0)),
        }));
    }
    sight.holds.then(|| step(OperationStep::Release))
}

fn delete(
    operation: &VolumeOperation,
    wipe: Wipe,
    seen: &Seen,
    sight: &Sight,
    end: Option<&End>,
) -> Result<Next, Refusal> {
    let by = operation.id.clone();
    match &seen.mark {
        // Nobody ever had it: there is nothing to hide, and no name to free.
        Some(Mark::New { .. }) if end.is_none() => {
            return Ok(match sight.holds {
                true => step(OperationStep::Release),
                false => step(OperationStep::Remove),
            });
        }
        Some(Mark::Dying { .. }) => {}
        _ => {
            return Ok(match end {
                Some(_) if sight.holds => step(OperationStep::Release),
                Some(end) => Next::End(end.clone()),
                // Attached since it was asked for: its lease is not this operation's to take.
                None if sight.attached => return Err(Refusal::attached_here(&operation.task)),
                None if sight.works => step(OperationStep::Mark {
                    mark: Mark::Dying { by },
                }),
                None => step(OperationStep::Lease),
            });
        }
    }
    if !seen.name.as_str().starts_with(DYING_PREFIX) {
        return Ok(match sight.holds {
            true => step(OperationStep::Release),
            false => step(OperationStep::Rename {
                to: seen.dying_name.clone(),
            }),
        });
    }
    let all = to_zero(operation, wipe, seen);
    let next = wiped(operation, sight, Bytes(0), all);
    Ok(next.unwrap_or_else(|| step(OperationStep::Remove)))
}

fn extend(
    operation: &VolumeOperation,
    wipe: Wipe,
    seen: &Seen,
    sight: &Sight,
    (size, end): (Bytes, Option<&End>),
) -> Result<Next, Refusal> {
    let Some(mark) = &seen.mark else {
        let enough = seen.size >= size;
        return Ok(match end {
            // Before its mark, or after: in both cases it is whole.
            _ if (enough || end.is_some()) && sight.holds => step(OperationStep::Release),
            _ if enough => Next::End(End::Done),
            Some(end) => Next::End(end.clone()),
            None if sight.works || sight.attached => step(OperationStep::Mark {
                mark: Mark::Growing {
                    by: operation.id.clone(),
                    from: seen.size,
                },
            }),
            None => step(OperationStep::Lease),
        });
    };
    let Mark::Growing { from, by } = mark else {
        return other_mark(operation, seen, sight, end);
    };
    if *by != operation.id {
        return other_mark(operation, seen, sight, end);
    }
    let unmark = || step(OperationStep::Unmark { mark: mark.clone() });
    if seen.size == *from && (end.is_some() || seen.size < size) {
        return Ok(match (sight.holds, end) {
            (true, _) => step(OperationStep::Release),
            (false, Some(_)) => unmark(),
            (false, None) => step(OperationStep::Grow {
                to: size,
                held: sight.attached,
            }),
        });
    }
    let all = to_zero(operation, wipe, seen);
    let reachable = Sight {
        works: sight.works || sight.attached,
        ..sight.clone()
    };
    let zeroed = operation.zeroed >= all;
    if zeroed && sight.behind {
        return Ok(step(OperationStep::Lengthen));
    }
    let next = wiped(operation, &reachable, *from, all);
    Ok(next.unwrap_or_else(unmark))
}

/// One step, which LVM does or does not. It takes the exclusive lease for it: nobody has the volume then.
fn rename(
    operation: &VolumeOperation,
    to: &VolumeName,
    seen: &Seen,
    sight: &Sight,
    end: Option<&End>,
) -> Result<Next, Refusal> {
    match end {
        _ if seen.name == *to => Ok(Next::End(End::Done)),
        Some(end) => Ok(Next::End(end.clone())),
        None if seen.mark.is_some() => Err(Refusal::marked(&operation.task, seen.mark.as_ref())),
        None if sight.attached => Err(Refusal::attached_here(&operation.task)),
        None => Ok(step(OperationStep::Rename { to: to.clone() })),
    }
}

/// Another operation has marked it since.
fn other_mark(
    operation: &VolumeOperation,
    seen: &Seen,
    sight: &Sight,
    end: Option<&End>,
) -> Result<Next, Refusal> {
    match end {
        Some(_) if sight.holds => Ok(step(OperationStep::Release)),
        Some(end) => Ok(Next::End(end.clone())),
        None => Err(Refusal::marked(&operation.task, seen.mark.as_ref())),
    }
}

#[cfg(test)]
mod tests;
