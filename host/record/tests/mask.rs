//! Masked records give nobody away, and stay what they were otherwise.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

use proptest::prelude::*;
use volward_record::{
    Answer, Combined, DecisionRecord, Denial, Facts, Fault, FaultKind, Mask, Outcome,
    PluginVerdict, Scenario, Verdict,
};

/// A record in which every place that can hold a name holds one that is found again.
fn telltale() -> DecisionRecord {
    let scenario = r#"{"facts": {
        "request": {"instance": "deadbeef-0000-4000-8000-000000000001", "instance_name": "secret-guest",
                    "origin": {"other": "secret-origin"}, "purpose": {"other": "secret-purpose"},
                    "caller_uid": 4242,
                    "hints": [["tenant", "secret-hint"], ["secret-key", "4711"]]},
        "node": {"name": "secret-node", "labels": [["rack", "secret-label"], ["secret-rack", "x"]]},
        "peer": {"name": "secret-peer"},
        "disks": [{"id": "secretsecretsecretsecretsecret00:secretsecretsecretsecretsecret01",
                   "pool": "secret-pool", "name": "secret-volume", "tags": ["secret-tag", "cluster=secret-group"],
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
        config: [
            ("prefix", "secret-prefix"),
            ("least", "4711"),
            ("instance-volumes", "7"),
            ("min-size", "20GiB"),
            ("hours", "22-6"),
            (
                "group-secret-group",
                "deadbeef-0000-4000-8000-000000000002 DEADBEEF-0000-4000-8000-000000000003",
            ),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into(),
        verdict: Verdict::Denied(denial.clone()),
        log: vec!["secret-guest asks".into()],
        micros: 1,
    };
    let mut fault = Fault::new(
        FaultKind::Trap,
        "secretly: deadbeef-0000-4000-8000-000000000009",
    );
    fault.backtrace.push("secret_policy::ask at 0x1a2b".into());
    let broken = PluginVerdict {
        plugin: "deny-secret".into(),
        verdict: Verdict::Faulted(fault.clone()),
        log: vec!["the customer 4711 is a Secretary".into()],
        ..plugin.clone()
    };
    DecisionRecord {
        hook: "attach".into(),
        copies: Vec::new(),
        plugins: vec![plugin, broken],
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
    assert!(!text.contains("4711") && !text.contains("4242"), "{text}");
    // What says nothing about anybody is kept.
    let config = &record.plugins[0].config;
    for (key, value) in [
        ("instance-volumes", "7"),
        ("min-size", "20GiB"),
        ("hours", "22-6"),
    ] {
        assert_eq!(config[key], value);
    }
    assert!(
        config["least"].parse::<u64>().is_ok(),
        "still a number: {config:?}"
    );
    assert_eq!(record.facts.disks[0].home.generation, 3);
    assert_eq!(record.facts.request.hints[0].0, "tenant");
    let broken = &record.plugins[1];
    let Verdict::Faulted(fault) = &broken.verdict else {
        panic!("{text}")
    };
    assert_eq!(fault.backtrace, ["[...]::ask at 0x1a2b"]);
    assert_eq!(broken.log, ["the [...] 900001 is a [...]"]);
}

/// cluster-disk reads the masked settings, and finds the same members in the same groups.
#[test]
fn groups_and_their_members_stay_together() {
    let mut record = telltale();
    Mask::default().record(&mut record);
    let tag = &record.facts.disks[0].tags[1];
    let group = tag.strip_prefix("cluster=").unwrap();
    let members = &record.plugins[0].config[&format!("group-{group}")];
    let holder = record.facts.disks[0].attachments[0].instance.to_string();
    let (first, second) = members.split_once(' ').unwrap();
    assert_eq!(first, holder);
    assert!(second.starts_with("00000000-0000-4000-8000-"), "{second}");
}

/// An outcome speaks of more than the facts: a peer in the registry, a path in LVM's output.
#[test]
fn an_outcome_leaves_out_what_nobody_knows() {
    let mut mask = Mask::default();
    mask.record(&mut telltale());
    let mut outcome = Outcome::Refused {
        code: "held-elsewhere".into(),
        message: "secret-pool/secret-volume is leased exclusive by node acme-north for instance \
                  deadbeef-0000-4000-8000-00000000000f; stop the instance there first"
            .into(),
    };
    mask.outcome(&mut outcome);
    assert_eq!(
        outcome,
        Outcome::Refused {
            code: "held-elsewhere".into(),
            message: "pool1/volume1 is leased exclusive by node [...]-[...] for instance \
                      00000000-0000-4000-8000-000000000005; stop the instance there first"
                .into(),
        }
    );
    let mut outcome = Outcome::Failed {
        message: "lvchange: /dev/mapper/acme-web: open failed: Jane's".into(),
    };
    mask.outcome(&mut outcome);
    let Outcome::Failed { message } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        message,
        "lvchange: /dev/mapper/[...]-[...]: open failed: [...]'[...]"
    );
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
    assert_eq!(plugin.config["tags"], format!("setting1, {tag} 900002"));
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
