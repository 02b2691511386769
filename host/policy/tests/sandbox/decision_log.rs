//! The decision log keeps what it was given, through rotation, crashes and full disks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use volward_folder::Folder;

use crate::common::{disk, facts};
use volward_model::{
    Answer, Combined, DecisionRecord, Fault, FaultKind, PluginVerdict, RequestId, Verdict,
};
use volward_policy::{
    BadLine, DecisionLog, LogEntry, LogFolder, LogLimits, LogReader, Outcome, WINDOW, Which,
};

pub(crate) fn record(n: u128) -> DecisionRecord {
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

pub(crate) fn request(n: u128) -> RequestId {
    RequestId(uuid::Uuid::from_u128(n))
}

pub(crate) fn handle(folder: &Path) -> Folder {
    Folder::open(folder).unwrap()
}

pub(crate) fn open(folder: &Path) -> DecisionLog {
    let limits = LogLimits {
        file_bytes: 4_000,
        files: 3,
        keep_days: 0,
    };
    DecisionLog::open(handle(folder), limits).unwrap()
}

/// Never rotates.
fn open_big(folder: &Path) -> DecisionLog {
    DecisionLog::open(handle(folder), LogLimits::default()).unwrap()
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("decisions.jsonl")).unwrap()
}

fn read(text: &str) -> Vec<Result<LogEntry, BadLine>> {
    LogReader::new(text.as_bytes())
        .map(|item| item.unwrap())
        .collect()
}

fn said(plugin: &str, config: &str) -> PluginVerdict {
    PluginVerdict {
        plugin: plugin.to_owned(),
        digest: "ab".repeat(32),
        interface: "volward:policy@0.1.0".to_owned(),
        monitored: false,
        config: BTreeMap::from([("key".to_owned(), config.to_owned())]),
        verdict: Verdict::Faulted(Fault::new(FaultKind::Trap, "it broke")),
        log: Vec::new(),
        micros: 7,
    }
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
    // In a file that was put aside, which holds the facts it refers to.
    assert!(!text(folder.path()).contains(&request(84).to_string()));
    assert!(log.find(request(84)).unwrap().is_some());
    assert_eq!(log.find(request(0)).unwrap(), None);
}

#[test]
fn half_a_line_of_a_crash_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path())
        .append(&record(1), &Outcome::Done)
        .unwrap();
    let path = folder.path().join("decisions.jsonl");
    let half = b"{\"seq\":2,\"decision\":{\"req";
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
    // A reader is told of it.
    let lines = read(&text(folder.path()));
    assert_eq!(lines.iter().filter(|line| line.is_err()).count(), 1);
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

#[test]
fn facts_and_configurations_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_big(folder.path());
    let mut expected = Vec::new();
    for n in 0..5u8 {
        let mut record = record(n.into());
        record.facts.disks = vec![disk("a")];
        // Asked again later: the same but for the request and the time.
        record.facts.now_ms += u64::from(n);
        record.plugins = vec![said("a", "x"), said("b", "x"), said("c", "y")];
        log.append(&record, &Outcome::Done).unwrap();
        expected.push(record);
    }
    let text = text(folder.path());
    let lines = |start: &str| text.lines().filter(|l| l.starts_with(start)).count();
    assert_eq!((lines("{\"facts\":"), lines("{\"config\":")), (1, 2));
    assert_eq!(lines("{\"seq\":"), 5);
    let records: Vec<_> = read(&text)
        .into_iter()
        .map(|entry| entry.unwrap().record)
        .collect();
    assert_eq!(records, expected);
}

#[test]
fn nobody_has_to_remember_more_than_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_big(folder.path());
    let numbered = |n: usize| {
        let mut record = record(1);
        record.facts.request.instance_name = n.to_string();
        record
    };
    // The first is asked again when it has just been forgotten by both sides.
    for n in (0..=WINDOW).chain([0]) {
        log.append(&numbered(n), &Outcome::Done).unwrap();
    }
    let entries = read(&text(folder.path()));
    assert_eq!(entries.len(), WINDOW + 2);
    let last = entries.last().unwrap().as_ref().unwrap();
    assert_eq!(last.record, numbered(0));
    assert!(entries.iter().all(Result::is_ok));
}

#[test]
fn facts_that_were_changed_afterwards_are_not_taken_for_what_was_decided_on() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path())
        .append(&record(1), &Outcome::Done)
        .unwrap();
    let changed = text(folder.path()).replace("web-1", "web-2");
    let entries = read(&changed);
    let is_changed = |entry: &Result<LogEntry, BadLine>| {
        matches!(entry, Err(BadLine::Changed { what: "facts", .. }))
    };
    assert!(entries.len() == 1 && is_changed(&entries[0]), "{entries:?}");
    // Neither is what is not there at all.
    let without = changed.lines().last().unwrap();
    assert!(matches!(read(without)[..], [Err(BadLine::Missing { .. })]));
}

#[test]
fn whole_records_of_earlier_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let old = serde_json::json!({ "record": record(1), "outcome": Outcome::Done });
    fs::write(folder.path().join("decisions.jsonl"), format!("{old}\n")).unwrap();
    let mut log = open(folder.path());
    log.append(&record(2), &Outcome::Done).unwrap();
    for n in [1, 2] {
        assert_eq!(log.find(request(n)).unwrap().unwrap().record, record(n));
    }
    assert_eq!(log.last(), 1);
}

#[test]
fn decisions_are_numbered_on_over_files_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..10 {
        let mut log = open(folder.path());
        log.append(&record(n), &Outcome::Done).unwrap();
        assert_eq!(u128::from(log.last()), n + 1);
    }
    // A new file is empty until the next decision.
    let folder = LogFolder::new(handle(folder.path()));
    let all = folder.select(Which::default(), |_| true).unwrap();
    let numbers: Vec<u64> = all.iter().map(|entry| entry.seq).collect();
    assert!(numbers.len() > 3 && numbers.windows(2).all(|w| w[1] == w[0] + 1));
    let after = |after, limit| {
        let which = Which {
            after,
            limit,
            ..Which::default()
        };
        let found = folder.select(which, |_| true).unwrap();
        found.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(after(8, 0), [9, 10]);
    assert_eq!(after(0, 4), [7, 8, 9, 10], "over two files");
    assert!(after(10, 0).is_empty());
}

#[test]
fn files_beyond_number_and_age_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    for n in 0..100 {
        log.append(&record(n), &Outcome::Done).unwrap();
    }
    let count = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(count(), 3);
    let old = fs::File::options()
        .write(true)
        .open(folder.path().join("decisions.2.jsonl"))
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "an old file is made")]
    let now = SystemTime::now();
    old.set_modified(now - Duration::from_secs(86_400 * 10))
        .unwrap();
    let limits = |files, keep_days| LogLimits {
        files,
        keep_days,
        ..LogLimits::default()
    };
    drop(DecisionLog::open(handle(folder.path()), limits(3, 11)).unwrap());
    assert_eq!(count(), 3, "not old enough");
    drop(DecisionLog::open(handle(folder.path()), limits(3, 9)).unwrap());
    assert_eq!(count(), 2);
    drop(DecisionLog::open(handle(folder.path()), limits(1, 0)).unwrap());
    assert_eq!(count(), 1, "the number was lowered");
}

#[test]
fn limits_that_make_no_sense_are_named() {
    let with = |file_bytes, files| LogLimits {
        file_bytes,
        files,
        keep_days: 0,
    };
    assert_eq!(LogLimits::default().problem(), None);
    assert!(with(1 << 20, 0).problem().unwrap().contains("files"));
    assert!(with(100, 3).problem().unwrap().contains("file-bytes"));
}

#[test]
fn a_line_without_end_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path())
        .append(&record(1), &Outcome::Done)
        .unwrap();
    let endless = std::io::Read::take(std::io::repeat(b'x'), 33 << 20);
    let good = text(folder.path());
    let input = std::io::Read::chain(endless, std::io::Cursor::new(format!("\n{good}")));
    let items: Vec<_> = LogReader::new(BufReader::new(input))
        .map(|item| item.unwrap())
        .collect();
    assert!(matches!(items[..], [Err(BadLine::Long { .. }), Ok(_)]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_record_comes_back_as_it_was(
        records in proptest::collection::vec(volward_samples::record(), 1..8),
        twice in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open_big(folder.path());
        for record in &records {
            log.append(record, &Outcome::Done).unwrap();
            if twice {
                log.append(record, &Outcome::Done).unwrap();
            }
        }
        let mut back: Vec<_> = read(&text(folder.path()))
            .into_iter()
            .map(|entry| entry.unwrap().record)
            .collect();
        if twice {
            prop_assert_eq!(back.len(), records.len() * 2);
            back = back.into_iter().step_by(2).collect();
        }
        prop_assert_eq!(&back, &records);
    }

    /// Whatever was done to a log, reading it ends, and what it yields was written.
    #[test]
    fn a_mutated_log_is_read_to_its_end(
        records in proptest::collection::vec(volward_samples::record(), 1..4),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open_big(folder.path());
        for record in &records {
            log.append(record, &Outcome::Done).unwrap();
        }
        let mut bytes = text(folder.path()).into_bytes();
        for (place, byte) in cuts {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let known: Vec<_> = records.iter().map(|r| &r.facts.disks).collect();
        for item in LogReader::new(&*bytes) {
            // Facts are kept by their digest; what else is in a line, nothing vouches for.
            if let Ok(entry) = item.unwrap() {
                prop_assert!(known.contains(&&entry.record.facts.disks));
            }
        }
    }
}
