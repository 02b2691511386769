//! `libvirt-guests`: what ran when the node went down runs after its boot, on the disks that it had; ended and started
//! anew, or saved and restored.

use volward_system::guest::{Guest, Wish};
use volward_system::volward::{VIRSH, Volward};
use volward_system::{Cluster, Node};

use super::{
    guest_started, one_node, power_off, said_before, started, succeeded, timed_out_before,
};

/// How often the QEMU of the last start was given a memory to go on with.
fn incoming(node: &Node, guest: &Guest) -> usize {
    let script = format!(
        "tac /var/log/libvirt/qemu/{}.log | sed '/starting up libvirt/q' | grep -a -c -e '-incoming' || true",
        guest.name
    );
    node.run_ok(&script).unwrap().trim().parse().unwrap()
}

/// Down and up again; the guests run, none of them before volwardd was ready.
fn reboot(cluster: &Cluster, guests: &[&Guest], what: &str) {
    let node = cluster.node(1);
    let took = power_off(node, VIRSH);
    println!("{what}: shutdown {:.1} s", took.as_secs_f32());
    cluster.reboot(1).unwrap();
    println!("{}", said_before(node, "libvirt-guests"));
    assert_eq!(timed_out_before(node), "");
    let (_, ready) = started(node, "volwardd");
    for guest in guests {
        let ran = guest_started(node, guest);
        println!(
            "{what}: volwardd ready {ready:.1} s, {} started {ran:.1} s",
            guest.name
        );
        assert!(
            ready <= ran,
            "{} was started before volwardd was ready",
            guest.name
        );
    }
}

#[test]
fn libvirt_guests_brings_back_what_ran_ended_or_saved_on_the_disks_it_had() {
    let cluster = one_node();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    for volume in ["root", "data"] {
        volward.volume(volume, 32).unwrap();
    }
    let web = Guest::new("web", 1)
        .disk("root", Wish::Plain)
        .disk("data", Wish::Plain);
    let free = Guest::new("free", 2);
    web.start(node).unwrap();
    free.start(node).unwrap();
    let leases = ["data exclusive", "root exclusive"];
    let set = |on_shutdown: &str| {
        let text = format!(
            "ON_BOOT=start\nSTART_DELAY=0\nON_SHUTDOWN={on_shutdown}\nSHUTDOWN_TIMEOUT=5\n"
        );
        node.put_file("/etc/default/libvirt-guests", 0o644, text)
            .unwrap();
    };
    let io = |words: &str| {
        for disk in [0, 1] {
            succeeded(&web.io(node, disk, words).unwrap());
        }
    };

    set("shutdown");
    io("write -P 0x5a 1M 64k");
    reboot(&cluster, &[&web, &free], "ended");
    assert_eq!(incoming(node, &web), 0);
    assert_eq!(volward.leases(1).unwrap(), leases);
    io("read -P 0x5a 1M 64k");

    set("suspend");
    io("write -P 0xc3 2M 64k");
    reboot(&cluster, &[&web, &free], "saved");
    for guest in [&web, &free] {
        assert_eq!(incoming(node, guest), 1, "{} was not restored", guest.name);
    }
    assert_eq!(volward.leases(1).unwrap(), leases);
    io("read -P 0x5a 1M 64k");
    io("read -P 0xc3 2M 64k");
    io("write -P 0x3c 3M 64k");
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}
