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
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
/// sanlock counts a node dead 8 I/O timeouts and a watchdog's 60 s after its last renewal.
const DEAD: Duration = Duration::from_secs(150);
/// Writes a growing number to the first block of a device, directly and for ever, and notes on the
/// node what came of each: `TIME ok N` or `TIME failed N`.
const WRITER: &str = "\
import mmap, os, sys, time
block = mmap.mmap(-1, 4096)
device = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
number = 0
while True:
    number += 1
    block[:8] = b'%08d' % number
    try:
        os.pwrite(device, block, 0)
        came = 'ok'
    except OSError:
        came = 'failed'
    print('%.3f %s %d' % (time.time(), came, number), flush=True)
    time.sleep(0.1)
";

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// A program on node 1 that writes to its attachment all the time.
struct Writer<'a> {
    node: &'a Node,
}

impl<'a> Writer<'a> {
    fn begin(volward: &Volward<'a>) -> Self {
        volward.volume("disk", 16).unwrap();
        volward
            .cli_ok(1, &format!("attach {INSTANCE} vg0/disk"))
            .unwrap();
        let node = volward.node(1);
        node.put_file("/run/lab/writer.py", 0o644, WRITER).unwrap();
        node.run_ok(&format!(
            "setsid python3 /run/lab/writer.py /dev/volward/{INSTANCE}/vg0/disk \
             > /run/lab/written 2>&1 & echo $! > /run/lab/writer.pid; sleep 1"
        ))
        .unwrap();
        Self { node }
    }

    /// The last line with this word: when, and which number.
    fn last(&self, came: &str) -> (f64, u64) {
        let script = format!("grep ' {came} ' /run/lab/written | tail -n 1");
        let line = self.node.run_ok(&script).unwrap();
        let mut words = line.split_whitespace();
        let time = words.next().unwrap().parse().unwrap();
        (time, words.last().unwrap().parse().unwrap())
    }

    fn goes_on(&self) {
        let before = self.last("ok").1;
        let script = "sleep 2; true";
        self.node.run_ok(script).unwrap();
        assert!(self.last("ok").1 > before, "it does not write any more");
    }

    fn end(&self) {
        self.node
            .run_ok("kill $(cat /run/lab/writer.pid); sleep 0.5")
            .unwrap();
    }
}

/// What `ls` says of the fence of node 1's attachment: whether it is cut off, and why.
fn fenced(volward: &Volward<'_>) -> Option<(bool, String)> {
    let all = volward.json(1, "ls").unwrap();
    let fenced = &all[0]["fenced"];
    let reason = fenced["reason"].as_str()?.to_owned();
    Some((fenced["cut"].as_bool().unwrap(), reason))
}

fn wait_cut(volward: &Volward<'_>) -> String {
    let is_cut = || Ok(fenced(volward).is_some_and(|(cut, _)| cut));
    volward
        .wait(1, "cut", Duration::from_secs(60), is_cut)
        .unwrap();
    fenced(volward).unwrap().1
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
    let writer = Writer::begin(&volward);

    // By hand, and back.
    let said = volward.cli_ok(1, &format!("fence {INSTANCE}")).unwrap();
    assert!(said.contains("cut off"), "{said}");
    doctor_knows(&volward, false);
    let stopped = writer.last("ok").1;
    one.run_ok("sleep 1").unwrap();
    assert_eq!(writer.last("ok").1, stopped, "written behind the fence");
    assert!(writer.last("failed").1 > stopped);
    let said = volward.cli_ok(1, &format!("unfence {INSTANCE}")).unwrap();
    assert!(said.contains("has its I/O back"), "{said}");
    writer.goes_on();
    assert_eq!(fenced(&volward), None);

    // The LUN fails: sanlock cannot renew.
    one.cut_lun(Cut::Errors).unwrap();
    let cut_at = now(one);
    let reason = wait_cut(&volward);
    let known = now(one) - cut_at;
    let (last, number) = writer.last("ok");
    println!("cut off {known:.1} s after the LUN was lost: {reason}");
    println!(
        "last write {:.1} s after it, number {number}",
        last - cut_at
    );
    assert!(reason.contains("last renewed"), "{reason}");
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
    writer.end();
}

/// Somebody follows the advice to reset stuck locks without a reboot: sanlock and lvmlockd are killed
/// and started again, and the node joins under a new generation, with no lease.
#[test]
fn i2_a_node_whose_sanlock_was_restarted_is_cut_off_and_still_counts() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let writer = Writer::begin(&volward);
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
    let (_, number) = writer.last("ok");
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
    assert_eq!(writer.last("ok").1, number, "written behind the fence");
    let problem = volward.problem(1, &format!("unfence {INSTANCE}")).unwrap();
    assert_eq!(problem["code"], "fenced", "{problem}");

    // The guest's end gives the volume away.
    writer.end();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    volward
        .cli_ok(2, &format!("attach {OTHER} vg0/disk"))
        .unwrap();
    volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
}
