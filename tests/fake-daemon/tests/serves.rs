//! Two daemons of one cluster, over their sockets: what one has the other one is refused.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start programs, and end at the first surprise"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use volward_api::model::{Access, Purpose};
use volward_api::{AttachRequest, Client, DiskPath, DiskRequest};

fn configuration(folder: &Path, node: &str) -> Client {
    let below = folder.join(node);
    std::fs::create_dir_all(below.join("policies.d")).unwrap();
    let at = below.display();
    let text = format!(
        "[node]\nname = \"{node}\"\n[[pool]]\nname = \"san\"\n[policy]\nbaseline = \"off\"\n\
         [paths]\nsocket = \"{at}/sock\"\nstate = \"{at}/state\"\npolicies = \"{at}/policies.d\"\n\
         devices = \"{at}/dev\"\nmarks = \"{at}/marks\"\nworkbench = \"/nonexistent\"\n"
    );
    std::fs::write(folder.join(format!("{node}.toml")), text).unwrap();
    Client::new(below.join("sock"), Duration::from_secs(60))
}

fn wait_for(client: &Client) {
    let begun = Instant::now();
    while let Err(error) = client.status() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn attach(instance: u8) -> AttachRequest {
    AttachRequest {
        instance: format!("11111111-2222-3333-4444-5555555555{instance:02}")
            .parse()
            .unwrap(),
        instance_name: "guest".to_owned(),
        purpose: Purpose::HotPlug,
        hints: Vec::new(),
        disks: vec![DiskRequest {
            pool: "san".parse().unwrap(),
            volume: "a".parse().unwrap(),
            path: DiskPath::Own,
            access: Access::ReadWrite,
            sharing: None,
            accept_narrowing: false,
        }],
        dry_run: false,
        only_while_waiting: false,
    }
}

#[test]
fn two_nodes_of_one_pool_answer_on_their_sockets_until_the_input_ends() {
    let folder = tempfile::tempdir().unwrap();
    let [n1, n2] = ["n1", "n2"].map(|node| configuration(folder.path(), node));
    let mut fake = Command::new(env!("CARGO_BIN_EXE_volwardd-fake"))
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = fake.stdin.take().unwrap();
    let mut answers = BufReader::new(fake.stdout.take().unwrap()).lines();
    let mut say = |line: &str| {
        writeln!(input, "{line}").unwrap();
        answers.next().unwrap().unwrap()
    };
    assert_eq!(say("volume a"), "ok");
    assert!(say("volume a").starts_with("error: "));
    assert!(say("fail n3 activate").starts_with("error: "));
    [&n1, &n2].into_iter().for_each(wait_for);

    let device = &n1.attach(&attach(1)).unwrap().attached[0].device;
    assert!(device.ends_with("/san/a"), "{device}");
    let refused = n2.attach(&attach(2)).unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "held-elsewhere");

    // The other node sees the lease, and what it is for.
    let pool = n2.pool(&"san".parse().unwrap()).unwrap();
    assert_eq!(pool.unreadable, [""; 0]);
    let mut of_a = pool.leases.iter().filter(|lease| lease.volume == "a");
    let lease = of_a.next().unwrap();
    assert!(of_a.next().is_none());
    assert_eq!((lease.node.as_deref(), lease.own), (Some("n1"), false));
    assert_eq!(lease.instances.len(), 1);
    assert_eq!(pool.disks[0].carries[0].name, "a");
    let unknown = n2.pool(&"vg9".parse().unwrap()).unwrap_err();
    assert_eq!(unknown.problem().unwrap().code, "not-found");

    drop(input);
    assert!(fake.wait().unwrap().success());
    assert!(n1.status().is_err());
}
