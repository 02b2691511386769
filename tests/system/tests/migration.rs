//! Guests move between nodes while they write: real libvirt, real leases.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use volward_system::guest::{Guest, Wish};
use volward_system::hook_clock;
use volward_system::ticker::{self, Ticks};
use volward_system::volward::{VIRSH, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Output, Progress};

#[path = "moving/kinds.rs"]
mod kinds;
#[cfg(feature = "long")]
#[path = "moving/losses.rs"]
mod losses;
mod moving;

/// The destination looks each second; a node has one processor, and others have work to do.
const SOON: Duration = Duration::from_secs(60);

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

fn migrate(from: &Node, to: &Node, guest: &Guest, options: &str) -> Output {
    let command = format!(
        "virsh migrate --live {options} {} qemu+tcp://10.9.0.{}/system",
        guest.name,
        to.number()
    );
    let said = from.run_within(VIRSH, &command).unwrap();
    println!("{command}: {said:?}");
    said
}

fn ticks(node: &Node, guest: &Guest) -> Ticks {
    ticker::ticks(node, &guest.device("moves")).unwrap()
}

/// Waits until the guest has written so many times more.
#[track_caller]
fn goes_on(volward: &Volward<'_>, node: &Node, guest: &Guest) -> Ticks {
    let before = ticks(node, guest).last;
    let done = || Ok(ticker::ticks(node, &guest.device("moves"))?.last > before + 50);
    volward
        .wait(node.number(), "write of the guest", SOON, done)
        .unwrap();
    ticks(node, guest)
}

#[track_caller]
fn has_alone(volward: &Volward<'_>, node: &Node, other: &Node) {
    let alone = || Ok(volward.leases(node.number())? == ["moves exclusive"]);
    volward
        .wait(node.number(), "exclusive lease", SOON, alone)
        .unwrap();
    assert_eq!(volward.left_over(other.number()).unwrap(), "");
}

/// Says what libvirt waited for its hook, which attaches at the destination and lets go at the source. What the clock's own script
/// takes is none of the hook's.
fn hooks_share(whole: Duration, from: &Node, to: &Node) {
    let mut waited = Duration::ZERO;
    for (node, is) in [(to, "destination"), (from, "source")] {
        let calls = hook_clock::calls(node).unwrap();
        let of_it = calls.iter().filter(|call| call.guest == "mover");
        for call in of_it {
            println!("{} at the {is}: {:.2} s", call.operation, call.seconds);
            waited += Duration::from_secs_f64(call.seconds);
        }
        let attaches = if is == "destination" {
            "prepare"
        } else {
            "release"
        };
        assert!(
            calls.iter().any(|call| call.operation == attaches),
            "{calls:?}"
        );
    }
    let share = 100.0 * waited.as_secs_f64() / whole.as_secs_f64();
    println!("the hook's share of the migration: {waited:.2?} of {whole:.2?}, {share:.0} %");
    assert!(waited < whole, "{waited:?} of {whole:?}");
}

#[test]
fn i7_a_guest_that_writes_moves_there_and_back_and_loses_nothing() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    ticker::volume(&volward, "moves").unwrap();
    let guest = Guest::new("mover", 1).disk("moves", Wish::Plain);
    guest.start(one).unwrap();
    let mut before = goes_on(&volward, one, &guest);
    cluster.on_all(hook_clock::begin).unwrap();

    for (options, from, to) in [("", one, two), ("--p2p --undefinesource", two, one)] {
        let begun = Instant::now();
        let said = migrate(from, to, &guest, options);
        assert!(said.ok(), "{said:?}");
        hooks_share(begun.elapsed(), from, to);
        has_alone(&volward, to, from);
        let after = goes_on(&volward, to, &guest);
        assert!(after.last > before.last, "{before:?}, {after:?}");
        // One may be on its way while it is read.
        assert!(after.lost <= 1, "{after:?}");
        before = after;
        // It is a guest like any other there, and nobody else gets its disk.
        let other = Guest::new("other", 2).disk("moves", Wish::Plain);
        let refused = other.try_start(from).unwrap();
        let holder = format!("attached exclusively on node node{}", to.number());
        assert!(refused.stderr.contains(&holder), "{refused:?}");
    }

    guest.stop(one).unwrap();
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "");
    }
    // Where the guest was stopped, nothing is on its way any more.
    let uuid = &guest.uuid;
    volward
        .cli_ok(2, &format!("attach {uuid} vg0/moves"))
        .unwrap();
    let end = ticks(two, &guest);
    assert!(end.last >= before.last && end.lost <= 1, "{end:?}");
    volward.cli_ok(2, &format!("detach {uuid}")).unwrap();
}

/// The destination's own hook says no after the disks are there: the guest goes on where it was, and has its
/// disk alone again. And where nothing migrates, nothing is shared.
/// Long: over the fakes a migration fails in every way there is.
#[cfg(feature = "long")]
#[test]
fn i7_a_migration_that_fails_leaves_the_guest_and_its_lease_where_they_were() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    ticker::volume(&volward, "moves").unwrap();
    let guest = Guest::new("mover", 1).disk("moves", Wish::Plain);
    guest.start(one).unwrap();
    goes_on(&volward, one, &guest);

    let hook = "#!/bin/sh\n[ \"$2\" != start ] || { echo 'not on this node' >&2; exit 1; }\n";
    two.put_file("/etc/libvirt/hooks/qemu.d/zz-no", 0o755, hook)
        .unwrap();
    let said = migrate(one, two, &guest, "");
    assert!(said.stderr.contains("not on this node"), "{said:?}");
    has_alone(&volward, one, two);
    goes_on(&volward, one, &guest);

    // A start is none, whatever happened a moment ago.
    two.run_ok("rm /etc/libvirt/hooks/qemu.d/zz-no").unwrap();
    let start = guest.try_start(two).unwrap();
    assert!(start.stderr.contains("on node node1"), "{start:?}");

    // What only says that it is a migration is refused, with the source's reason.
    let uuid = &guest.uuid;
    let ask = format!("attach {uuid} vg0/moves --purpose migration-in");
    let said = volward.problem(2, &ask).unwrap().to_string();
    println!("{said}");
    assert!(
        said.contains("migration-refused") && said.contains("no-migration"),
        "{said}"
    );
    has_alone(&volward, one, two);

    // And to its end, after all that.
    let said = migrate(one, two, &guest, "");
    assert!(said.ok(), "{said:?}");
    has_alone(&volward, two, one);
    let after = goes_on(&volward, two, &guest);
    assert!(after.lost <= 1, "{after:?}");
    guest.stop(two).unwrap();
}
