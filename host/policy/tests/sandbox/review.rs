//! The hooks that agree or refuse and narrow nothing: `migrate` and `operate`, over the real components.

use crate::common::{Lab, disk, facts, fault_kind, guest, verdict};
use volward_model::{
    Answer, Bytes, Combined, DiskFacts, Facts, FaultKind, NodeFacts, OperationFacts, OperationKind,
    Verdict,
};
use volward_policy::PluginState;

/// An instance comes from there.
fn coming_from(node: &str) -> Facts {
    let peer = NodeFacts {
        name: node.parse().unwrap(),
        labels: Vec::new(),
        local: None,
        io_pressure: None,
        attachments: None,
    };
    Facts {
        peer: Some(peer),
        ..facts(vec![disk("a")])
    }
}

fn to_delete(tags: &[&str]) -> Facts {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let operation = OperationFacts {
        kind: OperationKind::Delete,
        ..OperationFacts::default()
    };
    Facts {
        operation: Some(operation),
        ..facts(vec![DiskFacts { tags, ..disk("a") }])
    }
}

fn code(combined: &Combined) -> &str {
    match combined {
        Combined::Denied(denials) => &denials[0].1.code,
        other => panic!("not denied: {other:?}"),
    }
}

fn rules(settings: &str) -> Lab {
    let lab = Lab::new();
    lab.put("50-volume-rules.wasm", guest("volume-rules"));
    lab.put("50-volume-rules.toml", settings);
    lab
}

#[test]
fn an_operation_is_refused_by_whoever_has_the_hook_and_by_nobody_else() {
    let chain = rules("[config]\nprotected = \"keep\"").load();
    let record = chain.operate(&to_delete(&["keep"]));
    assert_eq!(
        (record.hook.as_str(), code(&record.combined)),
        ("operate", "protected")
    );
    assert_eq!(*verdict(&record, "baseline"), Verdict::Absent);
    // Agreed: nothing is said of the disk but what was there.
    let facts = to_delete(&[]);
    let record = chain.operate(&facts);
    assert_eq!(record.combined, Combined::Granted(Answer::as_asked(&facts)));
    // It has no say in anything else.
    let keep = to_delete(&["keep"]);
    for record in [chain.attach(&keep), chain.migrate(&keep)] {
        assert_eq!(*verdict(&record, "volume-rules"), Verdict::Absent);
        assert!(
            matches!(record.combined, Combined::Granted(_)),
            "{record:?}"
        );
    }
    let hooks = chain
        .status()
        .into_iter()
        .find(|one| one.name == "volume-rules");
    assert_eq!(hooks.unwrap().hooks, ["lifecycle", "operate"]);
}

#[test]
fn every_fact_of_an_operation_reaches_the_policy() {
    let lab = Lab::new();
    lab.put("50-witness.wasm", guest("witness"));
    let operation = OperationFacts {
        kind: OperationKind::Other("fold".into()),
        pool: "vg7".parse().unwrap(),
        new_name: Some("folded".parse().unwrap()),
        new_size: Some(Bytes(12_345)),
    };
    let facts = Facts {
        operation: Some(operation),
        ..facts(vec![disk("a")])
    };
    let record = lab.load().operate(&facts);
    let said = record.plugins.iter().find(|said| said.plugin == "witness");
    let told = &said.unwrap().log[0];
    for word in [
        "00000000-0000-0000-0000-000000000001",
        "OperationKind::Other(\"fold\")",
        "Origin::Libvirt",
        "\"vg7\"",
        "\"disk-a\"",
        "Some(\"folded\")",
        "Some(12345)",
        "\"r7\"",
        "1790000000000",
        "utc_offset_minutes: 120",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
}

/// A create has no volume yet.
#[test]
fn of_a_create_there_is_no_volume() {
    let lab = Lab::new();
    lab.put("50-witness.wasm", guest("witness"));
    let facts = Facts {
        operation: Some(OperationFacts::default()),
        ..facts(Vec::new())
    };
    let record = lab.load().operate(&facts);
    let said = record.plugins.iter().find(|said| said.plugin == "witness");
    assert!(said.unwrap().log[0].contains("volume: None"));
}

#[test]
fn a_migration_is_refused_by_where_it_comes_from() {
    let lab = Lab::new();
    lab.put("50-migration.wasm", guest("migration"));
    lab.put(
        "50-migration.toml",
        "[config]\nrack-a = \"n1 n2\"\nrack-b = \"n3\"",
    );
    let chain = lab.load();
    let within = coming_from("n2");
    let record = chain.migrate(&within);
    assert_eq!(record.hook, "migrate");
    assert_eq!(
        record.combined,
        Combined::Granted(Answer::as_asked(&within))
    );
    let record = chain.migrate(&coming_from("n3"));
    assert_eq!(code(&record.combined), "other-rack");
    assert_eq!(
        *verdict(&chain.attach(&coming_from("n3")), "migration"),
        Verdict::Absent
    );
}

#[test]
fn whatever_breaks_refuses_at_these_hooks_too_and_a_monitored_one_does_not() {
    for (misdeed, kind) in [
        ("panic", FaultKind::Trap),
        ("loop", FaultKind::Deadline),
        ("memory", FaultKind::Memory),
        ("log-lines", FaultKind::LogFlood),
    ] {
        let mut lab = Lab::new();
        if misdeed == "loop" {
            lab.limits.deadline_ms = 100;
        }
        let config =
            format!("[config]\ndo-at-migrate = \"{misdeed}\"\ndo-at-operate = \"{misdeed}\"");
        lab.put_hostile(&config);
        let chain = lab.load();
        for record in [
            chain.migrate(&coming_from("n2")),
            chain.operate(&to_delete(&[])),
        ] {
            assert_eq!(fault_kind(&record, "hostile"), kind, "{misdeed}");
            assert!(
                matches!(record.combined, Combined::Faulted(_)),
                "{record:?}"
            );
        }
        // A detach goes on.
        assert!(matches!(
            chain.detach(&facts(vec![disk("a")]), &[]).combined,
            Combined::Advised(_)
        ));
        lab.put_hostile(&format!("level = \"monitor\"\n{config}"));
        let chain = lab.load();
        for record in [
            chain.migrate(&coming_from("n2")),
            chain.operate(&to_delete(&[])),
        ] {
            assert!(
                matches!(record.combined, Combined::Granted(_)),
                "{record:?}"
            );
        }
    }
}

/// Nobody knows which hooks it would have.
#[test]
fn a_policy_that_cannot_be_loaded_lets_nothing_begin() {
    let chain = rules("[config]\nprotect = \"keep\"").load();
    let rules = chain
        .status()
        .into_iter()
        .find(|one| one.name == "volume-rules");
    assert!(matches!(rules.unwrap().state, PluginState::Refused { .. }));
    for record in [
        chain.operate(&to_delete(&[])),
        chain.migrate(&coming_from("n2")),
    ] {
        assert_eq!(fault_kind(&record, "volume-rules"), FaultKind::Link);
        assert!(
            matches!(record.combined, Combined::Faulted(_)),
            "{record:?}"
        );
    }
}

/// Of several denials the first in file order leads, whatever the others say.
#[test]
fn one_refusal_is_enough() {
    let lab = rules("[config]\nprotected = \"keep\"");
    lab.put_hostile("[config]\ndo-at-operate = \"refuse\"");
    let record = lab.load().operate(&to_delete(&["keep"]));
    let Combined::Denied(denials) = &record.combined else {
        panic!("{record:?}")
    };
    let who: Vec<_> = denials
        .iter()
        .map(|(who, denial)| (who.as_str(), denial.code.as_str()))
        .collect();
    assert_eq!(
        who,
        [("hostile", "on-purpose"), ("volume-rules", "protected")]
    );
}
