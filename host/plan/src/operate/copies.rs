//! What comes next of a copy and of a snapshot: a volume is made as by a create, and gets the content of
//! another one, the source.
//!
//! The source has a mark of its own from before the first byte is read until the copy is a volume like any
//! other: nobody attaches it, so its content is of one moment, however often the daemon dies, and also when
//! the lease is lost meanwhile. Who reads it already goes on. The mark holds how much there is to copy.
//!
//! A move is a copy whose source goes. Its commit point is the copy's: then the volume is in the new pool. The source, which
//! has kept its mark, gets the one of what is deleted, and is deleted.
//!
//! A source that one instance on this node writes to has no mark: its exclusive lease keeps all others away. The kernel
//! makes the copy the second leg of a mirror under that instance's device, and when both are equal the copy is split
//! off: it holds what was written until then. What is on record of the progress is nothing until that has been done.
//!
//! Snapshots of a *group* are all split off at one moment, and on record so at once: that is the commit point of each. Until then
//! each waits for the others, and what ends one of them ends all.

use volward_model::{Bytes, End, LeaseMode, Mark, VolumeOperation};

use super::sight::{Seen, Sight, SourceSeen, Writer};
use super::step::OperationStep;
use super::{CHUNK, Next, Wipe, failed, is_new, is_ours, step};
use crate::refusal::Refusal;

/// How much of the source is copied, in bytes; `None` while that is not settled.
fn content(operation: &VolumeOperation, sight: &Sight) -> Option<Bytes> {
    let source = sight.source.as_ref()?;
    match &source.mark {
        Some(Mark::Copying { by, size }) if *by == operation.id => Some(*size),
        None if operation.task.moves() => None,
        None if source.writer.is_some() || is_split_off(operation, sight, source) => {
            Some(source.size)
        }
        _ => None,
    }
}

/// The copy of what an instance wrote to is whole, whoever has the source by now.
fn is_split_off(operation: &VolumeOperation, sight: &Sight, source: &SourceSeen) -> bool {
    sight.known && operation.zeroed >= source.size
}

/// How much is copied and zeroed in all.
pub(super) fn total(operation: &VolumeOperation, wipe: Wipe, sight: &Sight) -> Bytes {
    if operation.has_moment() {
        let seen = sight.volume.as_ref().filter(|_| wipe.before());
        return seen.map_or(operation.zeroed, |seen| seen.size);
    }
    if is_moved(operation, sight) {
        let source = sight.source.as_ref().filter(|source| source.wipes);
        return source.map_or(Bytes(0), |source| source.size);
    }
    match (content(operation, sight), &sight.volume) {
        (Some(content), Some(seen)) if wipe.before() => seen.size.max(content),
        (Some(content), _) => content,
        (None, _) => Bytes(0),
    }
}

pub(super) fn next(
    operation: &VolumeOperation,
    wipe: Wipe,
    sight: &Sight,
    end: Option<&End>,
) -> Result<Next, Refusal> {
    let seen = match (&sight.volume, end) {
        // The mark is off, which was the commit point.
        (Some(seen), _) if sight.known && seen.mark.is_none() => {
            return Ok(match sight.holds {
                true => step(OperationStep::Release),
                false if operation.task.moves() => discard(operation, sight),
                false => free(operation, sight, true).unwrap_or(Next::End(End::Done)),
            });
        }
        (found, Some(end)) => return Ok(unmake(operation, found.as_ref(), sight, end)),
        (Some(seen), None) => match is_ours(seen.mark.as_ref(), &operation.id) && is_new(seen) {
            true => Some(seen),
            false => return Err(Refusal::name_taken(&operation.task)),
        },
        (None, None) if sight.known => {
            let volume = format!("{}/{}", operation.task.pool(), operation.task.name());
            let gone = || {
                failed(
                    "not-found",
                    format!("{volume} was removed meanwhile; ask anew"),
                )
            };
            return Ok(free(operation, sight, true).unwrap_or_else(gone));
        }
        (None, None) => None,
    };
    if let (Some(seen), true) = (seen, operation.has_moment()) {
        return Ok(finish(
            operation,
            sight,
            total(operation, wipe, sight),
            seen,
        ));
    }
    let source = sight.source.as_ref();
    let source = source.ok_or_else(|| Refusal::source_gone(&operation.task))?;
    let Some(content) = content(operation, sight) else {
        return match seen {
            // Made as the leg of a mirror: what it holds is of no moment.
            Some(_) if source.mark.is_none() && !operation.task.moves() => {
                Err(Refusal::source_detached(&operation.task))
            }
            // What nobody writes to has no moment in common with others.
            None if operation.group.is_some() => Err(Refusal::source_detached(&operation.task)),
            _ => begin(operation, source),
        };
    };
    let Some(seen) = seen else {
        return Ok(step(OperationStep::Make {
            size: operation.task.size().unwrap_or_default().max(content),
            mark: Mark::New {
                by: operation.id.clone(),
            },
        }));
    };
    if seen.size < content {
        return Err(Refusal::copy_too_small(&operation.task, content, seen.size));
    }
    match (source.writer, &source.mark) {
        (Some(writer), None) if operation.zeroed < content => {
            follow(operation, sight, (writer, content)).map(step)
        }
        _ => Ok(fill(
            operation,
            sight,
            (source, content),
            total(operation, wipe, sight),
            seen,
        )),
    }
}

/// What the mirror needs.
fn follow(
    operation: &VolumeOperation,
    sight: &Sight,
    (writer, content): (Writer, Bytes),
) -> Result<OperationStep, Refusal> {
    match writer {
        Writer::Failed | Writer::Cut => Err(Refusal::copy_broken(&operation.task)),
        _ if !sight.works => Ok(OperationStep::Lease),
        Writer::Apart => Ok(OperationStep::Mirror),
        Writer::Filling | Writer::Awaited => Ok(OperationStep::AwaitMirror),
        Writer::Equal => Ok(OperationStep::Split { content }),
    }
}

/// The source is kept as it is, from here on.
fn begin(operation: &VolumeOperation, source: &SourceSeen) -> Result<Next, Refusal> {
    if source.mark.is_some() {
        return Err(Refusal::source_marked(
            &operation.task,
            source.mark.as_ref(),
        ));
    }
    Ok(match source.works {
        true => step(OperationStep::MarkSource {
            mark: Mark::Copying {
                by: operation.id.clone(),
                size: source.size,
            },
        }),
        false => lease(source),
    })
}

fn lease(source: &SourceSeen) -> Next {
    let mode = match source.read {
        true => LeaseMode::Shared,
        false => LeaseMode::Exclusive,
    };
    step(OperationStep::LeaseSource { mode })
}

/// Copies what is left of the content, zeroes what is behind it, and shows the volume.
fn fill(
    operation: &VolumeOperation,
    sight: &Sight,
    (source, content): (&SourceSeen, Bytes),
    all: Bytes,
    seen: &Seen,
) -> Next {
    let done = operation.zeroed;
    if done < content && !source.works {
        return lease(source);
    }
    if done >= content && source.holds {
        return step(OperationStep::ReleaseSource);
    }
    if done < content && sight.works {
        return step(OperationStep::Copy {
            from: done,
            amount: Bytes((content.0 - done.0).min(CHUNK.0)),
        });
    }
    finish(operation, sight, all, seen)
}

/// Zeroes what is behind the content, and shows the volume.
fn finish(operation: &VolumeOperation, sight: &Sight, all: Bytes, seen: &Seen) -> Next {
    let done = operation.zeroed;
    if done < all {
        return step(match sight.works {
            false => OperationStep::Lease,
            true => OperationStep::Zero {
                from: done,
                amount: Bytes((all.0 - done.0).min(CHUNK.0)),
            },
        });
    }
    match (sight.holds, &seen.mark) {
        (false, Some(mark)) => step(OperationStep::Unmark { mark: mark.clone() }),
        _ => step(OperationStep::Release),
    }
}

/// It is past its commit point: the volume is in the new pool.
fn is_moved(operation: &VolumeOperation, sight: &Sight) -> bool {
    let shown = sight
        .volume
        .as_ref()
        .is_some_and(|seen| seen.mark.is_none());
    operation.task.moves() && sight.known && shown
}

/// The source goes, in the steps of a delete. What is on record of the progress begins anew with its mark.
fn discard(operation: &VolumeOperation, sight: &Sight) -> Next {
    // Gone already, or somebody has taken the mark off, and with it the source.
    let Some(source) = sight.source.as_ref() else {
        return Next::End(End::Done);
    };
    let by = operation.id.clone();
    match &source.mark {
        Some(Mark::Copying { by: whose, .. }) if *whose == by => {
            return match source.holds {
                true => step(OperationStep::ReleaseSource),
                false => step(OperationStep::MarkSource {
                    mark: Mark::Dying { by },
                }),
            };
        }
        Some(Mark::Dying { by: whose }) if *whose == by => {}
        _ => return Next::End(End::Done),
    }
    if source.name != source.dying_name {
        return match source.holds {
            true => step(OperationStep::ReleaseSource),
            false => step(OperationStep::RenameSource {
                to: source.dying_name.clone(),
            }),
        };
    }
    let zeroed = operation.zeroed;
    let left = source.size.0.saturating_sub(zeroed.0);
    if source.wipes && left > 0 {
        return match source.works {
            true => step(OperationStep::ZeroSource {
                from: zeroed,
                amount: Bytes(left.min(CHUNK.0)),
            }),
            false => lease(source),
        };
    }
    match source.holds {
        true => step(OperationStep::ReleaseSource),
        false => step(OperationStep::RemoveSource),
    }
}

/// The way back: what was made goes, then the source is free.
fn unmake(operation: &VolumeOperation, found: Option<&Seen>, sight: &Sight, end: &End) -> Next {
    let writer = sight.source.as_ref().and_then(|source| source.writer);
    if writer.is_some_and(Writer::is_mirrored) {
        return step(OperationStep::Unmirror);
    }
    match found {
        Some(seen) if is_ours(seen.mark.as_ref(), &operation.id) && is_new(seen) => {
            match sight.holds {
                true => step(OperationStep::Release),
                false => step(OperationStep::Remove),
            }
        }
        Some(_) if sight.known && sight.holds => step(OperationStep::Release),
        _ => free(operation, sight, false).unwrap_or_else(|| Next::End(end.clone())),
    }
}

/// Gives the source back: its lease, then its mark. What it has of its own, and not for this operation, is
/// left: before the mark is on that cannot be told, and then nothing was made either.
fn free(operation: &VolumeOperation, sight: &Sight, made: bool) -> Option<Next> {
    let source = sight.source.as_ref()?;
    let ours = is_ours(source.mark.as_ref(), &operation.id);
    if ours && matches!(source.mark, Some(Mark::Dying { .. })) {
        // The volume was in the new pool, and has been deleted there: nothing is to come of its old place.
        return Some(discard(operation, sight));
    }
    if source.holds && (ours || !made) {
        return Some(step(OperationStep::ReleaseSource));
    }
    let mark = source.mark.clone().filter(|_| ours)?;
    Some(step(OperationStep::UnmarkSource { mark }))
}
