//! The lab itself: what every story of the product rests on.
#![allow(clippy::disallowed_methods, reason = "tests measure time")]

use std::time::{Duration, Instant};

use volward_system::{Cluster, ClusterSpec, Cut, Lab, Progress};

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
    let output = cluster
        .node(2)
        .run("echo out; echo err >&2; exit 7")
        .unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (7, "out\n", "err\n")
    );
}

#[test]
fn ready_cluster_is_restored_in_order() {
    let cluster = ready();
    for node in cluster.nodes() {
        let status = node.run_ok("sanlock client status").unwrap();
        assert!(
            status.contains(&format!("s lvm_vg0:{}:", node.number())),
            "{status}"
        );
        node.run_ok("virsh list --all && vgs vg0 local").unwrap();
    }
}
