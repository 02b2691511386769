//! What a pool has: disks, and every lease with the instances it is for.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};

use volward_control::ports::{Leases, PortError, Volumes};
use volward_control::{Inventory, OperationAbroad, SeenLease};
use volward_model::{Bytes, LeaseMode, Mark, MemberState, Ordered, VolumeTask};
use volward_simulation::story::seconds;
use volward_simulation::{Lab, ask, disk, instance, operation, read_only, shared};

/// Those of one volume: how, by which node, for how many instances, and what is odd about it.
fn of(inventory: &Inventory, name: &str) -> Vec<(LeaseMode, Option<String>, usize, String)> {
    let about = inventory.leases.iter();
    let about = about.filter(|lease| lease.volume.name.as_str() == name);
    let odd = |lease: &SeenLease| match (lease.orphan, lease.by_hand) {
        (false, false) => String::new(),
        (orphan, by_hand) => format!("orphan {orphan}, by hand {by_hand}"),
    };
    about
        .map(|lease| {
            let node = lease.node.as_ref().map(ToString::to_string);
            (lease.mode, node, lease.instances.len(), odd(lease))
        })
        .collect()
}

#[test]
fn every_lease_is_listed_with_its_node_and_instances_and_each_disk_with_what_is_on_it() {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let (a, both, hand) = (lab.volume("a"), lab.shareable("both"), lab.volume("hand"));
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    for (node, number) in [(&n1, 1), (&n1, 2), (&n2, 3)] {
        let disks = [shared(&both)];
        node.node.attach(&ask(instance(number), &disks)).unwrap();
    }
    // Taken by nobody that a record knows of.
    Leases::take(&n2.kernel, &lab.pool, &[hand], LeaseMode::Exclusive).unwrap();

    let found = n1.node.inventory(&lab.pool);
    assert_eq!(found.unreadable, [""; 0]);
    let [n1s, n2s] = ["n1", "n2"].map(|name| Some(name.to_owned()));
    let exclusive = |node, instances| vec![(LeaseMode::Exclusive, node, instances, String::new())];
    assert_eq!(of(&found, "a"), exclusive(n1s.clone(), 1));
    assert_eq!(of(&found, "hand"), exclusive(n2s.clone(), 0));
    assert_eq!(
        of(&found, "both"),
        [
            (LeaseMode::Shared, n1s, 2, String::new()),
            (LeaseMode::Shared, n2s, 1, String::new()),
        ]
    );
    assert_eq!(of(&found, "volward-registry").len(), 2);
    let [disk] = found.disks.as_slice() else {
        panic!("{:?}", found.disks)
    };
    let names: Vec<&str> = disk.carries.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "both", "hand", "volward-registry"]);
    // Both see the same of the LUN.
    assert_eq!(of(&n2.node.inventory(&lab.pool), "both").len(), 2);
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_shown() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let a = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[read_only(&a)])).unwrap();
    let silent = || PortError::Io {
        what: "reading the lease area".into(),
        reason: "a test's failure".into(),
    };
    n1.kernel.fail_on("holders", silent());
    let found = n1.node.inventory(&lab.pool);
    assert_eq!((found.leases.len(), found.disks.len()), (0, 1));
    assert!(
        found.unreadable[0].contains("and what comes after it"),
        "{:?}",
        found.unreadable
    );
    n1.kernel.fail_on("physical-volumes", silent());
    let found = n1.node.inventory(&lab.pool);
    assert_eq!((found.leases.len(), found.disks.len()), (2, 0));
    n1.kernel.set_silent(&lab.pool, true);
    let found = n1.node.inventory(&lab.pool);
    assert!(found.leases.is_empty() && !found.unreadable.is_empty());
    // A local pool is one node's own: it has disks, and no leases.
    let local = n1.node.inventory(&lab.local("n1").unwrap());
    assert_eq!((local.leases.len(), local.disks.len()), (0, 1));
}

/// A line each: id, volume, its mark's tag, what is ordered, who does it, who was asked, how far it is.
fn abroad(found: &[OperationAbroad]) -> Vec<String> {
    let line = |one: &OperationAbroad| {
        let id = one.id.as_ref().map_or("?", |id| id.as_str());
        let mark = one.mark.as_ref().map_or_else(|| "-".to_owned(), Mark::tag);
        let ordered = match &one.ordered {
            None => "-",
            Some(Ordered::Grow { .. }) => "grow",
            Some(_) => "other",
        };
        let [node, asked] = [&one.node, &one.asked_on]
            .map(|node| node.as_ref().map_or("-".to_owned(), ToString::to_string));
        let done = one
            .progress
            .map_or("-".to_owned(), |(done, total)| format!("{done} of {total}"));
        let name = &one.volume.name;
        format!("{id} {name} {mark} {ordered} {node} {asked} {done}")
    };
    found.iter().map(line).collect()
}

/// The mark is on the LUN, and the lease says which node works on what has it.
#[test]
fn another_nodes_operation_is_known_by_its_mark_and_who_carries_it_out_by_the_lease() {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = |call: &str| {
        let nodes = [&n1, &n2].map(|daemon| Arc::clone(&daemon.node));
        let (into, pool) = (Arc::clone(&seen), lab.pool.clone());
        n1.kernel.before(call, move |_| {
            let found = nodes
                .each_ref()
                .map(|node| abroad(&node.inventory(&pool).operations));
            into.lock().unwrap().push(found);
        });
    };
    let create = |name: &str| VolumeTask::Create {
        pool: lab.pool.clone(),
        name: name.parse().unwrap(),
        size: Bytes::mib(8),
    };
    // While it zeroes; and before the mark goes, when it has given the lease up.
    look("zero-range");
    look("change-tags");
    n1.node
        .ask_operation(&operation("c1", create("new")))
        .unwrap();
    n1.tasks.run_all();
    let own = || Vec::<String>::new();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            [own(), vec!["c1 new volward.new=c1 - n1 - -".to_owned()]],
            [own(), vec!["c1 new volward.new=c1 - - - -".to_owned()]],
        ]
    );
    let after = n2.node.inventory(&lab.pool);
    assert_eq!(after.operations, []);

    // A node that is gone leaves its mark; sanlock still tells whose lease it was.
    n1.kernel.fail_on(
        "zero-range",
        PortError::Io {
            what: "zeroing".into(),
            reason: "a test's failure".into(),
        },
    );
    n1.node
        .ask_operation(&operation("c2", create("other")))
        .unwrap();
    n1.tasks.run_all();
    n1.kernel.power_cut();
    let of_n2 = || abroad(&n2.node.inventory(&lab.pool).operations);
    assert_eq!(of_n2(), ["c2 other volward.new=c2 - n1 - -"]);
    lab.cluster.set_member("n1", MemberState::Dead);
    // A mark that nobody understands has no id.
    let a = lab.volume("a");
    n2.kernel
        .change_tags(&a, &[], &["volward.new=a/b".to_owned()])
        .unwrap();
    let found = of_n2();
    assert!(
        found.contains(&"? a volward.new=a/b - - - -".to_owned()),
        "{found:?}"
    );
}

/// What one node has another one do stands in the slots of both, and a third one reads them.
#[test]
fn what_one_node_has_another_one_do_is_shown_with_both_and_with_how_far_it_is() {
    let lab = Lab::new(&["n1", "n2", "n3"]);
    let [n1, n2, n3] = ["n1", "n2", "n3"].map(|node| lab.start(node));
    let a = lab.volume("a");
    let blocks = u64::try_from(lab.cluster.contents(a.id).len()).unwrap();
    let size = blocks * volward_storage::fake::BLOCK.0;
    n2.node.attach(&ask(instance(2), &[disk(&a)])).unwrap();
    let grow = VolumeTask::Extend {
        pool: lab.pool.clone(),
        name: a.name.clone(),
        size: Bytes::mib(132),
    };
    n1.node.ask_operation(&operation("e1", grow)).unwrap();
    n1.tasks.run_all();
    let seen = || {
        let found = [&n1, &n2, &n3].map(|daemon| daemon.node.inventory(&lab.pool).operations);
        found.map(|found| abroad(&found))
    };
    let told = vec!["e1 a - grow n2 n1 -".to_owned()];
    // The one that is told does not know of it yet; of one's own nobody reads in the slots.
    assert_eq!(seen(), [vec![], told.clone(), told]);
    for _ in 0..3 {
        n2.kernel.fail_on(
            "zero-range",
            PortError::Io {
                what: "zeroing".into(),
                reason: "a test's failure".into(),
            },
        );
    }
    n2.node.follow_migrations();
    n2.tasks.run_all();
    n2.node.follow_migrations();
    n2.tasks.run_all();
    let [asked, does, third] = seen();
    assert_eq!((asked, does), (vec![], vec![]));
    let [line] = third.as_slice() else {
        panic!("{third:?}")
    };
    assert!(
        line.starts_with(&format!("e1 a volward.growing={size}:e1 grow n2 n1 0 ")),
        "{line}"
    );
    seconds(&lab, &[&n1, &n2], 40);
    assert_eq!(seen(), [vec![], vec![], Vec::<String>::new()]);
}
