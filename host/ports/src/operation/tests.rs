use volward_model::{Access, AttachmentState, Bytes, Claim, Sharing, VolumeId};
use volward_plan::DiskForm;

use super::StepMark::{Done, Started, Undone, Waiting};
use super::*;

fn volume(lv: &str) -> VolumeRef {
    VolumeRef {
        id: VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: lv.repeat(32).parse().unwrap(),
        },
        pool: "vg0".parse().unwrap(),
        name: "web".parse().unwrap(),
    }
}

fn instance() -> InstanceId {
    "11111111-2222-3333-4444-555555555555".parse().unwrap()
}

fn stored() -> StoredAttachment {
    StoredAttachment {
        volume: volume("a"),
        instance: instance(),
        instance_name: "web1".into(),
        form: DiskForm::Own,
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        asked: Access::ReadWrite,
        claims: [Claim::Libvirt].into(),
        copy: None,
        since_ms: 7,
        sequence: 1,
        boot_id: "b".into(),
        state: AttachmentState::Attached,
        causes: vec![],
        migration: None,
    }
}

/// A copy, and two steps after the commit point at index 1.
fn steps() -> [Step; 3] {
    let link = Step::Link {
        volume: volume("a"),
        instance: instance(),
    };
    let copy = Step::MakeCopy {
        volume: volume("a"),
        local: "nvme".parse().unwrap(),
        size: Bytes::mib(64),
        metadata: Bytes::mib(4),
    };
    [copy, link.clone(), link]
}

fn attach(marks: [StepMark; 3]) -> Operation {
    let planned = steps().map(|step| Planned { step, undo: vec![] });
    let mut operation = Operation::Attach {
        instance: instance(),
        steps: Marked::waiting(planned),
        commit_at: 1,
        puts: vec![stored()],
    };
    operation.mark_all(&marks).unwrap();
    operation
}

fn detach(marks: [StepMark; 3]) -> Operation {
    let why = "it contradicts itself".to_owned();
    let leaving = [
        ("a", Afterwards::WriteBack),
        ("c", Afterwards::Nothing),
        ("d", Afterwards::Keep { why }),
    ];
    let leaving = leaving.map(|(lv, then)| LeavingVolume {
        volume: volume(lv),
        then,
    });
    let mut operation = Operation::Detach {
        instance: instance(),
        steps: Marked::waiting(steps()),
        leaving: leaving.into(),
    };
    operation.mark_all(&marks).unwrap();
    operation
}

#[test]
fn i30_an_attach_is_undone_until_a_path_may_have_been_published() {
    for (marks, begun) in [
        ([Waiting, Waiting, Waiting], 0),
        ([Started, Waiting, Waiting], 1),
        ([Done, Waiting, Waiting], 1),
        // A roll-back that was interrupted.
        ([Done, Undone, Undone], 3),
        ([Undone, Undone, Undone], 3),
    ] {
        let operation = attach(marks);
        let expected = operation.undoable().unwrap().get(..begun).unwrap();
        let recovery = Recovery::Undo { begun: expected };
        assert_eq!(operation.recovery(false), recovery, "{marks:?}");
    }
}

#[test]
fn i30_an_attach_is_completed_once_a_path_may_have_been_published() {
    for (marks, from) in [
        ([Done, Started, Waiting], 1),
        ([Done, Done, Waiting], 2),
        ([Done, Done, Started], 2),
        ([Done, Done, Done], 3),
    ] {
        let recovery = Recovery::Complete { from };
        assert_eq!(attach(marks).recovery(false), recovery, "{marks:?}");
    }
}

#[test]
fn an_attach_without_a_step_after_its_commit_point_is_completed_only_when_whole() {
    let with = |marks| {
        let mut operation = attach(marks);
        if let Operation::Attach { commit_at, .. } = &mut operation {
            *commit_at = 3;
        }
        operation
    };
    let undone = with([Done, Done, Started]);
    assert!(matches!(undone.recovery(false), Recovery::Undo { begun } if begun.len() == 3));
    let whole = with([Done, Done, Done]);
    assert_eq!(whole.recovery(false), Recovery::Complete { from: 3 });
}

#[test]
fn an_attach_without_steps_ends_as_undone() {
    let nothing = Operation::Attach {
        instance: instance(),
        steps: vec![],
        commit_at: 0,
        puts: vec![],
    };
    assert_eq!(nothing.recovery(false), Recovery::Undo { begun: &[] });
    assert_eq!(nothing.recovery(true), Recovery::Lapsed { copies: vec![] });
}

#[test]
fn an_attach_of_an_earlier_boot_leaves_its_copies_however_far_it_was() {
    let volume = volume("a");
    for marks in [[Waiting; 3], [Done, Done, Waiting], [Done; 3]] {
        let copies = vec![&volume];
        assert_eq!(attach(marks).recovery(true), Recovery::Lapsed { copies });
    }
}

#[test]
fn i30_a_detach_is_completed_and_after_a_restart_without_a_step() {
    for (marks, from) in [
        ([Waiting, Waiting, Waiting], 0),
        ([Done, Started, Waiting], 1),
        ([Done, Done, Done], 3),
    ] {
        let operation = detach(marks);
        assert_eq!(operation.recovery(false), Recovery::Complete { from });
        assert_eq!(operation.recovery(true), Recovery::Complete { from: 3 });
    }
}

#[test]
fn a_write_back_is_planned_anew_whatever_was_restarted() {
    let operation = Operation::WriteBack {
        volume: volume("a"),
    };
    for restarted in [false, true] {
        let volume = &volume("a");
        let recovery = Recovery::PlanAnew { volume };
        assert_eq!(operation.recovery(restarted), recovery);
    }
}

#[test]
fn a_detach_removes_its_own_instances_attachments_and_brings_its_copies_home() {
    let changes = detach([Waiting; 3]).changes();
    let key = |lv: &str| AttachmentKey {
        volume: volume(lv).id,
        instance: instance(),
    };
    assert_eq!(changes.remove, [key("a"), key("c")]);
    assert_eq!(changes.write_back, [volume("a")]);
    assert_eq!(changes.put, []);
    let kept = (key("d"), "it contradicts itself".to_owned());
    assert_eq!(changes.quarantine, [kept]);
}

#[test]
fn marks_of_another_number_of_steps_are_an_error_and_change_nothing() {
    for mut operation in [attach([Done; 3]), detach([Done; 3])] {
        for marks in [&[Started; 2][..], &[Started; 4], &[]] {
            let marked = operation.mark_all(marks);
            let (steps, marks) = (3, marks.len());
            assert_eq!(marked, Err(MarksMismatch { steps, marks }));
        }
        assert!(operation.steps().iter().all(|(_, mark)| *mark == Done));
        assert!(!operation.mark(3, Started));
    }
}
