//! Boot and shutdown of a node, by its units: what is installed from the package, on nodes that systemd boots. Each test
//! prints what it took; in emulation that is many times what it takes elsewhere.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]
#![allow(
    clippy::disallowed_methods,
    reason = "what a shutdown takes is measured here"
)]

#[path = "boot/beneath.rs"]
mod beneath;
#[path = "boot/kept.rs"]
mod kept;
#[path = "boot/without_lun.rs"]
mod without_lun;

use std::time::{Duration, Instant};

use volward_system::guest::{Guest, Wish};
use volward_system::sight::{self, Sight};
use volward_system::volward::{VIRSH, Volward, content};
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress};

/// An instance that no guest is.
const NOBODY: &str = "0ddba115-0000-4000-8000-000000000000";

/// Copying some hundred megabytes, and making them up, at the speed of emulation.
const PATIENCE: Duration = Duration::from_secs(240);

/// No unit's timeout is reached, which are 90 s.
const DOWN: Duration = Duration::from_secs(75);

/// What does not end is killed after 90 s.
const HELD: Duration = Duration::from_secs(160);

/// One whose LUN is gone: the watchdog resets the node 60 s after sanlock has given up, which it does 80 s after its last
/// renewal; renewals are 20 s apart.
const RESET: Duration = Duration::from_secs(240);

fn one_node() -> Cluster {
    let spec = ClusterSpec {
        nodes: 1,
        ..ClusterSpec::default()
    };
    Cluster::packaged(&Lab::open().unwrap(), &spec, Progress::shown()).unwrap()
}

/// One that has a volume attached that no guest has.
fn one_with_a_volume() -> Cluster {
    let cluster = one_node();
    let volward = Volward::on(&cluster);
    volward.volume("own", 32).unwrap();
    volward
        .cli_ok(1, &format!("attach {NOBODY} vg0/own"))
        .unwrap();
    cluster
}

/// Shuts a node down, and says what that took.
fn power_off(node: &Node, at_most: Duration) -> Duration {
    node.run_ok("sync; systemctl poweroff --no-block").unwrap();
    let begun = Instant::now();
    node.wait_ended(at_most).unwrap();
    begun.elapsed()
}

/// What a unit has said in the boot before this one.
fn said_before(node: &Node, unit: &str) -> String {
    node.run_ok(&format!("journalctl -b -1 -u {unit} -o cat --no-pager"))
        .unwrap()
}

/// Units whose stop ran into its timeout in the boot before this one.
fn timed_out_before(node: &Node) -> String {
    let script =
        "journalctl -b -1 -o cat --no-pager _PID=1 | grep -i -e 'timed out' -e 'timeout' || true";
    node.run_ok(script).unwrap()
}

/// Seconds of this boot at which a unit began to start, and was started.
fn started(node: &Node, unit: &str) -> (f64, f64) {
    let text = node
        .run_ok(&format!(
            "for what in InactiveExit ActiveEnter; do
                 systemctl show --value -p ${{what}}TimestampMonotonic {unit}
             done"
        ))
        .unwrap();
    let mut seconds = text.lines().map(|line| line.parse::<f64>().unwrap() / 1e6);
    (seconds.next().unwrap(), seconds.next().unwrap())
}

/// Each unit was started before the next one began.
#[track_caller]
fn in_order(node: &Node, units: &[&str]) {
    let times: Vec<_> = units.iter().map(|unit| started(node, unit)).collect();
    for (unit, (begun, done)) in units.iter().zip(&times) {
        println!("{unit:32} begun {begun:6.1} s, started {done:6.1} s");
        assert!(*done > 0.0, "{unit} was not started");
    }
    for (pair, names) in times.windows(2).zip(units.windows(2)) {
        assert!(pair[0].1 <= pair[1].0, "{} before {}", names[1], names[0]);
    }
}

/// A unit of this name, which is ordered after libvirtd and knows nothing of Volward, as Debian's of nova; it takes its
/// time to start and to end.
fn is_there_beside_libvirt(node: &Node, name: &str) {
    let unit = "[Unit]\nAfter=libvirtd.service\n[Service]\nExecStart=/bin/sleep infinity\n\
                ExecStop=/bin/sleep 3\n[Install]\nWantedBy=multi-user.target\n";
    let path = format!("/etc/systemd/system/{name}.service");
    node.put_file(&path, 0o644, unit).unwrap();
    node.run_ok(&format!("systemctl daemon-reload; systemctl enable {name}"))
        .unwrap();
}

/// Each unit had ended in the boot before this one before the next one was told to.
#[track_caller]
fn ended_in_order_before(node: &Node, units: &[&str]) {
    let script = "journalctl -b -1 -o cat --no-pager _PID=1";
    let said = node.run_ok(script).unwrap();
    let at = |what: &str, unit: &str| {
        let mut lines = said.lines();
        let found = lines
            .position(|line| line.starts_with(what) && line.contains(&format!("{unit}.service")));
        assert!(found.is_some(), "no {what} {unit}: {said}");
        found.unwrap()
    };
    for pair in units.windows(2) {
        assert!(
            at("Stopped", pair[0]) < at("Stopping", pair[1]),
            "{pair:?}: {said}"
        );
    }
}

/// Seconds of this boot at which a guest's QEMU was started; waits until it runs.
fn guest_started(node: &Node, guest: &Guest) -> f64 {
    let script = format!(
        "for _ in $(seq 300); do
             [ \"$(virsh domstate {name} 2> /dev/null)\" = running ] && break
             sleep 1
         done
         pid=$(cat /run/libvirt/qemu/{name}.pid) || {{ journalctl -b -u libvirtd -o cat | tail -n 20 >&2; exit 1; }}
         echo $(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20) $(getconf CLK_TCK)",
        name = guest.name
    );
    let text = node
        .run_ok_within(Duration::from_secs(360), &script)
        .unwrap();
    let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().unwrap());
    numbers.next().unwrap() / numbers.next().unwrap()
}

#[track_caller]
fn succeeded(said: &str) {
    let good = said.contains("bytes at offset") && !said.contains("failed");
    assert!(good, "{said}");
}

#[test]
fn units_start_in_order_and_a_volume_that_nobody_has_open_delays_no_shutdown() {
    let cluster = one_node();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    let lockspace = ["sanlock", "lvmlocks", "volward-registry", "volwardd"];
    in_order(
        node,
        &[&["wdmd"], &lockspace[..], &["volward-release", "libvirtd"]].concat(),
    );
    in_order(node, &["lvmlockd", "lvmlocks"]);
    in_order(node, &["multipathd", "lvmlocks"]);
    is_there_beside_libvirt(node, "nova-compute");
    let doctor = volward.cli_ok(1, "doctor").unwrap();
    println!("{doctor}");
    assert!(!doctor.contains("->"), "a sound node has nothing to mend");

    let empty = power_off(node, DOWN);
    println!(
        "shutdown with nothing attached: {:.1} s",
        empty.as_secs_f32()
    );
    cluster.reboot(1).unwrap();
    in_order(node, &["volwardd", "volward-release", "nova-compute"]);

    for volume in ["own", "given"] {
        volward.volume(volume, 32).unwrap();
    }
    volward
        .cli_ok(1, &format!("attach {NOBODY} vg0/own vg0/given:lv"))
        .unwrap();
    let attached = power_off(node, DOWN);
    println!(
        "shutdown with two volumes attached: {:.1} s",
        attached.as_secs_f32()
    );
    cluster.reboot(1).unwrap();
    let said = said_before(node, "volward-release");
    println!("{said}");
    for volume in ["own", "given"] {
        let line = format!("vg0/{volume} of instance {NOBODY} detached");
        assert!(said.contains(&line), "{said}");
    }
    let lockspace = [
        "volwardd",
        "volward-registry",
        "lvmlocks",
        "sanlock",
        "wdmd",
    ];
    let after = ["nova-compute", "volward-release"];
    ended_in_order_before(node, &[&after[..], &lockspace].concat());
    assert_eq!(timed_out_before(node), "");
    assert_eq!(volward.left_over(1).unwrap(), "");
}

#[test]
fn a_guest_that_starts_by_itself_has_its_disks_after_a_reboot_and_after_a_power_cut() {
    let cluster = one_node();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    let mut guests = Vec::new();
    for number in 1..=3 {
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        volward.volume(&a, 32).unwrap();
        volward.volume(&b, 32).unwrap();
        let guest = Guest::new(&format!("web{number}"), number);
        let guest = guest.disk(&a, Wish::Plain).disk(&b, Wish::Plain);
        guest.start(node).unwrap();
        node.run_ok(&format!("virsh autostart {}", guest.name))
            .unwrap();
        guests.push(guest);
    }
    let leases = ["a1", "a2", "a3", "b1", "b2", "b3"].map(|name| format!("{name} exclusive"));
    // They have no operating system that would end itself: it is waited for, and then they are ended.
    node.run_ok("echo SHUTDOWN_TIMEOUT=5 >> /etc/default/libvirt-guests")
        .unwrap();
    let write = |pattern: &str| {
        for (guest, disk) in guests.iter().flat_map(|g| [(g, 0), (g, 1)]) {
            let write = format!("write -P {pattern} 1M 64k");
            succeeded(&guest.io(node, disk, &write).unwrap());
        }
    };
    let is_there = |pattern: &str| {
        for (guest, disk) in guests.iter().flat_map(|g| [(g, 0), (g, 1)]) {
            let read = format!("read -P {pattern} 1M 64k");
            succeeded(&guest.io(node, disk, &read).unwrap());
        }
        assert_eq!(volward.leases(1).unwrap(), leases);
        let inconsistent = volward.cli(1, "doctor").unwrap().stdout;
        assert!(!inconsistent.contains("FAIL"), "{inconsistent}");
    };
    let came_back = |what: &str| {
        let (_, ready) = started(node, "volwardd");
        let ran: Vec<f64> = guests
            .iter()
            .map(|guest| guest_started(node, guest))
            .collect();
        let first = ran.iter().copied().fold(f64::INFINITY, f64::min);
        let last = ran.iter().copied().fold(0.0, f64::max);
        println!(
            "{what}: volwardd ready {ready:.1} s after the boot, guests at {first:.1} to {last:.1} s"
        );
        assert!(
            ready <= first,
            "a guest was started before volwardd was ready"
        );
    };

    write("0x5a");
    let took = power_off(node, VIRSH);
    println!(
        "shutdown with three guests and six disks: {:.1} s",
        took.as_secs_f32()
    );
    cluster.reboot(1).unwrap();
    println!("{}", said_before(node, "volward-release"));
    assert_eq!(timed_out_before(node), "");
    ended_in_order_before(node, &["libvirt-guests", "volward-release", "volwardd"]);
    came_back("after a shutdown");
    is_there("0x5a");

    write("0xc3");
    node.kill().unwrap();
    cluster.reboot(1).unwrap();
    came_back("after a power cut");
    is_there("0xc3");
    for guest in &guests {
        guest.stop(node).unwrap();
    }
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// It is put down, for it takes as long as the copy has data; devices and lease do not keep the lockspace.
#[test]
fn a_write_back_delays_no_shutdown_and_goes_on_after_the_boot() {
    let cluster = one_node();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    volward
        .add_policy(1, "hydrate-local", "reserve = \"64MiB\"")
        .unwrap();
    volward.volume("big", 384).unwrap();
    // What is behind is written back, too: it takes longer than a shutdown gets to it.
    node.run_ok_within(PATIENCE, "lvextend -qq -L 2G vg0/big")
        .unwrap();
    let attach = format!("attach {NOBODY} vg0/big");
    volward.cli_ok(1, &attach).unwrap();
    let copies = || volward.json(1, "hydration ls");
    let whole = || Ok(copies()?[0]["state"] == "complete");
    volward.wait(1, "whole copy", PATIENCE, whole).unwrap();
    let device = format!("/dev/volward/{NOBODY}/vg0/big");
    let write = format!(
        "{} | dd of={device} bs=1M iflag=fullblock oflag=direct status=none",
        content("new", 64)
    );
    node.run_ok_within(PATIENCE, &write).unwrap();
    volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
    let took = power_off(node, DOWN);
    println!(
        "shutdown with a write-back of 2 GiB under way: {:.1} s",
        took.as_secs_f32()
    );

    cluster.reboot(1).unwrap();
    let said = said_before(node, "volwardd");
    assert!(said.contains("write-back put down"), "{said}");
    assert_eq!(timed_out_before(node), "");
    let home = || Ok(copies()? == serde_json::json!([]));
    volward.wait(1, "way home", PATIENCE, home).unwrap();
    volward.cli_ok(1, &format!("{attach}:ro")).unwrap();
    let same = format!(
        "{{ {}; {} | tail -c +{}; }} | cmp -n {} - {device}",
        content("new", 64),
        content("big", 384),
        (64 << 20) + 1,
        384 << 20
    );
    node.run_ok_within(PATIENCE, &same).unwrap();
    volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");

    // And one that nobody has after a boot is not left behind by whoever removes the package.
    volward.cli_ok(1, &attach).unwrap();
    let is_copied = || Ok(!copies()?.as_array().is_none_or(Vec::is_empty));
    volward.wait(1, "copy", PATIENCE, is_copied).unwrap();
    node.kill().unwrap();
    cluster.reboot(1).unwrap();
    assert_eq!(copies().unwrap(), serde_json::json!([]));
    let words = [
        "it is not removed: local copies",
        "volward.copy-of=",
        "volward doctor",
    ];
    beneath::refused(node, &words);
    let doctor = volward.cli(1, "doctor").unwrap().stdout;
    println!("{doctor}");
    assert!(doctor.contains("vg0/big"), "{doctor}");

    // Where the configuration says so, it comes home by itself.
    node.run_ok_within(
        PATIENCE,
        r#"sed -i -e '/^\[copies]/a left-alone = "comes-home"\nleft-alone-pause = 5' /etc/volward/volward.toml
           volwardd --check && systemctl restart volwardd"#,
    )
    .unwrap();
    let is_home = || Ok(sight::home(node, "big")? == "pool");
    volward
        .wait(1, "way home by itself", PATIENCE, is_home)
        .unwrap();
    let doctor = volward.cli_ok(1, "doctor").unwrap();
    assert!(!doctor.contains("vg0/big"), "{doctor}");
    node.run_ok_within(PATIENCE, "apt-get remove -q -y volward")
        .unwrap();
}

/// It is no guest, and does not end when it is asked to: systemd kills it after 90 s, and then its device goes, too.
#[test]
fn a_process_that_keeps_a_device_open_delays_a_shutdown_until_systemd_kills_it() {
    let cluster = one_with_a_volume();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    let holder = format!(
        "systemd-run --unit holder /bin/sh -c \
             'trap \"\" TERM; exec 3< /dev/volward/{NOBODY}/vg0/own; exec sleep infinity'
         until [ \"$(dmsetup info -c --noheadings -o open | sort -n | tail -n 1)\" -gt 0 ]; do sleep 0.2; done"
    );
    node.run_ok(&holder).unwrap();
    let took = power_off(node, HELD);
    println!(
        "shutdown with a process that keeps a device open: {:.1} s",
        took.as_secs_f32()
    );
    cluster.reboot(1).unwrap();
    let said = said_before(node, "volward-release");
    println!("{said}");
    let line = format!("vg0/own of instance {NOBODY} detached");
    assert!(said.contains(&line), "{said}");
    assert!(!timed_out_before(node).contains("lvmlocks"));
    assert_eq!(Sight::of(node).unwrap(), Sight::default());
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// What cannot be let go is named, and the node does not hang: where nothing else ends it, the watchdog does.
#[test]
fn a_lun_that_is_gone_at_shutdown_delays_it_by_no_more_than_the_watchdog_allows() {
    let cluster = one_with_a_volume();
    let (volward, node) = (Volward::on(&cluster), cluster.node(1));
    node.cut_lun(Cut::Hang).unwrap();
    let took = power_off(node, RESET);
    println!(
        "shutdown with a LUN that hangs: {:.1} s",
        took.as_secs_f32()
    );
    // A new QEMU has the whole path.
    cluster.reboot(1).unwrap();
    let said = said_before(node, "volward-release");
    println!("{said}");
    assert!(said.contains("left: vg0/own"), "{said}");
    assert_eq!(Sight::of(node).unwrap(), Sight::default());
    volward
        .cli_ok(1, &format!("attach {NOBODY} vg0/own"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}
