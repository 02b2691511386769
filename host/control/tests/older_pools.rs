//! A LUN that is an earlier snapshot of itself: refused until somebody says that it is to be used, and what is none.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ControlError;
use volward_control::ports::Event;
use volward_model::{Bytes, RequestId, VolumeRef};
use volward_plan::RefusalCode;
use volward_simulation::check::clean;
use volward_simulation::story::{follow, refusal};
use volward_simulation::{Daemon, FakeJournal, Lab, ask, detach_ask, disk, instance};

const REQUEST: RequestId = RequestId(uuid::Uuid::nil());

fn attach(daemon: &Daemon, n: u8, volume: &VolumeRef) -> Result<(), ControlError> {
    let asked = daemon.node.attach(&ask(instance(n), &[disk(volume)]));
    asked.map(|_| ())
}

fn older(daemon: &Daemon) -> bool {
    let mut events = daemon.events.told().into_iter();
    events.any(|event| matches!(event, Event::PoolOlder { .. }))
}

/// A node that has attached and detached some more since the snapshot was made, and was put down.
fn snapshot_and_more() -> (Lab, VolumeRef) {
    let lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    attach(&n1, 1, &volume).unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    lab.cluster.snapshot(&lab.pool);
    attach(&n1, 1, &volume).unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    follow(&n1);
    n1.kill();
    (lab, volume)
}

#[test]
fn an_older_lun_is_refused_until_somebody_accepts_it() {
    let (lab, volume) = snapshot_and_more();
    lab.cluster.put_back(&lab.pool);
    lab.cluster.node("n1").boot();
    let n1 = lab.start("n1");
    assert!(older(&n1));
    assert_eq!(
        n1.node.unwritten_slots(),
        [""; 0],
        "it is said as what it is"
    );
    let (code, message) = refusal(attach(&n1, 1, &volume));
    assert_eq!(code, RefusalCode::PoolOlder);
    assert!(
        message.contains("volward pool init san --accept-older"),
        "{message}"
    );
    let (code, _) = refusal(n1.node.init_pool(REQUEST, &lab.pool));
    assert_eq!(code, RefusalCode::PoolOlder);
    let create = volward_model::VolumeTask::Create {
        pool: lab.pool.clone(),
        name: "new".parse().unwrap(),
        size: Bytes::mib(8),
    };
    let asked = n1
        .node
        .ask_operation(&volward_simulation::operation("make", create));
    assert_eq!(refusal(asked).0, RefusalCode::PoolOlder);
    // Nothing is attached here, so nothing is written there: also the next daemon sees it.
    follow(&n1);
    n1.kill();
    let n1 = lab.start("n1");
    assert_eq!(refusal(attach(&n1, 1, &volume)).0, RefusalCode::PoolOlder);

    n1.node.accept_older(REQUEST, &lab.pool, 0).unwrap();
    n1.node.init_pool(REQUEST, &lab.pool).unwrap();
    attach(&n1, 1, &volume).unwrap();
    follow(&n1);
    n1.kill();
    // What is remembered is what the LUN has.
    let n1 = lab.start("n1");
    assert!(!older(&n1));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn the_right_lun_put_back_needs_nobodys_word() {
    let (lab, volume) = snapshot_and_more();
    let right = lab.cluster.aside(&lab.pool);
    lab.cluster.put_back(&lab.pool);
    lab.cluster.node("n1").boot();
    let n1 = lab.start("n1");
    assert!(older(&n1));
    n1.kill();
    lab.cluster.put_this(&lab.pool, right);
    let n1 = lab.start("n1");
    assert!(!older(&n1), "{:?}", n1.node.older(&lab.pool));
    attach(&n1, 1, &volume).unwrap();
}

#[test]
fn a_lun_that_is_replaced_under_a_node_is_seen_with_the_next_write_and_what_is_attached_stays_told_of()
 {
    let lab = Lab::new(&["n1", "n2"]);
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let n1 = lab.start("n1");
    attach(&n1, 1, &a).unwrap();
    lab.cluster.snapshot(&lab.pool);
    for _ in 0..2 {
        attach(&n1, 2, &b).unwrap();
        n1.node.detach(&detach_ask(instance(2))).unwrap();
    }
    lab.cluster.put_back(&lab.pool);
    attach(&n1, 2, &b).unwrap_err();
    assert!(n1.node.older(&lab.pool).is_some());
    assert_eq!(refusal(attach(&n1, 2, &b)).0, RefusalCode::PoolOlder);
    n1.node.try_again();
    n1.tasks.run_all();
    // Others hear of what is attached, and how often that was written does not hide what was seen.
    let n2 = lab.start("n2");
    let (code, message) = refusal(attach(&n2, 1, &a));
    assert_eq!(code, RefusalCode::HeldElsewhere, "{message}");
    for _ in 0..20 {
        n1.node.open_registry(&lab.pool).unwrap();
    }
    n1.kill();
    let n1 = lab.start("n1");
    assert_eq!(refusal(attach(&n1, 2, &b)).0, RefusalCode::PoolOlder);
    let (code, _) = refusal(n1.node.init_pool(REQUEST, &lab.pool));
    assert_eq!(code, RefusalCode::PoolOlder);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.node.accept_older(REQUEST, &lab.pool, 0).unwrap();
    attach(&n1, 2, &b).unwrap();
}

/// sanlock counts the joins: a snapshot of an earlier life of the node's is known also where its place was not written since.
#[test]
fn a_lockspace_that_counts_fewer_joins_is_an_older_lun() {
    let lab = Lab::new(&["n1"]);
    let kernel = lab.cluster.node("n1");
    kernel.boot();
    kernel.boot();
    let n1 = lab.start("n1");
    follow(&n1);
    n1.kill();
    kernel.boot_in_generation(2);
    let n1 = lab.start("n1");
    let why = n1.node.older(&lab.pool).unwrap();
    assert!(why.contains("generation 2"), "{why}");
}

#[test]
fn no_crash_between_the_write_and_its_record_is_an_older_lun() {
    for n in 1..40 {
        for after in [false, true] {
            let lab = Lab::new(&["n1", "n2"]);
            let volume = lab.volume("a");
            let n1 = lab.start("n1");
            match after {
                true => n1.kernel.crash_after(n),
                false => n1.kernel.crash_before(n),
            }
            for i in 1..4 {
                follow(&n1);
                lab.cluster.clock().advance(Duration::from_secs(70));
                drop(n1.try_attach(&ask(instance(i), &[disk(&volume)])));
                follow(&n1);
                drop(n1.try_detach(&detach_ask(instance(i))));
            }
            n1.kill();
            for reboot in [false, true] {
                if reboot {
                    lab.cluster.node("n1").power_cut();
                    lab.cluster.node("n1").boot();
                }
                let n1 = lab.start("n1");
                assert_eq!(n1.node.older(&lab.pool), None, "call {n}, after: {after}");
                follow(&n1);
                n1.kill();
            }
        }
    }
}

#[test]
fn a_state_that_was_restored_or_lost_and_a_registry_that_was_made_anew_are_no_older_lun() {
    let mut lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    follow(&n1);
    let backup = n1.journal.backup();
    attach(&n1, 1, &volume).unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    follow(&n1);
    n1.kill();
    for journal in [backup, FakeJournal::new(lab.cluster.node("n1"))] {
        lab.set_journal("n1", journal);
        let n1 = lab.start("n1");
        assert_eq!(n1.node.older(&lab.pool), None);
        attach(&n1, 1, &volume).unwrap();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        follow(&n1);
        n1.kill();
    }
    // Somebody removed the registry, which no node had open, and had it made again.
    lab.cluster.forget_registry(&lab.pool);
    let n1 = lab.start("n1");
    n1.node.init_pool(REQUEST, &lab.pool).unwrap();
    assert_eq!(n1.node.older(&lab.pool), None);
    attach(&n1, 1, &volume).unwrap();
}

/// The record of it lags behind, so no request waits for a disk on its account.
#[test]
fn it_costs_an_attach_no_durable_write() {
    let lab = Lab::new(&["n1"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    follow(&n1);
    let count = || {
        let calls = n1.kernel.journal();
        let writes = calls
            .iter()
            .filter(|c| c.starts_with("journal-last-writes"));
        writes.count()
    };
    let first = count();
    assert_eq!(first, 1, "soon after the pool was opened");
    for _ in 0..5 {
        attach(&n1, 1, &volume).unwrap();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        follow(&n1);
    }
    assert_eq!(count(), first);
    lab.cluster.clock().advance(Duration::from_secs(61));
    follow(&n1);
    assert_eq!(count(), first + 1);
    // Nothing was written since.
    lab.cluster.clock().advance(Duration::from_secs(61));
    follow(&n1);
    assert_eq!(count(), first + 1);
}
