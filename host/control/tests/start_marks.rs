//! What libvirt's hook finds of an instance while the daemon is down.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use volward_control::NotAfter;
use volward_control::ports::{Marks, PortError};
use volward_model::InstanceId;
use volward_model::handover::StartPoint;
use volward_simulation::{Daemon, Lab, ask, detach_ask, disk, instance};

fn found(node: &Daemon) -> Vec<(InstanceId, u64)> {
    node.marks.found().into_iter().collect()
}

#[test]
fn a_mark_names_the_newest_start_and_goes_with_the_last_disk() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let [a, b] = ["a", "b"].map(|name| lab.volume(name));
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    let second = n1.node.attach(&ask(instance(1), &[disk(&b)])).unwrap();
    assert_eq!(found(&n1), [(instance(1), second.sequence)]);

    let mut one = detach_ask(instance(1));
    one.volumes = vec![(a.pool.clone(), a.name.clone())];
    n1.node.detach(&one).unwrap();
    assert_eq!(found(&n1), [(instance(1), second.sequence)]);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(found(&n1), []);
}

#[test]
fn a_start_that_was_rolled_back_leaves_the_mark_of_what_was_there_before() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let [a, b] = ["a", "b"].map(|name| lab.volume(name));
    let failure = || PortError::Io {
        what: "a device".into(),
        reason: "a test's failure".into(),
    };
    n1.kernel.fail_on("create-device", failure());
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap_err();
    assert_eq!(n1.marks.announced()[&instance(1)], 1);
    assert_eq!(found(&n1), []);

    let first = n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    n1.kernel.fail_on("create-device", failure());
    n1.node.attach(&ask(instance(1), &[disk(&b)])).unwrap_err();
    assert!(n1.marks.announced()[&instance(1)] > first.sequence);
    assert_eq!(found(&n1), [(instance(1), first.sequence)]);
}

#[test]
fn a_dry_run_leaves_the_marks_alone() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let a = lab.volume("a");
    // What nobody but a test puts there: it would go if the mark were looked at.
    let start = StartPoint {
        boot_id: String::new(),
        sequence: 9,
    };
    n1.marks.set(instance(1), Some(&start)).unwrap();
    let mut plan = ask(instance(1), &[disk(&a)]);
    plan.dry_run = true;
    n1.node.attach(&plan).unwrap();
    let mut plan = detach_ask(instance(1));
    plan.dry_run = true;
    n1.node.detach(&plan).unwrap();
    assert_eq!(found(&n1), [(instance(1), 9)]);
}

/// libvirt says release for the start before; the instance is starting again.
#[test]
fn a_late_release_leaves_the_mark_of_a_start_that_is_in_flight() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let a = lab.volume("a");
    let (node, marks) = (Arc::clone(&n1.node), Arc::clone(&n1.marks));
    n1.kernel.before("create-device", move |_| {
        let mut late = detach_ask(instance(1));
        late.not_after = Some(NotAfter {
            boot_id: "an earlier boot".into(),
            sequence: 0,
        });
        assert!(node.detach(&late).unwrap().detached.is_empty());
        assert_eq!(marks.found(), BTreeMap::from([(instance(1), 1)]));
    });
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    assert_eq!(found(&n1), [(instance(1), 1)]);
}

/// Recovery ends with marks of what there is; the hook must not find an older start.
#[test]
fn a_daemon_that_starts_makes_the_marks_anew() {
    let lab = Lab::new(&["n1"]);
    let before = lab.start("n1");
    let a = lab.volume("a");
    let done = before.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    before.kill();
    let n1 = lab.daemon("n1", None);
    let gone = StartPoint {
        boot_id: String::new(),
        sequence: 3,
    };
    n1.marks.set(instance(2), Some(&gone)).unwrap();
    n1.node.recover().unwrap();
    assert_eq!(found(&n1), [(instance(1), done.sequence)]);
    // A release of what it cannot mark would be lost while it is down: then it does not serve.
    let n1 = lab.daemon("n1", None);
    n1.marks.set_broken(true);
    n1.node.recover().unwrap_err();
}

#[test]
fn a_mark_that_cannot_be_written_fails_no_request() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let a = lab.volume("a");
    n1.marks.set_broken(true);
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    assert_eq!(found(&n1), []);
    n1.marks.set_broken(false);
    // Attached already: nothing is done, and the mark is there again.
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    assert_eq!(found(&n1).len(), 1);
    n1.marks.set_broken(true);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert!(n1.node.attachments().is_empty());
}
