//! What people read of each fault that the fakes can inject: the daemon's own test writes its answers
//! (`host/daemon/src/doctor/faults.rs`), and here they are printed.

use serde_json::Value;
use volward_api::fake::Canned;

use crate::support::{Node, assert_golden};

/// As the daemon answers.
const FAULTS: &str = include_str!("replies.json");

fn words<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let list = value.get(key).and_then(Value::as_array);
    list.map(|l| l.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

#[test]
fn each_fault_is_printed_with_its_remedy_and_the_last_line_says_what_still_works() {
    let faults: Vec<Value> = serde_json::from_str(FAULTS).unwrap();
    assert!(faults.len() > 15);
    for fault in &faults {
        let name = fault["fault"].as_str().unwrap();
        let reply = fault["reply"].clone();
        let node = Node::with(move |_| Canned::json(&reply));
        let ended = node.volward("doctor");
        let checks = fault["reply"]["checks"].as_array().unwrap();
        let failed: Vec<&Value> = checks.iter().filter(|c| c["verdict"] == "failed").collect();
        assert_eq!(
            ended.code,
            if failed.is_empty() { 0 } else { 11 },
            "{name}: {ended:?}"
        );
        for check in checks {
            let remedy = check["remedy"].as_str().unwrap();
            assert!(ended.stdout.contains(remedy), "{name}: {ended:?}");
        }
        let last = ended.stdout.trim_end().lines().last().unwrap();
        let refusing = failed.iter().filter(|c| c["refuses_read_write"] == true);
        let refusing: Vec<&&Value> = refusing.collect();
        let everywhere = refusing.iter().any(|c| words(c, "pools").is_empty());
        for pool in words(&fault["reply"], "pools") {
            let here = refusing.iter().any(|c| words(c, "pools").contains(&pool));
            let (served, refused) = last.split_once("REFUSED").unwrap_or((last, ""));
            match (everywhere || here, refusing.is_empty()) {
                (_, true) => assert_eq!(last, "read-write attaches are served on this node"),
                (true, false) => assert!(!served.contains(pool) && !refused.is_empty(), "{last}"),
                (false, false) => assert!(served.contains(pool), "{name}: {last}"),
            }
        }
        assert_golden(
            &format!("faults/{}", name.replace([' ', '\''], "-")),
            "doctor",
            &ended,
        );
    }
}

/// What is known while a pool's disks neither answer nor fail (`host/daemon/src/http/hung.rs`).
const HUNG: &str = include_str!("hung.json");

#[test]
fn a_pool_that_hangs_is_named_and_the_others_are_served() {
    let hung: Value = serde_json::from_str(HUNG).unwrap();
    let doctor = hung["doctor"].clone();
    let node = Node::with(move |_| Canned::json(&doctor));
    let ended = node.volward("doctor");
    assert_eq!(ended.code, 11, "{ended:?}");
    let last = ended.stdout.trim_end().lines().last().unwrap();
    let (served, unknown) = last.split_once("; whether").unwrap();
    assert!(
        served.contains("other") && !served.contains("san"),
        "{last}"
    );
    assert!(
        unknown.contains("san is NOT KNOWN") && !last.contains("REFUSED"),
        "{last}"
    );
    assert_golden("faults/a-pool-that-hangs", "doctor", &ended);
    let trouble = words(&hung, "trouble");
    assert!(
        trouble.iter().any(|one| one.contains("pool san")),
        "{trouble:?}"
    );
}
