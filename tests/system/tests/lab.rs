//! The lab itself: what every other system test rests on.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use volward_system::{Cluster, ClusterSpec, Cut, Lab, LabError, Progress};

/// One direct read of the LUN, past every cache.
const READ_LUN: &str =
    "dd if=/dev/disk/by-id/virtio-lun of=/dev/null bs=4k count=1 iflag=direct status=none";

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::ready(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

#[test]
fn bare_nodes_boot_and_see_their_disks_and_each_other() {
    let lab = Lab::open().unwrap();
    let spec = ClusterSpec {
        nodes: 3,
        memory_mib: 512,
        ..ClusterSpec::default()
    };
    let cluster = Cluster::boot(&lab, &spec, Progress::shown()).unwrap();
    for node in cluster.nodes() {
        let disks = node.run_ok("ls /dev/disk/by-id").unwrap();
        assert_eq!(disks, "virtio-local\nvirtio-lun\n");
        node.run_ok("modprobe dm_clone && dmsetup targets | grep -q ^clone")
            .unwrap();
    }
    cluster
        .node(1)
        .run_ok("busybox ping -c 1 -W 5 node3 > /dev/null")
        .unwrap();
    // What one node writes to the LUN, another reads; local disks are one's own.
    let write =
        "echo from-node-1 | dd of=/dev/disk/by-id/virtio-$disk bs=512 conv=sync status=none";
    let read = "dd if=/dev/disk/by-id/virtio-$disk bs=11 count=1 status=none";
    for (disk, seen) in [("lun", "from-node-1"), ("local", "\0\0\0\0\0\0\0\0\0\0\0")] {
        let named = |script: &str| format!("disk={disk}; {script}");
        cluster.node(1).run_ok(&(named(write) + "; sync")).unwrap();
        assert_eq!(cluster.node(2).run_ok(&named(read)).unwrap(), seen);
    }
}

#[test]
fn commands_keep_status_and_streams_apart_and_have_a_deadline() {
    let cluster = ready();
    let node = cluster.node(2);
    let output = node.run("echo out; echo err >&2; exit 7").unwrap();
    let seen = (output.status, &*output.stdout, &*output.stderr);
    assert_eq!(seen, (7, "out\n", "err\n"));

    let begun = Instant::now();
    let late = node.run_within(Duration::from_secs(2), "sleep 60");
    assert!(
        matches!(late, Err(LabError::Deadline { node: 2, .. })),
        "{late:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));

    // Two at once take as long as one: each waits for what the other writes.
    let meet = |mine: &str, other: &str| {
        let script = format!("touch /run/{mine}; until [ -e /run/{other} ]; do sleep 0.1; done");
        node.run_ok_within(Duration::from_secs(20), &script)
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| meet("a", "b"));
        meet("b", "a").unwrap();
        first.join().unwrap().unwrap();
    });

    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    node.put_file("/run/deep/er/file", 0o640, &content).unwrap();
    let sum = node
        .run_ok("stat -c '%a %s' /run/deep/er/file; cksum < /run/deep/er/file")
        .unwrap();
    // cksum of these bytes, as the tool computes it on this machine.
    assert_eq!(sum, "640 100000\n2448995759 100000\n");
}

#[test]
fn ready_cluster_is_restored_in_order_and_quickly() {
    drop(ready());
    let begun = Instant::now();
    let cluster = ready();
    let took = begun.elapsed();
    // About two seconds on two idle cores, and bringing it up takes forty.
    assert!(took < Duration::from_secs(15), "restoring took {took:?}");

    for node in cluster.nodes() {
        let number = node.number();
        let status = node.run_ok("sanlock client status").unwrap();
        assert!(status.contains(&format!("s lvm_vg0:{number}:")), "{status}");
        node.run_ok("virsh list --all && vgs vg0 local").unwrap();
        // Debian's defaults, but for the two settings that make it a cluster.
        let settings = node.run_ok("lvmconfig --typeconfig diff").unwrap();
        let expected =
            format!("local {{\n\thost_id={number}\n}}\nglobal {{\n\tuse_lvmlockd=1\n}}\n");
        assert_eq!(settings, expected);
        // The node's clock stood still meanwhile; it is today again.
        node.run_ok("test $(($(date +%s) - $(stat -c %Y /host/lab/run))) -lt 600")
            .unwrap();
    }
}

#[test]
fn an_exclusive_lease_on_one_node_refuses_the_other() {
    let cluster = ready();
    let (one, two) = (cluster.node(1), cluster.node(2));
    one.run_ok("lvcreate -an -n disk -L 32M vg0").unwrap();
    one.run_ok("lvchange -aey vg0/disk").unwrap();
    let refused = two.run("lvchange -aey vg0/disk").unwrap();
    assert_eq!(refused.status, 5, "{refused:?}");
    two.run_ok("test ! -e /dev/vg0/disk").unwrap();
    one.run_ok("lvchange -an vg0/disk").unwrap();
    two.run_ok("lvchange -aey vg0/disk && test -b /dev/vg0/disk")
        .unwrap();
}

#[test]
fn a_cut_lun_is_felt_by_one_node_and_heals() {
    let cluster = ready();
    let (one, two) = (cluster.node(1), cluster.node(2));

    two.cut_lun(Cut::Errors).unwrap();
    let failed = two.run(READ_LUN).unwrap();
    assert!(failed.stderr.contains("Input/output error"), "{failed:?}");
    one.run_ok(READ_LUN).unwrap();
    two.restore_lun().unwrap();
    two.run_ok(READ_LUN).unwrap();

    two.cut_lun(Cut::Hang).unwrap();
    let hung = two.run_within(Duration::from_secs(3), READ_LUN);
    assert!(matches!(hung, Err(LabError::Deadline { .. })), "{hung:?}");
    one.run_ok(READ_LUN).unwrap();
    two.restore_lun().unwrap();
    two.run_ok(READ_LUN).unwrap();
    two.restore_lun().unwrap();
}

#[test]
fn a_killed_node_loses_its_memory_and_keeps_its_disks() {
    let cluster = ready();
    let node = cluster.node(2);
    node.run_ok("touch /root/in-memory; lvcreate -n kept -L 32M local")
        .unwrap();
    node.kill().unwrap();
    assert!(matches!(
        node.run("true"),
        Err(LabError::Ended { node: 2, .. })
    ));
    cluster.node(1).run_ok("vgs vg0").unwrap();
    node.start().unwrap();
    node.run_ok("test ! -e /root/in-memory && lvs local/kept && test -d /host/lab")
        .unwrap();
}

#[test]
fn build_results_are_seen_and_read_only() {
    let lab = Lab::open().unwrap();
    let cluster = ready();
    let folder = tempfile::tempdir_in(lab.share()).unwrap();
    std::fs::write(folder.path().join("built"), "after the restore").unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let node = cluster.node(1);
    let read = node.run_ok(&format!("cat /host/{name}/built")).unwrap();
    assert_eq!(read, "after the restore");
    let written = node.run(&format!("echo no > /host/{name}/built")).unwrap();
    assert!(!written.ok());
}
