//! Nobody has a volume of which the decision log does not say why, and what it says of the end is
//! what came of it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::{JournalState, PortError};
use volward_control::{ControlError, DetachRequest};
use volward_model::{CopyMode, Outcome};
use volward_simulation::check::{clean, on_record, settled};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

fn node() -> (Lab, Daemon) {
    let lab = Lab::new(&["n1"]);
    let daemon = lab.start("n1");
    (lab, daemon)
}

#[test]
fn i30_an_attach_whose_decision_cannot_be_recorded_begins_nothing() {
    let (lab, n1) = node();
    let volume = lab.volume("a");
    n1.decisions.set_full(true);
    let refused = n1.node.attach(&ask(instance(1), &[disk(&volume)]));
    assert!(
        matches!(refused, Err(ControlError::State { .. })),
        "{refused:?}"
    );
    assert_eq!(clean(&lab, &n1), [""; 0]);
    // A denial began nothing, so it is a denial all the same; that it is missing is told.
    lab.policy.say(Say::Deny);
    let denied = n1.node.attach(&ask(instance(1), &[disk(&volume)]));
    assert!(matches!(denied, Err(ControlError::Denied { .. })));
    n1.decisions.set_full(false);
    lab.policy.say(Say::AsAsked);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(n1.decisions.outcomes(), [Outcome::Done]);
}

/// The decision is durable first: whoever dies in any later step leaves it.
#[test]
fn i30_the_decision_is_on_record_before_the_first_step_and_recovery_ends_it() {
    let (lab, n1) = node();
    let volume = lab.volume("a");
    let passed = n1.points.passed().len();
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let points = n1.points.passed()[passed..].to_vec();
    let commit = points
        .iter()
        .position(|p| p == "attach/link/after")
        .unwrap();
    for (at, ended) in [(0, JournalState::Undone), (commit, JournalState::Done)] {
        let (lab, n1) = node();
        let volume = lab.volume("a");
        n1.points.die_at(at);
        let asked = ask(instance(1), &[disk(&volume)]);
        assert!(n1.try_attach(&asked).is_none());
        let log = lab.decisions("n1");
        assert_eq!(log.requests(), [asked.request], "{}", points[at]);
        assert_eq!(log.outcomes(), [Outcome::Begun], "{}", points[at]);
        n1.kill();
        let n1 = lab.start("n1");
        assert_eq!(lab.journal("n1").entries()[0].state, ended);
        let said = log.outcomes();
        match ended {
            JournalState::Done => assert_eq!(said, [Outcome::Done]),
            _ => assert!(
                matches!(&said[..], [Outcome::Failed { message }] if message.contains("taken back")),
                "{said:?}"
            ),
        }
        assert_eq!(on_record(&lab, "n1"), [""; 0]);
        assert_eq!(settled(&lab, &n1), [""; 0]);
    }
}

/// Who plugs a disk by hand gives a UUID: policies and lists have the name the instance came with.
#[test]
fn a_disk_that_is_plugged_by_uuid_has_the_instances_name() {
    let (lab, n1) = node();
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let first = ask(instance(1), &[disk(&a)]);
    n1.node.attach(&first).unwrap();
    for other in [1, 2] {
        let mut plugged = ask(instance(other), &[disk(&b)]);
        plugged.instance_name.clear();
        plugged.dry_run = other == 2;
        n1.node.attach(&plugged).unwrap();
        n1.node
            .detach(&DetachRequest {
                volumes: vec![(b.pool.clone(), b.name.clone())],
                ..detach_ask(instance(other))
            })
            .unwrap();
    }
    let names: Vec<_> = lab
        .policy
        .asked()
        .into_iter()
        .map(|facts| facts.request.instance_name)
        .collect();
    assert_eq!(names, [first.instance_name.as_str(), "guest-1", ""]);
}

/// "Done" was written of a detach before anything of it was.
#[test]
fn what_became_of_a_detach_is_written_when_it_is_known() {
    let (lab, n1) = node();
    let volume = lab.volume("a");
    lab.policy.say(Say::Copy(CopyMode::Background));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.kernel.fail_on(
        "unlink",
        PortError::Identity {
            what: "a test's failure".into(),
            expected: "a path".into(),
            found: "another".into(),
        },
    );
    assert!(n1.node.detach(&detach_ask(instance(1))).is_err());
    let outcomes = n1.decisions.outcomes();
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert!(
        matches!(&outcomes[1], Outcome::Failed { message } if message.contains("a test's failure")),
        "{outcomes:?}"
    );
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(n1.decisions.outcomes()[2..], [Outcome::Done]);
}
