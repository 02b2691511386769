use volward_control::ports::JournalKind;
use volward_model::{Access, AttachmentState, RequestId, Sharing, VolumeId, VolumeRef};
use volward_plan::{DiskForm, Planned, Step};

use super::*;

fn open(dir: &tempfile::TempDir) -> State {
    State::open(&dir.path().join("state.db")).unwrap()
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
        copy: None,
        since_ms: 7,
        sequence: 1,
        boot_id: "b".into(),
        state: AttachmentState::Attached,
        causes: vec![],
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
        kind: JournalKind::Attach,
        boot_id: "b".into(),
        started_ms: 5,
        instance: Some(attachment().instance),
        volumes: vec![volume()],
        steps: vec![Planned { step, undo: vec![] }],
        commit_at: 0,
        puts: vec![attachment()],
        removes: vec![],
        write_back: vec![],
        state: JournalState::Open,
        marks: vec![StepMark::Waiting],
        causes: vec![],
    }
}

fn done(put: Vec<StoredAttachment>) -> Finish {
    Finish {
        state: JournalState::Done,
        causes: vec![],
        put,
        remove: vec![],
        follow: vec![],
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
    let expected = JournalEntry {
        id,
        marks: vec![StepMark::Started],
        ..entry(1)
    };
    assert_eq!(found, [expected]);
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
    let open: Vec<u64> = state.open_entries().unwrap().iter().map(|e| e.id).collect();
    assert_eq!(open, next);
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
fn a_newer_layout_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir)
        .lock()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = State::open(&dir.path().join("state.db")).err().unwrap();
    assert!(error.to_string().contains("99"), "{error}");
}

#[test]
fn a_full_disk_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    // SQLite's own limit stands in for a full disk: the same code path, SQLITE_FULL.
    state
        .lock()
        .pragma_update(None, "max_page_count", 1)
        .unwrap();
    let mut large = entry(1);
    large.causes = vec!["x".repeat(1 << 20)];
    let error = state.begin(&large).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
}
