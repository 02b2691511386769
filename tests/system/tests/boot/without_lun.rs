//! Boots at which the lockspace cannot be joined: the LUN is not there, or hangs. The node says why, guests without
//! managed disks start, and what the guide names brings the rest back.

use std::time::Duration;

use volward_system::guest::{Guest, Wish};
use volward_system::volward::{VIRSH, Volward};
use volward_system::{Cluster, Cut, Node};

use super::{guest_started, one_node, power_off, started, succeeded};

/// Joining a lockspace, with sanlock's own timeout.
const JOIN: Duration = Duration::from_secs(300);

/// 60 s of LVM's look, 30 s of volwardd's, and as much for what an emulated node takes beside.
const HANGS: Duration = Duration::from_secs(150);

/// Holds back what looks at the LUN at boot until the test has broken its path.
const GATE: &str = "[Unit]
Before=lvmlocks.service lvmlockd.service sanlock.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until [ -e /run/lab/go ]; do sleep 0.2; done'
TimeoutStartSec=infinity
[Install]
RequiredBy=lvmlocks.service
";

/// The driver's name for the LUN: what is taken from the node, and given back.
const BUS: &str = "/sys/bus/virtio/drivers/virtio_blk";
const TAKE: &str = "lun=$(readlink -f /dev/disk/by-id/virtio-lun)
    device=$(readlink -f /sys/block/${lun##*/}/device)
    echo ${device##*/} > /run/lab/lun";

/// Seconds from the moment at which the units could go on until each was started, and the guest ran.
fn timed(node: &Node, what: &str, free: &Guest) -> f64 {
    let ran = guest_started(node, free);
    let (_, gate) = started(node, "lab-gate");
    for unit in ["lvmlocks", "volwardd", "libvirtd"] {
        let (begun, done) = started(node, unit);
        println!(
            "{what}: {unit:10} begun {:6.1} s, started {:6.1} s",
            begun - gate,
            done - gate
        );
    }
    println!(
        "{what}: a guest without managed disks runs after {:.1} s",
        ran - gate
    );
    ran - gate
}

/// Boots until the gate, breaks the path, and lets the units go on.
fn boot_with(node: &Node, break_path: impl FnOnce()) {
    node.start().unwrap();
    break_path();
    node.run_ok("touch /run/lab/go").unwrap();
}

/// Waits until a unit is no longer about to start.
fn settled(node: &Node, unit: &str) -> String {
    let script = format!(
        "for _ in $(seq 560); do
             state=$(systemctl is-active {unit})
             [ $state != activating ] && [ $state != inactive ] && break
             sleep 1
         done
         echo $state"
    );
    let state = node
        .run_ok_within(Duration::from_secs(590), &script)
        .unwrap();
    state.trim().to_owned()
}

/// Doctor and the log name the pool and the reason, and a start is refused with it.
fn says_why(volward: &Volward<'_>, web: &Guest) {
    let node = volward.node(1);
    let doctor = volward.cli(1, "doctor").unwrap().stdout;
    let failed: Vec<&str> = doctor
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    println!("{}", failed.join("\n"));
    assert!(failed.iter().any(|line| line.contains("vg0")), "{doctor}");
    let log = node
        .run_ok("journalctl -b -u volwardd -u lvmlocks -o cat --no-pager")
        .unwrap();
    println!("{log}");
    let mut lines = log.lines();
    assert!(
        lines.any(|line| line.contains("cannot be used yet") && line.contains("pool=vg0 reason=")),
        "{log}"
    );
    let refused = web.try_start(node).unwrap();
    println!("{}", refused.stderr);
    assert!(!refused.ok(), "{refused:?}");
    // In a sentence, and not by a timeout of libvirt's.
    let mut lines = refused.stderr.lines();
    assert!(lines.any(|line| line.contains("vg0")), "{refused:?}");
    // Not of LVM, which would wait for the LUN.
    let left = node.run("dmsetup ls | grep volward- || true").unwrap();
    assert_eq!(left.stdout, "");
}

/// The pool is served after these commands of the guide's, and the guest starts.
fn comes_back(volward: &Volward<'_>, web: &Guest, commands: &str) {
    let node = volward.node(1);
    node.run_ok_within(JOIN, commands).unwrap();
    let serves = || {
        let pools = volward.cli_ok(1, "pool ls")?;
        Ok(pools
            .lines()
            .any(|line| line.starts_with("vg0 ") && line.contains("shared")))
    };
    volward.wait(1, "pool", JOIN, serves).unwrap();
    node.run_ok_within(VIRSH, &format!("virsh start {}", web.name))
        .unwrap();
    succeeded(&web.io(node, 0, "read -P 0x5a 1M 64k").unwrap());
    assert_eq!(volward.leases(1).unwrap(), ["root exclusive"]);
    let doctor = volward.cli_ok(1, "doctor").unwrap();
    assert!(!doctor.contains("->"), "{doctor}");
}

fn ready() -> (Cluster, Guest, Guest) {
    let cluster = one_node();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    let free = Guest::new("free", 2);
    web.start(node).unwrap();
    free.start(node).unwrap();
    succeeded(&web.io(node, 0, "write -P 0x5a 1M 64k").unwrap());
    node.put_file("/etc/systemd/system/lab-gate.service", 0o644, GATE)
        .unwrap();
    node.run_ok(
        "virsh autostart web; virsh autostart free
         echo SHUTDOWN_TIMEOUT=5 >> /etc/default/libvirt-guests
         systemctl daemon-reload; systemctl enable lab-gate",
    )
    .unwrap();
    power_off(node, VIRSH);
    (cluster, web, free)
}

#[test]
fn a_boot_without_the_lockspace_says_why_and_starts_who_needs_none_of_it() {
    let (cluster, web, free) = ready();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));

    boot_with(node, || ());
    let sound = timed(node, "the LUN is there", &free);
    guest_started(node, &web);
    succeeded(&web.io(node, 0, "read -P 0x5a 1M 64k").unwrap());
    power_off(node, VIRSH);

    boot_with(node, || {
        node.run_ok(&format!("{TAKE}; cat /run/lab/lun > {BUS}/unbind"))
            .unwrap();
    });
    let absent = timed(node, "no LUN", &free);
    println!("no LUN: lvmlocks is {}", settled(node, "lvmlocks"));
    says_why(&volward, &web);
    assert!(absent <= sound, "{absent} s, and {sound} s with the LUN");
    comes_back(
        &volward,
        &web,
        &format!("cat /run/lab/lun > {BUS}/bind; udevadm settle; systemctl restart lvmlocks"),
    );
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// LVM looks at the disks for a minute, volwardd once more for half of one.
#[test]
fn a_lun_that_hangs_delays_a_boot_by_a_bounded_time() {
    let (cluster, web, free) = ready();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    boot_with(node, || node.cut_lun(Cut::Hang).unwrap());
    assert_eq!(settled(node, "libvirtd"), "active");
    let after = timed(node, "a LUN that hangs", &free);
    let (_, gate) = started(node, "lab-gate");
    let (_, libvirt) = started(node, "libvirtd");
    assert!(libvirt - gate < HANGS.as_secs_f64(), "{after}");
    assert_eq!(settled(node, "lvmlocks"), "failed");
    says_why(&volward, &web);
    node.restore_lun().unwrap();
    comes_back(&volward, &web, "systemctl restart lvmlocks");
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}
