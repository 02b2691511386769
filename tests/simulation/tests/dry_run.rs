//! What a dry run says is what is done.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use volward_control::DetachRequest;
use volward_model::CopyMode;
use volward_simulation::{Lab, Say, ask, detach_ask, disk, instance};

/// Whether the plan of a detach speaks of writing back, where the volume is on a copy or not.
fn said_before_a_detach(copy: Option<CopyMode>) -> Vec<String> {
    let lab = Lab::new(&["n1"]);
    if let Some(mode) = copy {
        lab.policy.say(Say::Copy(mode));
    }
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let dry = DetachRequest {
        dry_run: true,
        ..detach_ask(instance(1))
    };
    let plan = n1.node.detach(&dry).unwrap().plan;
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(done.detached, [(volume, copy.is_some())]);
    plan
}

#[test]
fn a_dry_detach_says_that_the_copy_will_be_written_back() {
    let speaks = |plan: &[String]| plan.iter().any(|line| line.contains("write the copy of"));
    let with_copy = said_before_a_detach(Some(CopyMode::Background));
    assert!(speaks(&with_copy), "{with_copy:?}");
    let last = with_copy.last().unwrap();
    assert!(last.contains("san/a back"), "it comes last: {with_copy:?}");
    let without = said_before_a_detach(None);
    assert!(!without.is_empty() && !speaks(&without), "{without:?}");
}
