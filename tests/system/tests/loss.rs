//! Each way in which a node loses its leases, with its timeline: when the node knew, when its last write landed, and
//! when another node had the volume (I2). Long: sanlock counts a node dead some 70 seconds after its last renewal, and
//! 140 with production's timeouts.
#![cfg(feature = "long")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use volward_system::volward::Volward;
use volward_system::writer::{Write, Writer, fenced};
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
const THIRD: &str = "c0ffeeee-0000-4000-8000-000000000000";
/// sanlock counts a node dead 8 I/O timeouts and a watchdog's 60 s after its last renewal; production's timeout
/// is 10 s.
const DEAD: Duration = Duration::from_secs(200);

fn ready(spec: &ClusterSpec) -> Cluster {
    Cluster::with_volward(&Lab::open().unwrap(), spec, Progress::shown()).unwrap()
}

fn begin<'a>(volward: &Volward<'a>) -> Writer<'a> {
    volward.volume("disk", 16).unwrap();
    Writer::begin(volward, 1, INSTANCE, "disk").unwrap()
}

fn now(node: &Node) -> f64 {
    node.run_ok("date +%s.%N").unwrap().trim().parse().unwrap()
}

/// Waits until node 1 has cut its attachment off; answers when that was, by its own clock.
fn wait_cut(volward: &Volward<'_>, within: Duration) -> f64 {
    let is_cut = || Ok(fenced(volward, 1)?.is_some_and(|fenced| fenced.cut));
    volward.wait(1, "cut", within, is_cut).unwrap();
    println!("{}", fenced(volward, 1).unwrap().unwrap().reason);
    now(volward.node(1))
}

/// Node 2 gets `disk` in the end, and nothing of node 1 lands after that; answers how long it took.
fn node_2_has_it(volward: &Volward<'_>, last: Write) -> Duration {
    let two = volward.node(2);
    let begun = Instant::now();
    let ask = format!("attach {OTHER} vg0/disk");
    let attached = || Ok(volward.cli(2, &ask)?.ok());
    volward.wait(2, "attach on node 2", DEAD, attached).unwrap();
    let took = begun.elapsed();
    let device = format!("/dev/volward/{OTHER}/vg0/disk");
    let read = format!("dd if={device} bs=4096 count=1 iflag=direct status=none | head -c 8");
    let found: u64 = two.run_ok(&read).unwrap().trim().parse().unwrap();
    // One write may be on the LUN whose end the node did not live to note.
    assert!(
        found <= last.number + 1,
        "{found} was written after {last:?}"
    );
    two.run_ok(&format!(
        "printf 99999999 | dd of={device} bs=8 conv=notrunc,fsync status=none"
    ))
    .unwrap();
    two.run_ok("sleep 5").unwrap();
    assert_eq!(two.run_ok(&read).unwrap(), "99999999");
    took
}

/// A disk that is pulled: the kernel has no device any more, and what was under way fails.
fn pull_the_lun(node: &Node) {
    node.run_ok(
        "disk=$(readlink -f /dev/disk/by-id/virtio-lun)
         device=$(basename $(readlink -f /sys/block/${disk##*/}/device))
         echo $device > /sys/bus/virtio/drivers/virtio_blk/unbind",
    )
    .unwrap();
}

/// The daemon cuts off before sanlock's time is over, whatever it is: with the lab's and with production's timeout, where
/// the LUN fails and where it is gone. The timeline is printed.
fn is_cut_off_in_time(
    io_timeout: u8,
    lose: impl FnOnce(&Node),
    then: impl FnOnce(&Volward<'_>, &Writer<'_>),
) {
    let spec = ClusterSpec {
        io_timeout: Some(io_timeout),
        ..ClusterSpec::default()
    };
    let cluster = ready(&spec);
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    let lost = now(one);
    lose(one);
    let expires = 8.0 * f64::from(io_timeout);
    let cut = wait_cut(&volward, Duration::from_secs_f64(expires + 10.0)) - lost;
    let last = writer.last_ok().unwrap();
    let elsewhere = node_2_has_it(&volward, last).as_secs_f64() + cut;
    println!(
        "I/O timeout {io_timeout} s. After the LUN was lost: last write {:.1} s, cut off {cut:.1} s, \
         lease expires at {expires} s at the earliest, node 2 had the volume {elsewhere:.1} s. Margin {:.1} s.",
        last.at - lost,
        elsewhere - cut,
    );
    // The last renewal was before the loss, so the lease expires earlier than this, and the cut has to be earlier yet.
    assert!(cut < expires, "{cut} s of {expires}");
    assert_eq!(writer.last_ok().unwrap(), last);
    then(&volward, &writer);
}

#[test]
fn i2_a_lun_that_fails_is_cut_off_in_time_with_productions_timeout() {
    is_cut_off_in_time(
        10,
        |node| node.cut_lun(Cut::Errors).unwrap(),
        // There is no watchdog: sanlock has given the lockspace up, and renews it all the same.
        |volward, writer| {
            volward.node(1).restore_lun().unwrap();
            writer.end().unwrap();
            volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
            volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
            joins_again(volward);
        },
    );
}

#[test]
fn i2_a_lun_that_is_gone_is_cut_off_in_time() {
    is_cut_off_in_time(2, pull_the_lun, |_, _| ());
}

/// The path hangs: an error table cannot be loaded over I/O that never ends. The lease stays, and the watchdog resets
/// the node before anybody else gets the volume.
#[test]
fn i2_a_lun_that_hangs_ends_with_the_watchdog_before_the_volume_is_elsewhere() {
    let spec = ClusterSpec {
        watchdog: true,
        ..ClusterSpec::default()
    };
    let cluster = ready(&spec);
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    let last = writer.last_ok().unwrap();
    one.cut_lun(Cut::Hang).unwrap();
    let begun = Instant::now();
    // It says what it is waiting for.
    let is_told = || Ok(fenced(&volward, 1)?.is_some());
    volward
        .wait(1, "the fence is told of", Duration::from_secs(30), is_told)
        .unwrap();
    let told = fenced(&volward, 1).unwrap().unwrap();
    println!("after {:?}: {told:?}", begun.elapsed());
    assert!(!told.cut, "{told:?}");
    one.wait_ended(Duration::from_secs(120)).unwrap();
    let reset = begun.elapsed();
    // What hung may have landed when the node died: the number is not known, so all that it may have reached.
    let last = Write {
        number: last.number + 100,
        ..last
    };
    let took = node_2_has_it(&volward, last);
    println!("reset {reset:?} after the loss, node 2 had the volume {took:?} after that");
}

/// sanlock is killed and stays dead: nobody renews, and nobody says so.
#[test]
fn i2_a_node_whose_sanlock_is_dead_is_cut_off_in_time() {
    let cluster = ready(&ClusterSpec::default());
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    let lost = now(one);
    one.run_ok("pkill -9 -x sanlock").unwrap();
    let cut = wait_cut(&volward, Duration::from_secs(20)) - lost;
    assert!(cut < 8.0, "{cut} s");
    let last = writer.last_ok().unwrap();
    println!(
        "cut off {cut:.1} s after sanlock died, last write {:.1} s",
        last.at - lost
    );
    let took = node_2_has_it(&volward, last);
    println!("node 2 had the volume {took:?} after that");
    assert_eq!(writer.last_ok().unwrap(), last);
}

/// lvmlockd is killed and stays dead for longer than a lease lives: sanlock renews, so nothing is lost.
#[test]
fn i2_a_node_whose_lvmlockd_is_dead_keeps_its_leases() {
    let cluster = ready(&ClusterSpec::default());
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    one.run_ok("pkill -9 -x lvmlockd; sleep 20").unwrap();
    assert!(writer.goes_on().unwrap());
    assert_eq!(fenced(&volward, 1).unwrap(), None);
    let taken = cluster.node(2).run("lvchange -aey vg0/disk").unwrap();
    assert!(!taken.ok(), "{taken:?}");
    one.run_ok("lvmlockd --host-id 1 --sanlock-timeout 1 --adopt 1")
        .unwrap();
    writer.end().unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    volward
        .cli_ok(2, &format!("attach {OTHER} vg0/disk"))
        .unwrap();
}

/// Somebody stops the lockspace by hand while a guest writes: LVM refuses, and refuses to deactivate what makes it refuse.
#[test]
fn i2_a_lockspace_is_not_stopped_by_hand_while_something_is_attached() {
    let cluster = ready(&ClusterSpec::default());
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    let stopped = one
        .run("timeout -s KILL 60 vgchange --lock-stop vg0")
        .unwrap();
    assert!(!stopped.ok(), "{stopped:?}");
    let deactivated = one.run("lvchange -an vg0/volward-registry").unwrap();
    println!("registry: {deactivated:?}");
    assert!(!deactivated.ok(), "{deactivated:?}");
    let taken = cluster.node(2).run("lvchange -aey vg0/disk").unwrap();
    assert!(!taken.ok(), "{taken:?}");
    assert!(writer.goes_on().unwrap());

    // sanlock itself tells everybody who has a lease there to end, which volwardd does not: the lockspace is not left.
    let left = one
        .run("timeout 15 sanlock client rem_lockspace -s lvm_vg0:1:/dev/mapper/vg0-lvmlock:0")
        .unwrap();
    assert!(!left.ok(), "{left:?}");
    assert!(volward.runs(1).unwrap(), "{}", volward.log(1).unwrap());
    let taken = cluster.node(2).run("lvchange -aey vg0/disk").unwrap();
    assert!(!taken.ok(), "{taken:?}");
    assert!(writer.goes_on().unwrap());
    assert_eq!(fenced(&volward, 1).unwrap(), None);
    let doctor = volward.cli(1, "doctor").unwrap().stdout;
    println!("{doctor}");
    assert!(doctor.contains("lockspace of vg0"), "{doctor}");

    // The way out of the guide.
    writer.end().unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    joins_again(&volward);
}

/// By the guide's commands, once nothing of the pool is attached there; then the pool is served.
fn joins_again(volward: &Volward<'_>) {
    let one = volward.node(1);
    let said = one.run_ok_within(
        Duration::from_secs(240),
        "lvchange -an vg0/volward-registry && vgchange --lock-stop vg0 && vgchange --lock-start vg0",
    );
    println!("{}", said.unwrap());
    let attach = format!("attach {INSTANCE} vg0/disk");
    let attached = || Ok(volward.cli(1, &attach)?.ok());
    let soon = Duration::from_secs(90);
    volward.wait(1, "attach", soon, attached).unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    let doctor = volward.cli(1, "doctor").unwrap().stdout;
    assert!(!doctor.contains("FAIL"), "{doctor}");
}

/// One node of three is cut: the other two go on, attach, detach, and get what it had, in the end.
#[test]
fn i2_one_node_of_three_is_cut_and_two_go_on() {
    let spec = ClusterSpec {
        nodes: 3,
        ..ClusterSpec::default()
    };
    let cluster = ready(&spec);
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    for name in ["second", "third", "new"] {
        volward.volume(name, 8).unwrap();
    }
    let second = Writer::begin(&volward, 2, OTHER, "second").unwrap();
    let third = Writer::begin(&volward, 3, THIRD, "third").unwrap();
    let lost = now(one);
    one.cut_lun(Cut::Errors).unwrap();
    let cut = wait_cut(&volward, Duration::from_secs(20)) - lost;
    let last = writer.last_ok().unwrap();
    println!(
        "cut off {cut:.1} s after the loss, last write {:.1} s",
        last.at - lost
    );
    for (node, instance) in [(2, OTHER), (3, THIRD)] {
        let begun = Instant::now();
        volward
            .cli_ok(node, &format!("attach {instance} vg0/new"))
            .unwrap();
        volward
            .cli_ok(node, &format!("detach {instance} vg0/new"))
            .unwrap();
        println!(
            "node {node}: attach and detach beside it in {:?}",
            begun.elapsed()
        );
    }
    // Whoever looks is told of the silent node, and when what it has is free.
    let told = || {
        let seen = volward.cli(2, "ls --all")?;
        Ok(seen
            .stderr
            .contains("node node1 has not renewed its lease for")
            && seen.stderr.contains("it has vg0/disk"))
    };
    volward
        .wait(2, "the silent node", Duration::from_secs(40), told)
        .unwrap();
    let problem = volward
        .problem(3, &format!("attach {THIRD} vg0/disk"))
        .unwrap();
    println!("meanwhile: {problem}");
    assert!(
        problem["message"].as_str().unwrap().contains("node1"),
        "{problem}"
    );
    let took = node_2_has_it(&volward, last);
    println!("node 2 had the volume {took:?} after the cut");
    assert!(second.goes_on().unwrap());
    assert!(third.goes_on().unwrap());
    for writer in [&writer, &second, &third] {
        writer.end().unwrap();
    }
}
