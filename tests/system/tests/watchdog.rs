//! I26: read-write is served where an armed watchdog would reset the node, and refused where none
//! would, unless the configuration says in so many words that this is a lab.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use volward_system::guest::{Guest, Wish};
use volward_system::volward::{Setup, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

fn production() -> Setup {
    Setup {
        lab_switch: false,
        ..Setup::default()
    }
}

/// Long: a cluster with the watchdog armed is booted for this test alone.
#[cfg(feature = "long")]
#[test]
fn i26_read_write_is_served_under_the_watchdog_without_the_lab_switch() {
    let spec = ClusterSpec {
        watchdog: true,
        ..ClusterSpec::default()
    };
    let cluster = Cluster::with_volward(&Lab::open().unwrap(), &spec, Progress::shown()).unwrap();
    let volward = Volward::set_up(&cluster, &production()).unwrap();
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    web.start(cluster.node(1)).unwrap();
    assert_eq!(volward.leases(1).unwrap(), ["root exclusive"]);
    web.stop(cluster.node(1)).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

#[test]
fn i26_without_watchdog_read_write_is_refused_and_read_only_is_not() {
    let spec = ClusterSpec::default();
    let cluster = Cluster::with_volward(&Lab::open().unwrap(), &spec, Progress::shown()).unwrap();
    let volward = Volward::set_up(&cluster, &production()).unwrap();
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    let refused = web.try_start(node).unwrap();
    println!("{}", refused.stderr);
    assert!(!refused.ok(), "{refused:?}");
    let said = "guest web was not started (refused, no-watchdog)";
    assert!(refused.stderr.contains(said), "{refused:?}");
    assert_eq!(volward.left_over(1).unwrap(), "");

    let reader = Guest::new("reader", 2).disk("root", Wish::ReadOnly);
    reader.start(node).unwrap();
    reader.stop(node).unwrap();
    // The doctor says so too, with its own exit code.
    let doctor = volward.cli(1, "doctor").unwrap();
    println!("{}", doctor.stdout);
    assert_eq!(doctor.status, 11, "{doctor:?}");
    assert!(doctor.stdout.contains("watchdog"), "{doctor:?}");
}
