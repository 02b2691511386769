//! Operations on volumes over a real LVM: what is made and grown shows nothing of what its extents held before, also
//! to a guest that has the volume while it grows, asked for on its node or on another one; a copy of what somebody writes
//! to holds one moment, and copies of all disks of a guest the same one; what somebody has is not deleted; a daemon that dies in the middle goes on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests end at the first surprise, and measure time"
)]

#[path = "volumes_ops/following.rs"]
mod following;
#[path = "volumes_ops/moment.rs"]
mod moment;

use std::time::{Duration, Instant};

use serde_json::Value;
use volward_system::sight::Sight;
use volward_system::volward::{Volward, content};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const DEVICE: &str = "/dev/volward/c0ffee01-0000-4000-8000-000000000000/vg0/new";
/// Patience with what writes hundreds of MiB in emulation.
const SLOW: Duration = Duration::from_secs(600);
/// What is left of another tenant, on every extent that what is made here can get.
const OLD_MIB: u64 = 320;
const MIB: u64 = 1 << 20;

#[test]
fn volumes_are_made_grown_and_deleted_and_show_nothing_old() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    old_data_is_on_the_free_extents(&volward);
    what_is_made_reads_as_zeroes(&volward);
    it_is_copied_and_renamed(&volward);
    it_grows_under_its_user(&volward);
    following::it_is_copied_under_its_user(&volward);
    moment::a_guests_disks_are_kept_as_of_one_moment(&volward);
    what_has_changed_is_listed(&volward);
    what_somebody_has_is_not_deleted(&volward);
    an_operation_is_cancelled(&volward);
}

/// Long: the daemon dies nine times.
#[cfg(feature = "long")]
#[test]
fn an_operation_goes_on_after_the_death_of_its_daemon() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    old_data_is_on_the_free_extents(&volward);
    a_daemon_that_dies_goes_on(&volward);
    following::a_daemon_that_dies_goes_on_under_its_user(&volward);
    moment::a_daemon_that_dies_keeps_none_or_all(&volward);
    what_zeroing_costs(&volward);
}

/// Beside `blkdiscard -z` of as much, on the same LUN: for the numbers in SPECIFICATION.md.
#[cfg(feature = "long")]
fn what_zeroing_costs(volward: &Volward<'_>) {
    let one = volward.node(1);
    let script = "lvcreate -qq -aey -Wn -Zn -n bare -L 2G vg0
        python3 -c \"
import subprocess, time
begun = time.monotonic()
subprocess.run(['blkdiscard', '-z', '/dev/vg0/bare'], check=True)
print(int((time.monotonic() - begun) * 1000))\"
        lvchange -an vg0/bare; lvremove -qq vg0/bare";
    let bare = one.run_within(SLOW, script).unwrap();
    println!("blkdiscard -z of 2 GiB: {} ms", bare.stdout.trim());
    let made = operate(volward, 1, "volume create vg0/timed 2G");
    let (from, to) = (made["started_ms"].as_u64(), made["changed_ms"].as_u64());
    println!("volume create of 2 GiB: {} ms", to.unwrap() - from.unwrap());
    operate(volward, 1, "volume rm vg0/timed");
}

/// LVM gives the first free extents, and these are the ones.
fn old_data_is_on_the_free_extents(volward: &Volward<'_>) {
    let one = volward.node(1);
    let script = format!(
        "lvcreate -qq -aey -n old -L {OLD_MIB}M vg0 && \
         tr '\\0' 'X' < /dev/zero | dd of=/dev/vg0/old bs=1M count={OLD_MIB} iflag=fullblock oflag=direct status=none && \
         lvchange -an vg0/old && lvremove -qq vg0/old"
    );
    one.run_ok_within(SLOW, &script).unwrap();
}

fn operate(volward: &Volward<'_>, node: u8, words: &str) -> Value {
    let begun = Instant::now();
    let text = volward
        .node(node)
        .run_ok_within(SLOW, &format!("volward --json {words}"))
        .unwrap();
    println!("{words}: {:.1} s", begun.elapsed().as_secs_f32());
    serde_json::from_str(&text).unwrap()
}

/// The bytes between two places of a device that are not zero.
fn not_zero(node: &Node, device: &str, from_mib: u64, mib: u64) -> String {
    let script = format!(
        "dd if={device} bs=1M skip={from_mib} count={mib} iflag=direct status=none | tr -d '\\0' | wc -c"
    );
    let counted = node.run_ok_within(SLOW, &script).unwrap();
    counted.trim().to_owned()
}

fn length_mib(node: &Node, device: &str) -> u64 {
    let bytes = node
        .run_ok(&format!("blockdev --getsize64 {device}"))
        .unwrap();
    bytes.trim().parse::<u64>().unwrap() / MIB
}

/// Between two snapshots: the blocks that were written, and no others.
fn what_has_changed_is_listed(volward: &Volward<'_>) {
    let one = volward.node(1);
    // The other one has a volume that is in use.
    let instance = INSTANCE.replace("ffee01", "ffee04");
    operate(volward, 1, "volume create vg0/kept 24M");
    operate(volward, 1, "volume snap vg0/kept monday");
    volward
        .cli_ok(1, &format!("attach {instance} vg0/kept"))
        .unwrap();
    let device = format!("/dev/volward/{instance}/vg0/kept");
    let script = format!(
        "tr '\\0' 'Y' < /dev/zero | dd of={device} bs=4k seek=257 count=1 iflag=fullblock oflag=direct status=none
         tr '\\0' 'Z' < /dev/zero | dd of={device} bs=64k seek=320 count=2 iflag=fullblock oflag=direct status=none"
    );
    one.run_ok_within(SLOW, &script).unwrap();
    volward.cli_ok(1, &format!("detach {instance}")).unwrap();
    operate(volward, 1, "volume snap vg0/kept tuesday");
    let same = operate(volward, 1, "volume diff vg0/kept vg0/tuesday");
    assert_eq!(same["changed"], serde_json::json!([]), "{same}");
    let found = operate(volward, 1, "volume diff vg0/monday vg0/tuesday");
    let expected = serde_json::json!([
        {"start": MIB, "length": 64 * 1024},
        {"start": 20 * MIB, "length": 128 * 1024},
    ]);
    assert_eq!(found["changed"], expected, "{found}");
    let left = volward.cli_ok(1, "ls").unwrap();
    assert!(!left.contains("volward volume diff"), "{left}");
    for name in ["kept", "monday", "tuesday"] {
        operate(volward, 1, &format!("volume rm vg0/{name}"));
    }
}

fn nothing_is_left(volward: &Volward<'_>, node: u8) {
    let left = Sight::of(volward.node(node)).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Volumes of the pool, Volward's own aside, with their tags.
fn volumes(node: &Node) -> Vec<String> {
    let script = "lvs --noheadings -o lv_name,lv_tags vg0 | grep -v volward-registry | sed 's/ *$//; s/^ *//'";
    let listed = node.run(script).unwrap().stdout;
    listed.lines().map(str::to_owned).collect()
}

fn what_is_made_reads_as_zeroes(volward: &Volward<'_>) {
    let one = volward.node(1);
    let made = operate(volward, 1, "volume create vg0/new 96M --id made");
    assert_eq!(made["state"], "done", "{made}");
    assert_eq!(made["done"], 96 * MIB, "{made}");
    nothing_is_left(volward, 1);
    assert_eq!(volumes(one), ["new"]);
    // Asked for again it is the same one, and does nothing.
    let again = operate(volward, 1, "volume create vg0/new 96M --id made");
    assert_eq!(again["changed_ms"], made["changed_ms"], "{again}");
    let problem = volward.problem(1, "volume create vg0/new 96M").unwrap();
    assert_eq!(problem["code"], "name-taken", "{problem}");
    volward
        .cli_ok(2, &format!("attach {INSTANCE} vg0/new"))
        .unwrap();
    assert_eq!(not_zero(volward.node(2), DEVICE, 0, 96), "0");
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
}

/// The whole of a volume, compared with the whole of what it was copied from; and zeroes behind it.
fn it_is_copied_and_renamed(volward: &Volward<'_>) {
    let one = volward.node(1);
    let attached = |node: u8, name: &str, read: &str| {
        let disk = format!("attach {INSTANCE} vg0/{name}{read}");
        volward.cli_ok(node, &disk).unwrap();
    };
    let whole = |node: u8, name: &str, mib: u64| {
        let device = DEVICE.replace("/new", &format!("/{name}"));
        let script =
            format!("dd if={device} bs=1M count={mib} iflag=direct status=none | sha256sum");
        volward.node(node).run_ok_within(SLOW, &script).unwrap()
    };
    attached(1, "new", "");
    let write = format!(
        "{} | dd of={DEVICE} bs=1M iflag=fullblock oflag=direct status=none",
        content("origin", 96)
    );
    one.run_ok_within(SLOW, &write).unwrap();
    let origin = whole(1, "new", 96);
    let problem = volward.problem(1, "volume mv vg0/new other").unwrap();
    assert_eq!(problem["code"], "held-here", "{problem}");
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    let copied = operate(volward, 2, "volume cp vg0/new vg0/copy --size 128M");
    assert_eq!(
        (&copied["state"], &copied["source"]),
        (&"done".into(), &"vg0/new".into())
    );
    assert_eq!(copied["done"], 128 * MIB, "{copied}");
    let renamed = operate(volward, 1, "volume mv vg0/copy other");
    assert_eq!(renamed["state"], "done", "{renamed}");
    assert_eq!(volumes(one), ["new", "other"]);
    attached(2, "other", "");
    assert_eq!(whole(2, "other", 96), origin);
    let device = DEVICE.replace("/new", "/other");
    assert_eq!(not_zero(volward.node(2), &device, 96, 32), "0");
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    // Who reads it keeps it.
    attached(1, "new", ":ro");
    let kept = operate(volward, 1, "volume snap vg0/new moment");
    assert_eq!(kept["state"], "done", "{kept}");
    assert_eq!(whole(1, "new", 96), origin);
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    attached(2, "moment", "");
    assert_eq!(whole(2, "moment", 96), origin);
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    for name in ["other", "moment"] {
        operate(volward, 1, &format!("volume rm vg0/{name}"));
    }
    assert_eq!(volumes(one), ["new"]);
    nothing_is_left(volward, 1);
    nothing_is_left(volward, 2);
}

fn it_grows_under_its_user(volward: &Volward<'_>) {
    let one = volward.node(1);
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/new"))
        .unwrap();
    let write = format!(
        "{} | dd of={DEVICE} bs=1M iflag=fullblock oflag=direct status=none; \
         dd if={DEVICE} bs=1M count=96 iflag=direct status=none | sha256sum",
        content("new", 96)
    );
    let before = one.run_ok_within(SLOW, &write).unwrap();
    // Somebody has it open all the time.
    one.run_ok(&format!(
        "setsid sleep 900 < {DEVICE} > /dev/null 2>&1 & echo $! > /run/lab/user.pid"
    ))
    .unwrap();
    let grown = operate(volward, 1, "volume extend vg0/new 224M");
    assert_eq!(grown["state"], "done", "{grown}");
    assert_eq!(length_mib(one, DEVICE), 224);
    assert_eq!(not_zero(one, DEVICE, 96, 128), "0");
    let after = format!("dd if={DEVICE} bs=1M count=96 iflag=direct status=none | sha256sum");
    assert_eq!(one.run_ok_within(SLOW, &after).unwrap(), before);
    assert_eq!(volumes(one), ["new"]);
    let again = operate(volward, 1, "volume extend vg0/new 224M");
    assert_eq!(again["state"], "done", "so large already: {again}");
    let smaller = volward.problem(1, "volume extend vg0/new 8M").unwrap();
    assert_eq!(smaller["code"], "would-shrink", "{smaller}");
    // Whoever is asked has the node that has it do it.
    let told = operate(volward, 2, "volume extend vg0/new 256M --id told");
    assert_eq!(told["state"], "done", "{told}");
    assert_eq!(length_mib(one, DEVICE), 256);
    assert_eq!(not_zero(one, DEVICE, 224, 32), "0");
    assert_eq!(one.run_ok_within(SLOW, &after).unwrap(), before);
    let there = operate(volward, 1, "op show told");
    assert_eq!(there["state"], "done", "{there}");
    assert_eq!(volumes(one), ["new"]);
}

fn what_somebody_has_is_not_deleted(volward: &Volward<'_>) {
    let one = volward.node(1);
    for (node, code) in [(1, "held-here"), (2, "held-elsewhere")] {
        let problem = volward.problem(node, "volume rm vg0/new").unwrap();
        assert_eq!(problem["code"], code, "{problem}");
    }
    one.run_ok("kill $(cat /run/lab/user.pid); sleep 0.2")
        .unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    let deleted = operate(volward, 2, "volume rm vg0/new");
    assert_eq!(deleted["state"], "done", "{deleted}");
    assert_eq!(volumes(one), [""; 0]);
    let again = operate(volward, 1, "volume rm vg0/new");
    assert_eq!(again["state"], "done", "gone is done: {again}");
    nothing_is_left(volward, 1);
    nothing_is_left(volward, 2);
}

/// Between any two kinds of steps of each operation.
#[cfg(feature = "long")]
fn a_daemon_that_dies_goes_on(volward: &Volward<'_>) {
    let one = volward.node(1);
    for (point, words) in [
        ("create/make/after", "volume create vg0/x 72M"),
        ("create/lease/after", "volume create vg0/x 72M"),
        ("create/zero/after", "volume create vg0/x 72M"),
        ("create/release/after", "volume create vg0/x 72M"),
        ("extend/mark/after", "volume extend vg0/x 144M"),
        ("extend/grow/after", "volume extend vg0/x 144M"),
        ("extend/zero/after", "volume extend vg0/x 144M"),
        ("delete/mark/after", "volume rm vg0/x"),
        ("delete/rename/after", "volume rm vg0/x"),
    ] {
        let makes = point.starts_with("create");
        if !makes && volumes(one).is_empty() {
            operate(volward, 1, "volume create vg0/x 72M");
        }
        volward.stop(1).unwrap();
        let seam = format!("VOLWARD_TEST_CRASH={point}");
        volward.start(1, &[seam]).unwrap();
        let id = format!("{} --id {}", words, point.replace('/', "."));
        volward.cli(1, &format!("{id} --no-wait")).unwrap();
        volward.wait_ended(1).unwrap();
        println!("{point}: {:?}", volumes(one));
        volward.start(1, &[]).unwrap();
        let ended = operate(volward, 1, &id);
        assert_eq!(ended["state"], "done", "{point}: {ended}");
        nothing_is_left(volward, 1);
        match point.split('/').next() {
            Some("create") => {
                assert_eq!(volumes(one), ["x"], "{point}");
                operate(volward, 1, "volume rm vg0/x");
            }
            Some("extend") => {
                volward
                    .cli_ok(1, &format!("attach {INSTANCE} vg0/x"))
                    .unwrap();
                let device = DEVICE.replace("/new", "/x");
                assert_eq!(length_mib(one, &device), 144, "{point}");
                assert_eq!(not_zero(one, &device, 0, 144), "0", "{point}");
                volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
                operate(volward, 1, "volume rm vg0/x");
            }
            _ => assert_eq!(volumes(one), [""; 0], "{point}"),
        }
    }
}

fn an_operation_is_cancelled(volward: &Volward<'_>) {
    let one = volward.node(1);
    volward
        .cli_ok(1, "volume create vg0/y 2G --id slow --no-wait")
        .unwrap();
    let cancelled = operate(volward, 1, "op cancel slow");
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    assert_eq!(volumes(one), [""; 0]);
    nothing_is_left(volward, 1);
    let late = volward.problem(1, "op cancel slow").unwrap();
    assert_eq!(late["code"], "too-late", "{late}");
}
