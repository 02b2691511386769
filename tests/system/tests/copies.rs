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
use volward_system::volward::VIRSH;
#[cfg(feature = "long")]
use volward_system::{Cluster, ClusterSpec, power, volward::content};

use copy::{Fixture, INSTANCE, MIB, OTHER, PATIENCE, SLOW, ready};

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

/// A guest does not move away from its copy; the copy comes home under it, also where the daemon dies meanwhile, and
/// then it moves.
#[test]
fn a_copy_comes_home_under_its_guest_which_moves_then() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (volward, guest) = (&fixture.volward, &fixture.guest);
    let (one, two) = (fixture.one(), fixture.two());
    guest.start(one).unwrap();
    let is = |state: &'static str| move |copy: (String, u64, u64)| copy.0 == state;
    let wait_for = |state: &'static str| {
        volward
            .wait(1, state, PATIENCE, || {
                Ok(fixture.copy().is_some_and(is(state)))
            })
            .unwrap();
    };
    fixture.write(0xaa, 1 << 20, 64 << 10);
    wait_for("complete");
    fixture.write(0xbb, 9 << 20, 1 << 20);
    let migrate = || {
        let command = "virsh migrate --live web qemu+tcp://10.9.0.2/system";
        one.run_within(VIRSH, command).unwrap()
    };
    let stays = migrate();
    println!("{}", stays.stderr);
    let said = "volward hydration home vg0/disk";
    assert!(!stays.ok() && stays.stderr.contains(said), "{stays:?}");

    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    println!("{}", volward.cli_ok(1, "hydration home vg0/disk").unwrap());
    wait_for("returning");
    assert_eq!(fixture.home(), "returning:node1");
    fixture.is_refused(2, "in-use", &["node1"]);
    // What is home already, and what is not yet; whole regions and parts of some.
    fixture.write(0xcc, 512, 4096);
    fixture.write(0xdd, (38 << 20) + 4096, 512);
    fixture.write(0xee, (20 << 20) - 512, 1 << 20);
    fixture.flush();
    fixture.is_under_way("returning");
    volward.crash(1).unwrap();
    fixture.write(0x99, (MIB - 1) << 20, 1 << 20);
    volward.start(1, &[]).unwrap();
    wait_for("returning");
    fixture.write(0x77, 3 << 20, 8192);
    // Somebody who waits for it.
    let waits = "(setsid sh -c 'volward hydration home vg0/disk --wait > /run/lab/home 2>&1; echo $? >> /run/lab/home' > /dev/null 2>&1 &)";
    one.run_ok(waits).unwrap();
    one.restore_lun().unwrap();
    fixture.go_on_copying();
    let mut writes = 0;
    volward
        .wait(1, "copy at home", PATIENCE, || {
            fixture.write(
                0x50 + writes % 16,
                (30 << 20) + u64::from(writes) * 8192,
                4096,
            );
            writes += 1;
            Ok(fixture.copy().is_none())
        })
        .unwrap();
    assert_eq!(fixture.home(), "pool");
    let waited = || {
        let said = one.run_ok("cat /run/lab/home")?;
        Ok(said.ends_with("the data of vg0/disk is at home\n0\n"))
    };
    volward.wait(1, "end of the wait", VIRSH, waited).unwrap();
    let seen = Sight::of(one).unwrap();
    assert!(seen.clones.is_empty() && seen.copies.is_empty(), "{seen:?}");
    assert_eq!(seen.devices.len(), 1);
    fixture.write(0x66, 5 << 20, 4096);
    fixture.no_error_was_seen();

    let moved = migrate();
    assert!(moved.ok(), "{moved:?}");
    volward
        .wait(2, "exclusive lease", PATIENCE, || {
            Ok(volward.leases(2)? == ["disk exclusive"])
        })
        .unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    guest.stop(two).unwrap();
    fixture.comes_home_whole();
}

/// A volume is grown while its copy hydrates, asked for on the other node: the copy comes home under the guest, which writes on,
/// and then the guest has the new size. The daemon dies on the way.
#[test]
fn i11_a_volume_grows_while_its_copy_hydrates() {
    const GROWN: u64 = 60;
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (volward, guest, one) = (&fixture.volward, &fixture.guest, fixture.one());
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.is_under_way("hydrating");
    let extend = format!("volume extend vg0/disk {GROWN}M --id e1");
    let planned = volward.cli_ok(2, &format!("{extend} --dry-run")).unwrap();
    println!("{planned}");
    volward.cli_ok(2, &format!("{extend} --no-wait")).unwrap();
    let says = |node: u8, words: &'static str| {
        let listed = || Ok(volward.cli_ok(node, "op ls")?.contains(words));
        volward.wait(node, words, PATIENCE, listed).unwrap();
    };
    says(1, "to be whole before it comes home");
    says(2, "node node1, where it is attached");
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.is_under_way("hydrating");
    one.restore_lun().unwrap();
    fixture.go_on_copying();
    fixture.wait_home("returning:node1");
    fixture.write(0xcc, (20 << 20) - 512, 1 << 20);
    volward.crash(1).unwrap();
    fixture.write(0xdd, 512, 4096);
    volward.start(1, &[]).unwrap();
    let mut writes = 0;
    volward
        .wait(2, "end of the operation", PATIENCE, || {
            let place = (12 << 20) + u64::from(writes) * 8192;
            fixture.write(0x50 + writes % 16, place, 4096);
            writes += 1;
            Ok(volward.json(2, "op show e1")?["state"] == "done")
        })
        .unwrap();
    assert_eq!(fixture.home(), "pool");
    assert_eq!(fixture.copy(), None);
    let device = guest.device("disk");
    let script = format!("blockdev --getsize64 {device}");
    let size = one.run_ok(&script).unwrap();
    assert_eq!(size.trim(), (GROWN << 20).to_string());
    let script = format!(
        "tail -c +{} {device} | tr -d '\\0' | wc -c",
        (MIB << 20) + 1
    );
    assert_eq!(one.run_ok(&script).unwrap().trim(), "0", "another's data");
    fixture.write(0xee, 5 << 20, 4096);
    fixture.no_error_was_seen();
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
        // Regions of 4 KiB.
        let most_kib = amounts.iter().max().unwrap() * 4;
        let (more, least) = (80 * 64, 17 * 64);
        assert!((least..=more).contains(&most_kib), "{prefix}: {amounts:?}");
    }
}

#[cfg(feature = "long")]
fn boot(cluster: &Cluster, fixture: &Fixture<'_>) {
    let spec = ClusterSpec::default();
    power::boot(cluster, &spec, &fixture.volward, 1).unwrap();
    fixture.one().run_ok("lvchange -ay local/model").unwrap();
}

#[cfg(feature = "long")]
#[test]
fn a_node_that_dies_in_split_or_returning_loses_nothing() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    power::makes_room(one).unwrap();
    let boot = || boot(&cluster, &fixture);

    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.flush();
    fixture.is_under_way("hydrating");
    power::cut(one).unwrap();
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
    power::cut(one).unwrap();
    fixture.is_refused(2, "returning", &["node1"]);
    boot();
    fixture.comes_home_whole();
}

/// The command that a way out names, between its backticks.
#[cfg(feature = "long")]
fn command(heard: &serde_json::Value, with: &str) -> String {
    println!("{heard:#}");
    let ways = heard["ways_out"].as_array().unwrap();
    let mut named = ways.iter().rev().filter_map(|way| way.as_str());
    let way = named.find(|way| way.contains(with)).unwrap();
    let command = way.split('`').nth(1).unwrap();
    command.strip_prefix("volward ").unwrap().to_owned()
}

/// The node seemed to be gone for good, and comes back with a copy that somebody has given up.
#[cfg(feature = "long")]
#[test]
fn i19_a_copy_that_was_given_up_is_kept_by_the_node_that_comes_back_and_never_written_home() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let volward = &fixture.volward;
    let (one, two, guest) = (fixture.one(), fixture.two(), &fixture.guest);
    power::makes_room(one).unwrap();
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.flush();
    fixture.is_under_way("hydrating");
    let heard = || volward.json(2, "recover vg0/disk").unwrap();
    assert!(!heard().to_string().contains("--because"));
    power::cut(one).unwrap();
    fixture.is_soon_refused(2, "home-elsewhere");
    fixture.is_refused(2, "home-elsewhere", &["volward recover"]);

    let command_there = command(&heard(), "--because REASON");
    let without = command_there.replace(" --because REASON", "");
    assert_eq!(volward.problem(2, &without).unwrap()["code"], "no-reason");
    let with = command_there.replace("REASON", "'node1 burned down'");
    let said = volward.cli_ok(2, &with).unwrap();
    println!("{said}");
    assert_eq!(fixture.home(), "pool");
    volward
        .cli_ok(2, &format!("attach {OTHER} vg0/disk"))
        .unwrap();
    let device = format!("/dev/volward/{OTHER}/vg0/disk");
    let expected = content("disk", MIB);
    // What was on the LUN before the copy was made, all of it.
    two.run_ok_within(PATIENCE, &format!("( {expected} ) | cmp - {device}"))
        .unwrap();
    two.run_ok(&format!(
        "head -c 4096 /dev/zero | tr '\\0' w | dd of={device} bs=4k seek=512 oflag=direct status=none"
    ))
    .unwrap();
    volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();

    boot(&cluster, &fixture);
    fixture.is_refused(1, "contradiction", &["volward recover"]);
    let back = volward.json(1, "recover vg0/disk").unwrap();
    assert_eq!(back["heard"], "contradict", "{back}");
    let why = back["contradictions"].to_string();
    assert!(
        why.contains("given up by uid 0 (node1 burned down)"),
        "{why}"
    );
    let doctor = volward.cli(1, "doctor").unwrap();
    assert!(doctor.stdout.contains("vg0/disk"), "{}", doctor.stdout);
    let copies = "lvs --noheadings -o lv_name local | grep -c volward-copy || true";
    assert_eq!(one.run_ok(copies).unwrap().trim(), "1", "the copy is kept");

    volward.cli_ok(1, &command(&back, "--discard")).unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    volward
        .wait(1, "end of the copy", PATIENCE, || {
            Ok(one.run_ok(copies)?.trim() == "0" && Sight::of(one)?.is_empty())
        })
        .unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg0/disk"))
        .unwrap();
    let written = one.run_ok(&format!(
        "dd if={device} bs=4k skip=512 count=1 iflag=direct status=none | tr -d w | wc -c"
    ));
    assert_eq!(written.unwrap().trim(), "0", "node 2's write is there");
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
}
