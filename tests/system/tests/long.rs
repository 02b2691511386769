//! What takes minutes of waiting.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use volward_system::guest::{Guest, Wish};
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Progress};

/// A node that cannot renew its lease is reset by its watchdog, and only then another node gets
/// what it held.
#[test]
fn a_node_that_lost_the_lun_is_reset_before_its_lease_is_given_away() {
    let lab = Lab::open().unwrap();
    let spec = ClusterSpec {
        watchdog: true,
        ..ClusterSpec::default()
    };
    let cluster = Cluster::ready(&lab, &spec, Progress::shown()).unwrap();
    let (one, two) = (cluster.node(1), cluster.node(2));
    one.run_ok("lvcreate -an -n disk -L 32M vg0 && lvchange -aey vg0/disk")
        .unwrap();
    one.cut_lun(Cut::Hang).unwrap();
    let begun = Instant::now();

    // sanlock gives up after 8 I/O timeouts (2 s each), then the watchdog has 60 s.
    let mut resets = None;
    while begun.elapsed() < Duration::from_secs(240) {
        resets = resets.or_else(|| {
            one.wait_ended(Duration::ZERO)
                .ok()
                .map(|()| begun.elapsed())
        });
        let taken = two
            .run_within(Duration::from_secs(200), "lvchange -aey vg0/disk")
            .unwrap();
        // The reset may have come while that command waited.
        resets = resets.or_else(|| {
            one.wait_ended(Duration::ZERO)
                .ok()
                .map(|()| begun.elapsed())
        });
        if taken.ok() {
            assert!(
                resets.is_some(),
                "node 2 has the lease, and node 1 still runs"
            );
            return;
        }
    }
    panic!("node 2 did not get the lease; node 1 was reset after {resets:?}");
}

/// Waits for production's deadlines.
#[test]
fn a_lun_that_hangs_costs_an_attach_its_deadline_and_nothing_else() {
    let lab = Lab::open().unwrap();
    // sanlock's patience as in production, longer than the daemon's.
    let spec = ClusterSpec {
        io_timeout: Some(10),
        ..ClusterSpec::default()
    };
    let cluster = Cluster::with_volward(&lab, &spec, Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);

    node.cut_lun(Cut::Hang).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let start = scope.spawn(|| web.try_start(node).unwrap());
        // What needs no LUN is answered meanwhile.
        let mut looked = 0;
        while !start.is_finished() {
            let local = Instant::now();
            volward.cli_ok(1, "status").unwrap();
            volward.cli_ok(1, "ls").unwrap();
            node.run_ok("lvs --devicesfile volward-local.devices --nolocking local")
                .unwrap();
            assert!(
                local.elapsed() < Duration::from_secs(10),
                "{:?}",
                local.elapsed()
            );
            looked += 1;
        }
        let refused = start.join().unwrap();
        println!(
            "after {:?}, {looked} looks: {}",
            begun.elapsed(),
            refused.stderr
        );
        assert!(!refused.ok(), "{refused:?}");
        assert!(
            refused
                .stderr
                .contains("guest web was not started (storage failure)"),
            "{refused:?}"
        );
        assert!(looked > 0);
    });
    assert!(
        begun.elapsed() < Duration::from_secs(75),
        "{:?}",
        begun.elapsed()
    );
    node.restore_lun().unwrap();

    // Healed: nothing left, and the same start works.
    volward
        .wait(1, "end of what hung", Duration::from_secs(60), || {
            Ok(volward.left_over(1)?.is_empty())
        })
        .unwrap();
    volward
        .wait(1, "start after the heal", Duration::from_secs(90), || {
            Ok(web.try_start(node)?.ok())
        })
        .unwrap();
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// The LUN fails for ten seconds, as production's sanlock counts them, while guests stop: what failed for a moment
/// is tried again, and all is given up without a person.
#[test]
fn guests_that_stop_while_the_lun_fails_are_released_without_a_person() {
    let lab = Lab::open().unwrap();
    let spec = ClusterSpec {
        io_timeout: Some(10),
        ..ClusterSpec::default()
    };
    let cluster = Cluster::with_volward(&lab, &spec, Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    let guests: Vec<Guest> = (1..=3)
        .map(|n| {
            let volume = format!("root{n}");
            volward.volume(&volume, 8).unwrap();
            let guest = Guest::new(&format!("web{n}"), n).disk(&volume, Wish::Plain);
            guest.start(node).unwrap();
            guest
        })
        .collect();

    node.cut_lun(Cut::Errors).unwrap();
    let cut = Instant::now();
    std::thread::scope(|scope| {
        for guest in &guests {
            // libvirt ends the guest whatever the hook comes to.
            scope.spawn(|| drop(guest.stop(node)));
        }
        let rest = Duration::from_secs(10).saturating_sub(cut.elapsed());
        std::thread::sleep(rest);
        node.restore_lun().unwrap();
    });
    println!("healed, and all guests ended, after {:?}", cut.elapsed());
    volward
        .wait(1, "end of what failed", Duration::from_secs(120), || {
            Ok(volward.left_over(1)?.is_empty())
        })
        .unwrap();
    assert_eq!(volward.json(1, "ls").unwrap(), serde_json::json!([]));
    // Another node has them at once.
    for guest in &guests {
        guest.start(cluster.node(2)).unwrap();
        guest.stop(cluster.node(2)).unwrap();
    }
    assert_eq!(volward.left_over(2).unwrap(), "");
}
