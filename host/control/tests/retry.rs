//! What fails for a moment has an owner: it is tried again until it is done, over restarts, and is
//! seen meanwhile. Quarantine is for what needs a person.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use volward_control::ControlError;
use volward_control::ports::{Devices, Event, JournalState, PortError, Volumes};
use volward_model::{AttachmentState, Bytes, CopyMode, DeviceId, LeaseMode, VolumeRef};
use volward_simulation::check::{clean, holds, settled};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

/// What may pass, a kind each.
fn moments() -> Vec<PortError> {
    vec![
        PortError::Io {
            what: "the LUN".into(),
            reason: "Input/output error".into(),
        },
        PortError::Deadline {
            what: "lvchange".into(),
            after: Duration::from_secs(120),
        },
        PortError::Command {
            command: "lvchange -an".into(),
            status: "exit status 5".into(),
            stdout: String::new(),
            stderr: "Cannot access VG san due to failed lock".into(),
        },
    ]
}

fn io() -> PortError {
    moments().remove(0)
}

fn attached() -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    lab.start("n2").kill();
    let n1 = lab.start("n1");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    (lab, n1, volume)
}

fn fail(daemon: &Daemon, call: &str, times: usize) {
    for _ in 0..times {
        daemon.kernel.fail_on(call, io());
    }
}

#[test]
fn a_detach_that_fails_for_a_moment_is_accepted_and_done_when_the_moment_has_passed() {
    for moment in moments() {
        let (lab, n1, volume) = attached();
        n1.kernel.fail_on("deactivate", moment.clone());
        let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
        assert!(done.detached.is_empty());
        assert_eq!(done.trying_again[0].0, volume, "{moment}");
        // Seen as what it is: not quarantined, not attached.
        let unfinished = n1.node.unfinished();
        assert!(unfinished[0].leaving && unfinished[0].failures == 1);
        let sentence = unfinished[0].sentence();
        assert!(
            sentence.contains("san/a") && sentence.contains(&moment.to_string()),
            "{sentence}"
        );
        assert_eq!(n1.node.attachments()[0].state, AttachmentState::Attached);
        let disks = [(volume.pool.clone(), volume.name.clone())];
        assert_eq!(n1.node.missing(instance(1), &disks), disks);
        assert_eq!(n1.node.inconsistencies(), [""; 0]);
        let told = n1.events.told();
        assert!(told.iter().any(|e| matches!(e, Event::TryingAgain { .. })));
        assert!(!told.iter().any(|e| matches!(e, Event::Quarantined { .. })));

        n1.tasks.run_all();
        assert!(n1.node.unfinished().is_empty());
        assert_eq!(clean(&lab, &n1), [""; 0], "{moment}");
        assert!(
            n1.marks.found().is_empty(),
            "its start mark is gone with it"
        );
    }
}

/// Three guests stop while the LUN does not answer, and the daemon is restarted meanwhile.
#[test]
fn what_is_tried_again_survives_a_restart_of_the_daemon() {
    let (lab, n1, _) = attached();
    fail(&n1, "deactivate", 1);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let open = |daemon: &Daemon| {
        let entries = daemon.journal.entries();
        entries
            .iter()
            .filter(|e| e.state == JournalState::Open)
            .count()
    };
    assert_eq!(open(&n1), 1);
    n1.kill();
    let n1 = lab.daemon("n1", None);
    // Not ready in this second either.
    fail(&n1, "deactivate", 2);
    let recovered = n1.node.recover().unwrap();
    assert_eq!((recovered.owed.len(), recovered.quarantined.len()), (1, 0));
    assert_eq!(n1.node.unfinished().len(), 1);
    n1.tasks.run_all();
    assert_eq!(open(&n1), 0);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn an_explicit_detach_and_a_new_attach_try_at_once() {
    let (lab, n1, volume) = attached();
    fail(&n1, "deactivate", 2);
    assert_eq!(
        n1.node
            .detach(&detach_ask(instance(1)))
            .unwrap()
            .trying_again
            .len(),
        1
    );
    assert_eq!(
        n1.node
            .detach(&detach_ask(instance(1)))
            .unwrap()
            .trying_again
            .len(),
        1
    );
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!((done.detached.len(), done.trying_again.len()), (1, 0));
    assert_eq!(clean(&lab, &n1), [""; 0]);

    // The guest starts again while its disk's detach is not finished.
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    fail(&n1, "deactivate", 2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    for wants in [1, 2] {
        let mut dry = ask(instance(wants), &[disk(&volume)]);
        dry.dry_run = true;
        let error = n1.node.attach(&dry).unwrap_err();
        assert!(matches!(error, ControlError::Unfinished { .. }), "{error}");
    }
    let error = n1
        .node
        .attach(&ask(instance(2), &[disk(&volume)]))
        .unwrap_err();
    assert!(error.to_string().contains("detach of san/a"), "{error}");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn an_attach_that_cannot_be_taken_back_for_now_is_taken_back_later() {
    let lab = Lab::new(&["n1"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    fail(&n1, "link", 1);
    fail(&n1, "deactivate", 3);
    let error = n1
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    assert!(matches!(error, ControlError::Owed { .. }), "{error}");
    assert_eq!(
        holds(&lab, &n1.kernel, volume.id),
        Some(LeaseMode::Exclusive)
    );
    assert_eq!(n1.node.unfinished()[0].attachments[0].volume, volume);
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// It ends where it turns out that a person is needed.
#[test]
fn what_turns_out_to_need_a_person_is_quarantined() {
    let (lab, n1, _) = attached();
    fail(&n1, "deactivate", 1);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.kernel.fail_on(
        "deactivate",
        PortError::Identity {
            what: "san/a".into(),
            expected: "this".into(),
            found: "that".into(),
        },
    );
    n1.tasks.run_all();
    assert!(n1.node.unfinished().is_empty());
    assert_eq!(n1.node.attachments()[0].state, AttachmentState::Quarantined);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn one_pool_that_fails_keeps_back_no_other_pools_volumes() {
    let mut lab = Lab::new(&["n1"]);
    let other = lab.add_pool("other");
    let [a, b] = [
        lab.volume("a"),
        lab.cluster.volume(&other, "b", Bytes::mib(2)),
    ];
    let n1 = lab.start("n1");
    n1.node
        .attach(&ask(instance(1), &[disk(&a), disk(&b)]))
        .unwrap();
    // Pools are taken in the order of their names: `other` fails.
    fail(&n1, "deactivate", 1);
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(done.detached, [(a, false)]);
    assert_eq!(done.trying_again[0].0, b);
    n1.tasks.run_all();
    assert!(n1.node.unfinished().is_empty() && n1.node.attachments().is_empty());
    assert_eq!(holds(&lab, &n1.kernel, b.id), None);
}

/// Of two disks one is in use: the other is detached and stays so.
#[test]
fn what_was_released_already_is_not_quarantined_for_anothers_sake() {
    let lab = Lab::new(&["n1"]);
    let [a, b] = ["a", "b"].map(|name| lab.volume(name));
    let n1 = lab.start("n1");
    let mut as_lv = disk(&b);
    as_lv.form = volward_plan::DiskForm::Lv;
    n1.node
        .attach(&ask(instance(1), &[disk(&a), as_lv]))
        .unwrap();
    let released = lab.cluster.node("n1");
    let volume = a.clone();
    n1.kernel.before("deactivate", move |_| {
        use volward_control::ports::Leases;
        let pool = volume.pool.clone();
        released.release(&pool, &[volume]).unwrap();
        let wrong = PortError::Invalid {
            what: "san/b".into(),
            reason: "a test".into(),
        };
        released.fail_on("deactivate", wrong);
    });
    n1.node.detach(&detach_ask(instance(1))).unwrap_err();
    let left = n1.node.attachments();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        (&left[0].volume, left[0].state),
        (&b, AttachmentState::Quarantined)
    );
}

#[test]
fn a_slot_that_cannot_be_written_does_not_keep_a_detach_from_ending() {
    let (lab, n1, _) = attached();
    fail(&n1, "write-registry", 2);
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(done.detached.len(), 1);
    assert!(n1.node.inconsistencies()[0].contains("could not be written"));
    n1.tasks.run_all();
    assert_eq!(n1.node.inconsistencies(), [""; 0]);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// A copy that waits for its pool is not left because the first look at the pool failed too.
#[test]
fn a_pool_that_opens_late_and_cannot_be_read_at_once_is_taken_up_all_the_same() {
    let (lab, n1, volume) = {
        let lab = Lab::new(&["n1"]);
        lab.policy.say(Say::Copy(CopyMode::WritesOnly));
        let volume = lab.volume("a");
        let n1 = lab.start("n1");
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        (lab, n1, volume)
    };
    lab.write(&n1.kernel, volume.id, instance(1), (3, 9))
        .unwrap();
    n1.journal.set_full(true);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.kill();
    lab.journal("n1").set_full(false);
    let n1 = lab.daemon("n1", None);
    fail(&n1, "pool", 12);
    n1.node.recover().unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// Two disks, and something has one of them open: the other is let go, and its copy goes home.
#[test]
fn a_detach_of_which_one_volume_needs_a_person_lets_the_others_go() {
    for with_a_copy in [false, true] {
        let lab = Lab::new(&["n1", "n2"]);
        let n1 = lab.start("n1");
        let volumes = [lab.volume("a"), lab.volume("b"), lab.volume("c")];
        if with_a_copy {
            lab.policy.say(Say::Copy(CopyMode::Background));
        }
        let disks = volumes.each_ref().map(disk);
        n1.node.attach(&ask(instance(1), &disks)).unwrap();
        n1.tasks.run_all();
        let open = DeviceId::attachment(volumes[1].id, instance(1));
        n1.kernel.set_open(open, true);

        let error = n1.node.detach(&detach_ask(instance(1))).unwrap_err();
        assert!(matches!(error, ControlError::Quarantined { .. }), "{error}");
        n1.tasks.run_all();
        let left = n1.node.attachments();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].volume, volumes[1]);
        assert_eq!(left[0].state, AttachmentState::Quarantined);
        assert_eq!(n1.kernel.links().unwrap().len(), 1, "its path is back");
        assert_eq!(settled(&lab, &n1), [""; 0]);
        lab.policy.say(Say::AsAsked);
        let n2 = lab.start("n2");
        for (n, volume) in [(2, &volumes[0]), (3, &volumes[2])] {
            n2.node.attach(&ask(instance(n), &[disk(volume)])).unwrap();
            n2.node.detach(&detach_ask(instance(n))).unwrap();
        }

        n1.kernel.set_open(open, false);
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0]);
    }
}

/// The same where it is the next start that completes it, and where another of its volumes fails for
/// now.
#[test]
fn what_a_restart_completes_and_what_is_tried_again_lets_the_others_go_too() {
    let two_disks = || {
        let lab = Lab::new(&["n1"]);
        let n1 = lab.start("n1");
        let volumes = [lab.volume("a"), lab.volume("b")];
        let disks = volumes.each_ref().map(disk);
        n1.node.attach(&ask(instance(1), &disks)).unwrap();
        let open = DeviceId::attachment(volumes[0].id, instance(1));
        n1.kernel.set_open(open, true);
        (lab, n1, volumes)
    };
    let only_the_open_one = |daemon: &Daemon, volumes: &[VolumeRef; 2]| {
        let left = daemon.node.attachments();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].volume, volumes[0]);
        assert_eq!(left[0].state, AttachmentState::Quarantined);
    };
    // The daemon dies before the first device is removed.
    let (lab, n1, volumes) = two_disks();
    let kernel = n1.kernel.clone();
    n1.kernel.before("remove-device", move |_| kernel.crash());
    n1.try_detach(&detach_ask(instance(1)));
    n1.kill();
    let n1 = lab.start("n1");
    only_the_open_one(&n1, &volumes);
    assert_eq!(settled(&lab, &n1), [""; 0]);

    let (lab, n1, volumes) = two_disks();
    fail(&n1, "deactivate", 1);
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(done.trying_again.len(), 2, "{done:?}");
    n1.tasks.run_all();
    only_the_open_one(&n1, &volumes);
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

/// libvirt and its guests wait for a start, and on a LUN that hangs each look takes until LVM is given up.
#[test]
fn a_start_looks_once_at_a_pool_that_does_not_answer() {
    let lab = Lab::new(&["n1"]);
    lab.start("n1").kill();
    let n1 = lab.daemon("n1", None);
    for _ in 0..2 {
        n1.kernel.fail_on("pool", moments().remove(1));
    }
    n1.node.recover().unwrap();
    let look = || n1.kernel.validated_pool(&lab.pool);
    assert!(look().is_err(), "it looked twice");
    look().unwrap();
    // And again when the moment has passed.
    assert_eq!(settled(&lab, &n1), [""; 0]);
    assert!(n1.node.inconsistencies().is_empty());
}
