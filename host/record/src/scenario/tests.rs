#![allow(
    clippy::disallowed_methods,
    reason = "a published file is read by path"
)]

use super::*;
use crate::answer::Answer;
use crate::decision::{Combined, PluginVerdict, Verdict};

fn read(text: &str) -> Scenario {
    serde_json::from_str(text).unwrap()
}

fn granted(scenario: &Scenario) -> Combined {
    Combined::Granted(Answer::as_asked(&scenario.facts()))
}

fn places(scenario: &Scenario, combined: &Combined) -> Vec<String> {
    let found = scenario.differences(&scenario.facts(), &[], combined);
    found.into_iter().map(|d| d.place).collect()
}

/// `UPDATE_GOLDEN=1` writes the file instead, for review.
#[test]
fn the_published_schema_is_this_format() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/scenario.schema.json"
    );
    let schema = schemars::schema_for!(Scenario);
    let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == made,
        "docs/scenario.schema.json differs; UPDATE_GOLDEN=1 rewrites it"
    );
}

#[test]
fn an_empty_scenario_is_an_ordinary_request() {
    let scenario = read("{}");
    let facts = scenario.facts();
    assert_eq!(scenario, Scenario::default());
    assert_eq!(facts.request.instance_name, "guest");
    assert_eq!(facts.node.name.as_str(), "node1");
    assert!(facts.disks.is_empty() && scenario.combined.is_none());
}

#[test]
fn disks_without_identity_get_one_each() {
    let scenario = read(
        r#"{"facts": {"disks": [{}, {"pool": "fast"}, {"attachments": [{}]}], "held": [{}]}}"#,
    );
    let facts = scenario.facts();
    let mut ids: Vec<_> = facts
        .disks
        .iter()
        .chain(&facts.held)
        .map(|d| d.id)
        .collect();
    assert_eq!(ids[0].vg, ids[2].vg);
    assert_ne!(ids[0].vg, ids[1].vg);
    assert_eq!(facts.disks[2].attachments[0].volume, ids[2]);
    assert_eq!(facts.disks[1].name.as_str(), "disk2");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert!(ids[0].to_string().starts_with("pool00-0000-"), "{}", ids[0]);
}

#[test]
fn a_misspelt_key_is_refused_wherever_it_is() {
    for bad in [
        r#"{"fact": {}}"#,
        r#"{"facts": {"disk": []}}"#,
        r#"{"facts": {"disks": [{"sharable": true}]}}"#,
        r#"{"facts": {"request": {"name": "x"}}}"#,
        r#"{"facts": {"disks": [{"attachments": [{"acces": "read-only"}]}]}}"#,
        r#"{"plugins": [{"plugin": "a", "conf": {}}]}"#,
        r#"{"combined": {"granted": {"disk": []}}}"#,
        r#"{"combined": {"granted": {"disks": [{"acess": "read-only"}]}}}"#,
        r#"{"combined": {"denied": [["a", {"cod": "x"}]]}}"#,
    ] {
        assert!(serde_json::from_str::<Scenario>(bad).is_err(), "{bad}");
    }
}

#[test]
fn granted_means_as_asked_but_for_what_is_said() {
    let scenario = read(
        r#"{"facts": {"disks": [{}, {}]},
            "combined": {"granted": {"disks": [{}, {"access": "read-only"}]}}}"#,
    );
    let Combined::Granted(mut answer) = granted(&scenario) else {
        panic!()
    };
    let is = Combined::Granted(answer.clone());
    assert_eq!(places(&scenario, &is), ["combined.disks[1].access"]);
    answer.disks[1].access = Access::ReadOnly;
    assert!(places(&scenario, &Combined::Granted(answer.clone())).is_empty());
    // A disk that was left out is compared too.
    answer.disks[0].copy_at_most = CopyMode::None;
    let is = Combined::Granted(answer);
    assert_eq!(places(&scenario, &is), ["combined.disks[0].copy_at_most"]);
}

#[test]
fn disks_can_be_named_by_their_volume() {
    let scenario = read(
        r#"{"facts": {"disks": [{}, {}]}, "combined": {"granted": {"disks": [
             {"volume": "pool0000000000000000000000000001:disk0000000000000000000000000002",
              "sharing": "shared"}]}}}"#,
    );
    let found = places(&scenario, &granted(&scenario));
    assert_eq!(found, ["combined.disks[1].sharing"]);
}

#[test]
fn an_expectation_for_a_disk_nobody_asked_for_does_not_hold() {
    for stray in [
        r#"{}, {}"#,
        r#"{"volume": "pool0000000000000000000000000001:disk0000000000000000000000000009"}"#,
    ] {
        let scenario = read(&format!(
            r#"{{"facts": {{"disks": [{{}}]}}, "combined": {{"granted": {{"disks": [{stray}]}}}}}}"#
        ));
        assert_eq!(places(&scenario, &granted(&scenario)).len(), 1, "{stray}");
    }
}

#[test]
fn a_denial_is_compared_by_who_and_code_and_by_what_else_is_said() {
    let denial = |code: &str, message: &str| crate::answer::Denial {
        code: code.into(),
        message: message.into(),
        retry_after_ms: None,
    };
    let scenario = read(r#"{"combined": {"denied": [["a", {"code": "in-use"}]]}}"#);
    let by = |who: &str, denial| Combined::Denied(vec![(who.to_owned(), denial)]);
    assert!(places(&scenario, &by("a", denial("in-use", "whatever"))).is_empty());
    assert_eq!(
        places(&scenario, &by("a", denial("x", ""))),
        ["combined.a.code"]
    );
    assert_eq!(
        places(&scenario, &by("b", denial("in-use", ""))),
        ["combined"]
    );
    let found = scenario.differences(&scenario.facts(), &[], &granted(&scenario));
    assert_eq!(
        found[0].to_string(),
        "combined: expected denied by a: in-use, found granted"
    );
    let strict = read(r#"{"combined": {"denied": [["a", {"code": "in-use", "message": "no"}]]}}"#);
    assert_eq!(
        places(&strict, &by("a", denial("in-use", "never"))),
        ["combined.a.message"]
    );
}

#[test]
fn single_policies_are_compared_where_something_is_said() {
    let scenario = read(
        r#"{"plugins": [{"plugin": "a", "verdict": "absent"},
                        {"plugin": "b", "config": {"k": "v"}},
                        {"plugin": "c", "verdict": "absent"}]}"#,
    );
    let said = |plugin: &str, verdict| PluginVerdict {
        plugin: plugin.into(),
        digest: String::new(),
        interface: String::new(),
        monitored: false,
        config: BTreeMap::new(),
        verdict,
        log: Vec::new(),
        micros: 0,
    };
    let plugins = [
        said("a", Verdict::Granted(Answer::default())),
        said("b", Verdict::Absent),
    ];
    let found = scenario.differences(&scenario.facts(), &plugins, &granted(&scenario));
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "plugins.a: expected no such hook, found granted",
            "plugins.c: expected an answer, found no such policy in the chain"
        ]
    );
}
