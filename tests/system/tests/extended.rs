//! Case 21: a pool gets a second disk, which a node does not know of yet, or does not see; which LVM calls missing after
//! somebody has changed the pool past Volward; and which is taken out again. doctor says which it is each time, and
//! what it says helps.
#![cfg(feature = "long")]
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use serde_json::Value;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
/// Patience with LVM commands that take the global lock.
const LVM: Duration = Duration::from_secs(240);
/// The second disk, on every node.
const LUN2: &str = "/dev/mapper/lun2";

/// A second disk of the lab's one LUN: what an LV that nobody activates has of it.
fn spare_extents(node: &Node) -> String {
    let script = "lvcreate -qq -an -Wn -Zn -C y -n spare -L 512M vg0
        extent=$(vgs --noheadings --nosuffix --units s -o vg_extent_size vg0)
        start=$(pvs --noheadings --nosuffix --units s -o pe_start -S vg_name=vg0)
        first=$(lvs --noheadings -o seg_pe_ranges vg0/spare | cut -d : -f 2 | cut -d - -f 1)
        echo $((start + first * extent))";
    node.run_ok_within(LVM, script).unwrap().trim().to_owned()
}

fn show_disk(node: &Node, start: &str) {
    let table = format!("0 1048576 linear /dev/disk/by-id/virtio-lun {start}");
    node.run_ok(&format!("dmsetup create lun2 --table '{table}'"))
        .unwrap();
}

/// What doctor says of the pool or its devices file, and what to do; nothing where all is well.
fn doctor(volward: &Volward<'_>, node: u8) -> Vec<(String, String)> {
    // Its exit status may say that something else does not work.
    let printed = volward.cli(node, "--json doctor").unwrap();
    let reply: Value = serde_json::from_str(&printed.stdout).unwrap();
    let checks = reply["checks"].as_array().cloned().unwrap_or_default();
    let of_pool = |check: &&Value| {
        let name = check["name"].as_str().unwrap_or_default();
        let about = ["pool vg0", "devices file of vg0", "metadata of vg0"];
        about.contains(&name) && check["verdict"] != "ok"
    };
    let said = checks.iter().filter(of_pool).map(|check| {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        println!(
            "node {node}: {}: {} -> {}",
            text("name"),
            text("found"),
            text("remedy")
        );
        (text("found"), text("remedy"))
    });
    said.collect()
}

fn says(volward: &Volward<'_>, node: u8, found: &str, remedy: &str) {
    let said = doctor(volward, node);
    let named = said
        .iter()
        .any(|(f, r)| f.contains(found) && r.contains(remedy));
    assert!(named, "node {node}: {found:?}, {remedy:?}: {said:#?}");
}

fn nothing_is_wrong(volward: &Volward<'_>) {
    for node in [1, 2] {
        assert_eq!(doctor(volward, node), [], "node {node}");
    }
}

fn refused(volward: &Volward<'_>, node: u8, words: &str) {
    let problem = volward.problem(node, words).unwrap();
    assert_eq!(problem["code"], "pool-incomplete", "{words}: {problem}");
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("`volward doctor` says"), "{message}");
}

#[test]
fn a_pool_is_extended_and_its_disk_is_lost_flagged_and_taken_out() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    volward.volume("web", 8).unwrap();
    let start = spare_extents(one);
    for node in [one, two] {
        show_disk(node, &start);
    }
    one.run_ok_within(
        LVM,
        &format!("vgextend -qq vg0 {LUN2} && lvcreate -qq -an -Wn -Zn -n second -L 64M vg0 {LUN2}"),
    )
    .unwrap();
    it_is_not_listed(&volward);
    it_is_not_shown(&volward, &start);
    it_is_flagged(&volward, &start);
    it_has_older_metadata(&volward, &start);
    it_is_taken_out(&volward);
}

/// Nobody has told the nodes: what is on the first disk is served, and nothing is changed.
fn it_is_not_listed(volward: &Volward<'_>) {
    for node in [1, 2] {
        says(
            volward,
            node,
            &format!("does not list {LUN2}"),
            "volward pool init vg0",
        );
        let pools = volward.json(node, "pool ls").unwrap();
        assert!(pools.to_string().contains("\"incomplete\":true"), "{pools}");
    }
    volward
        .cli_ok(2, &format!("attach {INSTANCE} vg0/web"))
        .unwrap();
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    refused(volward, 2, &format!("attach {OTHER} vg0/second"));
    refused(volward, 2, "volume create vg0/new 8M");
    refused(volward, 2, "volume rm vg0/web");
    refused(volward, 2, "volume set vg0/web --shareable yes");
    volward.cli_ok(1, "pool init vg0").unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg0/second"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
}

/// Node 2 does not see it at all; then it does, and is told.
fn it_is_not_shown(volward: &Volward<'_>, start: &str) {
    let two = volward.node(2);
    two.run_ok("dmsetup remove lun2").unwrap();
    says(volward, 2, "is on no device of this node", "show the disk");
    show_disk(two, start);
    volward.cli_ok(2, "pool init vg0").unwrap();
    nothing_is_wrong(volward);
}

/// By hand, where the disk is away: from then on LVM calls it missing on every node.
fn it_is_flagged(volward: &Volward<'_>, start: &str) {
    let (one, two) = (volward.node(1), volward.node(2));
    two.run_ok("dmsetup remove lun2").unwrap();
    two.run_ok_within(
        LVM,
        "lvchange --devicesfile volward-vg0.devices --addtag by-hand vg0/web",
    )
    .unwrap();
    show_disk(two, start);
    let remedy = format!("vgextend --restoremissing vg0 {LUN2}");
    for node in [1, 2] {
        says(volward, node, "has written into LVM's metadata", &remedy);
    }
    refused(volward, 1, &format!("attach {OTHER} vg0/second"));
    let helps = format!("vgck --updatemetadata vg0 && {remedy}");
    one.run_ok_within(LVM, &helps).unwrap();
    nothing_is_wrong(volward);
    volward
        .cli_ok(2, &format!("attach {OTHER} vg0/second"))
        .unwrap();
    volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
}

/// The same with nothing on the disk: LVM reports no disk as missing, and everything is served.
fn it_has_older_metadata(volward: &Volward<'_>, start: &str) {
    let two = volward.node(2);
    volward.cli_ok(1, "volume rm vg0/second").unwrap();
    two.run_ok("dmsetup remove lun2").unwrap();
    two.run_ok_within(
        LVM,
        "lvchange --devicesfile volward-vg0.devices --deltag by-hand vg0/web",
    )
    .unwrap();
    show_disk(two, start);
    for node in [1, 2] {
        says(
            volward,
            node,
            "do not all hold the same metadata",
            "vgck --updatemetadata vg0",
        );
        volward
            .cli_ok(node, &format!("attach {INSTANCE} vg0/web"))
            .unwrap();
        volward.cli_ok(node, &format!("detach {INSTANCE}")).unwrap();
    }
    // The next change of the pool mends it.
    volward.cli_ok(1, "volume create vg0/new 8M").unwrap();
    nothing_is_wrong(volward);
}

/// Taken out again.
fn it_is_taken_out(volward: &Volward<'_>) {
    let one = volward.node(1);
    one.run_ok_within(
        LVM,
        &format!("vgreduce -qq vg0 {LUN2} && pvremove -qq {LUN2}"),
    )
    .unwrap();
    for node in [1, 2] {
        says(
            volward,
            node,
            &format!("still lists {LUN2}"),
            "volward pool init vg0",
        );
        volward.cli_ok(node, "pool init vg0").unwrap();
    }
    nothing_is_wrong(volward);
}
