//! What a pool has: disks, and every lease with the instances it is for.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::{Leases, PortError};
use volward_control::{Inventory, SeenLease};
use volward_model::LeaseMode;
use volward_simulation::{Lab, ask, disk, instance, read_only, shared};

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
