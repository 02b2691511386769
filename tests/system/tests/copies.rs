//! Local copies: a guest runs on a local copy, and what it wrote comes home whole.
//!
//! Beside each volume lies a model on node 1's own disk: the same content, and every write of
//! the guest once more. In the end the whole volume is compared with it.

#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "the long tests use the rest")
)]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::Instant;

use volward_system::sight::Sight;
#[cfg(feature = "long")]
use volward_system::{ClusterSpec, volward::Setup};

use copy::{Fixture, INSTANCE, MIB, PATIENCE, SLOW, ready};

mod copy;

#[test]
fn a_guest_runs_on_a_copy_from_the_first_moment_and_node_2_reads_what_it_wrote() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.is_under_way("hydrating");
    fixture.same(0);
    fixture.same(MIB - 1);
    // Whole regions and parts of some, copied already and not yet.
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.write(0xcc, (27 << 20) - 512, 1 << 20);
    fixture.same(30);

    // A discard now would be taken for a copied region that reads as the old tenant's data.
    let device = guest.device("disk");
    let refused = one
        .run(&format!("blkdiscard -o 24M -l 1M {device}"))
        .unwrap();
    assert!(!refused.ok(), "a discard while hydrating: {refused:?}");
    guest.io(one, 0, "discard 24M 1M").unwrap();
    fixture.is_under_way("hydrating");
    fixture.same(24);
    one.restore_lun().unwrap();
    fixture.go_on_copying();

    // Hydration ends although the guest goes on writing.
    let begun = Instant::now();
    let mut writes = 0;
    while fixture.copy().unwrap().0 != "complete" {
        fixture.write(0xd0 + writes as u8 % 16, (12 << 20) + writes * 8192, 4096);
        writes += 1;
        assert!(
            begun.elapsed() < PATIENCE,
            "not hydrated: {:?}",
            fixture.copy()
        );
    }
    let clones = Sight::of(one).unwrap().clones;
    assert_eq!(clones.len(), 1);
    assert!(clones.iter().all(|c| c.ends_with(" linear")), "{clones:?}");
    fixture.write(0xee, 5 << 20, 4096);
    fixture.no_error_was_seen();

    // From now on a discard goes to the copy. Zeroes or not: what the guest sees stays.
    let said = guest.io(one, 0, "discard 16M 1M").unwrap();
    assert!(!said.contains("failed"), "{said}");
    let keep = "bs=1M skip=16 seek=16 count=1 iflag=direct conv=notrunc,fsync status=none";
    one.run_ok(&format!("dd if={device} of=/dev/local/model {keep}"))
        .unwrap();
    guest.stop(one).unwrap();
    fixture.comes_home_whole();
}

/// Long: of the two lab stories of a copy the other one goes the whole way.
#[cfg(feature = "long")]
#[test]
fn a_guest_stopped_in_the_middle_of_hydration_is_written_back_whole() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    // So much that its way home takes four seconds.
    fixture.write(0x99, 4 << 20, 16 << 20);
    guest.io(one, 0, "discard 24M 1M").unwrap();
    fixture.is_under_way("hydrating");

    let (in_copy, all) = fixture.regions("volward-clone-");
    assert!(in_copy < all / 2, "{in_copy} of {all}");

    // The data is in two places, and node 2 gets neither. While the guest runs, that it does is
    // the nearer reason.
    assert_eq!(fixture.home(), "split:node1");
    fixture.is_refused(2, "in-use", &["node1", INSTANCE]);
    fixture.hold_write_back();
    guest.stop(one).unwrap();
    fixture.wait_home("returning:node1");
    fixture
        .volward
        .wait(1, "progress", PATIENCE, || {
            Ok(fixture.copy().is_some_and(|c| c.1 > 0))
        })
        .unwrap();
    // What is not in the copy counts as written back from the first moment on.
    let (back, _) = fixture.regions("volward-return-");
    assert!(
        back >= all - in_copy && back < all,
        "{back} of {all}, {in_copy} in the copy"
    );
    fixture.is_refused(2, "returning", &["node1", "% done", "again"]);
    fixture.is_refused(1, "returning", &["node1", "% done", "again"]);

    // The daemon dies: the kernel goes on, and the next daemon finishes it.
    fixture.volward.crash(1).unwrap();
    fixture.volward.start(1, &[]).unwrap();
    let (state, _, total) = fixture.copy().unwrap();
    assert_eq!((state.as_str(), total), ("returning", MIB << 20));
    one.restore_lun().unwrap();
    fixture.go_on_copying();
    fixture.comes_home_whole();
}

/// A LUN of 8 MiB a second: a quarter of a second's copying is 2 MiB, twice what a clone is loaded with.
/// Long: the pace is simulated for LUNs of many speeds in plan/pace.
#[cfg(feature = "long")]
#[test]
fn a_copy_takes_from_the_lun_what_it_gives_and_leaves_sanlock_its_part() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.slow_lun(2 * SLOW).unwrap();
    fixture.watch_amounts();
    guest.start(one).unwrap();
    fixture
        .volward
        .wait(1, "end of the hydration", PATIENCE, || {
            Ok(fixture.copy().is_some_and(|c| c.0 == "complete"))
        })
        .unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    // A lease that was lost would have cut it off.
    fixture.no_error_was_seen();
    guest.stop(one).unwrap();
    fixture.comes_home_whole();
    // On its way there, and back. QEMU lets a tenth of a second through at once, and counts are taken in steps.
    for (prefix, amounts) in fixture.amounts() {
        let most = amounts.iter().max().copied().unwrap();
        assert!((17..=80).contains(&most), "{prefix}: {amounts:?}");
    }
}

#[cfg(feature = "long")]
#[test]
fn a_node_that_dies_in_split_or_returning_loses_nothing() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.run_ok("lvcreate -qq -n keep -L 64M local").unwrap();
    // A node of the lab boots with a fresh root; a real one keeps these folders.
    let folders = "etc/volward etc/lvm/devices var/lib/volward";
    let cut_power = || {
        let keep = format!("tar -C / -cf /dev/local/keep {folders} && sync");
        one.run_ok(&keep).unwrap();
        one.kill().unwrap();
    };
    let boot = || {
        cluster.rejoin(1, &ClusterSpec::default()).unwrap();
        one.run_ok("lvchange -ay local/model local/keep && tar -C / -xf /dev/local/keep")
            .unwrap();
        fixture.volward.install_node(1, &Setup::default()).unwrap();
    };

    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.flush();
    fixture.is_under_way("hydrating");
    cut_power();
    // Until sanlock counts node 1 dead, what its slot says holds. Then the lease is free; the tag is
    // not.
    fixture.is_refused(2, "in-use", &["node1", INSTANCE]);
    fixture.is_soon_refused(2, "home-elsewhere");
    fixture.is_refused(2, "home-elsewhere", &["node1", "no guest there has it"]);
    boot();
    assert_eq!(fixture.home(), "split:node1");

    // Its guest may start there again, on what it had.
    one.slow_lun(SLOW).unwrap();
    guest.start(one).unwrap();
    fixture.same(1);
    fixture.same(30);
    fixture.write(0xcc, 20 << 20, 64 << 10);
    // So much that its way home takes four seconds.
    fixture.write(0x99, 4 << 20, 16 << 20);
    fixture.flush();
    fixture.hold_write_back();
    guest.stop(one).unwrap();
    fixture.wait_home("returning:node1");
    cut_power();
    fixture.is_refused(2, "returning", &["node1"]);
    boot();
    fixture.comes_home_whole();
}
