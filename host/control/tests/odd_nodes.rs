//! Nodes that are not what they were: a host-id that is another node's, a node that was installed anew under its old name and
//! number.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;

use volward_control::{ControlError, SaidBy};
use volward_model::{Bytes, CopyMode, Home, HomeState, RequestId, Slot, SlotReading, VolumeRef};
use volward_plan::RefusalCode;
use volward_simulation::check::{holds, settled};
use volward_simulation::story::{follow, home, refusal};
use volward_simulation::{Daemon, FakeJournal, Lab, Say, ask, detach_ask, disk, instance};

const REQUEST: RequestId = RequestId(uuid::Uuid::nil());

fn attach(daemon: &Daemon, n: u8, volume: &VolumeRef) -> Result<(), ControlError> {
    let asked = daemon.node.attach(&ask(instance(n), &[disk(volume)]));
    asked.map(|_| ())
}

// A host-id twice.

#[test]
fn a_node_whose_host_id_is_anothers_says_whose_when_it_is_asked_for_something() {
    let lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    lab.cluster.node("n2").set_place_taken(Some("n1"));
    let n2 = lab.start("n2");
    let says = |message: &str| message.contains("host-id 2") && message.contains("node n1");
    let error = attach(&n2, 1, &volume).unwrap_err().to_string();
    assert!(says(&error) && error.contains("lvmlocal.conf"), "{error}");
    let error = n2.node.init_pool(REQUEST, &lab.pool).unwrap_err();
    assert!(says(&error.to_string()), "{error}");
    let error = n2.node.pool_snapshot(&lab.pool).unwrap_err();
    assert!(says(&error.to_string()), "{error}");
    follow(&n2);
    let (code, message) = refusal(attach(&n2, 1, &volume));
    assert_eq!(code, RefusalCode::LeasesUncertain);
    assert!(says(&message), "{message}");
    // It was given a number of its own.
    n2.kernel.set_place_taken(None);
    follow(&n2);
    n2.kernel.boot();
    n2.kill();
    let n2 = lab.start("n2");
    attach(&n2, 1, &volume).unwrap();
}

/// Two nodes that take turns at one host-id: sanlock lets the second one join when the first has left.
#[test]
fn a_place_that_another_node_wrote_in_this_generation_refuses_and_names_it() {
    let lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    let of = |node: &str, generation| {
        let slot = Slot {
            node: node.parse().unwrap(),
            boot_id: "b".to_owned(),
            host_id: 1,
            generation,
            written_ms: 0,
            attachments: Vec::new(),
            copies: Vec::new(),
            asked: Default::default(),
            messages: Default::default(),
            unknown: 0,
        };
        let slot = Arc::new(slot);
        let reading = SlotReading::Good { slot, torn: false };
        lab.cluster.show_place_as(&lab.pool, "n1", Some(reading));
    };
    of("n9", 1);
    let snapshot = n1.node.pool_snapshot(&lab.pool).unwrap();
    let found = snapshot.impostors(&n1.node.settings().node);
    assert_eq!(found.len(), 1, "{found:?}");
    let (code, message) = refusal(attach(&n1, 1, &volume));
    assert_eq!(code, RefusalCode::SlotUnreadable);
    for words in ["host-id 1", "node n9", "lvmlocal.conf"] {
        assert!(message.contains(words), "{message}");
    }
    // What is of an earlier life of that number, or this node's own, is no sign of another one.
    for (node, generation) in [("n9", 0), ("n1", 1)] {
        of(node, generation);
        let snapshot = n1.node.pool_snapshot(&lab.pool).unwrap();
        let found = snapshot.impostors(&n1.node.settings().node);
        assert_eq!(found, [""; 0], "{node} {generation}");
    }
    attach(&n1, 1, &volume).unwrap();
}

// Installed anew.

/// A node with new disks of its own, and nothing that it knew.
fn install_anew(lab: &mut Lab, node: &str) {
    lab.reboot(node);
    lab.set_journal(node, FakeJournal::new(lab.cluster.node(node)));
    let local = lab.local(node).unwrap();
    lab.cluster.lose_pool(&local);
    lab.cluster
        .local_pool(node, local.as_str(), Bytes::mib(256));
}

#[test]
fn what_a_node_had_before_it_was_installed_anew_is_neither_believed_nor_in_the_way() {
    let mut lab = Lab::new(&["n1", "n2"]);
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    attach(&n1, 1, &a).unwrap();
    attach(&n1, 2, &b).unwrap();
    n1.kill();
    install_anew(&mut lab, "n1");
    // It has joined again, and has not said what it has: its guests may run as far as anybody knows.
    let (code, message) = refusal(attach(&n2, 1, &a));
    assert_eq!(code, RefusalCode::HeldElsewhere, "{message}");
    let n1 = lab.start("n1");
    assert_eq!(n1.node.attachments(), []);
    attach(&n2, 1, &a).unwrap();
    attach(&n1, 2, &b).unwrap();
    for daemon in [&n1, &n2] {
        assert_eq!(settled(&lab, daemon), [""; 0]);
    }
}

#[test]
fn i19_a_copy_that_went_with_a_node_that_was_installed_anew_is_given_up_with_a_reason() {
    let mut lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    let before = lab.expected(volume.id);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    attach(&n1, 1, &volume).unwrap();
    lab.write(&n1.kernel, volume.id, instance(1), (3, 7))
        .unwrap();
    n1.kill();
    install_anew(&mut lab, "n1");
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    lab.policy.say(Say::AsAsked);
    let (code, message) = refusal(attach(&n1, 1, &volume));
    assert_eq!(code, RefusalCode::Contradiction, "{message}");
    assert!(message.contains("volward recover san/a"), "{message}");
    let (code, message) = refusal(attach(&n2, 1, &volume));
    assert_eq!(code, RefusalCode::HomeElsewhere, "{message}");

    let was = home(&lab, &volume);
    let heard = n1
        .node
        .testimony(REQUEST, &volume.pool, &volume.name)
        .unwrap();
    let ways = heard.ways_out.join("\n");
    assert!(ways.contains("is lost"), "{ways}");
    assert!(ways.contains("--because REASON`"), "{ways}");
    let right = Home {
        state: HomeState::Pool,
        generation: was.generation + 2,
    };
    assert_eq!(heard.homes, std::slice::from_ref(&right));
    let say = |because: Option<&str>| {
        let said = SaidBy {
            uid: 12,
            because: because.map(str::to_owned),
        };
        let of = (&volume.pool, &volume.name);
        n1.node.set_home(REQUEST, of, &was, &right, &said)
    };
    for nothing in [None, Some(" ")] {
        let (code, message) = refusal(say(nothing));
        assert_eq!(code, RefusalCode::NoReason, "{message}");
    }
    assert_eq!(home(&lab, &volume), was);
    say(Some("reinstalled")).unwrap();
    assert_eq!(home(&lab, &volume), right);
    let told = n1
        .node
        .testimony(REQUEST, &volume.pool, &volume.name)
        .unwrap()
        .given_up;
    assert_eq!(told.len(), 1, "{told:?}");
    let said = (told[0].node.as_str(), told[0].uid, told[0].reason());
    assert_eq!(said, ("n1", 12, "reinstalled".to_owned()));
    assert_eq!(holds(&lab, &n1.kernel, volume.id), None);

    attach(&n2, 1, &volume).unwrap();
    let read = lab.read(&n2.kernel, volume.id, instance(1)).unwrap();
    assert_eq!(read, before, "as it was before the copy");
    n2.node.detach(&detach_ask(instance(1))).unwrap();
    attach(&n1, 1, &volume).unwrap();
}
