//! The only current copy of a volume is on a node that is dead: what a person can do on another one, and what the
//! node finds when it comes back.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ports::Clock;
use volward_control::{ControlError, SaidBy, VolumeTrouble};
use volward_model::{CopyMode, Home, HomeState, LvUuid, MemberState, RequestId, VolumeRef};
use volward_plan::RefusalCode;
use volward_plan::witness::Testimony;
use volward_simulation::check::clean;
use volward_simulation::story::{attached, home, refusal};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

const REQUEST: RequestId = RequestId(uuid::Uuid::nil());

/// Block 3 is written on node 1's copy only, and node 1 loses its power.
fn lost() -> (Lab, Daemon, Daemon, VolumeRef) {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    let n2 = lab.start("n2");
    lab.write(&n1.kernel, volume.id, instance(1), (3, 7))
        .unwrap();
    n1.kernel.power_cut();
    (lab, n1, n2, volume)
}

fn heard(daemon: &Daemon, volume: &VolumeRef) -> Testimony {
    let heard = daemon
        .node
        .testimony(REQUEST, &volume.pool, &volume.name)
        .unwrap();
    println!("{heard:#?}");
    heard
}

fn give_up(
    daemon: &Daemon,
    volume: &VolumeRef,
    found: &Home,
    because: Option<&str>,
) -> Result<(), ControlError> {
    let right = Home {
        state: HomeState::Pool,
        generation: found.generation + 2,
    };
    let said = SaidBy {
        uid: 0,
        because: because.map(str::to_owned),
    };
    let of = (&volume.pool, &volume.name);
    daemon.node.set_home(REQUEST, of, found, &right, &said)
}

fn copy_of(home: &Home) -> LvUuid {
    *home.copy().unwrap().1
}

#[test]
fn i19_what_may_be_alive_is_not_given_up_and_what_is_dead_is_with_a_reason() {
    let (lab, _n1, n2, volume) = lost();
    let before = home(&lab, &volume);
    for state in [MemberState::Live, MemberState::Fail, MemberState::Unknown] {
        lab.cluster.set_member("n1", state);
        let heard = heard(&n2, &volume);
        assert_eq!(heard.homes, []);
        assert!(heard.ways_out[0].contains("on node n1"), "{heard:?}");
        let (code, message) = refusal(give_up(&n2, &volume, &before, Some("burned")));
        assert_eq!(code, RefusalCode::HomeChanged, "{message}");
    }
    assert_eq!(home(&lab, &volume), before);

    lab.cluster.set_member("n1", MemberState::Dead);
    let heard = heard(&n2, &volume);
    let [start, give] = &heard.ways_out[..] else {
        panic!("{heard:?}")
    };
    assert!(start.contains("start it: nothing is lost"), "{start}");
    assert!(start.contains("was attached there"), "{start}");
    assert!(give.contains("is lost"), "{give}");
    assert!(give.contains("--because REASON"), "{give}");
    let (code, message) = refusal(give_up(&n2, &volume, &before, None));
    assert_eq!(code, RefusalCode::NoReason, "{message}");
    assert_eq!(home(&lab, &volume), before);
    let (code, message) = refusal(n2.node.attach(&ask(instance(2), &[disk(&volume)])));
    assert_eq!(code, RefusalCode::HomeElsewhere);
    assert!(message.contains("volward recover"), "{message}");

    give_up(&n2, &volume, &before, Some("its RAID burned")).unwrap();
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    // Whoever asks here later reads who it was, and why.
    let told = n2
        .node
        .testimony(REQUEST, &volume.pool, &volume.name)
        .unwrap();
    let told = told.given_up;
    assert_eq!(told.len(), 1, "{told:?}");
    let said = (told[0].node.as_str(), told[0].uid, told[0].reason());
    assert_eq!(said, ("n1", 0, "its RAID burned".to_owned()));
    lab.policy.say(Say::AsAsked);
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    let read = lab.read(&n2.kernel, volume.id, instance(2)).unwrap();
    assert_ne!(read[3], 7, "the guest's last write went with the copy");
}

/// What is on the LUN is as of the copy, whenever its guest was started last, and in the middle of a write-back, too.
#[test]
fn i19_who_is_asked_to_give_up_a_copy_is_told_when_it_was_made() {
    for returning in [false, true] {
        let lab = Lab::new(&["n1", "n2"]);
        let (n1, n2) = (lab.start("n1"), lab.start("n2"));
        let volume = lab.volume("a");
        // Of another copy, from a version that does not know the tag.
        let stale = format!("volward.copied={}:5", "z".repeat(32));
        lab.cluster
            .tamper(&volume, |_, tags, _| tags.push(stale.clone()));
        assert_eq!(heard(&n2, &volume).copied_at, None);
        lab.policy.say(Say::Copy(CopyMode::WritesOnly));
        let made = lab.cluster.clock().now_ms() / 1_000;
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        n1.kill();
        lab.reboot("n1");
        lab.cluster.clock().sleep(Duration::from_secs(7_200));
        let n1 = lab.start("n1");
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        if returning {
            lab.write(&n1.kernel, volume.id, instance(1), (3, 7))
                .unwrap();
            n1.node.detach(&detach_ask(instance(1))).unwrap();
            n1.kernel.while_waiting(|kernel, _| {
                kernel.while_waiting(|_, _| {});
                kernel.power_cut();
            });
            n1.tasks.run_all();
            let state = home(&lab, &volume).state;
            assert!(matches!(state, HomeState::Returning { .. }), "{state:?}");
        }
        if !returning {
            n1.kernel.power_cut();
        }
        lab.cluster.set_member("n1", MemberState::Dead);
        assert_eq!(heard(&n2, &volume).copied_at, Some(made));
        give_up(&n2, &volume, &home(&lab, &volume), Some("burned")).unwrap();
        assert_eq!(heard(&n2, &volume).copied_at, None);
        // Home tag and who gave it up.
        assert_eq!(lab.cluster.tags(&volume).len(), 2);
    }
}

/// A node that came back under another host-id has a place that says nothing yet.
#[test]
fn i19_a_living_node_that_has_not_said_who_it_is_may_be_the_one_that_has_the_copy() {
    let lab = Lab::new(&["n1", "n2", "n3"]);
    let n1 = lab.start("n1");
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let n2 = lab.start("n2");
    n1.kernel.power_cut();
    lab.cluster.set_member("n1", MemberState::Dead);
    let before = home(&lab, &volume);
    let (code, _) = refusal(give_up(&n2, &volume, &before, Some("burned")));
    assert_eq!(code, RefusalCode::HomeChanged);
    let heard = heard(&n2, &volume);
    assert!(heard.ways_out[0].contains("host-id 3"), "{heard:?}");
    assert_eq!(home(&lab, &volume), before);
    let _n3 = lab.start("n3");
    give_up(&n2, &volume, &before, Some("burned")).unwrap();
}

/// Never silently replaced, never written back, and removed by a person's word only.
#[test]
fn i19_a_node_that_comes_back_keeps_its_copy_aside_until_somebody_discards_it() {
    let (lab, n1, n2, volume) = lost();
    lab.cluster.set_member("n1", MemberState::Dead);
    let before = home(&lab, &volume);
    give_up(&n2, &volume, &before, Some("its RAID burned")).unwrap();
    lab.policy.say(Say::AsAsked);
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    let written = lab.write(&n2.kernel, volume.id, instance(2), (5, 55));
    written.unwrap();
    n2.node.detach(&detach_ask(instance(2))).unwrap();

    n1.kernel.boot();
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    let told = heard(&n1, &volume);
    let sentences = format!("{:?}", told.verdict);
    assert!(
        sentences.contains("given up by uid 0 (its RAID burned) and is kept"),
        "{sentences}"
    );
    let discard = format!("--discard {}", copy_of(&before));
    assert!(told.ways_out[0].contains(&discard), "{told:?}");
    let troubles = n1.node.to_look_at();
    assert!(
        matches!(&troubles[..], [(of, VolumeTrouble::Contradiction(_))] if *of == volume),
        "{troubles:?}"
    );
    let (code, _) = refusal(n1.node.attach(&ask(instance(3), &[disk(&volume)])));
    assert_eq!(code, RefusalCode::Contradiction);
    assert_eq!(
        lab.cluster.contents(volume.id)[5],
        55,
        "nothing was written back"
    );

    // Only the copy that was given up, and only here.
    let other: LvUuid = "z".repeat(32).parse().unwrap();
    let of = (&volume.pool, &volume.name);
    refusal(n1.node.discard_copy(REQUEST, of.0, of.1, other));
    refusal(n2.node.discard_copy(REQUEST, of.0, of.1, copy_of(&before)));
    n1.node
        .discard_copy(REQUEST, of.0, of.1, copy_of(&before))
        .unwrap();
    n1.tasks.run_all();
    for held in n1.node.attachments() {
        n1.node.detach(&detach_ask(held.instance)).unwrap();
    }
    n1.tasks.run_all();
    assert_eq!(lab.cluster.tags(&volume).len(), 1, "only the home is left");
    assert_eq!(lab.cluster.contents(volume.id)[5], 55);
    n1.node.attach(&ask(instance(3), &[disk(&volume)])).unwrap();
    n1.node.detach(&detach_ask(instance(3))).unwrap();
    assert!(n1.node.to_look_at().is_empty());
    drop(clean(&lab, &n1));
}

/// The node was only thought to be gone for good: nobody had written the volume since, and the copy counts again.
#[test]
fn a_copy_that_was_given_up_too_early_can_be_taken_back() {
    let (lab, n1, n2, volume) = lost();
    lab.cluster.set_member("n1", MemberState::Dead);
    let before = home(&lab, &volume);
    give_up(&n2, &volume, &before, Some("too early")).unwrap();
    let now = home(&lab, &volume);

    n1.kernel.boot();
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    let told = heard(&n1, &volume);
    let [right] = &told.homes[..] else {
        panic!("{told:?}")
    };
    let said = SaidBy {
        uid: 0,
        because: None,
    };
    let of = (&volume.pool, &volume.name);
    n1.node.set_home(REQUEST, of, &now, right, &said).unwrap();
    assert_eq!(lab.cluster.tags(&volume).len(), 1, "only the home is left");
    refusal(n1.node.discard_copy(REQUEST, of.0, of.1, copy_of(&before)));
    for held in n1.node.attachments() {
        n1.node.detach(&detach_ask(held.instance)).unwrap();
    }
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id)[3], 7, "the write is home");
}

/// A guest that was cut off may still have the copy open: what it wrote is not thrown away beneath it.
#[test]
fn a_copy_in_use_is_not_discarded() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    let n2 = lab.start("n2");
    let before = home(&lab, &volume);
    lab.cluster.set_member("n1", MemberState::Dead);
    give_up(&n2, &volume, &before, Some("cut off")).unwrap();
    lab.cluster.set_member("n1", MemberState::Live);
    let device = volward_model::DeviceId::attachment(volume.id, instance(1));
    n1.kernel.set_open(device, true);
    let of = (&volume.pool, &volume.name);
    let (code, message) = refusal(n1.node.discard_copy(REQUEST, of.0, of.1, copy_of(&before)));
    assert_eq!(code, RefusalCode::HomeChanged, "{message}");
    assert!(message.contains("in use"), "{message}");
}
