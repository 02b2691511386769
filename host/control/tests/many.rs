//! Many guests of one node: a storm of starts, and more volumes than a slot of 0.1.0 had room for.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Barrier};

use volward_simulation::doubles::Threads;
use volward_simulation::{Daemon, Lab, ask, check, detach_ask, disk, instance};

const GUESTS: u8 = 100;

fn start(lab: &Lab, node: &str) -> Daemon {
    let daemon = lab.daemon(node, Some(Arc::new(Threads::default())));
    daemon.node.recover().unwrap();
    daemon
}

/// A node comes back, and everything on it is started at once. (That those who would be answered too late
/// are told so with a code is for the door: `host/daemon/src/http/places.rs`.)
#[test]
fn a_hundred_guests_that_start_at_once_all_get_their_disk() {
    let lab = Lab::new(&["n1", "n2"]);
    let volumes: Vec<_> = (0..GUESTS).map(|n| lab.volume(&format!("s{n}"))).collect();
    let n1 = start(&lab, "n1");
    let barrier = Barrier::new(usize::from(GUESTS));
    std::thread::scope(|scope| {
        for (n, volume) in (0..GUESTS).zip(&volumes) {
            let (n1, barrier) = (&n1, &barrier);
            scope.spawn(move || {
                barrier.wait();
                n1.node.attach(&ask(instance(n), &[disk(volume)])).unwrap();
            });
        }
    });
    assert_eq!(n1.node.attachments().len(), usize::from(GUESTS));
    for n in 0..GUESTS {
        n1.node.detach(&detach_ask(instance(n))).unwrap();
    }
    assert_eq!(check::clean(&lab, &n1), [""; 0]);
}

#[test]
fn three_hundred_volumes_of_one_node_are_served_and_seen_by_the_other() {
    let lab = Lab::new(&["n1", "n2"]);
    let volumes: Vec<_> = (0..300).map(|n| lab.volume(&format!("m{n}"))).collect();
    let (n1, n2) = (start(&lab, "n1"), start(&lab, "n2"));
    for (n, of) in (0..).zip(volumes.chunks(40)) {
        let disks: Vec<_> = of.iter().map(disk).collect();
        n1.node.attach(&ask(instance(n), &disks)).unwrap();
    }
    let elsewhere = n2.node.attachments_elsewhere();
    let (seen, troubles) = (elsewhere.attachments, elsewhere.unreadable);
    assert_eq!((seen.len(), troubles), (300, Vec::new()));
    assert!(seen.iter().all(|one| one.volume.is_some()));
}
