//! Masked records give nobody away, and stay what they were otherwise.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

use proptest::prelude::*;
use volward_record::{
    Answer, Combined, DecisionRecord, Denial, Facts, Mask, PluginVerdict, Scenario, Verdict,
};

/// A record in which every place that can hold a name holds one that is found again.
fn telltale() -> DecisionRecord {
    let scenario = r#"{"facts": {
        "request": {"instance": "deadbeef-0000-4000-8000-000000000001", "instance_name": "secret-guest",
                    "origin": {"other": "secret-origin"}, "purpose": {"other": "secret-purpose"},
                    "hints": [["tenant", "secret-hint"]]},
        "node": {"name": "secret-node", "labels": [["rack", "secret-label"]]},
        "peer": {"name": "secret-peer"},
        "disks": [{"id": "secretsecretsecretsecretsecret00:secretsecretsecretsecretsecret01",
                   "pool": "secret-pool", "name": "secret-volume", "tags": ["secret-tag"],
                   "home": {"state": "split", "node": "secret-home",
                            "copy": "secretsecretsecretsecretsecret02", "generation": 3},
                   "attachments": [{"node": "secret-holder",
                                    "instance": "deadbeef-0000-4000-8000-000000000002"}]}]}}"#;
    let facts: Facts = serde_json::from_str::<Scenario>(scenario).unwrap().facts();
    let denial = Denial {
        code: "in-use".into(),
        message: "secret-pool/secret-volume is attached on secret-holder for \
                  deadbeef-0000-4000-8000-000000000002"
            .into(),
        retry_after_ms: None,
    };
    let plugin = PluginVerdict {
        plugin: "baseline".into(),
        digest: "ab".repeat(32),
        interface: "volward:policy@0.1.0".into(),
        monitored: false,
        config: [("prefix", "secret-prefix"), ("least", "7")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        verdict: Verdict::Denied(denial.clone()),
        log: vec!["secret-guest asks".into()],
        micros: 1,
    };
    DecisionRecord {
        hook: "attach".into(),
        copies: Vec::new(),
        plugins: vec![plugin],
        combined: Combined::Denied(vec![("baseline".into(), denial)]),
        micros: 2,
        facts,
    }
}

fn json(record: &DecisionRecord) -> String {
    serde_json::to_string_pretty(record).unwrap()
}

#[test]
fn no_name_is_left() {
    let mut record = telltale();
    assert!(json(&record).matches("secret").count() > 15);
    Mask::default().record(&mut record);
    let text = json(&record);
    for trace in ["secret", "deadbeef", "secret".repeat(2).as_str()] {
        assert!(!text.contains(trace), "{trace} in {text}");
    }
    let Combined::Denied(denials) = &record.combined else {
        panic!("{text}")
    };
    assert_eq!(
        denials[0].1.message,
        "pool1/volume1 is attached on node4 for 00000000-0000-4000-8000-000000000002"
    );
    // What says nothing about anybody is kept.
    assert_eq!(record.plugins[0].config["least"], "7");
    assert_eq!(record.facts.disks[0].home.generation, 3);
}

#[test]
fn the_same_word_has_the_same_stand_in_throughout_an_export() {
    let mut mask = Mask::default();
    let (mut one, mut two) = (telltale(), telltale());
    two.facts.request.instance_name = "another".into();
    mask.record(&mut one);
    mask.record(&mut two);
    assert_eq!(one.facts.node, two.facts.node);
    assert_eq!(one.facts.request.instance_name, "guest1");
    assert_eq!(two.facts.request.instance_name, "guest2");
}

/// A policy that compares tags with its settings decides the masked record as it did the other.
#[test]
fn a_word_is_the_same_wherever_it_stands() {
    let mut record = telltale();
    record.facts.disks[0].tags = vec!["golden".to_owned()];
    let plugin = &mut record.plugins[0];
    plugin.config = [("tags".to_owned(), "silver, golden 7".to_owned())].into();
    plugin.log = vec!["it is golden, not silver".to_owned()];
    Mask::default().record(&mut record);
    let tag = &record.facts.disks[0].tags[0];
    let plugin = &record.plugins[0];
    assert_eq!(plugin.config["tags"], format!("setting1, {tag} 7"));
    assert_eq!(plugin.log, [format!("it is {tag}, not setting1")]);
}

proptest! {
    /// Masking keeps who conflicts with whom: disks, holders and homes are the same where they
    /// were, and other where they were other.
    #[test]
    fn what_was_the_same_stays_so(record in volward_samples::record()) {
        let mut masked = record.clone();
        Mask::default().record(&mut masked);
        let shape = |facts: &Facts| -> Vec<(bool, bool, u64)> {
            let disks = || facts.disks.iter().chain(&facts.held);
            disks()
                .flat_map(|a| disks().map(move |b| (a.id == b.id, a.pool == b.pool, a.size.0)))
                .collect()
        };
        prop_assert_eq!(shape(&masked.facts), shape(&record.facts));
        prop_assert_eq!(masked.facts.now_ms, record.facts.now_ms);
        prop_assert_eq!(
            Answer::as_asked(&masked.facts).disks.len(),
            Answer::as_asked(&record.facts).disks.len()
        );
    }
}
