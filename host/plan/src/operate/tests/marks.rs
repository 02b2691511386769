//! What is committed, and what is another operation's.

use super::*;

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
    let copied = |read, writer| Sight {
        source: Some(SourceSeen {
            read,
            writer,
            ..source()
        }),
        ..Sight::nothing(false)
    };
    let wiped = Sight {
        source: Some(SourceSeen {
            wipes: true,
            ..source()
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
        (&copy, copied(false, None), ", detached"),
        (&snapshot, copied(true, None), ", read elsewhere"),
        (
            &snapshot,
            copied(false, Some(Writer::Apart)),
            ", written by a guest here",
        ),
        (&rename, there(false), ""),
        (&move_here(), copied(false, None), ""),
        (&move_here(), wiped, ", wiped where it was"),
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
