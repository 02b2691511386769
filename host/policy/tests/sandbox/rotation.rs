//! A rotation that fails half way loses nothing, and is done when it can be.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use volward_policy::{DecisionLog, LogFolder, LogLimits, Outcome, Which};

use crate::decision_log::{handle, open, record};

/// Tells the test's own process from the one that has few descriptors.
const FEW: &str = "VOLWARD_TEST_FEW_DESCRIPTORS";

fn numbers(folder: &Path) -> Vec<u64> {
    let folder = LogFolder::new(handle(folder));
    let all = folder.select(Which::default(), |_| true).unwrap();
    all.iter().map(|entry| entry.seq).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Descriptors are a process's: the other tests are to have theirs.
#[test]
fn a_file_that_cannot_be_put_aside_is_written_on_and_drops_no_other() {
    if std::env::var_os(FEW).is_some() {
        return without_descriptors();
    }
    let name = "rotation::a_file_that_cannot_be_put_aside_is_written_on_and_drops_no_other";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FEW, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{output:?}");
    assert!(said.contains("1 passed"), "{said}");
}

fn without_descriptors() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let current = Some(64);
    let few = Rlimit {
        current,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let full = |log: &DecisionLog| log.folder().files().unwrap().len() == 3;
    let mut n = 0;
    while !full(&log) {
        n += 1;
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    let current = || fs::metadata(folder.path().join("decisions.jsonl")).unwrap();
    while current().len() < 4_000 {
        n += 1;
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    let kept = numbers(folder.path());
    // Every descriptor is taken: no file can be begun.
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    for _ in 0..8 {
        n += 1;
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    let problem = log.problem().unwrap().to_owned();
    drop(taken);
    assert!(problem.contains("beginning a new file"), "{problem}");
    let mut expected = kept;
    let begun = expected.last().unwrap() + 1;
    expected.extend(begun..begun + 8);
    assert_eq!(numbers(folder.path()), expected);
    // The descriptors are there again: the file is put aside, and the oldest goes.
    log.append(&record(n + 1), &Outcome::Done).unwrap();
    assert_eq!(log.problem(), None);
    assert_eq!(log.folder().files().unwrap().len(), 3);
    assert!(current().len() < 4_000);
    assert_eq!(*numbers(folder.path()).last().unwrap(), begun + 8);
}

/// What a rotation leaves that was broken off after any of its steps.
#[test]
fn a_rotation_that_was_broken_off_goes_on_where_it_was() {
    for gap in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            file_bytes: 4_000,
            files: 5,
            keep_days: 0,
        };
        let mut log = DecisionLog::open(handle(folder.path()), limits).unwrap();
        let mut n = 0;
        while log.folder().files().unwrap().len() < 4 {
            n += 1;
            log.append(&record(n), &Outcome::Done).unwrap();
        }
        let path = |n: usize| match n {
            0 => folder.path().join("decisions.jsonl"),
            n => folder.path().join(format!("decisions.{n}.jsonl")),
        };
        // The later files were moved on, the one before the gap not yet.
        for n in (gap..4).rev() {
            fs::rename(path(n), path(n + 1)).unwrap();
        }
        fs::write(folder.path().join("decisions.next"), "").unwrap();
        let before = numbers(folder.path());
        for _ in 0..100 {
            n += 1;
            log.append(&record(n), &Outcome::Done).unwrap();
            if log.folder().files().unwrap().len() == 5 {
                break;
            }
        }
        let after = numbers(folder.path());
        assert_eq!(after[..before.len()], before[..], "gap at {gap}");
        assert_eq!(names(folder.path()).len(), 5, "{:?}", names(folder.path()));
        assert_eq!(log.problem(), None);
    }
}

/// On a full disk nothing can be written at the start, and what is there is to be read.
#[test]
fn opening_a_log_with_half_a_line_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let half = "{\"seq\":2,\"decision\":{\"req";
    let path = folder.path().join("decisions.jsonl");
    fs::write(&path, half).unwrap();
    let mut log = open(folder.path());
    assert_eq!(fs::read_to_string(&path).unwrap(), half);
    log.append(&record(1), &Outcome::Done).unwrap();
    assert_eq!(numbers(folder.path()), [1]);
}

/// Old files that cannot be removed are said, and keep nobody from recording.
#[test]
fn what_cannot_be_removed_is_said_and_decisions_go_on() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("decisions.7.jsonl")).unwrap();
    let mut log = open(folder.path());
    let problem = log.problem().unwrap();
    assert!(problem.contains("decisions.7.jsonl"), "{problem}");
    for n in 0..40 {
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    assert!(log.problem().is_some());
    fs::remove_dir(folder.path().join("decisions.7.jsonl")).unwrap();
    drop(log);
    assert_eq!(open(folder.path()).problem(), None);
}
