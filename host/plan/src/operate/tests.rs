use volward_model::RequestId;

use super::*;

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

/// Everything that may be found: by whom it is marked, how large it is, what this node has of it.
fn sights() -> Vec<Sight> {
    let marks = ["op", "other"].map(id).into_iter().flat_map(|by| {
        [
            Mark::New { by: by.clone() },
            Mark::Dying { by: by.clone() },
            Mark::Growing {
                by: by.clone(),
                from: SIZE,
            },
            Mark::Copying { by, size: SIZE },
        ]
    });
    let unknown = Mark::Unknown {
        tags: "volward.new=a/b".to_owned(),
    };
    let marks: Vec<Option<Mark>> = marks.chain([unknown]).map(Some).chain([None]).collect();
    let mut sights = vec![Sight::nothing(false), Sight::nothing(true)];
    for mark in marks {
        for (name, size) in [("data", SIZE), ("data", LARGER), ("volward-dying-x", SIZE)] {
            for (holds, works) in [(false, false), (true, false), (true, true)] {
                for known in [false, true] {
                    sights.push(Sight {
                        known,
                        volume: Some(seen(name, size, mark.clone())),
                        holds,
                        works,
                        attached: false,
                        behind: false,
                        source: None,
                    });
                }
            }
        }
    }
    let attached = sights.iter().filter(|s| s.volume.is_some() && !s.holds);
    let attached: Vec<Sight> = attached
        .cloned()
        .flat_map(|sight| {
            [false, true].map(|behind| Sight {
                attached: true,
                behind,
                ..sight.clone()
            })
        })
        .collect();
    sights.extend(attached);
    sights
}

/// Everything that may be found of the source of a copy.
fn sources() -> Vec<Option<SourceSeen>> {
    let copying = |by| Mark::Copying {
        by: id(by),
        size: SIZE,
    };
    let marks = [
        None,
        Some(copying("op")),
        Some(copying("other")),
        Some(Mark::Dying { by: id("other") }),
    ];
    let mut sources = vec![None];
    for mark in marks {
        for (holds, works) in [(false, false), (true, false), (true, true), (false, true)] {
            for read in [false, true] {
                sources.push(Some(SourceSeen {
                    size: SIZE,
                    mark: mark.clone(),
                    holds,
                    works,
                    read,
                }));
            }
        }
    }
    sources
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
                if let OperationStep::Zero { amount, .. } | OperationStep::Copy { amount, .. } =
                    &step
                {
                    operation.zeroed = Bytes(operation.zeroed.0 + amount.0);
                }
                sight = sight.after(&step, &made);
            }
        }
    }
    unreachable!("{operation:?} does not end from {sight:?}");
}

/// With every source that a copy may find.
fn sights_for(task: &VolumeTask) -> Vec<Sight> {
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
    for task in tasks().into_iter().chain([rename()]).chain(copies()) {
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
        assert!(
            !is_ours(mark.as_ref(), &operation.id) || end != End::Done,
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
            (task, End::Cancelled | End::Failed { .. }) if task.makes() => {
                let half_made = matches!(&mark, Some(Mark::New { by }) if *by == operation.id);
                assert!(!half_made, "{case}");
            }
            _ => {}
        }
        if let Some(source) = &left.source {
            assert!(!is_ours(source.mark.as_ref(), &operation.id), "{case}");
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
                        now.zeroed >= all || taken_back,
                        "seen before it is zeroed: {case}"
                    );
                }
                OperationStep::Release => assert!(sight.holds, "{case}"),
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
    match step {
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
        _ => assert!(!source.works, "{case}"),
    }
}

/// What is behind the content of a copy is another tenant's, until it is zeroed.
#[test]
fn i27_a_copy_is_its_source_and_then_zeroes_before_its_mark_goes() {
    for (task, size) in copies().into_iter().zip([LARGER, SIZE]) {
        for wipe in WIPES {
            let sight = Sight {
                source: sources().into_iter().nth(1).unwrap(),
                ..Sight::nothing(false)
            };
            let (mut copied, mut zeroed, mut at) = (0, 0, 0);
            let noted = |_: &VolumeOperation, _: &Sight, step: &OperationStep| {
                let (from, amount, sum) = match step {
                    OperationStep::Copy { from, amount } => (from, amount, &mut copied),
                    OperationStep::Zero { from, amount } => (from, amount, &mut zeroed),
                    _ => return,
                };
                assert_eq!(from.0, at, "{task} {wipe}: no gap");
                at += amount.0;
                *sum += amount.0;
            };
            let operation = operation(&task, Course::Forward);
            let (left, end, _) = follow(&operation, wipe, &sight, noted).unwrap();
            assert_eq!(end, End::Done);
            let tail = if wipe.before() { size.0 - SIZE.0 } else { 0 };
            assert_eq!((copied, zeroed), (SIZE.0, tail), "{task} {wipe}");
            assert_eq!(left.volume.unwrap().size, size);
        }
    }
}

/// The old content of another tenant: whoever may attach what was made or grown reads zeroes.
#[test]
fn i27_what_is_made_or_grown_is_zeroed_before_its_mark_goes() {
    let [create, _, extend] = tasks();
    let there = Sight {
        volume: Some(seen("data", SIZE, None)),
        ..Sight::nothing(true)
    };
    for (task, sight, all) in [
        (create, Sight::nothing(false), SIZE),
        (extend, there, Bytes(LARGER.0 - SIZE.0)),
    ] {
        for wipe in WIPES {
            let mut zeroed = Vec::new();
            let operation = operation(&task, Course::Forward);
            let noted = |_: &VolumeOperation, _: &Sight, step: &OperationStep| {
                if let OperationStep::Zero { from, amount } = step {
                    zeroed.push((from.0, amount.0));
                }
            };
            let (_, end, sum) = follow(&operation, wipe, &sight, noted).unwrap();
            assert_eq!(end, End::Done);
            let before = matches!(wipe, Wipe::BeforeUse | Wipe::Both);
            assert_eq!(sum, if before { all } else { Bytes(0) }, "{task} {wipe}");
            let joined = zeroed.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0);
            assert!(joined, "no gap: {zeroed:?}");
        }
    }
}

/// What is committed is not taken back: neither by a failure nor by whoever cancels it.
#[test]
fn past_its_commit_point_an_operation_goes_on() {
    every_case(|operation, wipe, found| {
        if !is_committed(operation, found) || operation.course == Course::Forward {
            return;
        }
        let by_ours = found.volume.as_ref().and_then(|seen| seen.mark.as_ref());
        let foreign = by_ours.is_some_and(|mark| !is_ours(Some(mark), &operation.id));
        let Ok((_, end, _)) = follow(operation, wipe, found, |_, _, _| {}) else {
            return;
        };
        let gone = found.volume.is_none();
        let is_delete = matches!(operation.task, VolumeTask::Delete { .. });
        if !gone && (!foreign || is_delete) {
            assert_eq!(end, End::Done, "{operation:?} {found:?}");
        }
    });
}

/// Another operation's volume is neither taken over nor removed, but by a delete.
#[test]
fn what_another_operation_has_marked_is_left_alone() {
    let [create, _, extend] = tasks();
    for task in [create, extend, rename()].into_iter().chain(copies()) {
        for course in courses() {
            for sight in sights_for(&task) {
                let mark = sight.volume.as_ref().and_then(|seen| seen.mark.clone());
                if mark.is_none() || is_ours(mark.as_ref(), &id("op")) {
                    continue;
                }
                let operation = operation(&task, course.clone());
                let touched = |_: &VolumeOperation, _: &Sight, step: &OperationStep| {
                    let lets_go = matches!(step, OperationStep::Release) || step.is_about_source();
                    assert!(lets_go, "{operation:?} {sight:?}: {step:?}");
                };
                drop(follow(&operation, Wipe::BeforeUse, &sight, touched));
            }
        }
    }
}

/// What `--dry-run` prints, as it was reviewed.
#[test]
fn the_steps_are_as_reviewed() {
    let [create, delete, extend] = tasks();
    let there = |attached| Sight {
        volume: Some(seen("data", SIZE, None)),
        attached,
        ..Sight::nothing(true)
    };
    let copied = |read| Sight {
        source: Some(SourceSeen {
            size: SIZE,
            mark: None,
            holds: false,
            works: false,
            read,
        }),
        ..Sight::nothing(false)
    };
    let ([copy, snapshot], rename) = (copies(), rename());
    let mut text = String::new();
    for (task, sight, what) in [
        (&create, Sight::nothing(false), ""),
        (&delete, there(false), ""),
        (&extend, there(false), ", detached"),
        (&extend, there(true), ", attached here"),
        (&copy, copied(false), ", detached"),
        (&snapshot, copied(true), ", read elsewhere"),
        (&rename, there(false), ""),
    ] {
        for wipe in WIPES {
            let (steps, end) = dry_run(&operation(task, Course::Forward), wipe, &sight).unwrap();
            assert_eq!(end, End::Done);
            text += &format!("{task}{what}, wipe {wipe}:\n");
            text.extend(steps.iter().map(|step| format!("  {step}\n")));
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/operate.txt");
    #[expect(clippy::disallowed_methods, reason = "golden files are read by path")]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    #[expect(clippy::disallowed_methods, reason = "golden files are read by path")]
    let reviewed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, reviewed, "UPDATE_GOLDEN=1 rewrites {path}");
}
