//! The author's commands, as authors run them.
use std::fs;

use crate::support::{Desk, assert_golden};
use volward_folder::Folder;
use volward_model::scenario::Hook;
use volward_model::{Combined, Scenario};
use volward_policy::{DecisionLog, LogLimits, Outcome};
use volward_workbench::chain::{Candidates, Selection, ask};

/// What an author would write first.
const SCENARIOS: &str = r#"{"title": "a name with the prefix is refused",
 "facts": {"request": {"instance_name": "test-1"}, "disks": [{}]},
 "combined": {"denied": [["deny-by-prefix", {"code": "name-refused"}]]}}
{"title": "another name is granted as asked",
 "facts": {"request": {"instance_name": "web-1"}, "disks": [{}, {}]},
 "combined": {"granted": {}}}
{"title": "what is taken is refused by the baseline",
 "facts": {"disks": [{"attachments": [{}]}]},
 "combined": {"denied": [["baseline", {"code": "in-use"}]]}}
{"title": "with another prefix test-1 is nothing special",
 "facts": {"request": {"instance_name": "test-1"}, "disks": [{}]},
 "plugins": [{"plugin": "deny-by-prefix", "config": {"prefix": "db-"}}],
 "combined": {"granted": {}}}
"#;

/// A desk with a policy that refuses names beginning with `test-`, and scenarios for it.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.put_policy(
        "50-deny-by-prefix",
        "deny-by-prefix",
        "[config]\nprefix = \"test-\"\n",
    );
    desk.put("scenarios.jsonl", SCENARIOS);
    desk
}

#[test]
fn scenarios_that_hold_are_counted_with_the_hooks_they_reached() {
    let desk = desk();
    let arguments = "test --policy 50-deny-by-prefix.wasm scenarios.jsonl";
    let ended = desk.run(arguments);
    assert_golden("test", arguments, &ended);
    assert_eq!(ended.code, 0);
    // Also from standard input.
    let piped = desk.run_with(
        "test --policy 50-deny-by-prefix.wasm -",
        SCENARIOS.as_bytes(),
    );
    assert_eq!(piped.code, 0, "{}", piped.stderr);
}

#[test]
fn what_is_not_as_expected_is_shown_side_by_side() {
    let desk = desk();
    desk.put_policy("60-hostile", "hostile", "[config]\ndo = \"narrow\"\n");
    desk.put(
        "wrong.jsonl",
        r#"{"title": "granted, it says", "facts": {"disks": [{}]}, "combined": {"granted": {}}}
{"title": "another code", "facts": {"request": {"instance_name": "test-1"}},
 "combined": {"denied": [["deny-by-prefix", {"code": "too-many", "message": "no"}]]}}
{"title": "by somebody else", "facts": {"request": {"instance_name": "test-1"}},
 "plugins": [{"plugin": "quota", "verdict": "absent"}],
 "combined": {"denied": [["quota", {"code": "too-many"}]]}}
{"title": "expects nothing"}
"#,
    );
    let arguments = "test --policy 50-deny-by-prefix.wasm --policy 60-hostile.wasm wrong.jsonl";
    let ended = desk.run(arguments);
    assert_golden("test-wrong", arguments, &ended);
    assert_eq!(ended.code, 4);
}

#[test]
fn a_folder_of_policies_is_a_chain_in_file_name_order() {
    let desk = desk();
    for (file, what) in [("chain/20-a", "refuse"), ("chain/10-b", "refuse")] {
        desk.put_policy(file, "hostile", &format!("[config]\ndo = \"{what}\"\n"));
    }
    desk.put(
        "both.jsonl",
        r#"{"combined": {"denied": [["b", {"code": "on-purpose"}], ["a", {"code": "on-purpose"}]]}}"#,
    );
    let ended = desk.run("test --policy chain both.jsonl");
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("  baseline: attach 1 (granted 1)"),
        "{}",
        ended.stdout
    );
    let without = desk.run("test --no-baseline --policy chain both.jsonl");
    assert!(!without.stdout.contains("baseline"), "{}", without.stdout);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let desk = desk();
    desk.put("typo.jsonl", "{}\n{\"fact\": {}}\n");
    for (arguments, said) in [
        (
            "test --policy 50-deny-by-prefix.wasm typo.jsonl",
            "typo.jsonl: no scenario",
        ),
        ("test --policy nothing.wasm scenarios.jsonl", "nothing.wasm"),
        ("test nothing.jsonl", "nothing.jsonl"),
        ("replay nothing", "nothing"),
        ("bench --against scenarios.jsonl", "no saved figures"),
    ] {
        let ended = desk.run(arguments);
        assert_eq!(ended.code, 1, "{arguments}: {}", ended.stdout);
        assert!(ended.stderr.contains(said), "{arguments}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn explain_tells_what_each_policy_made_of_it() {
    let desk = desk();
    desk.put_policy("60-hydrate-local", "hydrate-local", "");
    let arguments =
        "explain --policy 50-deny-by-prefix.wasm --policy 60-hydrate-local.wasm scenarios.jsonl";
    assert_golden("explain", arguments, &desk.run(arguments));
}

#[test]
fn check_runs_the_scenarios_beside_the_policy() {
    let desk = desk();
    assert!(
        !desk
            .run("check 50-deny-by-prefix.wasm")
            .stdout
            .contains("scenarios")
    );
    // As an author has them, and as the daemon reads them; where both are, the latter.
    desk.put("scenarios/one.jsonl", "{\"facts\": {\"disks\": [{}]}}");
    desk.put("scenarios/README", "no scenario");
    let ended = desk.run("check 50-deny-by-prefix.wasm");
    assert!(
        ended.stdout.contains("1 scenarios: 1 as expected"),
        "{}",
        ended.stdout
    );
    desk.put("50-deny-by-prefix.scenarios.jsonl", SCENARIOS);
    let ended = desk.run("check 50-deny-by-prefix.wasm");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("4 scenarios: 4 as expected"),
        "{}",
        ended.stdout
    );
    desk.put("other.toml", "[config]\nprefix = \"other-\"\n");
    let ended = desk.run("check 50-deny-by-prefix.wasm --settings other.toml");
    assert_eq!(ended.code, 4, "{}", ended.stdout);
}

#[test]
fn check_says_what_else_the_daemon_asks_of_a_file() {
    let desk = desk();
    desk.put_policy("one-writer", "one-writer", "");
    let ended = desk.run("check one-writer.wasm");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("called NN-one-writer.wasm"),
        "{}",
        ended.stdout
    );
    assert!(
        !desk
            .run("check 50-deny-by-prefix.wasm")
            .stdout
            .contains("NN-")
    );

    let limit = usize::try_from(volward_policy::Limits::default().component_bytes).unwrap();
    desk.put("50-big.wasm", vec![0; limit + 1]);
    let ended = desk.run("check 50-big.wasm");
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("it is bigger than"),
        "{}",
        ended.stderr
    );
}

#[test]
fn inspect_says_what_it_costs() {
    let desk = desk();
    let ended = desk.run("inspect 50-deny-by-prefix.wasm");
    let line = |key: &str| {
        let line = ended.stdout.lines().find(|line| line.starts_with(key));
        line.unwrap_or_else(|| panic!("no {key}: {}", ended.stdout))
            .to_owned()
    };
    assert!(line("hooks").ends_with("attach, lifecycle"));
    assert!(line("instance").contains(" fuel and "));
    assert!(!line("instance").contains(" 0 fuel"));
    desk.put("50-deny-by-prefix.toml", "[config]\nprefx = \"x\"\n");
    let ended = desk.run("inspect 50-deny-by-prefix.wasm");
    assert!(ended.stdout.contains("loads      no: "), "{}", ended.stdout);
}

#[test]
fn fuel_is_the_same_in_every_run_and_more_of_it_is_noticed() {
    let desk = desk();
    let bench = "bench --policy 50-deny-by-prefix.wasm --rounds 50 --time-tolerance 10000";
    let ended = desk.run(&format!("{bench} --save before.json"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for line in [
        "1 disks: p50 ",
        "100 disks: p50 ",
        "  deny-by-prefix: fuel ",
    ] {
        assert!(ended.stdout.contains(line), "{}", ended.stdout);
    }
    let again = desk.run(&format!("{bench} --against before.json --cost-tolerance 0"));
    assert_eq!(again.code, 0, "{}", again.stderr);
    // As if it had been cheaper before.
    let saved = fs::read_to_string(desk.path("before.json")).unwrap();
    let mut figures: serde_json::Value = serde_json::from_str(&saved).unwrap();
    figures["requests"][0]["policies"][1]["fuel"] = 10.into();
    desk.put("before.json", figures.to_string());
    let worse = desk.run(&format!("{bench} --against before.json"));
    assert_eq!(worse.code, 4);
    assert!(
        worse
            .stderr
            .starts_with("worse: 1 disks: fuel of deny-by-prefix: 10 -> "),
        "{}",
        worse.stderr
    );
}

/// Writes a log of what the desk's policy decides about some names.
fn write_log(desk: &Desk, names: &[&str]) {
    fs::create_dir(desk.path("log")).unwrap();
    let folder = Folder::open(&desk.path("log")).unwrap();
    let mut log = DecisionLog::open(folder, LogLimits::default()).unwrap();
    let selection = Selection {
        policies: vec![desk.path("50-deny-by-prefix.wasm")],
        ..Selection::default()
    };
    let chain = Candidates::read(&selection).unwrap().chain();
    for (n, name) in names.iter().enumerate() {
        let mut scenario: Scenario = serde_json::from_str(r#"{"facts": {"disks": [{}]}}"#).unwrap();
        scenario.facts.request.instance_name = (*name).to_owned();
        let id = uuid::Uuid::from_u128(0x1000 + u128::try_from(n).unwrap());
        scenario.facts.request.id = volward_model::RequestId(id);
        let record = ask(&chain, Hook::Attach, &scenario.facts(), &[]);
        let outcome = match &record.combined {
            Combined::Granted(_) => Outcome::Done,
            _ => Outcome::Refused {
                code: "denied".into(),
                message: "no".into(),
            },
        };
        log.append(&record, &outcome).unwrap();
    }
}

#[test]
fn replay_shows_what_would_change_grouped_by_kind() {
    let desk = desk();
    write_log(
        &desk,
        &["test-1", "web-1", "web-2", "db-1", "web-3", "web-4"],
    );
    let arguments = "replay --policy 50-deny-by-prefix.wasm log";
    let ended = desk.run(arguments);
    assert_golden("replay-same", arguments, &ended);
    assert_eq!(ended.code, 0);

    desk.put("50-deny-by-prefix.toml", "[config]\nprefix = \"web-\"\n");
    let ended = desk.run(arguments);
    assert_golden("replay-changed", arguments, &ended);
    assert_eq!(ended.code, 4);
    // With the settings in the records it is the same policy as ever.
    let ended = desk.run("replay --recorded-settings --policy 50-deny-by-prefix.wasm log");
    assert_eq!(ended.code, 0, "{}", ended.stdout);

    let json = desk.run("replay --json --policy 50-deny-by-prefix.wasm log");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["same"], &json["changed"]), (&1.into(), &5.into()));
    assert_eq!(json["groups"][0]["count"], 4);

    desk.put("50-deny-by-prefix.toml", "[config]\nprefx = \"web-\"\n");
    let ended = desk.run(arguments);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
}

#[test]
fn a_torn_line_is_named_and_the_rest_is_replayed() {
    let desk = desk();
    write_log(&desk, &["test-1", "web-1"]);
    let log = fs::read_to_string(desk.path("log/decisions.jsonl")).unwrap();
    desk.put("torn.jsonl", format!("{}\n{log}", &log[..40]));
    let ended = desk.run("replay --policy 50-deny-by-prefix.wasm torn.jsonl");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("the same: 2, changed: 0"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("\n  torn.jsonl:1: "),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_is_captured_is_a_scenario_that_holds() {
    let desk = desk();
    write_log(&desk, &["test-1", "web-1", "test-2"]);
    let request = "00000000-0000-0000-0000-000000001001";
    let ended = desk.run(&format!("capture log --request {request} --out one.jsonl"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let text = fs::read_to_string(desk.path("one.jsonl")).unwrap();
    assert!(
        text.contains("web-1") && text.lines().count() == 1,
        "{text}"
    );
    desk.run("capture log --out all.jsonl");
    let tested = desk.run("test --policy 50-deny-by-prefix.wasm one.jsonl all.jsonl");
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("4 scenarios: 4 as expected"));

    let masked = desk.run("capture log --last 1 --mask --title masked");
    assert!(
        masked.stdout.contains("\"title\":\"masked\""),
        "{}",
        masked.stdout
    );
    assert!(!masked.stdout.contains("test-2"), "{}", masked.stdout);
    assert_eq!(
        desk.run("capture log --request 00000000-0000-0000-0000-000000009999")
            .code,
        1
    );
}
