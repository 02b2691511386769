//! Nodes that are not what they were: a host-id that is another node's, a node that was installed anew under its old name and
//! number, a LUN that is an earlier snapshot of itself. Each is recognised, said, and has a way out.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::volward::{Setup, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

/// Instances that no guest is.
const FIRST: &str = "0ddba111-0000-4000-8000-000000000000";
const SECOND: &str = "0ddba112-0000-4000-8000-000000000000";
/// sanlock of the lab counts a node as dead after 68 s.
const DEAD: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(90);

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// What doctor says of the pool, with what it says to do.
fn doctor(volward: &Volward<'_>, node: u8) -> (String, String) {
    let text = volward.cli(node, "doctor").unwrap();
    println!("node {node}:\n{}", text.stdout);
    let reply = volward.cli(node, "--json doctor").unwrap();
    let reply: serde_json::Value = serde_json::from_str(&reply.stdout).unwrap();
    let checks = reply["checks"].as_array().unwrap();
    let pool = checks.iter().find(|check| check["name"] == "pool vg0");
    let word = |key| pool.map_or("", |p| p[key].as_str().unwrap_or_default());
    (word("found").to_owned(), word("remedy").to_owned())
}

#[track_caller]
fn refused(volward: &Volward<'_>, node: u8, words: &str, code: &str) -> String {
    let problem = volward.problem(node, words).unwrap();
    println!("node {node}, volward {words}:\n{problem:#}");
    assert_eq!(problem["code"], code, "{problem}");
    problem["message"].as_str().unwrap().to_owned()
}

fn host_id(node: &Node, number: u8) {
    let script = format!(
        "sed -i 's/^\\([[:space:]]*\\)host_id = .*/\\1host_id = {number}/' /etc/lvm/lvmlocal.conf
         [ \"$(lvmconfig local/host_id)\" = host_id={number} ]"
    );
    node.run_ok(&script).unwrap();
}

/// The lab's lvmlockd is told its number; elsewhere lvmlocal.conf alone says it.
const LVMLOCKD: &str = "kill $(pidof lvmlockd)
    for _ in $(seq 100); do pidof lvmlockd > /dev/null || break; sleep 0.1; done
    lvmlockd --sanlock-timeout 1 --adopt 1";

/// Out of the lockspace, as `volward-registry` and `lvmlocks` do it at a shutdown.
const LEAVE: &str = "lvchange -an vg0/volward-registry && vgchange --lock-stop vg0";

#[test]
fn a_host_id_that_another_node_has_is_said_and_given_up_for_one_of_its_own() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let two = cluster.node(2);
    volward.volume("web", 32).unwrap();
    volward.stop(2).unwrap();
    two.run_ok_within(PATIENCE, LEAVE).unwrap();
    two.run_ok(LVMLOCKD).unwrap();
    host_id(two, 1);
    let said = two.run_within(DEAD, "vgchange --lock-start vg0").unwrap();
    println!("{said:?}");
    volward.start(2, &[]).unwrap();

    let said = || Ok(doctor(&volward, 2).0.contains("is in the lockspace"));
    volward
        .wait(2, "sight of the other node", PATIENCE, said)
        .unwrap();
    let (found, remedy) = doctor(&volward, 2);
    assert!(
        found.contains("host-id 1") && found.contains("node node1"),
        "{found}"
    );
    assert!(remedy.contains("/etc/lvm/lvmlocal.conf"), "{remedy}");
    println!(
        "{}",
        two.run_ok("sanlock direct dump /dev/mapper/vg0-lvmlock")
            .unwrap()
    );
    let message = refused(
        &volward,
        2,
        &format!("attach {FIRST} vg0/web"),
        "leases-uncertain",
    );
    assert!(
        message.contains("host-id 1") && message.contains("node1"),
        "{message}"
    );
    let message = refused(&volward, 2, "pool init vg0", "not-joined");
    assert!(
        message.contains("host-id 1") && message.contains("node1"),
        "{message}"
    );
    // The node whose it is is not disturbed.
    volward
        .cli_ok(1, &format!("attach {FIRST} vg0/web"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {FIRST}")).unwrap();

    // As it says.
    host_id(two, 2);
    two.run_ok_within(DEAD, "vgchange --lock-start vg0")
        .unwrap();
    let served = || Ok(volward.cli(2, &format!("attach {FIRST} vg0/web"))?.ok());
    volward.wait(2, "pool", PATIENCE, served).unwrap();
    let (found, _) = doctor(&volward, 2);
    assert!(found.contains("joined as host-id 2"), "{found}");
    volward.cli_ok(2, &format!("detach {FIRST}")).unwrap();
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "", "node {node}");
    }
}

/// Its root file system is new with each boot in the lab; its disk is given it here.
#[test]
fn a_node_that_was_installed_anew_has_nothing_of_its_earlier_life_and_its_lost_copy_is_given_up() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    for volume in ["plain", "copied"] {
        volward.volume(volume, 32).unwrap();
    }
    volward
        .cli_ok(1, &format!("attach {FIRST} vg0/plain"))
        .unwrap();
    volward
        .add_policy(1, "hydrate-local", "reserve = \"64MiB\"")
        .unwrap();
    volward
        .cli_ok(1, &format!("attach {SECOND} vg0/copied"))
        .unwrap();
    let device = format!("/dev/volward/{SECOND}/vg0/copied");
    one.run_ok(&format!(
        "echo lost | dd of={device} bs=4k conv=sync,fsync oflag=direct"
    ))
    .unwrap();
    one.kill().unwrap();
    cluster.new_local_disk(1).unwrap();
    cluster.rejoin(1, &ClusterSpec::default()).unwrap();
    // Until its daemon has said what it has, its guests may run as far as anybody knows.
    let message = refused(&volward, 2, &format!("attach {FIRST} vg0/plain"), "in-use");
    assert!(message.contains("node1"), "{message}");
    volward.install_node(1, &Setup::default()).unwrap();
    for pool in ["vg0", "local"] {
        volward.cli_ok(1, &format!("pool init {pool}")).unwrap();
    }
    assert_eq!(volward.left_over(1).unwrap(), "");
    volward
        .cli_ok(2, &format!("attach {FIRST} vg0/plain"))
        .unwrap();
    volward.cli_ok(2, &format!("detach {FIRST}")).unwrap();

    let message = refused(
        &volward,
        2,
        &format!("attach {SECOND} vg0/copied"),
        "home-elsewhere",
    );
    println!("{message}");
    refused(
        &volward,
        1,
        &format!("attach {SECOND} vg0/copied"),
        "contradiction",
    );
    drop(doctor(&volward, 1));
    let heard = volward.cli_ok(1, "recover vg0/copied").unwrap();
    println!("{heard}");
    let printed = heard.split('`').find(|text| text.contains("--set-home"));
    let printed = printed.unwrap().trim_start_matches("volward ");
    let command = printed.trim_end_matches(" --because REASON");
    assert_ne!(command, printed, "{heard}");
    let message = refused(&volward, 1, command, "no-reason");
    println!("{message}");
    let said = volward
        .cli_ok(
            1,
            &format!("{command} --because 'installed anew, its disk was replaced'"),
        )
        .unwrap();
    println!("{said}");
    let heard = volward.cli_ok(1, "recover vg0/copied").unwrap();
    println!("{heard}");
    assert!(heard.contains("its disk was replaced"), "{heard}");

    // Either node may have it again, as it was before the copy.
    for node in [2, 1] {
        volward
            .cli_ok(node, &format!("attach {SECOND} vg0/copied"))
            .unwrap();
        let script = format!(
            "head -c 32M {device} | cksum; {} | cksum",
            volward_system::volward::content("copied", 32)
        );
        let sums = cluster.node(node).run(&script).unwrap().stdout;
        let mut sums = sums.lines();
        assert_eq!(sums.next(), sums.next(), "node {node}");
        volward.cli_ok(node, &format!("detach {SECOND}")).unwrap();
        assert_eq!(volward.left_over(node).unwrap(), "", "node {node}");
    }
}

/// A node of the lab boots with a fresh root; a real one keeps these folders.
const KEPT: &str = "etc/volward etc/lvm/devices var/lib/volward";

fn cut_power(cluster: &Cluster) {
    cluster
        .on_all(|node| {
            node.run_ok(&format!("tar -C / -cf /dev/local/keep {KEPT} && sync"))?;
            node.kill()
        })
        .unwrap();
}

fn boot(cluster: &Cluster, volward: &Volward<'_>) {
    cluster
        .on_all(|node| {
            cluster.rejoin(node.number(), &ClusterSpec::default())?;
            node.run_ok("lvchange -ay local/keep && tar -C / -xf /dev/local/keep")?;
            volward.install_node(node.number(), &Setup::default())
        })
        .unwrap();
}

#[test]
fn a_lun_that_was_replaced_by_an_earlier_snapshot_of_itself_is_refused_until_somebody_accepts_it() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    cluster
        .on_all(|node| node.run_ok("lvcreate -qq -n keep -L 64M local").map(drop))
        .unwrap();
    volward.volume("web", 32).unwrap();
    let attach = format!("attach {FIRST} vg0/web");
    let detach = format!("detach {FIRST}");
    volward.cli_ok(1, &attach).unwrap();
    volward.cli_ok(1, &detach).unwrap();
    cluster.snapshot_lun().unwrap();
    for _ in 0..3 {
        for node in [1, 2] {
            volward.cli_ok(node, &attach).unwrap();
            volward.cli_ok(node, &detach).unwrap();
        }
    }
    // What was written last is on record a minute later at the latest.
    std::thread::sleep(Duration::from_secs(65));
    cut_power(&cluster);

    // A boot that finds what it left has nothing to say.
    boot(&cluster, &volward);
    for node in [1, 2] {
        let (found, _) = doctor(&volward, node);
        assert!(found.contains("joined as host-id"), "node {node}: {found}");
    }
    volward.cli_ok(1, &attach).unwrap();
    volward.cli_ok(1, &detach).unwrap();
    cut_power(&cluster);

    cluster.put_snapshot_back().unwrap();
    boot(&cluster, &volward);
    for node in [1, 2] {
        let (found, remedy) = doctor(&volward, node);
        assert!(found.contains("older on its disks"), "node {node}: {found}");
        assert!(remedy.contains("--accept-older"), "{remedy}");
        let message = refused(&volward, node, &attach, "pool-older");
        assert!(
            message.contains("pool init vg0 --accept-older"),
            "{message}"
        );
    }
    refused(&volward, 1, "pool init vg0", "pool-older");
    refused(&volward, 1, "volume create vg0/new 8M", "pool-older");
    println!("{}", volward.cli(1, "pool ls").unwrap().stdout);
    // Also of a daemon that was started again, for nothing was written there.
    volward.stop(1).unwrap();
    volward.start(1, &[]).unwrap();
    refused(&volward, 1, &attach, "pool-older");
    cut_power(&cluster);

    // The right LUN is back: nobody has to say anything.
    cluster.put_right_lun_back().unwrap();
    boot(&cluster, &volward);
    for node in [1, 2] {
        volward.cli_ok(node, &attach).unwrap();
        volward.cli_ok(node, &detach).unwrap();
    }
    cut_power(&cluster);

    // It is gone for good, and the snapshot is what there is.
    cluster.put_snapshot_back().unwrap();
    boot(&cluster, &volward);
    refused(&volward, 1, &attach, "pool-older");
    let said = volward.cli_ok(1, "pool init vg0 --accept-older").unwrap();
    println!("{said}");
    volward.cli_ok(1, &attach).unwrap();
    volward.cli_ok(1, &detach).unwrap();
    // Each node has its own memory.
    refused(&volward, 2, &attach, "pool-older");
    volward.cli_ok(2, "pool init vg0 --accept-older").unwrap();
    volward.stop(1).unwrap();
    volward.start(1, &[]).unwrap();
    for node in [2, 1] {
        volward.cli_ok(node, &attach).unwrap();
        volward.cli_ok(node, &detach).unwrap();
        let (found, _) = doctor(&volward, node);
        assert!(found.contains("joined as host-id"), "node {node}: {found}");
        assert_eq!(volward.left_over(node).unwrap(), "", "node {node}");
    }
    let log = volward.log(1).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains("older") || line.contains("as they are"));
    lines.for_each(|line| println!("{line}"));
}
