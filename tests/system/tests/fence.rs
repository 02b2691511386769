//! A lease that is lost is known within seconds, and what it protected is cut off before another
//! node may have it (I2): on a real kernel, with writes that carry their time, so that one that
//! lands too late would be seen on the LUN.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use serde_json::Value;
use volward_system::volward::Volward;
use volward_system::writer::{Writer, fenced};
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
/// sanlock counts a node dead 8 I/O timeouts and a watchdog's 60 s after its last renewal.
const DEAD: Duration = Duration::from_secs(150);
fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// Node 1 has the volume `disk`, and writes to it all the time.
fn begin<'a>(volward: &Volward<'a>) -> Writer<'a> {
    volward.volume("disk", 16).unwrap();
    Writer::begin(volward, 1, INSTANCE, "disk").unwrap()
}

fn wait_cut(volward: &Volward<'_>) -> String {
    let is_cut = || Ok(fenced(volward, 1)?.is_some_and(|fenced| fenced.cut));
    volward
        .wait(1, "cut", Duration::from_secs(60), is_cut)
        .unwrap();
    fenced(volward, 1).unwrap().unwrap().reason
}

/// doctor fails, and says that read-write is refused where `refused`.
fn doctor_knows(volward: &Volward<'_>, refused: bool) {
    let output = volward.cli(1, "doctor").unwrap();
    println!("{}", output.stdout);
    assert_eq!(output.status, 11, "{output:?}");
    assert!(output.stdout.contains("FAILED   fenced"), "{output:?}");
    let last = output.stdout.trim_end().lines().last().unwrap();
    assert_eq!(last.contains("REFUSED"), refused, "{last}");
}

fn now(node: &Node) -> f64 {
    node.run_ok("date +%s.%N").unwrap().trim().parse().unwrap()
}

#[test]
fn i2_what_is_written_before_another_node_has_the_volume_is_the_last_that_is_written() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    let writer = begin(&volward);

    // By hand, and back.
    let said = volward.cli_ok(1, &format!("fence {INSTANCE}")).unwrap();
    assert!(said.contains("cut off"), "{said}");
    doctor_knows(&volward, false);
    let stopped = writer.last_ok().unwrap().number;
    one.run_ok("sleep 1").unwrap();
    assert_eq!(
        writer.last_ok().unwrap().number,
        stopped,
        "written behind the fence"
    );
    assert!(writer.last_failed().unwrap().number > stopped);
    let said = volward.cli_ok(1, &format!("unfence {INSTANCE}")).unwrap();
    assert!(said.contains("has its I/O back"), "{said}");
    assert!(writer.goes_on().unwrap());
    assert_eq!(fenced(&volward, 1).unwrap(), None);

    // The LUN fails: sanlock cannot renew.
    one.cut_lun(Cut::Errors).unwrap();
    let cut_at = now(one);
    let reason = wait_cut(&volward);
    let known = now(one) - cut_at;
    let last = writer.last_ok().unwrap();
    let number = last.number;
    println!("cut off {known:.1} s after the LUN was lost: {reason}");
    println!(
        "last write {:.1} s after it, number {number}",
        last.at - cut_at
    );
    // By the time somebody looks, sanlock may have given the lockspace up.
    let why = ["last renewed", "given up"];
    assert!(why.iter().any(|w| reason.contains(w)), "{reason}");
    doctor_knows(&volward, true);
    let problem = volward.problem(1, &format!("unfence {INSTANCE}")).unwrap();
    assert_eq!(problem["code"], "fenced", "{problem}");

    // In time the volume is another node's, and nothing of node 1 lands any more, also when its
    // path heals.
    let begun = Instant::now();
    let ask = format!("attach {OTHER} vg0/disk");
    volward
        .wait(2, "attach on node 2", DEAD, || {
            Ok(volward.cli(2, &ask)?.ok())
        })
        .unwrap();
    println!(
        "node 2 has it {:?} after the cut was known",
        begun.elapsed()
    );
    let device = format!("/dev/volward/{OTHER}/vg0/disk");
    let read = format!("dd if={device} bs=8 count=1 status=none iflag=fullblock");
    let found: u64 = two.run_ok(&read).unwrap().trim().parse().unwrap();
    assert!(found <= number + 1, "{found} was written after the fence");
    two.run_ok(&format!(
        "printf 99999999 | dd of={device} bs=8 conv=notrunc,fsync status=none"
    ))
    .unwrap();
    one.restore_lun().unwrap();
    two.run_ok("sleep 5").unwrap();
    assert_eq!(two.run_ok(&read).unwrap(), "99999999");
    writer.end().unwrap();
}

/// Somebody follows the advice to reset stuck locks without a reboot: sanlock and lvmlockd are killed
/// and started again, and the node joins under a new generation, with no lease.
#[test]
fn i2_a_node_whose_sanlock_was_restarted_is_cut_off_and_still_counts() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = begin(&volward);
    one.run_ok_within(
        Duration::from_secs(120),
        "pkill -9 -x sanlock; pkill -9 -x lvmlockd; pkill -9 -x wdmd; rm -f /dev/shm/wdmd; sleep 1
         wdmd; sanlock daemon -w 0 -e node1
         lvmlockd --host-id 1 --sanlock-timeout 1 --adopt 1
         vgchange --lock-start vg0",
    )
    .unwrap();
    let reason = wait_cut(&volward);
    println!("{reason}");
    let number = writer.last_ok().unwrap().number;
    doctor_knows(&volward, false);
    // Node 1 has no lease any more. What its guest had is named all the same.
    let problem: Value = volward
        .problem(2, &format!("attach {OTHER} vg0/disk"))
        .unwrap();
    println!("{problem}");
    assert!(
        problem["message"].as_str().unwrap().contains(INSTANCE),
        "{problem}"
    );
    one.run_ok("sleep 1").unwrap();
    assert_eq!(
        writer.last_ok().unwrap().number,
        number,
        "written behind the fence"
    );
    let problem = volward.problem(1, &format!("unfence {INSTANCE}")).unwrap();
    assert_eq!(problem["code"], "fenced", "{problem}");

    // The guest's end gives the volume away.
    writer.end().unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    volward
        .cli_ok(2, &format!("attach {OTHER} vg0/disk"))
        .unwrap();
    volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
}
