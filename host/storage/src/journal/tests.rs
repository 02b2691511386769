use volward_model::{Access, AttachmentState, Claim, RequestId, Sharing, VolumeId, VolumeRef};
use volward_plan::{DiskForm, Planned, Step};
use volward_ports::{JournalState, Marked, Operation};

use super::*;

mod formats;

fn open(dir: &tempfile::TempDir) -> SqliteJournal {
    SqliteJournal::open(&Folder::open(dir.path()).unwrap()).unwrap()
}

fn volume() -> VolumeRef {
    VolumeRef {
        id: VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: "a".repeat(32).parse().unwrap(),
        },
        pool: "vg0".parse().unwrap(),
        name: "web".parse().unwrap(),
    }
}

fn attachment() -> StoredAttachment {
    StoredAttachment {
        volume: volume(),
        instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
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

fn entry(n: u128) -> JournalEntry {
    let step = Step::Link {
        volume: volume(),
        instance: attachment().instance,
    };
    JournalEntry {
        id: 0,
        request: RequestId(uuid::Uuid::from_u128(n)),
        boot_id: "b".into(),
        started_ms: 5,
        operation: Operation::Attach {
            instance: attachment().instance,
            steps: Marked::waiting([Planned { step, undo: vec![] }]),
            commit_at: 0,
            puts: vec![attachment()],
        },
        state: JournalState::Open,
        causes: vec![],
    }
}

fn done(put: Vec<StoredAttachment>) -> Finish {
    Finish {
        put,
        ..Finish::new(JournalState::Done)
    }
}

#[test]
fn i30_an_entry_is_found_after_a_crash_with_its_marks() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    let id = state.begin(&entry(1)).unwrap();
    state.mark(id, 0, StepMark::Started).unwrap();
    drop(state);
    let found = open(&dir).open_entries().unwrap();
    let mut expected = JournalEntry { id, ..entry(1) };
    assert!(expected.operation.mark(0, StepMark::Started));
    assert_eq!(found.whole, [expected]);
    assert_eq!(found.damaged, []);
}

#[test]
fn a_mark_of_a_step_that_an_entry_does_not_keep_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    let id = state.begin(&entry(1)).unwrap();
    for (entry, step) in [(id, 1), (id + 1, 0)] {
        let error = state.mark(entry, step, StepMark::Done).unwrap_err();
        let error = error.to_string();
        let says = format!("entry {entry} of the journal keeps no step {step}");
        assert!(error.contains(&says), "{error}");
    }
}

/// Neither a reason not to start, as guests may be running, nor taken for what it is not.
#[test]
fn i30_an_open_entry_with_marks_of_other_steps_is_set_apart() {
    for (damage, marks) in [
        ("DELETE FROM step", 0),
        ("UPDATE step SET n = 1", 0),
        ("INSERT INTO step VALUES (1, 1, 'more', 'done')", 2),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir);
        let id = state.begin(&entry(1)).unwrap();
        state.mark(id, 0, StepMark::Done).unwrap();
        let whole = state.begin(&entry(2)).unwrap();
        let only_first = damage.replace("step SET n = 1", "step SET n = 1 WHERE entry = 1");
        let only_first = only_first.replace("FROM step", "FROM step WHERE entry = 1");
        state.group.connection().execute_batch(&only_first).unwrap();
        drop(state);
        let state = open(&dir);
        let found = state.open_entries().unwrap();
        let numbers = |entries: &[JournalEntry]| entries.iter().map(|e| e.id).collect::<Vec<_>>();
        assert_eq!(numbers(&found.whole), [whole], "{damage}");
        let [damaged] = found.damaged.as_slice() else {
            panic!("{damage}: {found:?}");
        };
        assert_eq!(damaged.entry, JournalEntry { id, ..entry(1) });
        let cause = format!("entry 1 of the journal: it has 1 steps, and marks of {marks}");
        assert_eq!(damaged.cause, cause);
        let asked = state.find(&JournalQuery::Request(entry(1).request), 1);
        assert!(asked.unwrap_err().to_string().contains(&cause));
    }
}

#[test]
fn an_ended_entry_leaves_its_attachments_and_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    let id = state.begin(&entry(1)).unwrap();
    let end = Finish {
        follow: vec![entry(2)],
        ..done(vec![attachment()])
    };
    let next = state.finish(id, &end).unwrap();
    assert_eq!(state.attachments().unwrap(), [attachment()]);
    assert_eq!(state.open_entries().unwrap().whole, next);
    let numbered = JournalEntry {
        id: id + 1,
        ..entry(2)
    };
    assert_eq!(next, [numbered]);
    state
        .change_attachments(&[], &[attachment().key()])
        .unwrap();
    assert!(state.attachments().unwrap().is_empty());
}

#[test]
fn entries_are_found_by_request_instance_and_volume_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    for n in 1..=3 {
        state.begin(&entry(n)).unwrap();
    }
    let count = |what| {
        state
            .find(&what, 2)
            .unwrap()
            .iter()
            .map(|e| e.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(count(JournalQuery::Request(entry(2).request)), [2]);
    assert_eq!(count(JournalQuery::Instance(attachment().instance)), [3, 2]);
    assert_eq!(count(JournalQuery::Volume(volume())), [3, 2]);
}

#[test]
fn a_sequence_number_is_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir).next_sequence().unwrap();
    assert_eq!(open(&dir).next_sequence().unwrap(), first + 1);
}

#[test]
fn a_full_disk_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    // SQLite's own limit stands in for a full disk: the same code path, SQLITE_FULL.
    state
        .group
        .connection()
        .pragma_update(None, "max_page_count", 1)
        .unwrap();
    let mut large = entry(1);
    large.causes = vec!["x".repeat(1 << 20)];
    let error = state.begin(&large).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
}
