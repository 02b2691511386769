//! libvirt's hook on a real libvirt: daemon down, hot-plug, another's device, restarts (I5, I31).
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::guest::{Guest, Wish};
use volward_system::ticker;
use volward_system::volward::{VIRSH, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const SPOOL: &str = "/var/lib/volward/spool";
const PAUSED: &str = "/run/volward-test-paused";
const PATIENCE: Duration = Duration::from_secs(60);

/// What must not change under a running guest.
fn sight(volward: &Volward<'_>, node: &Node) -> String {
    // The daemon opens the registry for each look: how often it is open says nothing of a guest.
    let devices = "dmsetup info -c --noheadings -o name,uuid,open,attr | \
                   sed '/volward--registry/s/:[0-9]*:/:-:/' | sort; virsh list --name";
    volward.cli_ok(1, "ls").unwrap()
        + &volward.leases(1).unwrap().join(" ")
        + &node.run_ok(devices).unwrap()
}

#[test]
fn the_hook_does_its_part_whatever_runs_or_does_not() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    for name in ["root", "data"] {
        volward.volume(name, 32).unwrap();
    }
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    let spooled = || node.run_ok(&format!("ls {SPOOL}")).unwrap();

    // I31: with the daemon down a guest of somebody else's starts as ever.
    volward.stop(1).unwrap();
    node.run_ok("truncate -s 16M /run/lab/plain.img && chmod 666 /run/lab/plain.img; losetup /dev/loop7 /run/lab/plain.img")
        .unwrap();
    let plain = Guest::new("plain", 9).disk_at("/dev/loop7", Wish::Plain);
    plain.start(node).unwrap();
    plain.stop(node).unwrap();
    // One with managed disks does not, and why is one sentence; nothing is spooled for it.
    let refused = web.try_start(node).unwrap();
    println!("{}", refused.stderr);
    let ours: Vec<&str> = refused
        .stderr
        .lines()
        .filter(|line| line.contains("volward: "))
        .collect();
    assert!(!refused.ok() && ours.len() == 1, "{refused:?}");
    assert!(
        ours[0].contains("start it with `systemctl start volwardd`; guest web was not started"),
        "{refused:?}"
    );
    assert_eq!(spooled(), "");
    volward.start(1, &[]).unwrap();

    // Another instance's device is refused by its path.
    let thief = Guest::new("thief", 2).disk_at(web.device("root"), Wish::Plain);
    let refused = thief.try_start(node).unwrap();
    println!("{}", refused.stderr);
    assert!(!refused.ok() && refused.stderr.contains("is the device of another instance"));

    // I5: daemon and libvirtd come and go under a running guest.
    web.start(node).unwrap();
    let before = sight(&volward, node);
    println!("{before}");
    volward.stop(1).unwrap();
    volward.start(1, &[]).unwrap();
    assert_eq!(sight(&volward, node), before);
    volward.crash(1).unwrap();
    volward.restart_libvirtd(1).unwrap();
    volward.start(1, &[]).unwrap();
    assert_eq!(sight(&volward, node), before);
    volward.restart_libvirtd(1).unwrap();
    assert_eq!(sight(&volward, node), before);
    let read = web.io(node, 0, "read -v 0 16").unwrap();
    assert!(read.contains("root....00000001"), "{read}");

    // Hot-plug calls no hook: attached first, by the same command; the guest's stop takes it along.
    let plug = |target: &str| {
        let words = format!("volward plug web vg0/data {target}");
        node.run_within(VIRSH, &words).unwrap()
    };
    let refused = plug("vda");
    println!("{}", refused.stderr);
    assert!(!refused.ok() && refused.stderr.contains("detached again"));
    assert_eq!(sight(&volward, node), before);
    let plugged = plug("vdb");
    assert!(plugged.ok(), "{}", plugged.stderr);
    let read = web.io(node, 1, "read -v 0 16").unwrap();
    assert!(read.contains("data....00000001"), "{read}");
    // There is no operating system in it that could let go of a disk: it keeps it.
    let kept = node
        .run_within(VIRSH, "volward unplug web vg0/data --wait 2")
        .unwrap();
    println!("{}", kept.stderr);
    assert!(!kept.ok() && kept.stderr.contains("has not let go"));
    let read = web.io(node, 1, "read -v 0 16").unwrap();
    assert!(read.contains("data....00000001"), "{read}");

    // Stopped while the daemon is down: noted, done when it is back.
    volward.stop(1).unwrap();
    web.stop(node).unwrap();
    assert_eq!(spooled(), format!("{}.json\n", web.uuid));
    assert_eq!(
        volward.leases(1).unwrap(),
        ["data exclusive", "root exclusive"]
    );
    node.run_ok(&format!("cp {SPOOL}/*.json /run/lab/late.json"))
        .unwrap();
    volward.start(1, &[]).unwrap();
    // What was noted is done once the daemon answers.
    volward
        .wait(1, "release that was noted", PATIENCE, || {
            Ok(volward.left_over(1)?.is_empty())
        })
        .unwrap();

    // The same note, delivered once more under a newer start, takes nothing from it.
    web.start(node).unwrap();
    let before = sight(&volward, node);
    volward.stop(1).unwrap();
    node.run_ok(&format!("cp /run/lab/late.json {SPOOL}/{}.json", web.uuid))
        .unwrap();
    volward.start(1, &[]).unwrap();
    volward
        .wait(1, "look at the note", PATIENCE, || Ok(spooled().is_empty()))
        .unwrap();
    assert_eq!(sight(&volward, node), before);

    // A guest that dies is released like one that is stopped.
    node.run_ok("kill -9 $(cat /run/libvirt/qemu/web.pid)")
        .unwrap();
    volward
        .wait(1, "release of the dead guest", VIRSH, || {
            Ok(volward.left_over(1)?.is_empty())
        })
        .unwrap();

    // One with a program that lets go of a disk, as an operating system does.
    ticker::volume(&volward, "boots").unwrap();
    let other = Guest::new("other", 3).disk("boots", Wish::Plain);
    other.start(node).unwrap();
    for (words, held) in [
        (
            "plug other vg0/data vdb",
            &["boots exclusive", "data exclusive"][..],
        ),
        ("unplug other vg0/data", &["boots exclusive"]),
    ] {
        let words = format!("volward {words}");
        println!("{}", node.run_ok_within(VIRSH, &words).unwrap());
        assert_eq!(volward.leases(1).unwrap(), held, "{words}");
    }
    // Past Volward: libvirt calls no hook, and the guest runs on without it.
    node.run_ok_within(VIRSH, "volward plug other vg0/data vdb")
        .unwrap();
    node.run_ok_within(VIRSH, "virsh detach-disk other vdb --live")
        .unwrap();
    volward
        .wait(1, "release of what was unplugged", VIRSH, || {
            Ok(volward.leases(1)? == ["boots exclusive"])
        })
        .unwrap();
    let log = volward.log(1).unwrap();
    assert!(log.contains("given back by its guest"), "{log}");
    other.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// I30: libvirt does not wait for ever, nor does the hook. What it gave up is not attached, later,
/// for no guest.
#[test]
fn i30_a_start_that_was_given_up_leaves_nothing_attached() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    for given_up_at in ["attach/lease/before", "attach/create-device/after"] {
        volward.stop(1).unwrap();
        let pause = format!("VOLWARD_TEST_PAUSE={given_up_at}={PAUSED}");
        volward.start(1, &[pause]).unwrap();
        let started = std::thread::scope(|scope| {
            let starting = scope.spawn(|| web.try_start(node).unwrap());
            let paused = format!("test -e {PAUSED}");
            volward
                .wait(1, "pause", PATIENCE, || Ok(node.run(&paused)?.ok()))
                .unwrap();
            // As its deadline ends it: by name it would be this shell, too.
            node.run_ok("pkill -9 -x volward").unwrap();
            // libvirt says release now, which waits for the attach.
            node.run_ok(&format!("sleep 2; rm {PAUSED}")).unwrap();
            starting.join().unwrap()
        });
        assert!(!started.ok(), "{started:?}");
        volward
            .wait(1, "end of the attach", PATIENCE, || {
                Ok(volward.left_over(1)?.is_empty())
            })
            .unwrap();
        let log = volward.log(1).unwrap();
        assert!(log.contains("whoever asked for it has gone"), "{log}");
    }
    volward.stop(1).unwrap();
    volward.start(1, &[]).unwrap();
    web.start(node).unwrap();
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}
