//! How a volume stands: the word and the counts, on the node itself and on another one, at rest and in the middle of
//! requests.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};

use volward_control::ports::{PortError, Volumes};
use volward_control::{Node, VolumeStanding};
use volward_model::{
    CopyMode, MemberState, NewerSlot, SlotReading, VolumeRef, VolumeStatus, VolumeTask,
};
use volward_simulation::{
    Daemon, Lab, Say, ask, detach_ask, disk, instance, operation, read_only, shared,
};

fn two_nodes() -> (Lab, Daemon, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    (lab, n1, n2)
}

fn standing(node: &Node, volume: &VolumeRef) -> VolumeStanding {
    let snapshot = node.pool_snapshot(&volume.pool).unwrap();
    let mut all = node.standings(&snapshot);
    all.remove(&volume.id).unwrap()
}

/// The word, and how many are attached, attaching, detaching, and at fault.
type Said = (VolumeStatus, [usize; 4]);

fn stands(node: &Node, volume: &VolumeRef) -> Said {
    let found = standing(node, volume);
    let counts = found.counts;
    let counts = [
        counts.attached,
        counts.attaching,
        counts.detaching,
        counts.fault,
    ];
    (found.status, counts)
}

/// What both nodes say before the next call of that name on the first one's kernel.
fn seen_before(call: &str, daemons: [&Daemon; 2], volume: &VolumeRef) -> Arc<Mutex<Vec<Said>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (into, volume) = (Arc::clone(&seen), volume.clone());
    let nodes = daemons.map(|daemon| Arc::clone(&daemon.node));
    daemons[0].kernel.before(call, move |_| {
        let said = nodes.each_ref().map(|node| stands(node, &volume));
        into.lock().unwrap().extend(said);
    });
    seen
}

fn failure() -> PortError {
    PortError::Io {
        what: "it".into(),
        reason: "a test's failure".into(),
    }
}

#[test]
fn both_nodes_derive_the_same_from_what_each_of_them_has() {
    let (lab, n1, n2) = two_nodes();
    let (a, both) = (lab.volume("a"), lab.shareable("both"));
    let said = |volume| [&n1, &n2].map(|daemon| stands(&daemon.node, volume));
    assert_eq!(said(&a), [(VolumeStatus::Available, [0; 4]); 2]);
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    for (daemon, n) in [(&n1, 1), (&n1, 2), (&n2, 3)] {
        let disks = [shared(&both)];
        daemon.node.attach(&ask(instance(n), &disks)).unwrap();
    }
    assert_eq!(said(&a), [(VolumeStatus::InUse, [1, 0, 0, 0]); 2]);
    assert_eq!(said(&both), [(VolumeStatus::InUse, [3, 0, 0, 0]); 2]);
    // Volward's own volumes have none.
    let snapshot = n1.node.pool_snapshot(&lab.pool).unwrap();
    assert_eq!(n1.node.standings(&snapshot).len(), 2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(said(&a), [(VolumeStatus::Available, [0; 4]); 2]);
    // A node that is dead holds nothing.
    lab.cluster.set_member("n2", MemberState::Dead);
    let of_n1 = stands(&n1.node, &both);
    assert_eq!(of_n1, (VolumeStatus::InUse, [1, 0, 0, 0]));
}

#[test]
fn what_a_request_works_on_is_attaching_and_detaching_while_it_does() {
    let (lab, n1, n2) = two_nodes();
    let a = lab.volume("a");
    let seen = seen_before("activate", [&n1, &n2], &a);
    let node = Arc::clone(&n1.node);
    let listed = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&listed);
    n1.kernel.before("link", move |_| {
        into.lock().unwrap().extend(node.attaching());
    });
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    let attaching = (VolumeStatus::Attaching, [0, 1, 0, 0]);
    assert_eq!(*seen.lock().unwrap(), [attaching; 2]);
    let listed = listed.lock().unwrap();
    let [one] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (one.instance, &one.pool, &one.volume),
        (instance(1), &a.pool, &a.name)
    );
    assert!(n1.node.attaching().is_empty());

    // Asked for again, it is what it was.
    let seen = seen_before("journal-begin", [&n1, &n2], &a);
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    let attached = (VolumeStatus::InUse, [1, 0, 0, 0]);
    assert_eq!(*seen.lock().unwrap(), [attached; 2]);

    // In the slot it stands to the end: the other node sees that it is attached.
    let seen = seen_before("unlink", [&n1, &n2], &a);
    let leaving = Arc::new(Mutex::new(false));
    let (node, into) = (Arc::clone(&n1.node), Arc::clone(&leaving));
    n1.kernel.before("deactivate", move |_| {
        let mut attached = node.attachments().into_iter();
        *into.lock().unwrap() = attached.all(|attachment| node.is_leaving(&attachment));
    });
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let detaching = (VolumeStatus::Detaching, [0, 0, 1, 0]);
    assert_eq!(*seen.lock().unwrap(), [detaching, attached]);
    assert!(*leaving.lock().unwrap());
    assert_eq!(stands(&n1.node, &a), (VolumeStatus::Available, [0; 4]));
}

/// One instance has it, another one is about to: in use, and both are counted.
#[test]
fn in_use_comes_before_attaching() {
    let (lab, n1, n2) = two_nodes();
    let both = lab.shareable("both");
    n2.node.attach(&ask(instance(2), &[shared(&both)])).unwrap();
    let seen = seen_before("activate", [&n1, &n2], &both);
    n1.node.attach(&ask(instance(1), &[shared(&both)])).unwrap();
    let both_counted = (VolumeStatus::InUse, [1, 1, 0, 0]);
    assert_eq!(*seen.lock().unwrap(), [both_counted; 2]);
}

#[test]
fn what_failed_and_is_tried_again_is_on_its_way_and_what_needs_a_person_is_a_fault() {
    let (lab, n1, n2) = two_nodes();
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    n1.kernel.fail_on("deactivate", failure());
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(done.trying_again.len(), 1);
    let detaching = (VolumeStatus::Detaching, [0, 0, 1, 0]);
    assert_eq!(stands(&n1.node, &a), detaching);

    n1.kernel.fail_on("link", failure());
    n1.kernel.fail_on(
        "deactivate",
        PortError::Identity {
            what: "a test".into(),
            expected: "this".into(),
            found: "that".into(),
        },
    );
    n1.node.attach(&ask(instance(2), &[disk(&b)])).unwrap_err();
    let fault = (VolumeStatus::Fault, [0, 0, 0, 1]);
    assert_eq!(stands(&n1.node, &b), fault);
    assert_eq!(stands(&n2.node, &b), fault, "its slot says so");
}

#[test]
fn what_is_cut_off_is_a_fault_and_stays_in_use_for_others() {
    let (lab, n1, n2) = two_nodes();
    let a = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    n1.node.fence(Some(instance(1)), &[]);
    n1.tasks.run_all();
    assert_eq!(stands(&n1.node, &a), (VolumeStatus::Fault, [0, 0, 0, 1]));
    assert_eq!(stands(&n2.node, &a), (VolumeStatus::InUse, [1, 0, 0, 0]));
}

/// Without an attachment it is held: by an operation, by a copy, by a lease; never available.
#[test]
fn what_nobody_has_and_something_keeps_is_held() {
    let (lab, n1, n2) = two_nodes();
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let held = (VolumeStatus::Held, [0; 4]);
    let mark = "volward.copying=1:c1".to_owned();
    n1.kernel
        .change_tags(&a, &[], std::slice::from_ref(&mark))
        .unwrap();
    for daemon in [&n1, &n2] {
        assert_eq!(stands(&daemon.node, &a), held);
    }
    n1.kernel.change_tags(&a, &[mark], &[]).unwrap();
    assert_eq!(stands(&n2.node, &a), (VolumeStatus::Available, [0; 4]));

    lab.policy.say(Say::Copy(CopyMode::Background));
    n1.node.attach(&ask(instance(1), &[disk(&b)])).unwrap();
    let in_use = (VolumeStatus::InUse, [1, 0, 0, 0]);
    assert_eq!([&n1, &n2].map(|d| stands(&d.node, &b)), [in_use; 2]);
    // Its guest is gone, and its copy is on its way home.
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    for daemon in [&n1, &n2] {
        assert_eq!(stands(&daemon.node, &b), held);
    }
    n1.tasks.run_all();
    for daemon in [&n1, &n2] {
        assert_eq!(stands(&daemon.node, &b), (VolumeStatus::Available, [0; 4]));
    }

    // Before an operation has its mark on, it has the lease.
    let delete = VolumeTask::Delete {
        pool: lab.pool.clone(),
        name: a.name.clone(),
    };
    let seen = seen_before("change-tags", [&n1, &n2], &a);
    n1.node.ask_operation(&operation("d1", delete)).unwrap();
    n1.tasks.run_all();
    assert_eq!(seen.lock().unwrap()[0], held);
}

#[test]
fn what_contradicts_itself_or_cannot_be_read_is_a_fault_and_says_why() {
    let (lab, n1, n2) = two_nodes();
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let broken = "volward.home=x".to_owned();
    n1.kernel.change_tags(&a, &[], &[broken]).unwrap();
    let found = standing(&n1.node, &a);
    assert_eq!(found.status, VolumeStatus::Fault);
    assert_eq!(found.counts.total(), 0);
    assert_eq!(found.troubles.len(), 1, "{found:?}");
    assert_eq!(standing(&n1.node, &b).status, VolumeStatus::Available);

    // A slot that cannot be read may name any volume.
    let show = |reading| lab.cluster.show_place_as(&lab.pool, "n2", Some(reading));
    show(SlotReading::Broken {
        reason: "checksum".into(),
    });
    let found = standing(&n1.node, &b);
    assert_eq!(found.status, VolumeStatus::Fault);
    assert!(found.troubles[0].contains("cannot be read"), "{found:?}");

    // That of a newer version has what it names.
    let newer = |held| {
        SlotReading::Newer(NewerSlot {
            node: Some("n2".parse().unwrap()),
            generation: None,
            held,
            reason: "format 9".into(),
        })
    };
    show(newer(Some(vec![b.id])));
    assert_eq!(stands(&n1.node, &b), (VolumeStatus::InUse, [1, 0, 0, 0]));
    show(newer(Some(vec![a.id])));
    assert_eq!(stands(&n1.node, &b), (VolumeStatus::Available, [0; 4]));
    show(newer(None));
    let found = standing(&n1.node, &b);
    assert_eq!(found.status, VolumeStatus::Fault);
    assert!(found.troubles[0].contains("does not tell"), "{found:?}");
    drop(n2);
    lab.cluster.set_member("n2", MemberState::Dead);
    assert_eq!(stands(&n1.node, &b), (VolumeStatus::Available, [0; 4]));
}

/// Each attachment counts as its own, whatever its access.
#[test]
fn who_reads_counts_as_who_writes() {
    let (lab, n1, n2) = two_nodes();
    let both = lab.shareable("both");
    n1.node.attach(&ask(instance(1), &[shared(&both)])).unwrap();
    n2.node
        .attach(&ask(instance(2), &[read_only(&both)]))
        .unwrap();
    for daemon in [&n1, &n2] {
        assert_eq!(
            stands(&daemon.node, &both),
            (VolumeStatus::InUse, [2, 0, 0, 0])
        );
    }
}
