//! A volume goes from one disk of its pool to another, beneath whoever has it, by LVM's own move on a real kernel: it is not
//! noticed, it can be cancelled, the daemon and the node may die in it, and nothing is copied once the lease is gone (I2).
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use serde_json::Value;
use volward_system::busy;
use volward_system::sight::Sight;
use volward_system::volward::{Volward, content};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee02-0000-4000-8000-000000000000";
const DEVICE: &str = "/dev/volward/c0ffee02-0000-4000-8000-000000000000/vg0/busy";
/// What is written and read of it, from its beginning.
const SIZE_MIB: u64 = 32;
/// So that a move takes longer than all looks at it.
const VOLUME_MIB: u64 = 440;
/// The second disk, on every node.
const LUN2: &str = "/dev/mapper/lun2";
const PATIENCE: Duration = Duration::from_secs(240);
/// Milliseconds by which the second disk is late: a move of so many regions of 2 MiB, one after the other, takes
/// a quarter of a minute and more.
const SLOWLY: u32 = 60;
const AT_ONCE: u32 = 0;

#[test]
fn i2_a_volume_goes_to_another_disk_beneath_its_user() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let first = a_second_disk(&volward);
    begin(&volward);
    it_goes_there_and_the_daemon_dies_meanwhile(&volward);
    it_is_cancelled(&volward, &first);
    its_user_is_cut_off_meanwhile(&volward, &first);
    its_user_ends_meanwhile(&volward, &first);
    it_goes_back_with_nobody_at_it(&volward, &first);
    its_node_dies_meanwhile(&volward);
}

/// A second disk of the lab's one LUN, of which every node knows: what an LV that nobody activates has of it. The UUID of the
/// first disk.
fn a_second_disk(volward: &Volward<'_>) -> String {
    let one = volward.node(1);
    let script = "lvcreate -qq -an -Wn -Zn -C y -n spare -L 512M vg0
        extent=$(vgs --noheadings --nosuffix --units s -o vg_extent_size vg0)
        start=$(pvs --noheadings --nosuffix --units s -o pe_start -S vg_name=vg0)
        first=$(lvs --noheadings -o seg_pe_ranges vg0/spare | cut -d : -f 2 | cut -d - -f 1)
        echo $((start + first * extent)) $(pvs --noheadings -o pv_uuid -S vg_name=vg0)";
    let found = one.run_ok_within(PATIENCE, script).unwrap();
    let (start, first) = found.trim().split_once(' ').unwrap();
    for node in [1, 2] {
        let node = volward.node(node);
        let table = format!("0 1048576 delay /dev/disk/by-id/virtio-lun {start} {AT_ONCE}");
        let script = format!(
            "modprobe -a dm_delay dm_mirror; dmsetup create lun2 --table '{table}'; mkdir -p /run/lvm
             # A node with systemd starts it by its socket.
             lvmpolld -t 600"
        );
        node.run_ok(&script).unwrap();
    }
    one.run_ok_within(PATIENCE, &format!("vgextend -qq vg0 {LUN2}"))
        .unwrap();
    for node in [1, 2] {
        volward.cli_ok(node, "pool init vg0").unwrap();
    }
    first.to_owned()
}

/// From now on the second disk is late by so much.
fn pace(node: &Node, ms: u32) {
    let script = format!(
        "table=$(dmsetup table lun2 | sed 's/ [0-9]*$/ {ms}/')
         dmsetup reload lun2 --table \"$table\" && dmsetup suspend --nolockfs lun2; dmsetup resume lun2"
    );
    node.run_ok(&script).unwrap();
}

fn operate(volward: &Volward<'_>, node: u8, words: &str) -> Value {
    let script = format!("volward --json {words}");
    let text = volward.node(node).run_ok_within(PATIENCE, &script).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A volume of its own, with a content, and somebody who writes to it from here on.
fn begin(volward: &Volward<'_>) {
    let one = volward.node(1);
    busy::put_programs(volward).unwrap();
    operate(volward, 1, &format!("volume create vg0/busy {VOLUME_MIB}M"));
    let attach = format!("attach {INSTANCE} vg0/busy");
    volward.cli_ok(1, &attach).unwrap();
    let fill = format!(
        "{} | dd of={DEVICE} bs=1M iflag=fullblock oflag=direct status=none",
        content("busy", SIZE_MIB)
    );
    one.run_ok_within(PATIENCE, &fill).unwrap();
    busy::begin(one, DEVICE, SIZE_MIB).unwrap();
}

/// What LVM says the volume is on.
fn is_on(node: &Node) -> String {
    let script = "lvs --noheadings -o devices vg0/busy";
    let text = node.run_ok_within(PATIENCE, script).unwrap();
    text.trim().split('(').next().unwrap().to_owned()
}

/// What LVM has beneath volumes that it moves.
fn beneath(node: &Node) -> String {
    node.run_ok("dmsetup table | grep pvmove || true").unwrap()
}

/// Begins slowly, and answers when some of it is on both disks: as the kernel says, which is not asked every few seconds only.
fn under_way(volward: &Volward<'_>, id: &str, disk: &str) {
    asked_on(1, volward, id, disk);
}

/// The same, where node 1 has the volume and this node is asked.
fn asked_on(node: u8, volward: &Volward<'_>, id: &str, disk: &str) {
    let one = volward.node(1);
    pace(one, SLOWLY);
    let words = format!("volume relocate vg0/busy {disk} --id {id} --no-wait");
    volward.cli_ok(node, &words).unwrap();
    let script = "for _ in $(seq 600); do
            # Regions that are equal, of all: 0 2/220
            dmsetup status 2> /dev/null | grep -q ' mirror .* [1-9][0-9]*/[0-9]* 1 AA' && exit
            sleep 0.1
        done; dmsetup status; exit 1";
    one.run_ok_within(PATIENCE, script).unwrap();
}

fn ended(volward: &Volward<'_>, node: u8, id: &str) -> Value {
    let text = volward
        .node(node)
        .run_within(PATIENCE, &format!("volward --json op wait {id}"));
    drop(text.unwrap());
    let known = volward.json(node, &format!("op show {id}")).unwrap();
    println!("{id}: {} ({})", known["state"], known["code"]);
    known
}

/// Node 2 is asked, and has node 1 do it.
fn it_goes_there_and_the_daemon_dies_meanwhile(volward: &Volward<'_>) {
    let one = volward.node(1);
    let first = is_on(one);
    let (before, longest_before) = busy::written(one).unwrap();
    let unknown = volward.problem(1, "volume relocate vg0/busy /dev/vdz");
    assert_eq!(unknown.unwrap()["code"], "not-found");
    asked_on(2, volward, "there", LUN2);
    volward.crash(1).unwrap();
    // And who would end the move.
    one.run_ok("pkill -x lvmpolld; pkill -f 'lvm lvpoll'; true")
        .unwrap();
    volward.start(1, &[]).unwrap();
    pace(one, AT_ONCE);
    assert_eq!(ended(volward, 1, "there")["state"], "done");
    assert_eq!(ended(volward, 2, "there")["state"], "done");
    one.run_ok("lvmpolld -t 600").unwrap();
    assert_eq!((is_on(one), beneath(one)), (LUN2.to_owned(), String::new()));
    assert_ne!(first, LUN2);
    let (after, longest) = busy::written(one).unwrap();
    assert!(after > before);
    println!("longest write {longest} ms, before {longest_before} ms; rounds {before} to {after}");
}

fn it_is_cancelled(volward: &Volward<'_>, first: &str) {
    let one = volward.node(1);
    under_way(volward, "never", first);
    volward.cli_ok(1, "op cancel never").unwrap();
    assert_eq!((is_on(one), beneath(one)), (LUN2.to_owned(), String::new()));
}

/// What LVM copies is halted with the I/O, and taken back before that is given back.
fn its_user_is_cut_off_meanwhile(volward: &Volward<'_>, first: &str) {
    let one = volward.node(1);
    under_way(volward, "cut", first);
    assert_eq!(busy::end(one).unwrap(), "");
    volward.cli_ok(1, &format!("fence {INSTANCE}")).unwrap();
    volward
        .wait(1, "halted move", PATIENCE, || {
            let table = one.run_ok("dmsetup table | grep pvmove || true")?;
            Ok(!table.contains("mirror"))
        })
        .unwrap();
    assert_eq!(ended(volward, 1, "cut")["code"], "move-halted");
    volward.cli_ok(1, &format!("unfence {INSTANCE}")).unwrap();
    assert_eq!((is_on(one), beneath(one)), (LUN2.to_owned(), String::new()));
    busy::begin(one, DEVICE, SIZE_MIB).unwrap();
}

/// When its detach has been answered nothing is copied, and the volume is anybody's.
fn its_user_ends_meanwhile(volward: &Volward<'_>, first: &str) {
    let (one, two) = (volward.node(1), volward.node(2));
    under_way(volward, "ends", first);
    assert_eq!(busy::end(one).unwrap(), "");
    let had = busy::holds(one, DEVICE, SIZE_MIB).unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    assert_eq!(beneath(one), "", "copied without a lease");
    assert_eq!(ended(volward, 1, "ends")["code"], "source-detached");
    assert!(Sight::of(one).unwrap().is_empty());
    volward
        .cli_ok(2, &format!("attach {INSTANCE} vg0/busy"))
        .unwrap();
    assert_eq!(busy::holds(two, DEVICE, SIZE_MIB).unwrap(), had);
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    assert_eq!(is_on(one), LUN2);
}

fn it_goes_back_with_nobody_at_it(volward: &Volward<'_>, first: &str) {
    let one = volward.node(1);
    under_way(volward, "back", first);
    let early = volward.problem(2, &format!("attach {INSTANCE} vg0/busy"));
    assert_eq!(early.unwrap()["code"], "being-copied");
    pace(one, AT_ONCE);
    assert_eq!(ended(volward, 1, "back")["state"], "done");
    assert_ne!(is_on(one), LUN2);
    assert!(Sight::of(one).unwrap().is_empty());
}

/// Whoever has the volume next has all that was written, and goes on with what LVM's metadata say.
fn its_node_dies_meanwhile(volward: &Volward<'_>) {
    let (one, two) = (volward.node(1), volward.node(2));
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/busy"))
        .unwrap();
    let had = busy::holds(one, DEVICE, SIZE_MIB).unwrap();
    under_way(volward, "dies", LUN2);
    one.kill().unwrap();
    let attach = format!("attach {INSTANCE} vg0/busy");
    volward
        .wait(2, "volume of a dead node", PATIENCE, || {
            Ok(volward.cli(2, &attach)?.ok())
        })
        .unwrap();
    assert_eq!(busy::holds(two, DEVICE, SIZE_MIB).unwrap(), had);
    pace(two, AT_ONCE);
    let moved = operate(volward, 2, &format!("volume relocate vg0/busy {LUN2}"));
    assert_eq!(moved["state"], "done", "{moved}");
    assert_eq!((is_on(two), beneath(two)), (LUN2.to_owned(), String::new()));
    assert_eq!(busy::holds(two, DEVICE, SIZE_MIB).unwrap(), had);
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    assert!(Sight::of(two).unwrap().is_empty());
}
