//! A decision is written before its first step, and how it ended in a line of its own.

use std::fs;
use std::io::Write;

use crate::decision_log::{handle, open, record, request};
use volward_policy::{DecisionLog, LogFolder, LogReader, Outcome, Which};

fn failed(why: &str) -> Outcome {
    Outcome::Failed {
        message: why.to_owned(),
    }
}

fn outcomes(folder: &std::path::Path) -> Vec<(u128, Outcome)> {
    let folder = LogFolder::new(handle(folder));
    let all = folder.select(Which::default(), |_| true).unwrap();
    all.into_iter()
        .map(|entry| (entry.record.facts.request.id.0.as_u128(), entry.outcome))
        .collect()
}

#[test]
fn what_was_begun_has_the_outcome_that_came_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    log.append(&record(1), &Outcome::Begun).unwrap();
    assert_eq!(
        log.find(request(1)).unwrap().unwrap().outcome,
        Outcome::Begun
    );
    log.append(&record(2), &Outcome::Begun).unwrap();
    log.end(request(1), &failed("decided again")).unwrap();
    // Decided again: the next end is the second decision's.
    log.append(&record(1), &Outcome::Begun).unwrap();
    log.end(request(1), &Outcome::Done).unwrap();
    assert_eq!(
        outcomes(folder.path()),
        [
            (1, failed("decided again")),
            (2, Outcome::Begun),
            (1, Outcome::Done)
        ]
    );
    assert_eq!(
        log.find(request(1)).unwrap().unwrap().outcome,
        Outcome::Done
    );
    // Of nothing that is there, or that has ended: without effect.
    log.end(request(9), &Outcome::Done).unwrap();
    log.end(request(1), &failed("late")).unwrap();
    assert_eq!(outcomes(folder.path())[2], (1, Outcome::Done));
    // A stream of decisions has them as they were written.
    let text = fs::read(folder.path().join("decisions.jsonl")).unwrap();
    let read: Vec<_> = LogReader::new(&text[..])
        .map(|item| item.unwrap().unwrap())
        .collect();
    assert!(read.len() == 3 && read.iter().all(|entry| entry.outcome == Outcome::Begun));
}

#[test]
fn the_end_finds_its_decision_in_an_older_file_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    log.append(&record(1), &Outcome::Begun).unwrap();
    log.append(&record(2), &Outcome::Begun).unwrap();
    // A line each, until a new file is begun.
    for n in 10.. {
        log.append(&record(n), &Outcome::Done).unwrap();
        if folder.path().join("decisions.1.jsonl").exists() {
            break;
        }
    }
    drop(log);
    let mut log: DecisionLog = open(folder.path());
    log.end(request(1), &Outcome::Done).unwrap();
    let said = outcomes(folder.path());
    assert_eq!(said[..2], [(1, Outcome::Done), (2, Outcome::Begun)]);
    assert_eq!(
        log.find(request(1)).unwrap().unwrap().outcome,
        Outcome::Done
    );
}

#[test]
fn a_long_outcome_is_cut_and_a_later_formats_line_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    log.append(&record(1), &Outcome::Begun).unwrap();
    // Two bytes a letter: cut between letters, not in one.
    log.end(request(1), &failed(&"\u{e9}".repeat(1 << 20)))
        .unwrap();
    let [(_, Outcome::Failed { message })] = &outcomes(folder.path())[..] else {
        panic!("{:?}", outcomes(folder.path()))
    };
    assert_eq!(message.len(), 4_096 + 4);
    log.append(&record(2), &Outcome::Begun).unwrap();
    drop(log);
    let path = folder.path().join("decisions.jsonl");
    let mut file = fs::File::options().append(true).open(path).unwrap();
    let later = serde_json::json!({
        "ends": {"format": 2, "request": request(2)}, "outcome": {"became": "done"}
    });
    writeln!(file, "{later}").unwrap();
    assert_eq!(outcomes(folder.path())[1], (2, Outcome::Begun));
}

/// The log of the version before this: no decision in it was begun.
#[test]
fn a_log_without_ends_is_read_as_it_was() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/compat/log/0.1.0.jsonl"
    );
    let text = fs::read(path).unwrap();
    let read: Vec<_> = LogReader::new(&text[..])
        .map(|item| item.unwrap().unwrap())
        .collect();
    let said: Vec<_> = read
        .iter()
        .map(|entry| (entry.seq, &entry.outcome))
        .collect();
    assert_eq!(
        said,
        [
            (0, &Outcome::Done),
            (1, &Outcome::Done),
            (2, &failed("decided again: another node was first")),
        ]
    );
    // And it is written on.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("decisions.jsonl"), text).unwrap();
    let mut log = open(folder.path());
    log.append(&record(3), &Outcome::Begun).unwrap();
    log.end(request(3), &Outcome::Done).unwrap();
    assert_eq!(log.last(), 3);
    assert_eq!(outcomes(folder.path()).last(), Some(&(3, Outcome::Done)));
}

/// Since 0.1.1: a decision of an operation on a volume, as it stays readable.
#[test]
fn a_log_with_an_operation_is_read_as_it_was_written() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/compat/log/operate.jsonl"
    );
    let text = fs::read(path).unwrap();
    let read: Vec<_> = LogReader::new(&text[..])
        .map(|item| item.unwrap().unwrap())
        .collect();
    let [entry] = &read[..] else {
        panic!("{read:?}")
    };
    let facts = &entry.record.facts;
    assert_eq!(
        facts.operated().as_deref(),
        Some("rename of vg0/a to vg0/b")
    );
    let scenario = volward_model::Scenario::try_from(&entry.record).unwrap();
    assert_eq!(scenario.hook, volward_model::scenario::Hook::Operate);
    // Written again it is the same text.
    let mut again = volward_policy::LogWriter::new(Vec::new());
    again.write(&entry.record, &entry.outcome).unwrap();
    assert_eq!(again.into_inner(), text);
}
