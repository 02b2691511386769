//! The decision log's folder: links in it, and another one in its place.

use std::fs;

use crate::decision_log::{handle, open, record};
use volward_policy::{DecisionLog, LogFolder, LogLimits, Outcome};

#[test]
fn a_link_out_of_the_folder_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let link = folder.path().join("decisions.jsonl");
    std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
    let opened = DecisionLog::open(handle(folder.path()), LogLimits::default());
    assert!(opened.is_err());
    assert_eq!(fs::metadata(elsewhere.path()).unwrap().len(), 0);
    assert!(LogFolder::new(handle(folder.path())).last_seq().is_err());
}

#[test]
fn a_folder_swapped_while_the_log_is_written_gets_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (ours, away) = (root.path().join("decisions"), root.path().join("away"));
    fs::create_dir(&ours).unwrap();
    let mut log = open(&ours);
    log.append(&record(1), &Outcome::Done).unwrap();
    fs::rename(&ours, &away).unwrap();
    fs::create_dir(&ours).unwrap();
    // Enough for new files to be begun.
    for n in 2..20 {
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    assert!(away.join("decisions.1.jsonl").exists());
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_only_called_alike_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "decisions.0.jsonl",
        "decisions.01.jsonl",
        "decisions.+7.jsonl",
    ] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    let mut log = open(folder.path());
    for n in 0..100 {
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
}
