//! A guest whose memory was saved is restored on the volumes that it had, or not at all: what it has cached of a disk that was written to
//! meanwhile damages what is there.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::LeaseStyle;
use volward_control::{ControlError, SaidBy};
use volward_model::{Bytes, CopyMode, Home, HomeState, Purpose, RequestId, VolumeRef, VolumeTask};
use volward_simulation::story::{follow, home};
use volward_simulation::{
    Daemon, Lab, Say, ask, check, detach_ask, disk, instance, operation, read_only,
};

const REQUEST: RequestId = RequestId(uuid::Uuid::nil());

const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];

/// A volume that instance 1 had on node 1, to write.
fn saved(style: LeaseStyle) -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.cluster.set_lease_style(style);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    let volume = lab.volume("a");
    has_and_leaves(&daemon, 1, &volume);
    (lab, daemon, volume)
}

fn has_and_leaves(daemon: &Daemon, number: u8, volume: &VolumeRef) {
    let request = ask(instance(number), &[disk(volume)]);
    daemon.node.attach(&request).unwrap();
    daemon.node.detach(&detach_ask(instance(number))).unwrap();
}

/// Restores instance 1; the refusal's code and sentence, where it is refused.
fn restored(daemon: &Daemon, volume: &VolumeRef) -> Result<(), (String, String)> {
    let mut request = ask(instance(1), &[disk(volume)]);
    request.purpose = Purpose::Restore;
    match daemon.node.attach(&request) {
        Ok(_) => Ok(()),
        Err(ControlError::Refused { refusal, .. }) => {
            Err((refusal.code.to_string(), refusal.message))
        }
        Err(error) => panic!("{error}"),
    }
}

fn must_be_refused(lab: &Lab, daemon: &Daemon, volume: &VolumeRef, says: &str) {
    // As often as somebody tries: what this node takes for that is no use either.
    for _ in 0..2 {
        let (code, message) = restored(daemon, volume).unwrap_err();
        assert_eq!(code, "used-since", "{message}");
        assert!(message.contains(says), "{message}");
        assert_eq!(check::clean(lab, daemon), [""; 0]);
    }
    // Started anew it has it, and that is its last use from then on.
    has_and_leaves(daemon, 1, volume);
    assert_eq!(restored(daemon, volume), Ok(()));
}

#[test]
fn what_nobody_has_had_since_is_as_it_was() {
    for style in STYLES {
        let (lab, daemon, volume) = saved(style);
        assert_eq!(restored(&daemon, &volume), Ok(()));
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
    }
}

/// Its node has had the lease itself: for a snapshot, and for somebody who only read.
#[test]
fn who_only_reads_it_changes_nothing() {
    for style in STYLES {
        let (lab, daemon, volume) = saved(style);
        let task = VolumeTask::Snapshot {
            pool: lab.pool.clone(),
            from: volume.name.clone(),
            name: "moment".parse().unwrap(),
        };
        daemon.node.ask_operation(&operation("s1", task)).unwrap();
        daemon.tasks.run_all();
        let request = ask(instance(2), &[read_only(&volume)]);
        daemon.node.attach(&request).unwrap();
        daemon.node.detach(&detach_ask(instance(2))).unwrap();
        assert_eq!(restored(&daemon, &volume), Ok(()));
    }
}

#[test]
fn what_another_instance_has_had_to_write_to_is_not_what_it_was() {
    for style in STYLES {
        let (lab, daemon, volume) = saved(style);
        has_and_leaves(&daemon, 2, &volume);
        must_be_refused(&lab, &daemon, &volume, "another instance on this node");
    }
}

#[test]
fn what_another_node_has_had_is_not_what_it_was() {
    for style in STYLES {
        let (lab, daemon, volume) = saved(style);
        let other = lab.start("n2");
        has_and_leaves(&other, 2, &volume);
        must_be_refused(&lab, &daemon, &volume, "another node has had its lease");
    }
}

/// Whoever knows better says so with his own hands.
#[test]
fn what_is_attached_by_hand_is_restored_on() {
    let (lab, daemon, volume) = saved(LeaseStyle::Separate);
    let other = lab.start("n2");
    has_and_leaves(&other, 2, &volume);
    assert!(restored(&daemon, &volume).is_err());
    let request = ask(instance(1), &[disk(&volume)]);
    daemon.node.attach(&request).unwrap();
    assert_eq!(restored(&daemon, &volume), Ok(()));
}

/// A node is shut down with its guests saved: what they had is on record.
#[test]
fn it_is_known_after_a_reboot() {
    for used in [false, true] {
        let (lab, daemon, volume) = saved(LeaseStyle::Separate);
        daemon.node.follow_leases();
        daemon.tasks.run_all();
        daemon.kill();
        lab.reboot("n1");
        if used {
            let other = lab.start("n2");
            has_and_leaves(&other, 2, &volume);
        }
        let daemon = lab.start("n1");
        match used {
            false => assert_eq!(restored(&daemon, &volume), Ok(())),
            true => must_be_refused(&lab, &daemon, &volume, "another node"),
        }
    }
}

/// A daemon that dies before it has noted who came next: whoever has the volume then has written to it.
#[test]
fn who_came_is_known_after_a_crash() {
    let (lab, daemon, volume) = saved(LeaseStyle::Separate);
    daemon.node.follow_leases();
    daemon.tasks.run_all();
    let request = ask(instance(2), &[disk(&volume)]);
    daemon.node.attach(&request).unwrap();
    daemon.kill();
    let daemon = lab.start("n1");
    daemon.node.detach(&detach_ask(instance(2))).unwrap();
    must_be_refused(&lab, &daemon, &volume, "another instance on this node");
}

/// Of a guest that was saved elsewhere, or before this was on record, nothing is known here: it is restored as ever.
#[test]
fn of_whom_nothing_is_known_is_restored() {
    let lab = Lab::new(&["n1"]);
    let daemon = lab.start("n1");
    let volume = lab.volume("a");
    assert_eq!(restored(&daemon, &volume), Ok(()));
}

/// That somebody has chosen the data, also by the next daemon: it was on record before anything else was done.
fn is_told_of(lab: &Lab, daemon: Daemon, volume: &VolumeRef) -> Daemon {
    let says = |daemon: &Daemon| {
        let (code, message) = restored(daemon, volume).unwrap_err();
        assert_eq!(code, "used-since", "{message}");
        assert!(message.contains("which of its data counts"), "{message}");
    };
    says(&daemon);
    daemon.kill();
    let daemon = lab.start("n1");
    says(&daemon);
    daemon
}

/// By a person's word: what the guest had cached is of a copy that counts no more. Its node has the lease all the while.
#[test]
fn data_that_was_given_up_is_not_what_it_was() {
    let lab = Lab::new(&["n1", "n2"]);
    let daemon = lab.start("n1");
    let volume = lab.volume("a");
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    // Its write-back does not come to anything: only what is to be remembered is written.
    daemon.node.follow_leases();
    daemon.tasks.run_named("record the last use of volumes");
    daemon.kill();
    lab.reboot("n1");
    let local = lab.local("n1").unwrap();
    lab.cluster.lose_pool(&local);
    lab.cluster
        .local_pool("n1", local.as_str(), Bytes::mib(256));
    lab.policy.say(Say::AsAsked);
    let daemon = lab.start("n1");
    daemon.tasks.run_all();
    assert_eq!(restored(&daemon, &volume).unwrap_err().0, "contradiction");

    let was = home(&lab, &volume);
    let right = Home {
        state: HomeState::Pool,
        generation: was.generation + 2,
    };
    let said = SaidBy {
        uid: 0,
        because: Some("the disk burned".to_owned()),
    };
    let of = (&volume.pool, &volume.name);
    daemon
        .node
        .set_home(REQUEST, of, &was, &right, &said)
        .unwrap();
    let daemon = is_told_of(&lab, daemon, &volume);
    has_and_leaves(&daemon, 1, &volume);
    assert_eq!(restored(&daemon, &volume), Ok(()));
}

/// The LUN is a snapshot that was made while the guest ran, so that the lease has the number that it had then.
#[test]
fn an_older_lun_that_somebody_accepts_is_not_what_it_was() {
    let lab = Lab::new(&["n1", "n2"]);
    let daemon = lab.start("n1");
    let (volume, other) = (lab.volume("a"), lab.volume("b"));
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    lab.cluster.snapshot(&lab.pool);
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    has_and_leaves(&daemon, 2, &other);
    follow(&daemon);
    daemon.tasks.run_named("record the last use of volumes");
    daemon.kill();
    lab.cluster.put_back(&lab.pool);
    lab.cluster.node("n1").boot();
    let daemon = lab.start("n1");
    assert_eq!(restored(&daemon, &volume).unwrap_err().0, "pool-older");
    daemon.node.accept_older(REQUEST, &lab.pool, 0).unwrap();
    is_told_of(&lab, daemon, &volume);
}

/// Of a pool that is as this node left it nobody decides anything.
#[test]
fn a_pool_that_is_not_older_stays_what_it_was() {
    let (lab, daemon, volume) = saved(LeaseStyle::Separate);
    daemon.node.accept_older(REQUEST, &lab.pool, 0).unwrap();
    assert_eq!(restored(&daemon, &volume), Ok(()));
}
