//! A state that is gone, or that was restored from an older copy, while its guests go on: they keep
//! what they have, and nobody else gets it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};

use volward_control::ControlError;
use volward_control::ports::Volumes;
use volward_model::home::HomeState;
use volward_model::{AttachmentState, CopyMode, DeviceId, VolumeRef};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, data, settled};
use volward_simulation::story::{attached, failure, home, one_node, refused};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};
use volward_storage::fake::FakeNode;
use volward_storage::journal::FakeJournal;

fn device(volume: &VolumeRef) -> DeviceId {
    DeviceId::attachment(volume.id, instance(1))
}

/// The daemon dies, its state is gone, and the guest goes on. The next has not recovered yet.
fn lose_state(lab: &mut Lab, n1: Daemon, volume: &VolumeRef) -> Daemon {
    n1.kernel.set_open(device(volume), true);
    n1.kill();
    let empty = FakeJournal::new(lab.cluster.node("n1"));
    lab.set_journal("n1", empty);
    lab.daemon("n1", None)
}

/// An attach whose state was saved in its middle, where the copy is loaded and the guest has no
/// path yet. It ends well, and the guest writes.
fn saved_in_the_middle() -> (Lab, Daemon, VolumeRef, FakeJournal) {
    let (lab, n1) = one_node();
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let volume = lab.volume("a");
    let backup = Arc::new(Mutex::new(None));
    let (node, journal) = (lab.cluster.node("n1"), n1.journal.clone());
    let keep = Arc::clone(&backup);
    n1.kernel.before("create-device", move |_| {
        // The clone's device; the attachment's comes after it.
        node.clone().before("create-device", move |_| {
            let of = FakeJournal::holding(node, journal.entries(), journal.remembered(), 1000);
            *keep.lock().unwrap() = Some(of);
        });
    });
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let backup = backup.lock().unwrap().take().unwrap();
    assert_eq!(backup.entries().len(), 1, "{:?}", backup.entries());
    lab.write(&n1.kernel, volume.id, instance(1), (3, 7))
        .unwrap();
    (lab, n1, volume, backup)
}

/// Between two of its reads the guest's device is not open; its path is there all the same.
#[test]
fn i19_an_older_state_takes_no_copy_from_a_guest_that_has_its_path() {
    let (mut lab, n1, volume, backup) = saved_in_the_middle();
    n1.kill();
    lab.set_journal("n1", backup);
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert!(matches!(home(&lab, &volume).state, HomeState::Split { .. }));
    let found = n1.node.attachments();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].state, AttachmentState::Quarantined);
    assert!(found[0].causes[0].contains("restored"), "{found:?}");
    lab.write(&n1.kernel, volume.id, instance(1), (4, 8))
        .unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    assert_eq!(data(&lab, &n1), [""; 0]);

    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(data(&lab, &n1), [""; 0]);
}

/// The home tag was lost, and so was the state: what says that the newest data is in the copy is the copy, and what keeps
/// the other nodes from the older data is the lease.
#[test]
fn i19_the_lease_over_a_whole_copy_is_not_given_up_because_nothing_else_tells_of_it() {
    for (mode, closed) in [
        (CopyMode::Background, true),
        (CopyMode::Background, false),
        (CopyMode::WritesOnly, true),
    ] {
        let (mut lab, n1, volume) = attached(Say::Copy(mode));
        let n2 = lab.start("n2");
        n1.tasks.run_all();
        lab.write(&n1.kernel, volume.id, instance(1), (3, 7))
            .unwrap();
        lab.cluster.tamper(&volume, |_, tags, _| {
            tags.retain(|tag| !tag.starts_with("volward.home"));
        });
        let n1 = lose_state(&mut lab, n1, &volume);
        n1.kernel.set_open(device(&volume), !closed);
        n1.node.recover().unwrap();
        n1.kernel.set_open(device(&volume), false);
        drop(n1.node.detach(&detach_ask(instance(1))));
        n1.kill();
        let n1 = lab.start("n1");
        n1.tasks.run_all();
        let (code, message) = refused(&n2.node, &ask(instance(2), &[disk(&volume)]));
        assert_eq!(
            code,
            RefusalCode::HeldElsewhere,
            "{mode:?} {closed}: {message}"
        );
        let (code, message) = refused(&n1.node, &ask(instance(2), &[disk(&volume)]));
        assert_eq!(
            code,
            RefusalCode::Contradiction,
            "{mode:?} {closed}: {message}"
        );
    }
}

/// What node 2 is told each time before node 1 writes its slot.
fn told_at_each_write(
    n1: FakeNode,
    n2: Arc<Daemon>,
    volume: VolumeRef,
    told: Arc<Mutex<Vec<String>>>,
) {
    n1.clone().before("write-registry", move |_| {
        let (code, message) = refused(&n2.node, &ask(instance(3), &[disk(&volume)]));
        assert_eq!(code, RefusalCode::HeldElsewhere);
        told.lock().unwrap().push(message);
        told_at_each_write(n1, n2, volume, told);
    });
}

/// What is in use is in this node's slot before what the older state knows is.
#[test]
fn i1_a_device_in_use_stays_shown_to_the_others_while_the_node_recovers() {
    let (mut lab, n1, volume) = attached(Say::AsAsked);
    let n2 = Arc::new(lab.start("n2"));
    let n1 = lose_state(&mut lab, n1, &volume);
    let told = Arc::new(Mutex::new(Vec::new()));
    told_at_each_write(n1.kernel.clone(), n2, volume, Arc::clone(&told));
    n1.node.recover().unwrap();
    // A last one, of what is there now.
    n1.kernel.note("write-registry").unwrap();
    let told = told.lock().unwrap();
    assert!(told.len() > 1, "{told:?}");
    let who = instance(1).to_string();
    assert!(told.iter().all(|said| said.contains(&who)), "{told:#?}");
}

/// What a person has to know stays in front of what failed last.
#[test]
fn a_detach_that_fails_keeps_what_the_attachment_was_quarantined_for() {
    let (mut lab, n1, volume) = attached(Say::AsAsked);
    let n1 = lose_state(&mut lab, n1, &volume);
    n1.node.recover().unwrap();
    let first = n1.node.attachments()[0].causes.clone();
    assert!(first[0].contains("restored"), "{first:?}");
    for _ in 0..2 {
        // Its guest still runs.
        let error = n1.node.detach(&detach_ask(instance(1))).unwrap_err();
        assert!(matches!(error, ControlError::Quarantined { .. }), "{error}");
        let causes = n1.node.attachments()[0].causes.clone();
        assert_eq!(causes[0], first[0]);
        assert_eq!(causes.len(), 2, "the latest, and no more: {causes:?}");
    }
    n1.kernel.set_open(device(&volume), false);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// A copy says twice how far it is, or says something of a later version: it may be anything.
#[test]
fn i19_a_copy_whose_stage_is_not_understood_is_not_removed() {
    for stage in ["volward.copy-stage=fresh", "volward.copy-stage=frozen:9"] {
        let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
        lab.write(&n1.kernel, volume.id, instance(1), (3, 7))
            .unwrap();
        let local = lab.local("n1").unwrap();
        let name = format!("volward-copy-{}", volume.id.lv).parse().unwrap();
        let pool = n1.kernel.pool(&local).unwrap();
        let copy = pool.named(&name).unwrap().volume.clone();
        lab.cluster.tamper(&copy, |_, tags, _| {
            if stage.ends_with("frozen:9") {
                tags.retain(|tag| !tag.starts_with("volward.copy-stage="));
            }
            tags.push(stage.to_owned());
        });
        n1.kill();
        lab.reboot("n1");
        lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
        let n1 = lab.start("n1");
        n1.tasks.run_all();
        drop(n1.node.attach(&ask(instance(1), &[disk(&volume)])));
        n1.tasks.run_all();
        let left = lab.cluster.volumes(&local);
        assert!(left.contains(&name), "{stage}: {left:?}");
    }
}

/// An attach of this version died when its copy was made, which says that it is fresh. One that says
/// nothing is another: a copy of 0.1.0, say, that came back with the metadata.
#[test]
fn i19_a_copy_without_a_stage_is_not_taken_for_the_one_that_an_attach_has_made() {
    let (lab, n1) = one_node();
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let volume = lab.volume("a");
    let kernel = n1.kernel.clone();
    n1.kernel.before("zero-device", move |_| kernel.crash());
    assert!(
        n1.try_attach(&ask(instance(1), &[disk(&volume)]))
            .is_none_or(|done| done.is_err())
    );
    let local = lab.local("n1").unwrap();
    let name = format!("volward-copy-{}", volume.id.lv).parse().unwrap();
    n1.kernel.restart();
    let copy = n1.kernel.pool(&local).unwrap();
    let copy = copy.named(&name).unwrap().volume.clone();
    lab.cluster.tamper(&copy, |_, tags, _| {
        tags.retain(|tag| !tag.starts_with("volward.copy-stage="));
    });
    n1.kill();
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert!(lab.cluster.volumes(&local).contains(&name));
    let found = n1.node.attachments();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].causes.iter().any(|c| c.contains("does not say")),
        "{found:?}"
    );
}

/// A device that nobody's record knows is open at the start, and its user ends meanwhile: the lease
/// under it is nobody's, also where giving it up fails once.
#[test]
fn the_lease_under_a_device_that_closes_during_recovery_is_given_up() {
    for fails in [false, true] {
        let (mut lab, n1, volume) = attached(Say::AsAsked);
        let n1 = lose_state(&mut lab, n1, &volume);
        let kernel = n1.kernel.clone();
        let guest = device(&volume);
        // While nobody can be asked whose it is.
        n1.kernel.set_silent(&lab.pool, true);
        n1.kernel.before("remove-device", move |_| {
            kernel.set_open(guest, false);
            if fails {
                kernel.fail_on("deactivate", failure());
            }
        });
        n1.node.recover().unwrap();
        n1.kernel.set_silent(&lab.pool, false);
        n1.node.try_again();
        n1.tasks.run_all();
        assert_eq!(n1.node.to_look_at(), []);
        assert_eq!(clean(&lab, &n1), [""; 0]);
        n1.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    }
}
