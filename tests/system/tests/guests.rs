//! Guests start and stop through Volward, on two nodes that share a LUN.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::guest::{Guest, Wish};
use volward_system::sight::Sight;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Output, Progress};

/// Patience with libvirt, which asks the hook, which asks the daemon.
const VIRSH: Duration = Duration::from_secs(120);

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// Starts it, which must be refused with these words at virsh.
#[track_caller]
fn refused(guest: &Guest, node: &Node, words: &[&str]) {
    let Output { status, stderr, .. } = guest.try_start(node).unwrap();
    println!("{stderr}");
    assert_eq!(status, 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
}

#[track_caller]
fn succeeded(said: &str) {
    let good = said.contains("bytes at offset") && !said.contains("failed");
    assert!(good, "{said}");
}

/// On a sound node `doctor` names nothing but the watchdog, which the lab does without.
#[track_caller]
fn nothing_is_wrong_with(volward: &Volward<'_>) {
    // The saved nodes' daemons have just been started.
    let compiled = || Ok(volward.cli_ok(1, "policy ls")?.contains("serving"));
    volward
        .wait(1, "the baseline", Duration::from_secs(60), compiled)
        .unwrap();
    let doctor = volward.cli(1, "doctor").unwrap();
    let bad = |line: &&str| !line.starts_with("ok ") && !line.starts_with(' ') && !line.is_empty();
    let lines: Vec<&str> = doctor.stdout.lines().filter(bad).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("warning  watchdog"), "{lines:#?}");
    assert_eq!(lines[1], "read-write attaches are served on this node");
}

#[test]
fn guests_get_their_disks_and_others_are_told_who_has_them() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    nothing_is_wrong_with(&volward);
    volward.volume("root", 32).unwrap();
    volward.volume("common", 32).unwrap();
    volward
        .cli_ok(1, "volume set vg0/common --shareable yes")
        .unwrap();

    // The guest has both, with their leases.
    let web = Guest::new("web", 1)
        .disk("root", Wish::Plain)
        .disk("common", Wish::SharedReadOnly);
    web.start(one).unwrap();
    let held = volward.leases(1).unwrap();
    assert_eq!(held, ["common shared", "root exclusive"]);
    // It writes and reads what it may, sees what was on the LUN, and nothing more.
    succeeded(&web.io(one, 0, "write -P 0xaa 0 64k").unwrap());
    succeeded(&web.io(one, 0, "read -P 0xaa 0 64k").unwrap());
    let first = web.io(one, 1, "read -v 0 16").unwrap();
    assert!(first.contains("common..00000001"), "{first}");
    let written = web.io(one, 1, "write -P 0xaa 0 64k").unwrap();
    assert!(written.contains("read-only"), "{written}");

    // The kernel says no to the node's root, whatever QEMU does.
    let device = web.device("common");
    let read_only = one.run_ok(&format!("blockdev --getro {device}")).unwrap();
    assert_eq!(read_only, "1\n");
    let try_write = format!(
        "blockdev --setrw {device}; dd if=/dev/zero of={device} bs=4k count=1 oflag=direct"
    );
    let answer = one.run(&try_write).unwrap();
    assert!(
        !answer.ok() && answer.stderr.contains("Operation not permitted"),
        "{answer:?}"
    );

    // Others are told which node and instance have it, on both nodes.
    let holder = format!(
        "vg0/root is attached exclusively on node node1 for instance {}",
        web.uuid
    );
    let other = Guest::new("other", 2).disk("root", Wish::Plain);
    refused(&web, two, &["guest web was not started", &holder]);
    refused(&other, two, &["guest other was not started", &holder]);
    refused(&other, one, &["guest other was not started", &holder]);
    assert_eq!(volward.left_over(2).unwrap(), "");
    // Refusing took nothing from who has it.
    succeeded(&web.io(one, 0, "read -P 0xaa 0 64k").unwrap());
    assert_eq!(volward.leases(1).unwrap(), held);

    // The shareable volume is there for readers elsewhere.
    let reader = Guest::new("reader", 3).disk("common", Wish::SharedReadOnly);
    reader.start(two).unwrap();
    assert_eq!(volward.leases(2).unwrap(), ["common shared"]);
    let all = volward.json(2, "ls --all").unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(3), "{all}");

    // At stop all goes, and the next guest finds what the last one wrote.
    web.stop(one).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    other.start(two).unwrap();
    succeeded(&other.io(two, 0, "read -P 0xaa 0 64k").unwrap());
    let beside = other.io(two, 0, "read -v 1M 16").unwrap();
    assert!(beside.contains("root....00000002"), "{beside}");
    other.stop(two).unwrap();
    reader.stop(two).unwrap();
    assert_eq!(volward.left_over(2).unwrap(), "");
}

/// `virsh managedsave`: what the guest had of its disk is in the saved memory, whoever writes to the disk then.
#[test]
fn a_saved_guest_is_restored_on_what_it_had_and_on_nothing_else() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    web.start(one).unwrap();
    let save = || one.run_ok_within(VIRSH, "virsh managedsave web").unwrap();
    let start = || one.run_within(VIRSH, "virsh start web").unwrap();
    save();
    assert_eq!(volward.left_over(1).unwrap(), "");
    // Nobody has had it: also after a snapshot, and a restart of the daemon.
    volward.cli_ok(1, "volume snap vg0/root moment").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    volward.crash(1).unwrap();
    volward.start(1, &[]).unwrap();
    let back = start();
    assert!(back.ok(), "{back:?}");
    assert!(back.stdout.contains("started"), "{back:?}");
    succeeded(&web.io(one, 0, "write -P 0xbb 0 64k").unwrap());

    // Another node has had it.
    save();
    let other = Guest::new("other", 2).disk("root", Wish::Plain);
    other.start(two).unwrap();
    succeeded(&other.io(two, 0, "write -P 0xcc 0 64k").unwrap());
    other.stop(two).unwrap();
    let refused = start();
    println!("{}", refused.stderr);
    assert!(!refused.ok(), "{refused:?}");
    for words in ["another node has had its lease", "managedsave-remove"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(volward.left_over(1).unwrap(), "");
    // The saved memory is there still; dropped, the guest starts anew.
    one.run_ok_within(VIRSH, "virsh managedsave-remove web")
        .unwrap();
    let anew = start();
    assert!(anew.ok(), "{anew:?}");
    succeeded(&web.io(one, 0, "read -P 0xcc 0 64k").unwrap());
    web.stop(one).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// Long: the fakes show it too.
#[cfg(feature = "long")]
#[test]
fn i18_volumes_marked_shareable_are_shared_read_write_and_no_others() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    volward.volume("data", 32).unwrap();
    // Whatever a node's LVM configuration makes of reports: the mark is one of two tags.
    one.run_ok("lvchange --addtag golden vg0/data").unwrap();
    for node in [one, two] {
        node.run_ok(
            "printf 'report {\n list_item_separator=\";\"\n binary_values_as_numeric=1\n \
             compact_output=1\n}\n' >> /etc/lvm/lvmlocal.conf",
        )
        .unwrap();
    }
    let left = Guest::new("left", 1).disk("data", Wish::Shareable);
    let right = Guest::new("right", 2).disk("data", Wish::Shareable);

    // The guest's wish alone does not make it so.
    refused(
        &left,
        one,
        &[
            "guest left was not started",
            "`volward volume set vg0/data --shareable yes`",
        ],
    );
    assert_eq!(volward.left_over(1).unwrap(), "");

    volward
        .cli_ok(2, "volume set vg0/data --shareable yes")
        .unwrap();
    left.start(one).unwrap();
    right.start(two).unwrap();
    succeeded(&left.io(one, 0, "write -P 0x11 0 64k").unwrap());
    succeeded(&right.io(two, 0, "read -P 0x11 0 64k").unwrap());
    succeeded(&right.io(two, 0, "write -P 0x22 64k 64k").unwrap());
    succeeded(&left.io(one, 0, "read -P 0x22 64k 64k").unwrap());
    for node in [1, 2] {
        assert_eq!(volward.leases(node).unwrap(), ["data shared"]);
    }
    // The mark stays while somebody relies on it; who wants it for himself has to wait.
    let taken = volward
        .problem(1, "volume set vg0/data --shareable no")
        .unwrap();
    println!("{taken}");
    let alone = Guest::new("alone", 3).disk("data", Wish::Plain);
    refused(&alone, two, &["guest alone was not started", "vg0/data"]);

    left.stop(one).unwrap();
    right.stop(two).unwrap();
    volward
        .cli_ok(1, "volume set vg0/data --shareable no")
        .unwrap();
    refused(&right, two, &["guest right was not started", "shareable"]);
    alone.start(two).unwrap();
    alone.stop(two).unwrap();
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "");
    }
}

/// A disk given as `/dev/<pool>/<volume>`, as it was before Volward came: lease and activation, and
/// what needs a device of its own is refused.
#[test]
fn a_disk_given_as_the_lv_itself_is_leased_and_nothing_more() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    volward.volume("old", 32).unwrap();
    let web = Guest::new("web", 1).disk_at("/dev/vg0/old", Wish::Plain);
    web.start(one).unwrap();
    succeeded(&web.io(one, 0, "write -P 0xaa 0 64k").unwrap());
    let seen = Sight::of(one).unwrap();
    assert_eq!(seen.leases, ["old exclusive".to_owned()].into());
    assert!(seen.devices.is_empty() && seen.paths.is_empty(), "{seen:?}");

    let other = Guest::new("other", 2).disk("old", Wish::Plain);
    let held = ["attached exclusively on node node1", &web.uuid];
    refused(&other, two, &held);
    let beside = ["guest other was not started", &web.uuid];
    refused(&other, one, &beside);
    web.stop(one).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");

    let reader = Guest::new("reader", 3).disk_at("/dev/vg0/old", Wish::ReadOnly);
    let words = ["read-only needs a device of its own", "/dev/volward/"];
    refused(&reader, two, &words);
    other.start(two).unwrap();
    succeeded(&other.io(two, 0, "read -P 0xaa 0 64k").unwrap());
    other.stop(two).unwrap();
    assert_eq!(volward.left_over(2).unwrap(), "");
}
