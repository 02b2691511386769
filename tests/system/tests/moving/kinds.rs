//! Each kind of migration that libvirt has, and each that is not to be.

use std::time::{Duration, Instant};

use volward_system::Node;
use volward_system::volward::{POLICIES, VIRSH, Volward};

use super::moving::{Mover, SLOWLY, own_disk, put_own_disks, put_weights, ready};

/// What a whole migration of a guest that weighs may take, slowly.
const WHOLE: Duration = Duration::from_secs(110);

#[test]
fn i7_however_it_migrates_one_node_has_it_and_what_is_refused_changes_nothing() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    put_weights(&cluster);
    put_own_disks(&cluster);
    let mover = Mover::new(&volward, "mover", 1);
    let other = Mover::new(&volward, "other", 2).with_own_disk();
    for mover in [&mover, &other] {
        mover.guest.start(one).unwrap();
    }
    mover.goes_on(&volward, one);

    is_refused(&volward, &mover, one, two);
    is_called_off(&volward, &mover, one, two);

    // Two at once: one through libvirt's connection, one with the disk that is on no LUN.
    let whole = own_disk(one);
    mover.leaves(one, two, "--live --p2p --tunnelled");
    other.leaves(
        one,
        two,
        "--live --persistent --undefinesource --copy-storage-all --migrate-disks vdb",
    );
    for mover in [&mover, &other] {
        assert!(mover.has_left(one, WHOLE).ok());
        mover.is_alone_on(&volward, two, one);
        mover.goes_on(&volward, two);
    }
    assert_eq!(own_disk(two), whole);
    // One took its definition along.
    assert!(!one.run("virsh dominfo other").unwrap().ok());
    assert!(one.run("virsh dominfo mover").unwrap().ok());

    // One that does not run takes its definition along, and starts there as ever.
    other.guest.stop(two).unwrap();
    let said = other.migrate(two, one, "--offline --persistent");
    assert!(said.ok(), "{said:?}");
    other.starts_anew(&volward, one);
    other.is_alone_on(&volward, one, two);

    // Past each other; the memory of one follows it.
    let follows = format!("--live --postcopy --postcopy-bandwidth 1 {SLOWLY}");
    mover.leaves(two, one, &follows);
    other.leaves(one, two, "--live --copy-storage-all --migrate-disks vdb");
    mover.is_on_its_way(&volward, two, one);
    let states = two.run_ok_within(
        VIRSH,
        "virsh migrate-postcopy mover && virsh domstate --reason mover",
    );
    assert!(states.unwrap().contains("(post-copy)"));
    mover.goes_on(&volward, one);
    assert!(mover.has_left(two, WHOLE).ok());
    assert!(other.has_left(one, WHOLE).ok());
    for (mover, at, other) in [(&mover, one, two), (&other, two, one)] {
        mover.is_alone_on(&volward, at, other);
        mover.goes_on(&volward, at);
        mover.guest.stop(at).unwrap();
    }
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "");
    }
}

/// What is not to be ends at virsh with a reason, within seconds; the guest goes on, its lease is what it was.
fn is_refused(volward: &Volward<'_>, mover: &Mover, one: &Node, two: &Node) {
    // libvirt's copy of a disk onto itself.
    for (options, reason) in [
        (
            "--copy-storage-all",
            "cannot precreate storage for disk type 'block'",
        ),
        (
            "--copy-storage-inc",
            "pre-creation of storage targets for incremental storage migration is not supported",
        ),
    ] {
        let said = mover.migrate(one, two, &format!("--live {options}"));
        assert!(said.stderr.contains(reason), "{said:?}");
        mover.is_alone_on(volward, one, two);
    }

    let stays = format!("stay = \"{}\"", mover.guest.uuid);
    volward.add_policy(2, "migration", &stays).unwrap();
    let said = mover.migrate(one, two, "--live");
    let reason = "mover does not migrate: it is listed as `stay`";
    assert!(said.stderr.contains(reason), "{said:?}");
    mover.is_alone_on(volward, one, two);
    two.run_ok(&format!(
        "rm {POLICIES}/50-migration.*; volward policy load"
    ))
    .unwrap();

    // The source's daemon says nothing.
    volward.stop(1).unwrap();
    let begun = Instant::now();
    let said = mover.migrate(one, two, "--live");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(45), "{took:?}");
    let reason = "node node1, where vg0/mover is attached, has not answered within 30 s; see that volwardd runs there";
    assert!(said.stderr.contains(reason), "{said:?}");
    volward.start(1, &[]).unwrap();
    mover.is_alone_on(volward, one, two);
    mover.goes_on(volward, one);
}

/// `virsh domjobabort` in the middle.
fn is_called_off(volward: &Volward<'_>, mover: &Mover, one: &Node, two: &Node) {
    mover.leaves(one, two, &format!("--live {SLOWLY}"));
    mover.is_on_its_way(volward, one, two);
    one.run_ok("virsh domjobabort mover").unwrap();
    let said = mover.has_left(one, WHOLE);
    // virsh says `canceled by client`, or what the destination's QEMU met when nothing came any more.
    assert!(!said.ok(), "{said:?}");
    mover.is_alone_on(volward, one, two);
    mover.goes_on(volward, one);
}
