//! A node is lost half way, or its LUN is: one node has the guest's volume in the end, with all that the guest wrote, and the
//! other one can have it again. Long: sanlock counts a node dead some 70 seconds after its last renewal.

use std::time::{Duration, Instant};

use volward_system::ticker::Ticks;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress, power};

use super::moving::{Mover, SLOWLY, put_weights, ready};

/// sanlock counts a node dead 8 I/O timeouts and a watchdog's 60 s after its last renewal; a node has one processor.
const DEAD: Duration = Duration::from_secs(200);
/// The watchdog resets a node 60 s after sanlock has given up.
const RESET: Duration = Duration::from_secs(240);
/// libvirt misses a node after some thirty seconds.
const MISSED: Duration = Duration::from_secs(150);

/// A guest that is on its way from node 1 to node 2.
fn half_way<'a>(cluster: &'a Cluster, options: &str) -> (Volward<'a>, Mover) {
    let volward = Volward::on(cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    put_weights(cluster);
    cluster.on_all(power::makes_room).unwrap();
    let mover = Mover::new(&volward, "mover", 1);
    mover.guest.start(one).unwrap();
    mover.goes_on(&volward, one);
    mover.leaves(one, two, &format!("--live {SLOWLY} {options}"));
    mover.is_on_its_way(&volward, one, two);
    (volward, mover)
}

/// Boots a node that was killed, as it was left; the guest can go there from where it is.
fn comes_back(cluster: &Cluster, volward: &Volward<'_>, mover: &Mover, node: &Node) {
    power::boot(cluster, &ClusterSpec::default(), volward, node.number()).unwrap();
    put_weights(cluster);
    let other = cluster.node(3 - node.number());
    goes_to(volward, mover, other, node);
}

/// The guest is one node's alone, and then the other one's.
fn goes_to(volward: &Volward<'_>, mover: &Mover, from: &Node, to: &Node) {
    mover.is_alone_on(volward, from, to);
    assert!(mover.migrate(from, to, "--live").ok());
    mover.is_alone_on(volward, to, from);
    mover.goes_on(volward, to);
}

/// A node may have the volume when sanlock counts the other one dead, with all that was written there.
fn starts_again(volward: &Volward<'_>, mover: &Mover, node: &Node, before: &Ticks) {
    let number = node.number();
    let begun = Instant::now();
    let attach = format!("attach {} vg0/mover", mover.guest.uuid);
    let attached = || Ok(volward.cli(number, &attach)?.ok());
    volward.wait(number, "attach", DEAD, attached).unwrap();
    println!(
        "node {number} may have it after {:.1?} more",
        begun.elapsed()
    );
    has_all(volward, mover, node, before);
}

fn has_all(volward: &Volward<'_>, mover: &Mover, node: &Node, before: &Ticks) {
    let after = mover.starts_anew(volward, node);
    assert!(after.last >= before.last, "{before:?}, {after:?}");
    mover.goes_on(volward, node);
}

fn has_nothing(volward: &Volward<'_>, node: &Node, within: Duration) {
    let nothing = || Ok(volward.left_over(node.number())?.is_empty());
    volward
        .wait(node.number(), "end of what it had", within, nothing)
        .unwrap();
}

/// What both nodes say of it.
fn look(volward: &Volward<'_>, nodes: &[&Node]) {
    for node in nodes {
        let number = node.number();
        let state = node
            .run("virsh domstate mover --reason; virsh domjobinfo mover | head -3")
            .unwrap();
        println!("node {number}: {state:?}");
        println!("node {number}: {:?}", volward.leases(number));
        println!("node {number}: {:?}", volward.cli(number, "ls --all"));
    }
}

#[test]
fn i7_where_the_source_dies_half_way_the_guest_starts_again_at_the_destination() {
    let cluster = ready();
    let (volward, mover) = half_way(&cluster, "");
    let (one, two) = (cluster.node(1), cluster.node(2));
    let before = mover.ticks(one);
    power::cut(one).unwrap();
    let begun = Instant::now();
    has_nothing(&volward, two, MISSED);
    println!("libvirt gave the guest up after {:.1?}", begun.elapsed());
    let refused = mover.guest.try_start(two).unwrap();
    println!("meanwhile: {refused:?}");
    assert!(refused.stderr.contains("node1"), "{refused:?}");
    starts_again(&volward, &mover, two, &before);

    comes_back(&cluster, &volward, &mover, one);
}

#[test]
fn i7_where_the_destination_dies_half_way_the_guest_goes_on_at_the_source() {
    let cluster = ready();
    let (volward, mover) = half_way(&cluster, "--p2p");
    let (one, two) = (cluster.node(1), cluster.node(2));
    power::cut(two).unwrap();
    let begun = Instant::now();
    mover.goes_on(&volward, one);
    let said = mover.has_left(one, MISSED);
    println!("virsh gave up after {:.1?}", begun.elapsed());
    assert!(!said.ok(), "{said:?}");
    mover.is_exclusive_on(&volward, one, DEAD);
    println!("exclusive {:.1?} after the death", begun.elapsed());
    mover.goes_on(&volward, one);

    comes_back(&cluster, &volward, &mover, two);
}

/// The source's daemon cuts the guest off, and its memory goes on to the destination, which has the volume alone when sanlock
/// counts the source as dead.
#[test]
fn i7_where_the_source_loses_its_lun_half_way_the_destination_has_the_guest() {
    let cluster = ready();
    let (volward, mover) = half_way(&cluster, "");
    let (one, two) = (cluster.node(1), cluster.node(2));
    let before = mover.ticks(one);
    one.cut_lun(Cut::Errors).unwrap();
    let begun = Instant::now();
    let said = mover.has_left(one, MISSED);
    println!("virsh ended after {:.1?}", begun.elapsed());
    look(&volward, &[one, two]);
    assert!(said.ok(), "{said:?}");
    mover.is_exclusive_on(&volward, two, DEAD);
    println!("node 2 has it alone {:.1?} after the loss", begun.elapsed());
    look(&volward, &[one, two]);

    // The guest met an error of its disk, which its program does not survive.
    mover.guest.stop(two).unwrap();
    mover.guest.define(two).unwrap();
    has_all(&volward, &mover, two, &before);

    power::cut(one).unwrap();
    comes_back(&cluster, &volward, &mover, one);
}

/// The guest comes to a node that has cut it off already. Nobody else has its volume before sanlock counts that node as dead; then
/// the source may have it again.
#[test]
fn i7_where_the_destination_loses_its_lun_half_way_the_source_gets_the_volume_back() {
    let cluster = ready();
    let (volward, mover) = half_way(&cluster, "");
    let (one, two) = (cluster.node(1), cluster.node(2));
    let before = mover.ticks(one);
    two.cut_lun(Cut::Errors).unwrap();
    let begun = Instant::now();
    let said = mover.has_left(one, MISSED);
    println!("virsh ended after {:.1?}", begun.elapsed());
    look(&volward, &[one, two]);
    assert!(said.ok(), "{said:?}");
    let start = mover.guest.try_start(one).unwrap();
    println!("meanwhile: {start:?}");
    assert!(start.stderr.contains("node2"), "{start:?}");

    power::cut(two).unwrap();
    starts_again(&volward, &mover, one, &before);

    comes_back(&cluster, &volward, &mover, two);
}

/// The guest's last write hangs, and so does the end of its migration: neither is over before the watchdog resets the source. Nobody
/// else has the volume before that.
#[test]
fn i7_where_the_sources_lun_hangs_half_way_the_destination_has_the_guest_after_the_watchdog() {
    let spec = ClusterSpec {
        watchdog: true,
        ..ClusterSpec::default()
    };
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &spec, Progress::shown()).unwrap();
    let (volward, mover) = half_way(&cluster, "");
    let (one, two) = (cluster.node(1), cluster.node(2));
    let before = mover.ticks(one);
    one.cut_lun(Cut::Hang).unwrap();
    let begun = Instant::now();
    one.wait_ended(RESET).unwrap();
    println!("reset {:.1?} after the loss", begun.elapsed());
    look(&volward, &[two]);
    assert!(
        !volward
            .leases(2)
            .unwrap()
            .contains(&"mover exclusive".to_owned()),
        "before sanlock counts the source as dead"
    );
    has_nothing(&volward, two, MISSED);
    mover.guest.define(two).unwrap();
    starts_again(&volward, &mover, two, &before);
}

/// sanlock would share with a third node, too: it is kept out by what the nodes say of each other.
#[test]
fn i7_while_two_nodes_share_for_a_migration_a_third_one_gets_nothing() {
    let spec = ClusterSpec {
        nodes: 3,
        ..ClusterSpec::default()
    };
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &spec, Progress::shown()).unwrap();
    let (volward, mover) = half_way(&cluster, "");
    let (one, two, three) = (cluster.node(1), cluster.node(2), cluster.node(3));
    let start = mover.guest.try_start(three).unwrap();
    println!("{}", start.stderr);
    assert!(!start.ok() && start.stderr.contains("node1"), "{start:?}");
    for how in ["", ":ro"] {
        let asked = format!("attach 0ddba115-0000-4000-8000-000000000000 vg0/mover{how}");
        let refused = volward.cli(3, &asked).unwrap();
        println!("{}", refused.stderr);
        // By the policy or by an invariant.
        assert!([3, 4].contains(&refused.status), "{how}: {refused:?}");
        assert!(
            refused.stderr.contains("vg0/mover is attached"),
            "{refused:?}"
        );
    }
    // It was under way all the while.
    mover.is_on_its_way(&volward, one, two);
    assert_eq!(volward.left_over(3).unwrap(), "");
    assert!(mover.has_left(one, MISSED).ok());
    mover.is_alone_on(&volward, two, one);
    mover.goes_on(&volward, two);
    let start = mover.guest.try_start(three).unwrap();
    assert!(!start.ok() && start.stderr.contains("node2"), "{start:?}");
}

/// libvirt of the destination is gone with all that it knew of the guest, so its hook never lets go: both share the volume, the guest
/// does not come again, and somebody has to say where it does not run.
#[test]
fn i7_an_arrival_that_nobody_ends_is_ended_by_a_detach() {
    let cluster = ready();
    let (volward, mover) = half_way(&cluster, "");
    let (one, two) = (cluster.node(1), cluster.node(2));
    forget(two);
    let said = mover.has_left(one, MISSED);
    assert!(!said.ok(), "{said:?}");
    mover.goes_on(&volward, one);
    look(&volward, &[one, two]);

    // libvirt would find a disk to copy the disk to, which is itself.
    for options in ["--live --copy-storage-all", "--live"] {
        let said = mover.migrate(one, two, options);
        let reason = "vg0/mover is attached to it on this node already, by a migration that has not come to its end";
        assert!(said.stderr.contains(reason), "{said:?}");
    }
    volward
        .cli_ok(2, &format!("detach {}", mover.guest.uuid))
        .unwrap();
    goes_to(&volward, &mover, one, two);
}

/// Ends a node's libvirtd and the guest that is on its way there, and has the one that comes after it know of neither.
fn forget(node: &Node) {
    node.run_ok_within(
        Duration::from_secs(90),
        "kill -9 $(cat /run/libvirtd.pid); pkill -9 -f guest=mover; rm -f /run/libvirt/qemu/mover.* /run/libvirtd.pid \
         /run/libvirt/libvirt-sock
         libvirtd -d --listen
         for _ in $(seq 100); do virsh version > /dev/null 2>&1 && exit; sleep 0.5; done; exit 1",
    )
    .unwrap();
}
