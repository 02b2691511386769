use volward_model::RequestId;

use super::*;
use found::{places, sights, source, sources};

mod found;
mod marks;

mod zeroes;

const WIPES: [Wipe; 4] = [Wipe::BeforeUse, Wipe::AfterUse, Wipe::Both, Wipe::None];
/// More than two chunks.
const SIZE: Bytes = Bytes::mib(200);
const LARGER: Bytes = Bytes::mib(400);

fn id(text: &str) -> OperationId {
    text.parse().unwrap()
}

fn tasks() -> [VolumeTask; 3] {
    let pool = || "vg0".parse().unwrap();
    let name = || "data".parse().unwrap();
    [
        VolumeTask::Create {
            pool: pool(),
            name: name(),
            size: SIZE,
        },
        VolumeTask::Delete {
            pool: pool(),
            name: name(),
        },
        VolumeTask::Extend {
            pool: pool(),
            name: name(),
            size: LARGER,
        },
    ]
}

fn rename() -> VolumeTask {
    VolumeTask::Rename {
        pool: "vg0".parse().unwrap(),
        name: "data".parse().unwrap(),
        to: "other".parse().unwrap(),
    }
}

fn relocate() -> VolumeTask {
    VolumeTask::Relocate {
        pool: "vg0".parse().unwrap(),
        name: "data".parse().unwrap(),
        disk: "d".repeat(32).parse().unwrap(),
    }
}

fn move_here() -> VolumeTask {
    VolumeTask::Move {
        from_pool: "vg1".parse().unwrap(),
        from: "origin".parse().unwrap(),
        pool: "vg0".parse().unwrap(),
        name: "data".parse().unwrap(),
    }
}

/// Of a source of `SIZE`: one as large, and one that is larger.
fn copies() -> [VolumeTask; 2] {
    let copy = VolumeTask::Copy {
        from_pool: "vg1".parse().unwrap(),
        from: "origin".parse().unwrap(),
        pool: "vg0".parse().unwrap(),
        name: "data".parse().unwrap(),
        size: Some(LARGER),
    };
    let snapshot = VolumeTask::Snapshot {
        pool: "vg0".parse().unwrap(),
        from: "origin".parse().unwrap(),
        name: "data".parse().unwrap(),
    };
    [copy, snapshot]
}

fn operation(task: &VolumeTask, course: Course) -> VolumeOperation {
    let request = RequestId(uuid::Uuid::nil());
    VolumeOperation {
        course,
        ..VolumeOperation::new(id("op"), task.clone(), (request, 0), 1)
    }
}

fn seen(name: &str, size: Bytes, mark: Option<Mark>) -> Seen {
    Seen {
        name: name.parse().unwrap(),
        dying_name: "volward-dying-x".parse().unwrap(),
        size,
        mark,
    }
}

fn courses() -> [Course; 3] {
    let failed = End::Failed {
        code: "storage".to_owned(),
        message: "it failed".to_owned(),
    };
    [
        Course::Forward,
        Course::Back(End::Cancelled),
        Course::Back(failed),
    ]
}

/// Follows an operation to its end, whatever it began with; `with` sees each step and what was seen before.
fn follow(
    operation: &VolumeOperation,
    wipe: Wipe,
    sight: &Sight,
    mut with: impl FnMut(&VolumeOperation, &Sight, &OperationStep),
) -> Result<(Sight, End, Bytes), Refusal> {
    let (mut operation, mut sight) = (operation.clone(), sight.clone());
    let made = seen("data", SIZE, None);
    for _ in 0..40 {
        match next(&operation, wipe, &sight)? {
            Next::End(end) => return Ok((sight, end, operation.zeroed)),
            Next::Do(step) => {
                with(&operation, &sight, &step);
                if let OperationStep::Zero { amount, .. }
                | OperationStep::ZeroSource { amount, .. }
                | OperationStep::Copy { amount, .. } = &step
                {
                    operation.zeroed = Bytes(operation.zeroed.0 + amount.0);
                }
                if let OperationStep::Split { content } = &step {
                    operation.zeroed = *content;
                }
                if matches!(step, OperationStep::MarkSource { .. }) {
                    operation.zeroed = Bytes(0);
                }
                sight = sight.after(&step, &made);
            }
        }
    }
    unreachable!("{operation:?} does not end from {sight:?}");
}

/// With every source that a copy may find.
fn sights_for(task: &VolumeTask) -> Vec<Sight> {
    if task.disk().is_some() {
        let at = |sight: Sight| {
            let each = places().into_iter();
            each.map(move |place| Sight {
                place: place.filter(|_| sight.volume.is_some()),
                ..sight.clone()
            })
        };
        return sights().into_iter().flat_map(at).collect();
    }
    if task.source().is_none() {
        return sights();
    }
    let sources = sources();
    let with = |sight: Sight| {
        let each = sources.iter().cloned();
        let each = each.map(move |source| Sight {
            source,
            ..sight.clone()
        });
        each.collect::<Vec<_>>()
    };
    sights().into_iter().flat_map(with).collect()
}

fn every_case(mut case: impl FnMut(&VolumeOperation, Wipe, &Sight)) {
    for task in tasks()
        .into_iter()
        .chain([rename(), move_here(), relocate()])
        .chain(copies())
    {
        for course in courses() {
            for wipe in WIPES {
                for sight in sights_for(&task) {
                    case(&operation(&task, course.clone()), wipe, &sight);
                }
            }
        }
    }
}

/// From whatever is found, an operation ends or is refused; what it ends with is whole or gone, and nothing
/// of it is held.
#[test]
fn whatever_is_found_an_operation_ends_and_leaves_nothing_half_made() {
    every_case(|operation, wipe, found| {
        let Ok((left, end, _)) = follow(operation, wipe, found, |_, _, _| {}) else {
            return;
        };
        let case = format!("{operation:?} {wipe} {found:?}: {end:?}, {left:?}");
        let mark = left.volume.as_ref().and_then(|seen| seen.mark.clone());
        // A relocation knows one mark; any other is of an operation that has the same id on another node.
        let known = operation.task.disk().is_none() || matches!(mark, Some(Mark::Copying { .. }));
        assert!(
            !is_ours(mark.as_ref(), &operation.id) || !known || end != End::Done,
            "{case}"
        );
        // A rename takes no lease: one that is held is not its own.
        let leases = operation.task.new_name().is_none();
        if leases && !found.attached && (found.known || end == End::Done) {
            assert!(!left.holds, "{case}");
        }
        match (&operation.task, &end) {
            (VolumeTask::Delete { .. }, End::Done) => assert_eq!(left.volume, None, "{case}"),
            (VolumeTask::Extend { .. }, End::Done) => {
                let size = left.volume.as_ref().unwrap().size;
                assert!(
                    size >= LARGER || operation.course != Course::Forward,
                    "{case}"
                );
            }
            (task, End::Done) if task.makes() => assert!(left.volume.is_some(), "{case}"),
            (VolumeTask::Rename { to, .. }, End::Done) => {
                assert_eq!(left.volume.as_ref().unwrap().name, *to, "{case}");
            }
            (VolumeTask::Relocate { .. }, End::Done) => {
                assert_eq!(left.place, Some(Place::There), "{case}");
            }
            (task, End::Cancelled | End::Failed { .. }) if task.makes() => {
                let half_made = matches!(&mark, Some(Mark::New { by }) if *by == operation.id);
                assert!(!half_made, "{case}");
            }
            _ => {}
        }
        if let Some(source) = &left.source {
            assert!(!is_ours(source.mark.as_ref(), &operation.id), "{case}");
            let found = found.source.as_ref().and_then(|source| source.writer);
            let mirrored = source.writer.is_some_and(Writer::is_mirrored);
            // One that was there before the first step is another's.
            assert!(
                !mirrored || found.is_some_and(Writer::is_mirrored),
                "{case}"
            );
        }
    });
}

/// What is done to the disks is done only to what may be: written under the lease, made and removed without
/// it, since LVM takes it then, and seen by nobody before it is zeroed.
#[test]
fn i28_each_step_is_taken_where_it_may_be() {
    every_case(|operation, wipe, found| {
        let checked = |now: &VolumeOperation, sight: &Sight, step: &OperationStep| {
            let case = format!("{now:?} {wipe} {sight:?}: {step:?}");
            let volume = sight.volume.as_ref();
            let mark = volume.and_then(|seen| seen.mark.as_ref());
            match step {
                OperationStep::Make { .. } => assert!(volume.is_none() && !sight.known, "{case}"),
                OperationStep::Lease => {
                    let free = !sight.works && !sight.attached && volume.is_some();
                    assert!(
                        free || matches!(mark, Some(Mark::Dying { .. } | Mark::New { .. })),
                        "{case}"
                    );
                }
                OperationStep::Mark { .. } => {
                    assert!(sight.works || sight.attached, "{case}");
                }
                OperationStep::Zero { from, amount } => {
                    assert!(sight.works || sight.attached, "{case}");
                    assert!(mark.is_some() && amount.0 <= CHUNK.0, "{case}");
                    assert!(from.0 + amount.0 <= volume.unwrap().size.0, "{case}");
                    if let Some(Mark::Growing { from: had, .. }) = mark {
                        assert!(from >= had, "what the volume had stays: {case}");
                    }
                }
                OperationStep::Rename { .. } if now.task.new_name().is_some() => {
                    assert!(mark.is_none() && !sight.attached, "{case}");
                }
                OperationStep::Rename { .. } | OperationStep::Remove => {
                    assert!(mark.is_some() && !sight.holds, "{case}");
                }
                OperationStep::LeaseSource { .. }
                | OperationStep::MarkSource { .. }
                | OperationStep::Copy { .. }
                | OperationStep::ReleaseSource
                | OperationStep::Mirror
                | OperationStep::AwaitMirror
                | OperationStep::Split { .. }
                | OperationStep::Unmirror
                | OperationStep::RenameSource { .. }
                | OperationStep::ZeroSource { .. }
                | OperationStep::RemoveSource
                | OperationStep::UnmarkSource { .. } => source_step(now, sight, step, &case),
                OperationStep::Grow { held, .. } => {
                    assert!(
                        mark.is_some() && !sight.holds && *held == sight.attached,
                        "{case}"
                    );
                }
                OperationStep::Lengthen | OperationStep::Unmark { .. } => {
                    let all = to_write(now, wipe, sight);
                    let taken_back = matches!(now.course, Course::Back(_));
                    assert!(
                        now.zeroed >= all || taken_back || now.task.disk().is_some(),
                        "seen before it is zeroed: {case}"
                    );
                }
                OperationStep::Relocate { .. }
                | OperationStep::AwaitRelocation
                | OperationStep::EndRelocation => {
                    let alone = sight.works && is_ours(mark, &now.id);
                    let ends = sight.works && matches!(now.course, Course::Back(_));
                    assert!(sight.attached || alone || ends, "{case}");
                }
                OperationStep::Release => assert!(sight.holds, "{case}"),
                OperationStep::AwaitWhole | OperationStep::BringHome | OperationStep::AwaitHome => {
                    assert!(sight.away.is_some(), "{case}");
                }
            }
        };
        drop(follow(operation, wipe, found, checked));
    });
}

/// The source is marked under its lease, read under its mark and both leases, and free again only when
/// nothing is copied any more.
fn source_step(now: &VolumeOperation, sight: &Sight, step: &OperationStep, case: &str) {
    let source = sight.source.as_ref().unwrap();
    let made = sight.volume.as_ref();
    let half_made = made.is_some_and(|seen| is_new(seen) && is_ours(seen.mark.as_ref(), &now.id));
    let dies = matches!(&source.mark, Some(Mark::Dying { by }) if *by == now.id);
    match step {
        OperationStep::MarkSource {
            mark: Mark::Dying { .. },
        } => {
            let copied = matches!(&source.mark, Some(Mark::Copying { by, .. }) if *by == now.id);
            let shown = made.is_some_and(|seen| seen.mark.is_none());
            assert!(
                now.task.moves() && copied && shown && !source.holds,
                "{case}"
            );
        }
        OperationStep::RenameSource { .. } | OperationStep::RemoveSource => {
            assert!(dies && !half_made && !source.holds, "{case}");
        }
        OperationStep::ZeroSource { from, amount } => {
            assert!(dies && !half_made && source.works && source.wipes, "{case}");
            assert!(
                from.0 + amount.0 <= source.size.0 && amount.0 <= CHUNK.0,
                "{case}"
            );
        }
        OperationStep::MarkSource { .. } => {
            assert!(source.works && source.mark.is_none(), "{case}");
        }
        OperationStep::Copy { from, amount } => {
            assert!(source.works && sight.works && half_made, "{case}");
            assert!(is_ours(source.mark.as_ref(), &now.id), "{case}");
            assert!(
                from.0 + amount.0 <= source.size.0.min(made.unwrap().size.0),
                "{case}"
            );
            assert!(amount.0 <= CHUNK.0, "{case}");
        }
        OperationStep::UnmarkSource { .. } => {
            assert!(!source.holds && !half_made, "{case}");
            assert!(is_ours(source.mark.as_ref(), &now.id), "{case}");
        }
        OperationStep::ReleaseSource => assert!(source.holds, "{case}"),
        OperationStep::Mirror | OperationStep::AwaitMirror => {
            assert!(sight.works && half_made && source.mark.is_none(), "{case}");
        }
        OperationStep::Split { content } => {
            assert!(
                source.writer == Some(Writer::Equal) && sight.works,
                "{case}"
            );
            assert!(half_made && *content == source.size, "{case}");
        }
        OperationStep::Unmirror => {
            assert!(source.writer.is_some_and(Writer::is_mirrored), "{case}");
            assert!(matches!(now.course, Course::Back(_)), "{case}");
        }
        _ => assert!(!source.works, "{case}"),
    }
}
