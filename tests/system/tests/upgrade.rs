//! A cluster of 0.1.0 is upgraded node by node, with guests running, and then its registry.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::guest::{Guest, Wish};
use volward_system::volward::{POOL, RELEASE_0_1_0, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

/// Patience with what copies a small volume at the speed of emulation.
const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
fn succeeded(said: &str) {
    let good = said.contains("bytes at offset") && !said.contains("failed");
    assert!(good, "{said}");
}

/// A start that must be refused because `holder` has the volume.
#[track_caller]
fn refused(volward: &Volward<'_>, node: u8, guest: &Guest, holder: &Guest) {
    let said = guest.try_start(volward.node(node)).unwrap();
    assert!(!said.ok(), "two guests have one volume: {said:?}");
    assert!(said.stderr.contains(&holder.uuid), "{said:?}");
}

#[test]
fn a_cluster_of_0_1_0_is_upgraded_node_by_node_with_guests_running() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::ready(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::install_from(&cluster, RELEASE_0_1_0).unwrap();
    let (one, two) = (cluster.node(1), cluster.node(2));
    for volume in ["web", "db", "kept"] {
        volward.volume(volume, 32).unwrap();
    }
    volward
        .add_policy(1, "hydrate-local", "reserve = \"64MiB\"")
        .unwrap();
    // On node 1 a guest on a local copy, on node 2 one on the pool, both of 0.1.0.
    let web = Guest::new("web", 1).disk("web", Wish::Plain);
    let db = Guest::new("db", 2).disk("db", Wish::Plain);
    web.start(one).unwrap();
    db.start(two).unwrap();
    succeeded(&web.io(one, 0, "write -P 0xa1 0 1M").unwrap());
    succeeded(&db.io(two, 0, "write -P 0xd1 0 1M").unwrap());
    let thief = |name, number, volume| Guest::new(name, number).disk(volume, Wish::Plain);

    // Node 1 first: a mixed cluster, in which each sees what the other has.
    volward.upgrade_node(1).unwrap();
    succeeded(&web.io(one, 0, "write -P 0xa2 1M 1M").unwrap());
    refused(&volward, 1, &thief("thief1", 8, "db"), &db);
    refused(&volward, 2, &thief("thief2", 9, "web"), &web);
    // What begins under the new daemon is seen by the old one, and the other way round.
    let kept = Guest::new("kept", 3).disk("kept", Wish::Plain);
    kept.start(one).unwrap();
    refused(&volward, 2, &thief("thief3", 10, "kept"), &kept);

    volward.upgrade_node(2).unwrap();
    succeeded(&db.io(two, 0, "write -P 0xd2 1M 1M").unwrap());
    refused(&volward, 2, &thief("thief4", 11, "web"), &web);

    // Now all nodes are new, and the registry is converted: not while node 2 has it active.
    let early = volward.cli(1, &format!("pool init {POOL}")).unwrap();
    assert!(!early.ok(), "{early:?}");
    assert!(early.stderr.contains("upgrade every node"), "{early:?}");
    volward.stop(2).unwrap();
    two.run_ok("lvchange -an vg0/volward-registry").unwrap();
    volward.cli_ok(1, &format!("pool init {POOL}")).unwrap();
    volward.start(2, &[]).unwrap();
    volward.cli_ok(2, &format!("pool init {POOL}")).unwrap();
    for (node, guest, volume) in [(1, &db, "db"), (2, &web, "web"), (2, &kept, "kept")] {
        refused(&volward, node, &thief("thief5", 12, volume), guest);
    }
    succeeded(&db.io(two, 0, "read -P 0xd2 1M 1M").unwrap());

    // A daemon of 0.1.0 that comes back finds state of a later version: it says so and ends.
    let old = volward.replace_programs(2, RELEASE_0_1_0).unwrap_err();
    println!("0.1.0 over later state: {old}");
    let says = "this version knows up to 1: install the newer version again";
    assert!(old.to_string().contains(says), "{old}");
    succeeded(&db.io(two, 0, "read -P 0xd2 1M 1M").unwrap());
    volward.upgrade_node(2).unwrap();

    // What 0.1.0 attached ends under the new daemon, and the copy comes home whole.
    for (guest, node) in [(&web, one), (&kept, one), (&db, two)] {
        guest.stop(node).unwrap();
    }
    volward
        .wait(1, "write-back", PATIENCE, || {
            Ok(volward.left_over(1)?.is_empty())
        })
        .unwrap();
    assert_eq!(volward.left_over(2).unwrap(), "");
    let reader = Guest::new("reader", 4).disk("web", Wish::Plain);
    reader.start(two).unwrap();
    succeeded(&reader.io(two, 0, "read -P 0xa1 0 1M").unwrap());
    succeeded(&reader.io(two, 0, "read -P 0xa2 1M 1M").unwrap());
    reader.stop(two).unwrap();

    // Without that state it gets as far as the registry, which it does not know: it attaches
    // nothing.
    volward.stop(2).unwrap();
    two.run_ok("rm -r /var/lib/volward").unwrap();
    volward.replace_programs(2, RELEASE_0_1_0).unwrap();
    let old = reader.try_start(two).unwrap();
    println!("0.1.0 and a converted registry: {}", old.stderr);
    assert!(old.stderr.contains("does not know"), "{old:?}");
}
