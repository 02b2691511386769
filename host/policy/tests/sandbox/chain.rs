//! How the policies of a chain combine, over the real components.

use crate::common::{Lab, disk, facts, guest, held_elsewhere, verdict, volume};
use volward_model::{
    Access, Bytes, Combined, CopyFate, CopyMode, DecisionRecord, DiskFacts, Sharing, Verdict,
};
use volward_policy::PluginState;

#[test]
fn a_free_volume_is_granted_as_asked_and_without_a_ceiling() {
    let record = Lab::new().load().attach(&facts(vec![disk("a"), disk("b")]));
    let Combined::Granted(answer) = &record.combined else {
        panic!("{:?}", record.combined)
    };
    assert_eq!(answer.disks.len(), 2);
    for disk in &answer.disks {
        assert_eq!(
            (disk.sharing, disk.access),
            (Sharing::Exclusive, Access::ReadWrite)
        );
        // The baseline wants no copy, and forbids none to those after it.
        assert_eq!(
            (disk.copy_at_most, disk.copy),
            (CopyMode::BeforeStart, None)
        );
    }
}

#[test]
fn a_conflict_names_node_and_instance() {
    let attachments = vec![held_elsewhere("a", Sharing::Exclusive)];
    let record = Lab::new().load().attach(&facts(vec![
        disk("b"),
        DiskFacts {
            attachments,
            ..disk("a")
        },
    ]));
    let Combined::Denied(denials) = &record.combined else {
        panic!("{:?}", record.combined)
    };
    let (who, denial) = &denials[0];
    assert_eq!((who.as_str(), denial.code.as_str()), ("baseline", "in-use"));
    assert_eq!(
        denial.message,
        "vg0/disk-a is attached exclusively on node n2 for instance 00000000-0000-0000-0000-000000000003"
    );
}

#[test]
fn sharing_needs_the_mark() {
    let chain = Lab::new().load();
    for shareable in [true, false] {
        let attachments = vec![held_elsewhere("a", Sharing::Shared)];
        let disk = DiskFacts {
            shareable,
            attachments,
            asked_sharing: Sharing::Shared,
            ..disk("a")
        };
        let record = chain.attach(&facts(vec![disk]));
        assert_eq!(
            matches!(record.combined, Combined::Granted(_)),
            shareable,
            "{record:?}"
        );
    }
}

#[test]
fn a_custom_policy_denies_by_its_configuration_and_is_gone_when_removed() {
    let lab = Lab::new();
    let wasm = lab.put("50-deny-by-prefix.wasm", guest("deny-by-prefix"));
    let toml = lab.put("50-deny-by-prefix.toml", "[config]\nprefix = \"web-\"");
    let record = lab.load().attach(&facts(vec![disk("a")]));
    let Combined::Denied(denials) = &record.combined else {
        panic!("{:?}", record.combined)
    };
    assert_eq!(denials[0].0, "deny-by-prefix");
    assert!(
        denials[0].1.message.contains("instance web-1"),
        "{:?}",
        denials
    );

    lab.put("50-deny-by-prefix.toml", "[config]\nprefix = \"db-\"");
    assert!(matches!(
        lab.load().attach(&facts(vec![disk("a")])).combined,
        Combined::Granted(_)
    ));

    std::fs::remove_file(wasm).unwrap();
    std::fs::remove_file(toml).unwrap();
    assert_eq!(lab.load().attach(&facts(vec![disk("a")])).plugins.len(), 1);
}

#[test]
fn the_strictest_answer_wins_whatever_the_order() {
    for name in ["10-narrow", "90-narrow"] {
        let lab = Lab::new();
        lab.put(&format!("{name}.wasm"), guest("hostile"));
        lab.put(&format!("{name}.toml"), "[config]\ndo = \"narrow\"");
        lab.put("50-deny-by-prefix.wasm", guest("deny-by-prefix"));
        lab.put("50-deny-by-prefix.toml", "[config]\nprefix = \"db-\"");
        let disk = DiskFacts {
            shareable: true,
            asked_sharing: Sharing::Shared,
            ..disk("a")
        };
        let record = lab.load().attach(&facts(vec![disk]));
        let Combined::Granted(answer) = &record.combined else {
            panic!("{:?}", record.combined)
        };
        assert_eq!(answer.disks[0].sharing, Sharing::Exclusive);
        assert_eq!(answer.disks[0].access, Access::ReadOnly);
        // The others' answers are logged as they were.
        let Verdict::Granted(theirs) = verdict(&record, "deny-by-prefix") else {
            panic!()
        };
        assert_eq!(theirs.disks[0].access, Access::ReadWrite);
    }
}

#[test]
fn all_denials_are_shown_and_the_first_leads() {
    let lab = Lab::new();
    lab.put_hostile("[config]\ndo = \"refuse\"");
    lab.put("40-deny-by-prefix.wasm", guest("deny-by-prefix"));
    lab.put("40-deny-by-prefix.toml", "[config]\nprefix = \"web-\"");
    let record = lab.load().attach(&facts(vec![disk("a")]));
    let Combined::Denied(denials) = &record.combined else {
        panic!("{:?}", record.combined)
    };
    let who: Vec<&str> = denials.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(who, ["deny-by-prefix", "hostile"]);
}

#[test]
fn a_proposed_copy_stands_beside_the_baseline_and_the_first_proposal_counts() {
    let lab = Lab::new();
    for (number, mode) in [(30, "writes-only"), (40, "before-start")] {
        lab.put(&format!("{number}-{mode}.wasm"), guest("hydrate-local"));
        lab.put(
            &format!("{number}-{mode}.toml"),
            format!("[config]\nmode = \"{mode}\"\nin-flight = 65536"),
        );
    }
    let shared = DiskFacts {
        shareable: true,
        asked_sharing: Sharing::Shared,
        ..disk("b")
    };
    let record = lab.load().attach(&facts(vec![disk("a"), shared]));
    let Combined::Granted(answer) = &record.combined else {
        panic!("{:?}", record.combined)
    };
    let copy = answer.disks[0].granted_copy().unwrap();
    assert_eq!(copy.mode, CopyMode::WritesOnly);
    assert_eq!(copy.in_flight, Some(Bytes(65_536)));
    assert_eq!(copy.fate, CopyFate::WriteBack);
    assert_eq!(answer.disks[1].granted_copy(), None);
    assert!(answer.notes[0].value.contains("only what is exclusive"));
}

#[test]
fn advice_is_taken_at_detach_and_silence_leaves_the_granted_fate() {
    let lab = Lab::new();
    let granted = [
        (volume("a"), CopyFate::WriteBack),
        (volume("z"), CopyFate::Keep),
    ];
    let quiet = lab.load().detach(&facts(vec![disk("a")]), &granted);
    assert_eq!(quiet.combined, Combined::Advised(granted.to_vec()));
    assert_eq!(verdict(&quiet, "baseline"), &Verdict::Absent);

    // It advises to discard; of z, which is not among the facts, it was not asked.
    lab.put_hostile("");
    let record = lab.load().detach(&facts(vec![disk("a")]), &granted);
    let advised = vec![
        (volume("a"), CopyFate::Discard),
        (volume("z"), CopyFate::Keep),
    ];
    assert_eq!(record.combined, Combined::Advised(advised));
}

#[test]
fn the_same_facts_give_the_same_record() {
    let lab = Lab::new();
    lab.put("50-deny-by-prefix.wasm", guest("deny-by-prefix"));
    lab.put("50-deny-by-prefix.toml", "[config]\nprefix = \"web-\"");
    lab.put_hostile("[config]\ndo = \"panic\"");
    let timeless = |mut record: DecisionRecord| {
        record.micros = 0;
        record
            .plugins
            .iter_mut()
            .for_each(|plugin| plugin.micros = 0);
        record
    };
    let facts = facts(vec![disk("a"), disk("b")]);
    let first = timeless(lab.load().attach(&facts));
    assert_eq!(first, timeless(lab.load().attach(&facts)));
    // The record holds all it takes: what it was told can be read back and told again.
    let text = serde_json::to_string(&first).unwrap();
    let read: DecisionRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(timeless(lab.load().attach(&read.facts)), first);
}

#[test]
fn status_counts_what_was_answered() {
    let lab = Lab::new();
    lab.put("50-deny-by-prefix.wasm", guest("deny-by-prefix"));
    lab.put("50-deny-by-prefix.toml", "[config]\nprefix = \"web-\"");
    lab.put("60-hostile.wasm", guest("hostile"));
    lab.put("60-hostile.toml", "level = \"off\"");
    let chain = lab.load();
    let clone = chain.clone();
    for _ in 0..3 {
        let _record = clone.attach(&facts(vec![disk("a")]));
    }
    let status = chain.status();
    let names: Vec<&str> = status.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["baseline", "deny-by-prefix", "hostile"]);
    assert_eq!(status[0].counters.granted, 3);
    assert_eq!(status[1].counters.denied, 3);
    assert_eq!(status[1].hooks, ["attach", "lifecycle"]);
    assert_eq!(status[2].state, PluginState::Off);
}

#[test]
fn without_baseline_and_policies_everything_is_granted() {
    let lab = Lab {
        baseline: false,
        ..Lab::new()
    };
    let attachments = vec![held_elsewhere("a", Sharing::Exclusive)];
    let record = lab.load().attach(&facts(vec![DiskFacts {
        attachments,
        ..disk("a")
    }]));
    assert!(matches!(record.combined, Combined::Granted(_)));
}
