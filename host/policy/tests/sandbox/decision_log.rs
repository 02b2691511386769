//! The decision log keeps what it was given, through rotation, crashes and full disks.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::common::facts;
use volward_model::{Answer, Combined, DecisionRecord, RequestId};
use volward_policy::{DecisionLog, LogLimits, Outcome};

fn record(n: u128) -> DecisionRecord {
    let mut facts = facts(Vec::new());
    facts.request.id = request(n);
    DecisionRecord {
        hook: "attach".to_owned(),
        facts,
        copies: Vec::new(),
        plugins: Vec::new(),
        combined: Combined::Granted(Answer::default()),
        micros: 1,
    }
}

fn request(n: u128) -> RequestId {
    RequestId(uuid::Uuid::from_u128(n))
}

fn open(folder: &Path) -> DecisionLog {
    DecisionLog::open(
        folder,
        LogLimits {
            file_bytes: 2_000,
            files: 3,
        },
    )
    .unwrap()
}

#[test]
fn entries_are_found_again_the_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let refused = Outcome::Refused {
        code: "busy".into(),
        message: "later".into(),
    };
    log.append(&record(1), &refused).unwrap();
    log.append(&record(2), &Outcome::Done).unwrap();
    log.append(&record(1), &Outcome::Done).unwrap();
    let found = open(folder.path()).find(request(1)).unwrap().unwrap();
    assert_eq!((found.record, found.outcome), (record(1), Outcome::Done));
    assert_eq!(log.find(request(3)).unwrap(), None);
}

#[test]
fn old_files_go_and_the_kept_ones_can_still_be_searched() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    for n in 0..100 {
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    assert!(log.find(request(99)).unwrap().is_some());
    // In a file that was put aside.
    assert!(log.find(request(93)).unwrap().is_some());
    assert_eq!(log.find(request(0)).unwrap(), None);
}

#[test]
fn half_a_line_of_a_crash_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path())
        .append(&record(1), &Outcome::Done)
        .unwrap();
    let path = folder.path().join("decisions.jsonl");
    let half = b"{\"record\":{\"hook\":\"att";
    fs::OpenOptions::new()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(half)
        .unwrap();
    let mut log = open(folder.path());
    log.append(&record(2), &Outcome::Done).unwrap();
    for n in [1, 2] {
        assert!(log.find(request(n)).unwrap().is_some(), "{n}");
    }
}

#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let _log = open(folder.path());
    let mode = fs::metadata(folder.path().join("decisions.jsonl"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
