//! A copy that a guest has used is removed by nobody before it is written back, whatever could not be
//! read meanwhile; and data that is home is nobody's prisoner.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};

use volward_control::VolumeTrouble;
use volward_control::ports::{Devices, Leases, Volumes};
use volward_model::home::HomeState;
use volward_model::{CopyMode, LeaseMode, VolumeRef};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, data, holds};
use volward_simulation::story::{attached, failure, home, one_node, refused};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

fn write(lab: &Lab, n1: &Daemon, volume: &VolumeRef, what: (u64, u64)) {
    lab.write(&n1.kernel, volume.id, instance(1), what).unwrap();
}

/// The LVs of copies on node 1.
fn copies(lab: &Lab) -> Vec<String> {
    let local = lab.local("n1").unwrap();
    let volumes = lab.cluster.volumes(&local).into_iter();
    volumes
        .map(|name| name.to_string())
        .filter(|name| name.starts_with("volward-copy"))
        .collect()
}

/// The copy's LV on node 1, and its tags.
fn copy(lab: &Lab) -> (VolumeRef, Vec<String>) {
    let local = lab.local("n1").unwrap();
    let info = lab.cluster.node("n1").pool(&local).unwrap();
    let mut volumes = info.volumes.into_iter();
    let is_copy =
        |v: &volward_model::VolumeInfo| v.volume.name.as_str().starts_with("volward-copy");
    let copy = volumes.find(is_copy).unwrap();
    (copy.volume, copy.tags)
}

/// The node is restarted, its records and devices are gone, and the home tag is lost.
fn restarted_without_tag(lab: &Lab, n1: Daemon, volume: &VolumeRef) -> Daemon {
    n1.kill();
    lab.reboot("n1");
    lab.cluster.tamper(volume, |_, tags, _| tags.clear());
    lab.start("n1")
}

/// The next look at the local pool fails, and the one after it does not.
fn one_look_fails(n1: &Daemon) {
    let kernel = n1.kernel.clone();
    n1.kernel.before("list-devices", move |_| {
        kernel.fail_on("pool", failure());
    });
}

#[test]
fn a_new_copy_does_not_take_the_place_of_one_that_was_used() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, (3, 7));
    let n1 = restarted_without_tag(&lab, n1, &volume);
    one_look_fails(&n1);
    let error = n1.node.attach(&ask(instance(1), &[disk(&volume)]));
    assert!(error.is_err());
    n1.tasks.run_all();
    assert_eq!(copies(&lab).len(), 1, "{error:?}");
}

#[test]
fn a_write_back_that_was_lost_removes_no_copy() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    write(&lab, &n1, &volume, (4, 8));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let n1 = restarted_without_tag(&lab, n1, &volume);
    one_look_fails(&n1);
    n1.tasks.run_all();
    assert_eq!(copies(&lab).len(), 1);
}

/// The state was lost under a guest, and so was the home tag: of the witnesses only the devices are left, and these
/// cannot be listed.
#[test]
fn a_detach_of_what_nobody_vouches_for_gives_nothing_up_without_a_look_at_the_devices() {
    let (mut lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    n1.tasks.run_all();
    write(&lab, &n1, &volume, (3, 7));
    let device = volward_model::DeviceId::attachment(volume.id, instance(1));
    n1.kernel.set_open(device, true);
    n1.kill();
    let empty = volward_simulation::FakeJournal::new(lab.cluster.node("n1"));
    lab.set_journal("n1", empty);
    let n1 = lab.start("n1");
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
    n1.kernel.set_open(device, false);
    n1.kernel.fail_on("list-devices", failure());
    drop(n1.node.detach(&detach_ask(instance(1))));
    n1.tasks.run_all();
    let exclusive = Some(LeaseMode::Exclusive);
    assert_eq!(holds(&lab, &n1.kernel, volume.id), exclusive);
    assert_eq!(copies(&lab).len(), 1);
    assert_eq!(n1.node.attachments().len(), 1);
}

/// A guest that was started without a grant of a copy, on a copy that was there.
#[test]
fn a_detach_whose_home_cannot_be_read_gives_nothing_up() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    n1.kill();
    lab.reboot("n1");
    let n1 = lab.start("n1");
    lab.policy.say(Say::AsAsked);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.tasks.run_all();
    write(&lab, &n1, &volume, (5, 9));
    // The home is there, and nobody can say which.
    lab.cluster.tamper(&volume, |_, tags, _| {
        tags.push("volward.home=pool:::9".to_owned());
    });
    drop(n1.node.detach(&detach_ask(instance(1))));
    n1.tasks.run_all();
    assert_eq!(
        holds(&lab, &n1.kernel, volume.id),
        Some(LeaseMode::Exclusive)
    );
    assert_eq!(copies(&lab).len(), 1);
    let found = n1.node.to_look_at();
    assert!(
        matches!(&found[..], [(of, VolumeTrouble::Contradiction(_))] if *of == volume),
        "{found:?}"
    );

    // Mended, it comes home.
    lab.cluster.tamper(&volume, |_, tags, _| {
        tags.retain(|tag| !tag.ends_with(":9"));
    });
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(data(&lab, &n1), [""; 0]);
}

#[test]
fn data_that_is_home_is_free_although_its_copy_cannot_be_removed() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    let n2 = lab.start("n2");
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let local = lab.local("n1").unwrap();
    n1.kernel
        .before("remove-device", move |cluster| cluster.lose_pool(&local));
    n1.tasks.run_all();
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    lab.policy.say(Say::AsAsked);
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
}

/// The tag is lost, and nobody can ask the copy. The journal knows that one was made.
#[test]
fn a_local_pool_that_cannot_be_read_has_not_said_that_there_is_no_copy() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, (3, 7));
    let tags = lab.cluster.tags(&volume);
    let n1 = restarted_without_tag(&lab, n1, &volume);
    let local = lab.local("n1").unwrap();
    n1.kernel.set_silent(&local, true);
    for say in [Say::AsAsked, Say::Copy(CopyMode::WritesOnly)] {
        lab.policy.say(say);
        let (code, message) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
        assert_eq!(code, RefusalCode::LocalPoolUnreadable, "{message}");
        assert!(message.contains("Input/output error"), "{message}");
    }
    let found = n1.node.to_look_at();
    assert!(
        matches!(&found[..], [(of, VolumeTrouble::Silent(_))] if *of == volume),
        "{found:?}"
    );
    n1.kernel.set_silent(&local, false);
    lab.cluster.tamper(&volume, |_, now, _| *now = tags);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(data(&lab, &n1), [""; 0]);
}

/// What was undone, or came home by its tag, is no reason to refuse: the pool has the data.
#[test]
fn a_silent_local_pool_keeps_back_no_volume_that_came_home() {
    let (lab, n1) = one_node();
    lab.policy.say(Say::Copy(CopyMode::Background));
    let (came_home, undone) = (lab.volume("a"), lab.volume("b"));
    n1.node
        .attach(&ask(instance(1), &[disk(&came_home)]))
        .unwrap();
    n1.tasks.run_all();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    // Undone where the home was about to become `split`.
    n1.kernel.fail_on("zero-device", failure());
    n1.node
        .attach(&ask(instance(2), &[disk(&undone)]))
        .unwrap_err();
    n1.kernel.set_silent(&lab.local("n1").unwrap(), true);
    for (n, volume) in [(1, &came_home), (2, &undone)] {
        let done = n1.node.attach(&ask(instance(n), &[disk(volume)])).unwrap();
        assert!(done.grants[0].copy.is_none());
        assert!(done.notes[0].contains("cannot be read"), "{:?}", done.notes);
    }
}

/// A write-back that was begun finds a tag that counts nothing, and a copy that nobody can ask: it
/// gives nothing up, and says what it waits for.
#[test]
fn a_write_back_waits_for_a_local_pool_that_cannot_be_read() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, (3, 7));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let tags = lab.cluster.tags(&volume);
    n1.kernel.set_silent(&lab.local("n1").unwrap(), true);
    for device in n1.kernel.devices() {
        Devices::remove(&n1.kernel, device).unwrap();
    }
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
    let local = lab.local("n1").unwrap();
    let kernel = n1.kernel.clone();
    let (held, pool, at) = (n1.kernel.clone(), lab.pool.clone(), volume.id);
    let seen: Arc<Mutex<Vec<Option<LeaseMode>>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let cluster = lab.cluster.clone();
    let back = volume.clone();
    // Once it has failed, somebody mends disk and tag.
    n1.kernel.before("list-devices", move |_| {
        kernel.clone().before("list-devices", move |_| {
            let leases = held.held(&pool).unwrap();
            let mode = leases.get(&at.lv).map(|lease| lease.mode);
            noted.lock().unwrap().push(mode);
            kernel.set_silent(&local, false);
            cluster.tamper(&back, |_, now, _| *now = tags);
        });
    });
    n1.tasks.run_all();
    assert_eq!(*seen.lock().unwrap(), [Some(LeaseMode::Exclusive)]);
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(data(&lab, &n1), [""; 0]);
}

/// A copy that is there and not loaded says as much as one that is, where the home says nothing.
#[test]
fn a_detach_whose_home_cannot_be_read_asks_for_copies_that_are_not_loaded() {
    for lun_answers in [true, false] {
        let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
        write(&lab, &n1, &volume, (3, 7));
        n1.kill();
        lab.reboot("n1");
        let tags = lab.cluster.tags(&volume);
        let (lv, shown) = copy(&lab);
        lab.cluster.tamper(&lv, |_, tags, _| tags.clear());
        lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
        let n1 = lab.start("n1");
        lab.policy.say(Say::AsAsked);
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        // The disk of the local pool is back, and so is the tag, twice.
        lab.cluster.tamper(&lv, |_, now, _| *now = shown);
        lab.cluster.tamper(&volume, |_, now, _| {
            *now = tags.clone();
            now.push("volward.home=pool:::9".to_owned());
        });
        n1.kernel.set_silent(&lab.pool, !lun_answers);
        drop(n1.node.detach(&detach_ask(instance(1))));
        n1.tasks.run_all();
        n1.kernel.set_silent(&lab.pool, false);
        let lease = holds(&lab, &n1.kernel, volume.id);
        assert_eq!(lease, Some(LeaseMode::Exclusive), "{lun_answers}");
        assert_eq!(copies(&lab).len(), 1);
    }
}
