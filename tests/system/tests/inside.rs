//! The node never scans the content of a guest's disk, and guests run under libvirt's default mount
//! namespaces and Debian's AppArmor profiles.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests end at the first surprise"
)]

use volward_system::guest::{Guest, Wish};
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Progress, Provider};

/// A disk with a PV, a VG `inner` and its LV `data` on it, as a guest makes them.
const INNER: &str = "truncate -s 48M /run/lab/inner.img
    loop=$(losetup --find --show /run/lab/inner.img)
    pvcreate -q $loop && vgcreate -q inner $loop && lvcreate -q -n data -L 16M inner
    vgs inner && vgchange -an inner && losetup -d $loop
    ! vgs inner 2> /dev/null";

#[test]
fn i15_the_node_never_sees_what_is_inside_a_guests_disk() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("disk", 64).unwrap();
    let guest = Guest::new("guest", 1).disk("disk", Wish::Plain);
    guest.start(node).unwrap();
    let device = guest.device("disk");

    node.run_ok(INNER).unwrap();
    let fill = format!("dd if=/run/lab/inner.img of={device} bs=1M oflag=direct status=none");
    node.run_ok(&fill).unwrap();
    // udev is told as after any writer's close, and asked once more.
    let lv = "/dev/mapper/vg0-disk";
    node.run_ok(&format!(
        "udevadm trigger --action=change $(readlink -f {device}) $(readlink -f {lv}) && udevadm settle"
    ))
    .unwrap();

    // The node's own LVM, unmodified: neither seen nor activated, by any scan.
    let seen = node
        .run_ok("pvs --noheadings -o pv_name,vg_name; pvs -a --noheadings; vgs --noheadings -o vg_name; pvscan --cache -aay; vgchange -aay; lvs --noheadings -o vg_name; dmsetup ls")
        .unwrap();
    assert!(seen.contains("vg0") && seen.contains("local"), "{seen}");
    assert!(!seen.contains("inner"), "{seen}");
    assert!(!node.run("vgs inner").unwrap().ok());
    // Nor does udev know what kind of content it is, unless LVM has told it of the LV.
    let devices: &[&str] = match cluster.provider() {
        Provider::Direct => &[&device, lv],
        Provider::Lvmlockd => &[&device],
    };
    for device in devices {
        let known = node
            .run_ok(&format!("udevadm info --query=property {device}"))
            .unwrap();
        assert!(!known.contains("ID_FS_"), "{known}");
        assert!(known.contains("DM_UUID="), "{known}");
    }

    // QEMU lives in a mount namespace of its own, where no other disk of the node is.
    let namespaces = node
        .run_ok(
            "pid=$(cat /run/libvirt/qemu/guest.pid)
             readlink /proc/self/ns/mnt /proc/$pid/ns/mnt
             nsenter --mount=/proc/$pid/ns/mnt find /dev -type b | sort
             readlink -f $(nsenter --mount=/proc/$pid/ns/mnt find /dev/volward -type l)",
        )
        .unwrap();
    let lines: Vec<&str> = namespaces.lines().collect();
    let [nodes_own, guests, disk, link_leads_to] = lines[..] else {
        panic!("not one disk: {namespaces}")
    };
    assert_ne!(nodes_own, guests);
    assert_eq!(disk, link_leads_to);

    // That all of it is really there shows where nothing hides it: on a plain loop device.
    guest.stop(node).unwrap();
    volward
        .cli_ok(1, &format!("attach {} vg0/disk:ro", guest.uuid))
        .unwrap();
    node.run_ok(&format!("cmp -n 50331648 {device} /run/lab/inner.img"))
        .unwrap();
    node.run_ok("loop=$(losetup --find --show /run/lab/inner.img); vgs inner; losetup -d $loop")
        .unwrap();
    volward
        .cli_ok(1, &format!("detach {}", guest.uuid))
        .unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// What systemd does at boot, for the two profiles Debian's libvirt comes with.
const CONFINE: &str = "apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd \
     /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper";

#[test]
fn guests_start_and_do_io_under_apparmor_as_debian_ships_it() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    node.run_ok(CONFINE).unwrap();
    volward.restart_libvirtd(1).unwrap();
    let confined = |pid: &str| node.run_ok(&format!("cat /proc/$(cat {pid})/attr/current"));
    assert_eq!(
        confined("/run/libvirtd.pid").unwrap(),
        "libvirtd (enforce)\n"
    );

    let guest = Guest::new("guest", 1).disk("root", Wish::Plain);
    guest.start(node).unwrap();
    let label = format!("libvirt-{} (enforce)\n", guest.uuid);
    assert_eq!(confined("/run/libvirt/qemu/guest.pid").unwrap(), label);
    let written = guest.io(node, 0, "write -P 0xaa 0 64k").unwrap();
    assert!(written.contains("wrote 65536/65536"), "{written}");
    guest.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    let denials = node.run_ok("dmesg | grep 'apparmor=.DENIED' || true");
    assert_eq!(denials.unwrap(), "");
}
