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

use volward_api::model::{Access, Purpose, VolumeStatus};
use volward_api::{
    AttachRequest, AttachmentStage, AttachmentView, Client, DetachRequest, DiskPath, DiskRequest,
    VolumeStatusView,
};

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

fn detach(instance: u8) -> DetachRequest {
    DetachRequest {
        instance: attach(instance).instance,
        volumes: Vec::new(),
        not_after: None,
        only_unused: false,
        dry_run: false,
    }
}

/// How the volume stands, as `pool ls` and as `volume show` have it: both say the same.
fn status(client: &Client) -> VolumeStatusView {
    let pool = client.pools().unwrap().remove(0);
    let listed = pool.volumes.into_iter().find(|v| v.name == "a").unwrap();
    let shown = client
        .volume(&"san".parse().unwrap(), &"a".parse().unwrap())
        .unwrap();
    assert_eq!(shown.volume.status, listed.status);
    listed.status.unwrap()
}

/// The word, and the counts in words.
fn stands(client: &Client) -> (Option<VolumeStatus>, String) {
    let status = status(client);
    let counts = format!(
        "{} attached, {} attaching, {} detaching, {} fault",
        status.attached, status.attaching, status.detaching, status.fault
    );
    (status.word.known(), counts)
}

fn stage(of: &[AttachmentView]) -> Vec<(Option<AttachmentStage>, bool)> {
    let each = of.iter();
    each.map(|a| (a.state.known(), a.device.is_some()))
        .collect()
}

/// Looks until what is asked for is under way.
fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// From the request to its end, and back: `ls`, `ls --all`, `pool ls` and `volume show` of both nodes say the same of it.
fn one_after_the_other(n1: &Client, n2: &Client, mut say: impl FnMut(&str) -> String) {
    let mine = || n1.attachments(false).unwrap();
    let theirs = || n2.cluster().unwrap().attachments;
    let word = |word, counts: &str| (Some(word), counts.to_owned());
    let none = word(
        VolumeStatus::Available,
        "0 attached, 0 attaching, 0 detaching, 0 fault",
    );
    assert_eq!([n1, n2].map(stands), [none.clone(), none.clone()]);

    assert_eq!(say("hold n1 activate"), "ok");
    let asked = n1.clone();
    let attaches = std::thread::spawn(move || asked.attach(&attach(1)).unwrap());
    until(|| theirs().len() == 1);
    assert_eq!(stage(&mine()), [(Some(AttachmentStage::Attaching), false)]);
    assert_eq!(mine()[0].instance_name.as_deref(), Some("guest"));
    assert_eq!(
        stage(&theirs()),
        [(Some(AttachmentStage::Attaching), false)]
    );
    let attaching = word(
        VolumeStatus::Attaching,
        "0 attached, 1 attaching, 0 detaching, 0 fault",
    );
    assert_eq!([n1, n2].map(stands), [attaching.clone(), attaching]);
    assert_eq!(say("go n1 activate"), "ok");
    attaches.join().unwrap();
    assert_eq!(stage(&mine()), [(Some(AttachmentStage::Attached), true)]);
    assert_eq!(stage(&theirs()), [(Some(AttachmentStage::Attached), false)]);
    // Who has asked is in the slot.
    assert_eq!(theirs()[0].claims, mine()[0].claims);
    assert_eq!(theirs()[0].claims.len(), 1);
    let in_use = word(
        VolumeStatus::InUse,
        "1 attached, 0 attaching, 0 detaching, 0 fault",
    );
    assert_eq!([n1, n2].map(stands), [in_use.clone(), in_use.clone()]);

    assert_eq!(say("hold n1 deactivate"), "ok");
    let asked = n1.clone();
    let detaches = std::thread::spawn(move || asked.detach(&detach(1)).unwrap());
    until(|| mine()[0].state == AttachmentStage::Detaching);
    let detaching = word(
        VolumeStatus::Detaching,
        "0 attached, 0 attaching, 1 detaching, 0 fault",
    );
    assert_eq!([n1, n2].map(stands), [detaching, in_use]);
    assert_eq!(say("go n1 deactivate"), "ok");
    detaches.join().unwrap();
    assert_eq!([n1, n2].map(stands), [none.clone(), none]);
    assert_eq!(mine(), []);
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
    one_after_the_other(&n1, &n2, &mut say);

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
