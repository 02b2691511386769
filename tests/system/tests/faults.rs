//! What operators met: state that was lost under guests, a local pool that died, clients that keep
//! the door, readers that come and go, the wrong instance detached. Long: six minutes, and each fault has a test over
//! the fakes too.
#![cfg(feature = "long")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use serde_json::Value;
use volward_system::guest::{Guest, Wish};
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

/// Somebody who would like to have what a guest has.
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
/// Where a daemon keeps what it has to remember.
const STATE: &str = "/var/lib/volward/state.db*";
/// Takes nearly all connections that volwardd had before they were bounded, as nobody, and says
/// nothing on them.
const IDLE_CLIENTS: &str = "\
import os, socket, time
ready = open('/run/lab/idle-clients', 'w')
os.setuid(65534)
kept = []
for _ in range(1010):
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        client.connect('/run/volward/volwardd.sock')
    except BlockingIOError:
        pass
    kept.append(client)
ready.write('ready')
ready.close()
time.sleep(300)
";

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// The problem with which another instance is refused the volume on this node.
fn refused(volward: &Volward<'_>, node: u8, volume: &str) -> Value {
    let problem = volward
        .problem(node, &format!("attach {OTHER} vg0/{volume}"))
        .unwrap();
    println!("node {node}: {problem}");
    problem
}

/// What `volward --json ls` of a node says of its only attachment: instance and state.
fn only_attachment(volward: &Volward<'_>, node: u8) -> (String, String) {
    let all = volward.json(node, "ls").unwrap();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    let word = |name: &str| all[0][name].as_str().unwrap().to_owned();
    (word("instance"), word("state"))
}

/// The verdict of one of doctor's checks: its word, and what was found.
fn doctor(volward: &Volward<'_>, node: u8, check: &str) -> (String, String) {
    let output = volward.cli(node, "--json doctor").unwrap();
    let reply: Value = serde_json::from_str(&output.stdout).unwrap();
    let checks = reply["checks"].as_array().unwrap();
    let check = checks.iter().find(|c| c["name"] == check).unwrap();
    let word = |name: &str| check[name].as_str().unwrap().to_owned();
    (word("verdict"), word("found"))
}

fn reads_own_disk(guest: &Guest, node: &Node, first: &str) {
    let said = guest.io(node, 0, "read -v 0 16").unwrap();
    assert!(said.contains(first), "{said}");
}

/// The state is lost, or an older copy of it is put back, while a guest runs. What the kernel has
/// open counts: nobody else gets the volume, here or elsewhere, and the guest keeps it.
#[test]
fn a_guest_whose_record_was_lost_keeps_its_volume() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);
    // As an operator makes it: the daemon does not write meanwhile.
    volward.stop(1).unwrap();
    node.run_ok(&format!("mkdir /root/backup && cp -a {STATE} /root/backup"))
        .unwrap();
    volward.start(1, &[]).unwrap();

    for lost in [true, false] {
        web.start(node).unwrap();
        volward.stop(1).unwrap();
        let put_back = if lost {
            "true"
        } else {
            "cp -a /root/backup/* /var/lib/volward/"
        };
        node.run_ok(&format!("rm {STATE} && {put_back}")).unwrap();
        volward.start(1, &[]).unwrap();

        let quarantined = (web.uuid.clone(), "quarantined".to_owned());
        assert_eq!(only_attachment(&volward, 1), quarantined);
        let (verdict, found) = doctor(&volward, 1, "attachments");
        assert_eq!(verdict, "failed", "{found}");
        assert!(found.contains("the state was lost"), "{found}");
        for node in [1, 2] {
            let problem = refused(&volward, node, "root");
            assert_eq!(problem["code"], "in-use", "{problem}");
            let message = problem["message"].as_str().unwrap();
            assert!(message.contains(&web.uuid), "{message}");
        }
        reads_own_disk(&web, node, "root....00000001");
        assert_eq!(volward.leases(1).unwrap(), ["root exclusive"]);

        // The guest's end is heard, and everything goes.
        web.stop(node).unwrap();
        assert_eq!(volward.left_over(1).unwrap(), "");
        volward
            .cli_ok(2, &format!("attach {OTHER} vg0/root"))
            .unwrap();
        volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
    }
}

/// A guest without a local copy does not need the local pool, and neither does its detach.
#[test]
fn one_sick_thing_stays_one_sick_thing() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    volward.volume("root", 32).unwrap();
    volward.volume("common", 16).unwrap();
    volward
        .cli_ok(1, "volume set vg0/common --shareable yes")
        .unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);

    the_wrong_instance_is_detached(&volward, one, &web);
    others_keep_the_door(&volward, one);
    a_client_closes_its_writing_side(one);
    readers_come_and_go(&volward, two);

    // The local disk goes, as one does that dies.
    let disk = one
        .run_ok("readlink /sys/block/vdd/device | xargs basename")
        .unwrap();
    let driver = "/sys/bus/virtio/drivers/virtio_blk";
    one.run_ok(&format!("echo {} > {driver}/unbind", disk.trim()))
        .unwrap();
    web.start(one).unwrap();
    let (verdict, found) = doctor(&volward, 1, "local pool local");
    assert_ne!(verdict, "ok", "{found}");
    reads_own_disk(&web, one, "root....00000001");
    web.stop(one).unwrap();
    one.run_ok(&format!("echo {} > {driver}/bind", disk.trim()))
        .unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// The instance of a running guest is detached by mistake: it keeps path, device and lease.
fn the_wrong_instance_is_detached(volward: &Volward<'_>, node: &Node, web: &Guest) {
    web.start(node).unwrap();
    let problem = volward.problem(1, &format!("detach {}", web.uuid)).unwrap();
    println!("{problem}");
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("in use"), "{message}");
    // By its path, as libvirt and block jobs open it.
    node.run_ok(&format!(
        "dd if={} of=/dev/null bs=4k count=1 status=none",
        web.device("root")
    ))
    .unwrap();
    reads_own_disk(web, node, "root....00000001");
    assert_eq!(volward.leases(1).unwrap(), ["root exclusive"]);
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// A thousand connections of somebody without rights, on which nothing is said.
fn others_keep_the_door(volward: &Volward<'_>, node: &Node) {
    node.put_file("/run/lab/idle.py", 0o644, IDLE_CLIENTS)
        .unwrap();
    node.run_ok("ulimit -n 4096; setsid python3 /run/lab/idle.py > /dev/null 2>&1 & echo $! > /run/lab/idle.pid")
        .unwrap();
    volward
        .wait(1, "idle clients", Duration::from_secs(30), || {
            Ok(node.run("test -s /run/lab/idle-clients")?.ok())
        })
        .unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg0/root"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
    node.run_ok("kill $(cat /run/lab/idle.pid)").unwrap();
}

/// As `socat` and some HTTP libraries do once the request is sent. The attach is carried out, and
/// its answer arrives.
fn a_client_closes_its_writing_side(node: &Node) {
    let ask = |path: &str, body: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n\
             Content-Length: {}\\r\\nConnection: close\\r\\n\\r\\n",
            body.len()
        );
        let script = format!(
            "printf '{head}%s' '{body}' | socat -t 60 - UNIX-CONNECT:/run/volward/volwardd.sock"
        );
        let answer = node.run_ok(&script).unwrap();
        println!("{answer}");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    let disk = r#"{"pool":"vg0","volume":"root","path":"own","access":"read-write","accept_narrowing":false}"#;
    let attach =
        format!(r#"{{"instance":"{OTHER}","instance_name":"","purpose":"boot","disks":[{disk}]}}"#);
    ask("/v1/attach", &attach);
    ask(
        "/v1/detach",
        &format!(r#"{{"instance":"{OTHER}","volumes":[]}}"#),
    );
}

/// While node 1's instances attach and detach a volume for reading, a guest on node 2 gets it.
fn readers_come_and_go(volward: &Volward<'_>, two: &Node) {
    let coming = "
        i=0
        while ! test -e /run/lab/enough; do
            i=$((i + 1)); who=c0ffee77-0000-4000-8000-00000000000$((i % 5))
            volward attach $who vg0/common:ro,shared && volward detach $who || exit
        done
        echo $i > /run/lab/rounds";
    let one = volward.node(1);
    one.put_file("/run/lab/readers", 0o755, coming).unwrap();
    one.run_ok("setsid sh /run/lab/readers > /run/lab/readers.out 2>&1 &")
        .unwrap();
    let reader = Guest::new("reader", 3).disk("common", Wish::SharedReadOnly);
    for _ in 0..3 {
        let begun = Instant::now();
        reader.start(two).unwrap();
        println!("a reader's start: {:?}", begun.elapsed());
        reader.stop(two).unwrap();
    }
    one.run_ok("touch /run/lab/enough").unwrap();
    volward
        .wait(1, "end of the readers", Duration::from_secs(60), || {
            Ok(one.run("test -e /run/lab/rounds")?.ok())
        })
        .unwrap();
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "");
    }
}
