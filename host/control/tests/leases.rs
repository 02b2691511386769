//! After every lease and every activation the state is read back: a command that reports success
//! and leaves the old state is found, whichever state it left (I29).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ControlError;
use volward_control::ports::{LeaseStyle, Leases, PortError, Volumes};
use volward_model::{CopyMode, LeaseMode, RequestId, VolumeRef};
use volward_simulation::check::{clean, holds, settled};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance, read_only};

fn request() -> RequestId {
    RequestId("00000000-0000-0000-0000-000000000001".parse().unwrap())
}

fn registry(lab: &Lab, node: &Daemon) -> VolumeRef {
    let pool = Volumes::pool(&node.kernel, &lab.pool).unwrap();
    let registry = pool.volumes.iter().find(|v| v.is_internal()).unwrap();
    registry.volume.clone()
}

/// The lease was shared before the attach, and its undo cannot make it so again: exclusive, it
/// keeps every other node out, so it must not pass for done.
#[test]
fn an_exclusive_lease_left_where_a_shared_one_was_meant_is_found() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let [a, c] = ["a", "c"].map(|name| lab.volume(name));
    let one = std::slice::from_ref(&c);
    Leases::take(&n1.kernel, &lab.pool, one, LeaseMode::Shared).unwrap();
    // The step after the leases fails; the undo releases `a`, then gives `c` its old mode.
    let failure = PortError::Io {
        what: "a test".into(),
        reason: "a test's failure".into(),
    };
    n1.kernel.fail_on("disable-autoactivation", failure);
    n1.kernel.before("deactivate", |cluster| {
        cluster.node("n1").ignore_on("activate");
    });
    let disks = [disk(&a), disk(&c)];
    let error = n1.node.attach(&ask(instance(1), &disks)).unwrap_err();
    assert_eq!(holds(&lab, &n1.kernel, c.id), Some(LeaseMode::Exclusive));
    let ControlError::Owed { causes, .. } = &error else {
        panic!("passed for taken back: {error:?}");
    };
    assert!(
        causes[1].contains("shows exclusive instead of shared"),
        "{causes:?}"
    );
    n1.tasks.run_all();
    assert_eq!(holds(&lab, &n1.kernel, c.id), Some(LeaseMode::Shared));
    assert!(n1.node.unfinished().is_empty());
}

#[test]
fn a_lease_that_was_not_taken_is_found() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.kernel.ignore_on("activate");
    let error = n1
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("shows none instead of exclusive"),
        "{error}"
    );
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_registry_that_stays_exclusive_fails_pool_init_until_it_is_shared() {
    let lab = Lab::bare(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    n1.kernel.before("format-registry", |cluster| {
        cluster.node("n1").ignore_on("activate");
    });
    let error = n1.node.init_pool(request(), &lab.pool).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("shows exclusive instead of shared"),
        "{error}"
    );
    n1.node.init_pool(request(), &lab.pool).unwrap();
    n2.node.init_pool(request(), &lab.pool).unwrap();
    assert_eq!(
        holds(&lab, &n1.kernel, registry(&lab, &n1).id),
        Some(LeaseMode::Shared)
    );
}

#[test]
fn a_registry_that_did_not_become_active_is_found() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let registry = registry(&lab, &n1);
    Leases::release(&n1.kernel, &lab.pool, &[registry]).unwrap();
    n1.kernel.ignore_on("activate");
    let error = n1.node.open_registry(&lab.pool).unwrap_err();
    assert!(matches!(error, PortError::NotInEffect { .. }), "{error}");
    n1.node.open_registry(&lab.pool).unwrap();
}

/// After a reboot the copy's LVs are inactive; the attach activates them.
#[test]
fn a_copy_that_did_not_become_active_is_found() {
    let lab = Lab::new(&["n1"]);
    lab.policy.say(Say::Copy(CopyMode::Background));
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.kill();
    lab.reboot("n1");
    let n1 = lab.start("n1");
    // The first activation is the volume's, with its lease; the second the copy's.
    n1.kernel.before("activate", |cluster| {
        cluster.node("n1").before("activate", |cluster| {
            cluster.node("n1").ignore_on("activate");
        });
    });
    let error = n1
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("shows inactive instead of active"),
        "{error}"
    );
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

/// A provider that takes leases without activating: the use cases are the same.
#[test]
fn leases_apart_from_activation_serve_attach_copy_and_detach() {
    let lab = Lab::new(&["n1", "n2"]);
    lab.cluster.set_lease_style(LeaseStyle::Separate);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let (own, common) = (lab.volume("a"), lab.shareable("b"));
    lab.policy.say(Say::Copy(CopyMode::Background));
    n1.node.attach(&ask(instance(1), &[disk(&own)])).unwrap();
    lab.policy.say(Say::AsAsked);
    for (node, n) in [(&n1, 2), (&n2, 3)] {
        node.node
            .attach(&ask(instance(n), &[read_only(&common)]))
            .unwrap();
        assert_eq!(settled(&lab, node), [""; 0]);
    }
    assert!(n2.node.attach(&ask(instance(4), &[disk(&own)])).is_err());
    let calls = n1.kernel.journal();
    let at = |call: &str| calls.iter().position(|made| made.starts_with(call));
    assert!(
        at("lease san exclusive a") < at("activate san a"),
        "{calls:?}"
    );
    n1.tasks.run_all();
    for (node, instances) in [(&n1, 1..=2), (&n2, 3..=3)] {
        for n in instances {
            node.node.detach(&detach_ask(instance(n))).unwrap();
        }
        node.tasks.run_all();
        assert_eq!(clean(&lab, node), [""; 0]);
    }
    let calls = n2.kernel.journal();
    let at = |call: &str| calls.iter().position(|made| made.starts_with(call));
    assert!(at("deactivate san b") < at("release san b"), "{calls:?}");
}

#[test]
fn a_lockspace_that_is_not_renewed_any_more_is_told() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    assert_eq!(n1.node.inconsistencies(), [""; 0]);
    n1.kernel.set_renewed_ago(Duration::from_secs(200));
    let found = n1.node.inconsistencies();
    assert!(found[0].contains("last renewed 200 s ago"), "{found:?}");
}
