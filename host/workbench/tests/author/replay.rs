//! Replaying a log with the same policies, configurations and facts gives the same answers.
use crate::support::Desk;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use volward_model::scenario::Hook;
use volward_model::{Combined, DecisionRecord, FaultKind, Verdict};
use volward_policy::{LogEntry, LogWriter, Outcome};
use volward_workbench::chain::{Candidates, Selection, ask};
use volward_workbench::replay::{Options, Report, entries, files};

/// Generated requests a run; thousands, as promised.
const REQUESTS: usize = 3_000;

fn candidates(desk: &Desk, deadline_ms: u32) -> Candidates {
    let selection = Selection {
        policies: vec![desk.path("chain")],
        deadline_ms: Some(deadline_ms),
        ..Selection::default()
    };
    Candidates::read(&selection).unwrap()
}

/// Has generated requests decided and logged, and reads the log for other eyes.
fn decide(desk: &Desk, candidates: &Candidates, requests: usize) -> Vec<DecisionRecord> {
    let mut log = LogWriter::new(std::fs::File::create(desk.path("log.jsonl")).unwrap());
    let chain = candidates.chain();
    let mut runner = TestRunner::deterministic();
    let made = (
        volward_samples::facts(),
        proptest::collection::vec(
            (volward_samples::volume(), volward_samples::copy_fate()),
            0..3,
        ),
    );
    let mut records = Vec::new();
    for n in 0..requests {
        let (facts, copies) = made.new_tree(&mut runner).unwrap().current();
        let hook = if n % 5 == 0 {
            Hook::Detach
        } else {
            Hook::Attach
        };
        let record = ask(&chain, hook, &facts, &copies);
        log.write(&record, &Outcome::Done).unwrap();
        records.push(record);
    }
    records
}

fn replay(desk: &Desk, candidates: &Candidates, options: Options) -> Report {
    files(candidates, &[desk.path("log.jsonl")], options).unwrap()
}

#[test]
fn the_same_policies_answer_the_same_over_thousands_of_requests() {
    let desk = Desk::new();
    desk.put_policy("chain/10-one-writer", "one-writer", "");
    desk.put_policy(
        "chain/20-deny-by-prefix",
        "deny-by-prefix",
        "[config]\nprefix = \"test-\"\n",
    );
    desk.put_policy("chain/30-hydrate-local", "hydrate-local", "");
    // Traps at every request, without effect; advises at detach.
    desk.put_policy(
        "chain/40-hostile",
        "hostile",
        "level = \"monitor\"\n[config]\ndo = \"panic\"\n",
    );
    // Far more than anything takes.
    let chain = candidates(&desk, 5_000);
    assert!(chain.refused().is_empty(), "{:?}", chain.refused());
    let records = decide(&desk, &chain, REQUESTS);
    let of = |kind: fn(&Combined) -> bool| records.iter().filter(|r| kind(&r.combined)).count();
    // The generated requests are worth something: all outcomes are among them.
    assert!(of(|c| matches!(c, Combined::Granted(_))) > 100);
    assert!(of(|c| matches!(c, Combined::Denied(_))) > 100);
    assert!(of(|c| matches!(c, Combined::Advised(_))) > 100);

    let unchanged = |report: &Report| {
        assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
        assert_eq!(
            (report.same, report.changed, report.late, report.deadline),
            (u64::try_from(REQUESTS).unwrap(), 0, 0, 0),
            "{}",
            report.text()
        );
        assert!(report.policies.iter().all(|p| p.other == 0));
    };
    unchanged(&replay(&desk, &chain, Options::default()));

    // Another configuration changes exactly those whose names it is about.
    desk.put(
        "chain/20-deny-by-prefix.toml",
        "[config]\nprefix = \"web-\"\n",
    );
    let changed = candidates(&desk, 5_000);
    let report = replay(&desk, &changed, Options::default());
    let concerned = |record: &&DecisionRecord| {
        let name = &record.facts.request.instance_name;
        record.hook == "attach" && (name.starts_with("web-") || name.starts_with("test-"))
    };
    let expected = records.iter().filter(concerned).count();
    assert!(expected > 100);
    assert_eq!(report.changed, u64::try_from(expected).unwrap());
    assert!(!report.nothing_changes());
    // With the configuration in the records nothing does.
    let recorded = Options {
        recorded_settings: true,
        ..Options::default()
    };
    unchanged(&replay(&desk, &changed, recorded));

    // However many threads, the report is one.
    let groups = |threads: usize| {
        let some = records.iter().take(300).map(|record| LogEntry {
            seq: 0,
            record: record.clone(),
            outcome: Outcome::Done,
        });
        let options = Options {
            threads: std::num::NonZero::new(threads),
            ..Options::default()
        };
        serde_json::to_value(entries(&changed, some, options).groups).unwrap()
    };
    assert_eq!(groups(1), groups(3));
}

#[test]
fn faults_that_are_no_function_of_the_facts_are_left_out_and_counted() {
    let desk = Desk::new();
    desk.put_policy("chain/10-hostile", "hostile", "[config]\ndo = \"loop\"\n");
    let looping = candidates(&desk, 20);
    let records = decide(&desk, &looping, 10);
    let late = |record: &&DecisionRecord| {
        record
            .plugins
            .iter()
            .any(|p| matches!(&p.verdict, Verdict::Faulted(f) if f.kind == FaultKind::Deadline))
    };
    let late = u64::try_from(records.iter().filter(late).count()).unwrap();
    assert_eq!(late, 8, "attaches loop, detaches do not");
    let report = replay(&desk, &looping, Options::default());
    assert_eq!((report.deadline, report.same, report.changed), (late, 2, 0));

    // A policy that begins to loop is no silence: nobody knows what would come of it.
    let desk = Desk::new();
    desk.put_policy("chain/10-hostile", "hostile", "");
    decide(&desk, &candidates(&desk, 5_000), 5);
    desk.put("chain/10-hostile.toml", "[config]\ndo = \"loop\"\n");
    let report = replay(&desk, &candidates(&desk, 20), Options::default());
    assert_eq!((report.late, report.same), (4, 1));
    assert!(!report.nothing_changes());
}
