//! A copy comes home while its guest runs on: what it writes meanwhile is there, whoever ends in the middle, and then it is as
//! if there had never been a copy.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use volward_control::ports::Devices;
use volward_control::{ControlError, DetachRequest};
use volward_model::home::HomeState;
use volward_model::{
    AttachmentState, Bytes, CopyMode, CopyState, DeviceId, DeviceRole, RequestId, VolumeRef,
};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, settled};
use volward_simulation::story::{attached, failure, home, one_node};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

fn bring(daemon: &Daemon, volume: &VolumeRef) -> Result<bool, ControlError> {
    daemon.try_bring_home(volume).unwrap()
}

fn refused(daemon: &Daemon, volume: &VolumeRef) -> (RefusalCode, String) {
    match bring(daemon, volume) {
        Err(ControlError::Refused { refusal, .. }) => (refusal.code, refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}

fn write(lab: &Lab, daemon: &Daemon, volume: &VolumeRef, block: u64, value: u64) {
    let write = (block, value);
    lab.write(&daemon.kernel, volume.id, instance(1), write)
        .unwrap();
}

/// Instance 1 has volume `a`, all of it in its copy, and has written to it.
fn copied() -> (Arc<Lab>, Daemon, VolumeRef) {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, 3, 33);
    n1.tasks.run_all();
    write(&lab, &n1, &volume, 5, 55);
    let copies = n1.node.copies();
    assert_eq!(copies[0].state, CopyState::Complete, "{copies:?}");
    (Arc::new(lab), n1, volume)
}

/// The guest writes all the time while its copy goes home; says how often it has.
fn busy(lab: &Arc<Lab>, daemon: &Daemon, volume: &VolumeRef) -> Arc<AtomicU64> {
    let writes = Arc::new(AtomicU64::new(0));
    let (lab, volume, count) = (Arc::clone(lab), volume.clone(), Arc::clone(&writes));
    daemon.kernel.while_waiting(move |kernel, id| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let block = n * 7 % 32;
        lab.write(kernel, volume.id, instance(1), (block, 1_000 + n))
            .unwrap();
        kernel.hydrate(id, 2).unwrap();
    });
    writes
}

/// No guest writes any more; what is copied is.
fn quiet(daemon: &Daemon) {
    daemon.kernel.while_waiting(|kernel, id| {
        kernel.hydrate(id, 8).unwrap();
    });
}

/// Nothing tells it from one that never had a copy.
fn is_plain(lab: &Lab, daemon: &Daemon, volume: &VolumeRef) {
    assert_eq!(home(lab, volume).state, HomeState::Pool);
    assert_eq!(settled(lab, daemon), [""; 0]);
    assert!(daemon.node.copies().is_empty());
    let attached = daemon.node.attachments();
    assert_eq!(attached.len(), 1);
    assert_eq!(attached[0].state, AttachmentState::Attached);
    assert_eq!(attached[0].copy, None);
    assert_eq!(daemon.journal.remembered(), attached);
    let devices = daemon.kernel.devices();
    assert_eq!(devices, [DeviceId::attachment(volume.id, instance(1))]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

#[test]
fn its_guest_writes_on_and_has_a_plain_volume_in_the_end() {
    let (lab, n1, volume) = copied();
    let writes = busy(&lab, &n1, &volume);
    assert!(bring(&n1, &volume).unwrap());
    assert!(matches!(
        home(&lab, &volume).state,
        HomeState::Returning { .. }
    ));
    assert_eq!(n1.node.copies()[0].state, CopyState::Returning);
    // Asked for again it is on its way; and whoever has it asks for it as ever.
    assert!(!bring(&n1, &volume).unwrap());
    let again = n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert!(again.grants.iter().all(|grant| grant.already));
    n1.tasks.run_all();
    assert!(
        writes.load(Ordering::SeqCst) > 8,
        "it was brought home at once"
    );
    is_plain(&lab, &n1, &volume);
    assert!(!bring(&n1, &volume).unwrap(), "it is at home");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    let n2 = lab.start("n2");
    lab.policy.say(Say::AsAsked);
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
}

/// I21, I24: between any two steps, and before and after each single change, with the guest alive or gone with its node.
#[test]
fn i24_its_daemon_dies_and_the_guest_lives() {
    let calls = {
        let (lab, n1, volume) = copied();
        busy(&lab, &n1, &volume);
        let before = n1.kernel.changes_made();
        bring(&n1, &volume).unwrap();
        n1.tasks.run_all();
        n1.kernel.changes_made() - before
    };
    assert!(calls > 20, "{calls}");
    for call in 1..=calls {
        for after in [false, true] {
            for reboots in [false, true] {
                let case = format!("call {call}, after: {after}, reboots: {reboots}");
                let (lab, n1, volume) = copied();
                busy(&lab, &n1, &volume);
                match after {
                    true => n1.kernel.crash_after(call),
                    false => n1.kernel.crash_before(call),
                }
                drop(n1.try_bring_home(&volume));
                n1.tasks.run_all();
                if !n1.kernel.crashed() {
                    continue;
                }
                n1.kill();
                if reboots {
                    lab.reboot("n1");
                }
                let n1 = lab.start("n1");
                if reboots {
                    quiet(&n1);
                } else {
                    write(&lab, &n1, &volume, 9, 99);
                    busy(&lab, &n1, &volume);
                }
                n1.tasks.run_all();
                assert_eq!(settled(&lab, &n1), [""; 0], "{case}");
                if !reboots {
                    // Before the home said so, nobody remembers that it was asked for.
                    if bring(&n1, &volume).unwrap_or_else(|e| panic!("{case}: {e}")) {
                        n1.tasks.run_all();
                    }
                    is_plain(&lab, &n1, &volume);
                    quiet(&n1);
                    n1.node.detach(&detach_ask(instance(1))).unwrap();
                }
                n1.tasks.run_all();
                if reboots && matches!(home(&lab, &volume).state, HomeState::Split { .. }) {
                    // It had not begun: its guest starts and stops again.
                    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
                    n1.node.detach(&detach_ask(instance(1))).unwrap();
                    n1.tasks.run_all();
                }
                assert_eq!(clean(&lab, &n1), [""; 0], "{case}");
                let contents = lab.cluster.contents(volume.id);
                assert_eq!(contents, lab.expected(volume.id), "{case}");
            }
        }
    }
}

/// Each change fails once, and each call that only looks.
#[test]
fn what_fails_is_tried_again_until_it_is_home() {
    let (changes, looks) = {
        let (lab, n1, volume) = copied();
        busy(&lab, &n1, &volume);
        let before = n1.kernel.changes_made();
        bring(&n1, &volume).unwrap();
        n1.tasks.run_all();
        (n1.kernel.changes_made() - before, n1.kernel.calls())
    };
    let changes = (1..=changes).map(|n| (format!("change {n}"), Some(n)));
    let looks = looks.into_iter().map(|name| (name, None));
    for (what, change) in changes.chain(looks) {
        let (lab, n1, volume) = copied();
        busy(&lab, &n1, &volume);
        match change {
            Some(n) => n1.kernel.fail_at(n),
            None => n1.kernel.fail_on(&what, failure()),
        }
        let asked = bring(&n1, &volume);
        n1.tasks.run_all();
        // Not every call is made on the way.
        n1.kernel.restart();
        let case = format!("{what}: {asked:?}");
        if matches!(home(&lab, &volume).state, HomeState::Split { .. }) {
            let copies = n1.node.copies();
            assert_eq!(copies[0].state, CopyState::Complete, "{case}: {copies:?}");
        }
        assert_eq!(settled(&lab, &n1), [""; 0], "{case}");
        for _ in 0..3 {
            drop(bring(&n1, &volume));
            n1.tasks.run_all();
        }
        is_plain(&lab, &n1, &volume);
    }
}

#[test]
fn a_guest_that_stops_meanwhile_leaves_a_write_back_like_any_other() {
    let (lab, n1, volume) = copied();
    let (guests, of) = (Arc::clone(&lab), volume.clone());
    let stopped = AtomicU64::new(0);
    let node = Arc::clone(&n1.node);
    n1.kernel.while_waiting(move |kernel, id| {
        match stopped.fetch_add(1, Ordering::SeqCst) {
            n if n < 3 => {
                guests
                    .write(kernel, of.id, instance(1), (n, 500 + n))
                    .unwrap();
            }
            3 => drop(node.detach(&detach_ask(instance(1))).unwrap()),
            _ => {}
        }
        kernel.hydrate(id, 1).unwrap();
    });
    bring(&n1, &volume).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

#[test]
fn what_is_not_whole_or_not_here_does_not_come_home() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, 3, 33);
    let (code, message) = refused(&n1, &volume);
    assert_eq!(code, RefusalCode::NotHydrated);
    assert!(message.contains("stop the guest"), "{message}");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(refused(&n1, &volume).0, RefusalCode::Returning);
    n1.tasks.run_all();
    assert!(!bring(&n1, &volume).unwrap(), "it is at home");
    assert_eq!(clean(&lab, &n1), [""; 0]);

    let (lab, n1, volume) = copied();
    let n2 = lab.start("n2");
    let (code, message) = refused(&n2, &volume);
    assert_eq!(code, RefusalCode::HomeElsewhere);
    assert!(message.contains("n1"), "{message}");
    drop(n1);

    let (_lab, n1) = one_node();
    let unknown = n1.node.bring_home(
        RequestId(uuid::Uuid::from_u128(1)),
        &"vg0".parse().unwrap(),
        &"none".parse().unwrap(),
        false,
    );
    assert!(matches!(unknown, Err(ControlError::NotFound(_))));
}

/// I27: somebody grew it past Volward meanwhile; nobody has zeroed its new end, and its guest does not get it.
#[test]
fn i27_one_that_was_grown_past_us_keeps_its_new_end_to_itself() {
    for change in 1.. {
        let (lab, n1, volume) = copied();
        let device = || {
            let device = n1.kernel.get(DeviceId::attachment(volume.id, instance(1)));
            device.unwrap().unwrap()
        };
        let before = device().size;
        lab.cluster
            .tamper(&volume, |size, _, _| *size = Bytes(size.0 * 2));
        busy(&lab, &n1, &volume);
        let made = n1.kernel.changes_made();
        n1.kernel.fail_at(change);
        for _ in 0..2 {
            drop(bring(&n1, &volume));
            n1.tasks.run_all();
        }
        let made = n1.kernel.changes_made() - made;
        assert_eq!(home(&lab, &volume).state, HomeState::Pool, "{change}");
        assert_eq!(device().size, before, "{change}");
        assert_eq!(n1.node.attachments()[0].copy, None, "{change}");
        if change > made {
            break;
        }
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (lab, n1, volume) = copied();
    let changes = n1.kernel.changes_made();
    let request = RequestId(uuid::Uuid::from_u128(77));
    let (begun, plan) = n1
        .node
        .bring_home(request, &volume.pool, &volume.name, true)
        .unwrap();
    assert!(begun);
    assert!(
        plan.iter().any(|step| step.contains("returning")),
        "{plan:?}"
    );
    assert_eq!(n1.kernel.changes_made(), changes);
    assert!(matches!(home(&lab, &volume).state, HomeState::Split { .. }));
}

/// I2: cut off while it comes home it stays cut off, and gets its I/O back on whatever it stands on then.
#[test]
fn i2_what_is_cut_off_meanwhile_stays_so_and_gets_its_io_back() {
    let (lab, n1, volume) = copied();
    n1.node.follow_leases();
    n1.tasks.run_all();
    let (node, cut) = (Arc::clone(&n1.node), AtomicU64::new(0));
    n1.kernel.while_waiting(move |kernel, id| {
        if cut.fetch_add(1, Ordering::SeqCst) == 2 {
            node.fence(Some(instance(1)), &[]);
        }
        kernel.hydrate(id, 1).unwrap();
    });
    bring(&n1, &volume).unwrap();
    n1.tasks.run_all();
    let device = n1
        .kernel
        .get(DeviceId::attachment(volume.id, instance(1)))
        .unwrap()
        .unwrap();
    assert_eq!(device.target.as_deref(), Some("error"));
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    n1.node.follow_leases();
    n1.tasks.run_all();
    let request = RequestId(uuid::Uuid::from_u128(78));
    n1.node.unfence(request, instance(1)).unwrap();
    write(&lab, &n1, &volume, 8, 88);
    is_plain(&lab, &n1, &volume);
}

/// Before the node goes down its guest does, and nothing is left of it but what the next start goes on with.
#[test]
fn put_down_it_goes_with_its_guest() {
    let (lab, n1, volume) = copied();
    let (node, looks) = (Arc::clone(&n1.node), AtomicU64::new(0));
    n1.kernel.while_waiting(move |_, _| {
        if looks.fetch_add(1, Ordering::SeqCst) == 1 {
            node.put_copies_down();
            let unused = DetachRequest {
                only_unused: true,
                ..detach_ask(instance(1))
            };
            node.detach(&unused).unwrap();
        }
    });
    bring(&n1, &volume).unwrap();
    n1.tasks.run_all();
    assert!(n1.node.attachments().is_empty());
    assert!(n1.kernel.devices().is_empty(), "{:?}", n1.kernel.devices());
    n1.kill();
    let n1 = lab.start("n1");
    quiet(&n1);
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Guests write, dm-clone copies, the daemon dies and the node boots, in any order.
    #[test]
    fn i24_no_write_is_lost_on_the_way_home(
        steps in proptest::collection::vec((0u64..32, 0u64..4, 0u8..12), 0..16),
    ) {
        let (lab, mut n1, volume) = copied();
        bring(&n1, &volume).unwrap();
        for (n, (block, copied, then)) in steps.into_iter().enumerate() {
            let write = (block, 80_000 + n as u64);
            lab.write(&n1.kernel, volume.id, instance(1), write).unwrap();
            let clone = DeviceId { volume: volume.id, role: DeviceRole::Clone };
            if let Ok(Some(_)) = n1.kernel.clone_status(clone) {
                n1.kernel.hydrate(clone, copied).unwrap();
            }
            match then {
                0 => {
                    n1.kill();
                    n1 = lab.start("n1");
                }
                1 => {
                    n1.tasks.run_all();
                }
                _ => {}
            }
        }
        n1.tasks.run_all();
        prop_assert_eq!(settled(&lab, &n1), [""; 0]);
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        prop_assert_eq!(clean(&lab, &n1), [""; 0]);
        prop_assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
    }
}
