//! Local copies: hydrated under a writing guest, switched, detached in the middle, written back;
//! compared over whole volumes (I19, I21, I24).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};

use volward_control::ports::{Devices, Event, JournalState, PortError};
use volward_control::{ControlError, VolumeTrouble};
use volward_model::home::HomeState;
use volward_model::{Bytes, CopyMode, CopyState, DeviceId, DeviceRole, VolumeRef};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, data, settled};
use volward_simulation::story::one_node;
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};
use volward_storage::fake::OLD_CONTENT;

fn attached(mode: CopyMode) -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.policy.say(Say::Copy(mode));
    lab.start("n2").kill();
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    (lab, n1, volume)
}

fn clone_of(volume: &VolumeRef) -> DeviceId {
    DeviceId {
        volume: volume.id,
        role: DeviceRole::Clone,
    }
}

fn target(daemon: &Daemon, id: DeviceId) -> Option<String> {
    Devices::get(&daemon.kernel, id).unwrap()?.target
}

fn home(lab: &Lab, volume: &VolumeRef) -> HomeState {
    let tags = lab.cluster.tags(volume);
    let home = volward_model::Home::from_tags(tags.iter().map(String::as_str));
    home.unwrap().state
}

/// Writes everywhere, some blocks twice, while the copy hydrates step by step.
fn busy_guest(lab: &Lab, n1: &Daemon, volume: &VolumeRef, steps: u64) {
    for step in 0..steps {
        for block in [step * 3 % 32, step * 7 % 32] {
            let write = (block, 50_000 + step * 100 + block);
            lab.write(&n1.kernel, volume.id, instance(1), write)
                .unwrap();
        }
        n1.kernel.hydrate(clone_of(volume), 3).unwrap();
        assert_eq!(settled(lab, n1), [""; 0], "step {step}");
    }
}

#[test]
fn i19_i22_hydration_under_writes_becomes_linear_and_comes_home() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    busy_guest(&lab, &n1, &volume, 6);
    assert_eq!(target(&n1, clone_of(&volume)).as_deref(), Some("clone"));
    n1.tasks.run_all();
    assert_eq!(target(&n1, clone_of(&volume)).as_deref(), Some("linear"));
    let view = n1.node.copies();
    assert_eq!(
        (view[0].state, view[0].done),
        (CopyState::Complete, view[0].total)
    );
    lab.write(&n1.kernel, volume.id, instance(1), (9, 77))
        .unwrap();
    n1.kernel
        .guest_discard(DeviceId::attachment(volume.id, instance(1)), 20)
        .unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    let gone = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(gone.detached, [(volume, true)]);
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn i24_detached_in_the_middle_of_hydration_nothing_is_lost() {
    for steps in 0..10 {
        let (lab, n1, volume) = attached(CopyMode::Background);
        busy_guest(&lab, &n1, &volume, steps);
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0], "{steps}");
        assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
    }
}

#[test]
fn i21_discards_are_refused_until_the_copy_is_whole() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    let id = DeviceId::attachment(volume.id, instance(1));
    assert!(n1.kernel.guest_discard(id, 5).is_err());
    n1.tasks.run_all();
    n1.kernel.guest_discard(id, 5).unwrap();
    let read = lab.read(&n1.kernel, volume.id, instance(1)).unwrap();
    assert!(!read.contains(&OLD_CONTENT));
}

#[test]
fn a_copy_before_start_is_whole_when_the_guest_gets_it() {
    let (lab, n1, volume) = attached(CopyMode::BeforeStart);
    let status = n1.kernel.clone_status(clone_of(&volume)).unwrap().unwrap();
    assert!(status.complete());
    assert_ne!(
        n1.node.copies()[0].state,
        CopyState::Complete,
        "not switched yet"
    );
    n1.tasks.run_all();
    assert_eq!(n1.node.copies()[0].state, CopyState::Complete);
    assert_eq!(target(&n1, clone_of(&volume)).as_deref(), Some("linear"));
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn after_a_reboot_the_guest_starts_again_on_its_split_copy() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    busy_guest(&lab, &n1, &volume, 3);
    n1.kill();
    lab.reboot("n1");
    let n2 = lab.start("n2");
    let elsewhere = n2.node.attach(&ask(instance(1), &[disk(&volume)]));
    let Err(ControlError::Refused { refusal, .. }) = elsewhere else {
        panic!("{elsewhere:?}");
    };
    assert_eq!(refusal.code, RefusalCode::HomeElsewhere);

    // Whatever policies think of copies now: the data is there.
    lab.policy.say(Say::AsAsked);
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    let waiting = [(volume.clone(), VolumeTrouble::WaitsForItsGuest)];
    assert_eq!(n1.node.to_look_at(), waiting);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    let status = n1.kernel.clone_status(clone_of(&volume)).unwrap().unwrap();
    assert!(!status.hydrating && status.hydrated > 0, "writes only");
    lab.write(&n1.kernel, volume.id, instance(1), (30, 3))
        .unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn started_again_before_the_write_back_began_it_hydrates_on() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    busy_guest(&lab, &n1, &volume, 2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.tasks.run_all();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    assert_eq!(target(&n1, clone_of(&volume)).as_deref(), Some("linear"));
    assert!(matches!(home(&lab, &volume), HomeState::Split { .. }));
    assert_eq!(n1.node.copies()[0].state, CopyState::Complete);
}

#[test]
fn a_write_back_waits_until_recovery_knows_who_is_attached() {
    let (lab, n1, volume) = attached(CopyMode::WritesOnly);
    busy_guest(&lab, &n1, &volume, 2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    // The write-back is in the journal; the daemon dies publishing the path of a new start.
    let point = n1.points.passed().len();
    n1.points.die_at(9);
    assert!(n1.try_attach(&ask(instance(1), &[disk(&volume)])).is_none());
    let last = n1.points.passed()[point..].last().cloned();
    assert_eq!(last.as_deref(), Some("attach/link/after"));
    n1.kill();
    let n1 = lab.start("n1");
    lab.write(&n1.kernel, volume.id, instance(1), (1, 1))
        .unwrap();
    n1.tasks.run_all();
    assert_eq!(n1.node.attachments().len(), 1);
    assert!(matches!(home(&lab, &volume), HomeState::Split { .. }));
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn while_it_returns_it_is_refused_at_once_with_progress() {
    let (lab, n1, volume) = attached(CopyMode::WritesOnly);
    busy_guest(&lab, &n1, &volume, 4);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let (node, here) = (n1.node.clone(), volume.clone());
    let other = Arc::new(lab.start("n2"));
    let there = other.clone();
    let refused = Arc::new(Mutex::new(Vec::new()));
    let seen = refused.clone();
    // In the middle of the write-back: asked here and on the other node.
    n1.kernel.while_waiting(move |kernel, id| {
        kernel.hydrate(id, 1).unwrap();
        for node in [&node, &there.node] {
            let asked = node.attach(&ask(instance(1), &[disk(&here)]));
            seen.lock().unwrap().push(asked.map(|_| ()));
        }
    });
    n1.tasks.run_all();
    let refused = refused.lock().unwrap();
    assert!(refused.len() >= 6);
    for (n, outcome) in refused.iter().enumerate() {
        let Err(ControlError::Refused { refusal, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(refusal.code, RefusalCode::Returning);
        assert!(refusal.message.contains("% done"), "{refusal}");
        assert!(n < 2 || refusal.retry_after_ms.is_some() || refusal.message.contains("0 %"));
    }
    assert_eq!(clean(&lab, &n1), [""; 0]);
    other
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    assert_eq!(settled(&lab, &other), [""; 0]);
}

#[test]
fn i23_a_hydration_that_stands_still_is_called_stalled() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    let (clock, seen) = (lab.cluster.clock(), Arc::new(Mutex::new(0)));
    let (node, count) = (n1.node.clone(), seen.clone());
    n1.kernel.while_waiting(move |kernel, id| {
        clock.advance(std::time::Duration::from_secs(5));
        let waits = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        let state = node.copies()[0].state;
        // The source fails for 20 waits of 5 s, which is more than `stall_after`.
        assert!(
            waits > 8 || state == CopyState::Hydrating,
            "{waits}: {state}"
        );
        assert!(
            waits != 20 || state == CopyState::Stalled,
            "{waits}: {state}"
        );
        if waits > 20 {
            kernel.hydrate(id, 8).unwrap();
        }
    });
    n1.tasks.run_all();
    assert!(*seen.lock().unwrap() > 20);
    assert_eq!(target(&n1, clone_of(&volume)).as_deref(), Some("linear"));
    assert_eq!(n1.node.copies()[0].state, CopyState::Complete);
}

#[test]
fn i22_a_switch_that_fails_keeps_the_clone_and_is_tried_again() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    n1.kernel.fail_on(
        "reload",
        PortError::Io {
            what: "load".into(),
            reason: "a test's failure".into(),
        },
    );
    let kernel = n1.kernel.clone();
    let clone = clone_of(&volume);
    let early = kernel.clone();
    n1.kernel.before("reload", move |_| {
        let status = early.clone_status(clone).unwrap().unwrap();
        assert!(status.complete(), "I22: never before it is complete");
        let after = early.clone();
        early.before("reload", move |_| {
            let target = Devices::get(&after, clone).unwrap().unwrap().target;
            assert_eq!(target.as_deref(), Some("clone"), "the old table is live");
        });
    });
    n1.tasks.run_all();
    // What went wrong on the way is over.
    assert_eq!(n1.node.copies()[0].trouble, None);
    assert_eq!(target(&n1, clone).as_deref(), Some("linear"));
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

/// The switch is done, and what follows from it fails once.
#[test]
fn i21_discards_that_could_not_be_allowed_after_the_switch_are_allowed_at_the_next_look() {
    let (_lab, n1, volume) = attached(CopyMode::Background);
    let guests = DeviceId::attachment(volume.id, instance(1));
    let kernel = n1.kernel.clone();
    n1.kernel.before("reload", move |_| {
        let error = PortError::Io {
            what: "reload".into(),
            reason: "a test's failure".into(),
        };
        kernel.fail_on("set-discards", error);
    });
    n1.tasks.run_all();
    n1.kernel.guest_discard(guests, 3).unwrap();
    assert_eq!(n1.node.copies()[0].state, CopyState::Complete);
    let complete = |event: &Event| matches!(event, Event::HydrationComplete { .. });
    let told = n1.events.told();
    assert_eq!(told.iter().filter(|event| complete(event)).count(), 1);
}

#[test]
fn i24_an_error_table_is_no_finished_write_back() {
    let (lab, n1, volume) = attached(CopyMode::WritesOnly);
    busy_guest(&lab, &n1, &volume, 2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.kernel.while_waiting(move |kernel, id| {
        let size = volward_model::Sectors(4096);
        Devices::reload(kernel, id, &volward_model::Table::Error { size }, false).unwrap();
        // The daemon ends here: it would try for ever.
        kernel.while_waiting(|_, _| {});
        kernel.crash();
    });
    n1.tasks.run_all();
    assert!(matches!(home(&lab, &volume), HomeState::Returning { .. }));
    n1.kernel.restart();
    assert_ne!(home(&lab, &volume), HomeState::Pool);
}

#[test]
fn a_write_back_taken_up_again_says_at_once_how_far_it_is() {
    let (lab, n1, volume) = attached(CopyMode::WritesOnly);
    busy_guest(&lab, &n1, &volume, 3);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.kernel.while_waiting(move |kernel, id| {
        kernel.hydrate(id, 1).unwrap();
        kernel.while_waiting(|_, _| {});
        kernel.crash();
    });
    n1.tasks.run_all();
    n1.kill();
    let n1 = lab.start("n1");
    // Nothing was done yet; what the kernel holds is looked at all the same.
    let copies = n1.node.copies();
    assert_eq!((copies.len(), copies[0].state), (1, CopyState::Returning));
    assert!(copies[0].total.0 > copies[0].done.0, "{copies:?}");
    assert!(copies[0].done.0 > 0, "{copies:?}");
    n1.kernel
        .while_waiting(|kernel, id| drop(kernel.hydrate(id, 8)));
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn with_a_full_state_disk_the_copy_still_comes_home() {
    for dies in [false, true] {
        let (lab, n1, volume) = attached(CopyMode::WritesOnly);
        busy_guest(&lab, &n1, &volume, 3);
        n1.journal.set_full(true);
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        let n1 = if dies {
            n1.kill();
            lab.start("n1")
        } else {
            n1
        };
        n1.tasks.run_all();
        assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
        n1.journal.set_full(false);
        // The next request writes what is missing first.
        n1.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
        n1.node.detach(&detach_ask(instance(2))).unwrap();
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0], "dies: {dies}");
    }
}

/// libvirt's hook has given up, long before the volume is copied.
#[test]
fn i30_a_copy_before_start_that_nobody_waits_for_any_more_is_taken_back() {
    let lab = Lab::new(&["n1"]);
    lab.policy.say(Say::Copy(CopyMode::BeforeStart));
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    let asked = ask(instance(1), &[disk(&volume)]);
    let cancellation = asked.cancellation.clone();
    n1.kernel.while_waiting(move |kernel, id| {
        kernel.hydrate(id, 1).unwrap();
        cancellation.cancel();
    });
    let error = n1.node.attach(&asked).unwrap_err();
    assert!(matches!(error, ControlError::Cancelled { .. }), "{error:?}");
    n1.kernel
        .while_waiting(|kernel, id| drop(kernel.hydrate(id, 8)));
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

/// libvirt says `release` while the attach that its hook gave up still works.
#[test]
fn i30_a_detach_waits_for_the_attach_under_way_and_takes_what_it_made() {
    let mut lab = Lab::new(&["n1"]);
    // Patience with the other thread, whose time is real.
    lab.pause = std::time::Duration::from_millis(1);
    lab.policy.say(Say::Copy(CopyMode::BeforeStart));
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    let (in_flight, seen) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    n1.kernel.while_waiting(move |kernel, id| {
        in_flight.send(()).unwrap();
        // Either the detach has ended, which it must not, or some time has passed.
        let early = released
            .lock()
            .unwrap()
            .recv_timeout(std::time::Duration::from_millis(50));
        assert!(early.is_err(), "the detach did not wait");
        kernel.hydrate(id, 32).unwrap();
    });
    let node = n1.node.clone();
    let asked = ask(instance(1), &[disk(&volume)]);
    let attaching = std::thread::spawn(move || node.attach(&asked));
    seen.recv().unwrap();
    let detached = n1.node.detach(&detach_ask(instance(1))).unwrap();
    release.send(()).ok();
    attaching.join().unwrap().unwrap();
    assert_eq!(detached.detached, [(volume.clone(), true)]);
    n1.kernel
        .while_waiting(|kernel, id| drop(kernel.hydrate(id, 8)));
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// The room is promised when the plan runs, not when it is made: another attach may be quicker.
#[test]
fn of_two_copies_for_which_there_is_room_for_one_the_other_is_served_from_the_pool() {
    let lab = Lab::new(&["n1"]);
    lab.policy.say(Say::Copy(CopyMode::Background));
    let n1 = lab.start("n1");
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let local = lab.local("n1").unwrap();
    // A copy takes 2 MiB and twice 4 MiB, in extents.
    lab.cluster.volume(&local, "filler", Bytes::mib(256 - 16));
    let (node, quicker) = (n1.node.clone(), ask(instance(2), &[disk(&b)]));
    n1.kernel.before("journal-begin", move |_| {
        node.attach(&quicker).unwrap();
    });
    let done = n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    assert!(done.grants[0].copy.is_none(), "{done:?}");
    assert!(done.notes[0].contains("free in the local pool"), "{done:?}");
    assert_eq!(data(&lab, &n1), [""; 0]);
    for n in [1, 2] {
        n1.node.detach(&detach_ask(instance(n))).unwrap();
    }
    n1.tasks.run_all();
    let left = lab.cluster.volumes(&local);
    assert_eq!(left.len(), 1, "{left:?}");
}

/// What a copy has taken is in the pool's figures: it is not kept for it a second time while the rest
/// of a long attach runs.
#[test]
fn the_room_of_a_copy_that_is_made_is_counted_once() {
    let (lab, n1) = one_node();
    lab.policy.say(Say::Copy(CopyMode::BeforeStart));
    let (long, short) = (lab.volume("a"), lab.volume("b"));
    let node = Arc::clone(&n1.node);
    let seen = Arc::new(Mutex::new(None));
    let promised = Arc::clone(&seen);
    let policy = Arc::clone(&lab.policy);
    // While the first copy hydrates: its LVs are made.
    n1.kernel.before("wait-event", move |_| {
        policy.say(Say::Copy(CopyMode::WritesOnly));
        let mut wants = ask(instance(2), &[disk(&short)]);
        wants.dry_run = true;
        node.attach(&wants).unwrap();
        let asked = policy.asked();
        let local = asked.last().unwrap().node.local.unwrap();
        *promised.lock().unwrap() = Some(local);
    });
    n1.node.attach(&ask(instance(1), &[disk(&long)])).unwrap();
    let local = seen.lock().unwrap().take().unwrap();
    assert!(local.free < local.total, "{local:?}");
    assert_eq!(local.promised, Bytes(0), "{local:?}");
}

/// The volume is removed while its copy waits to go home: nothing can be written back, and the copy is
/// kept for a person.
#[test]
fn the_write_back_of_a_volume_that_was_removed_ends_and_keeps_the_copy() {
    let (lab, n1, volume) = attached(CopyMode::Background);
    n1.tasks.run_all();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    // The clone is linear: nothing keeps LVM from it.
    assert!(n1.kernel.lvremove(&volume));
    n1.tasks.run_all();
    assert!(n1.node.copies().is_empty(), "{:?}", n1.node.copies());
    assert!(n1.kernel.devices().is_empty(), "{:?}", n1.kernel.devices());
    let orphans = n1.node.orphaned_copies();
    assert_eq!(orphans.len(), 1, "{orphans:?}");
    assert!(orphans.iter().all(|(_, of)| *of == volume.id));
    let entries = n1.journal.entries();
    let ended = entries.iter().find(|e| e.operation.name() == "write-back");
    let ended = ended.unwrap();
    assert_eq!(ended.state, JournalState::Quarantined);
    assert!(ended.causes[0].contains("was removed"), "{ended:?}");
    // The next start takes nothing up.
    n1.kill();
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert!(n1.node.copies().is_empty() && n1.node.orphaned_copies().len() == 1);
}
