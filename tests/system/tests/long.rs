//! What takes minutes of waiting.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

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
