//! What goes before the node does: attachments that nobody has open, and write-backs.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::DetachRequest;
use volward_control::ports::{Devices, Event, PortError};
use volward_model::home::HomeState;
use volward_model::{AttachmentState, CopyMode, CopyState, DeviceId, LeaseMode, VolumeRef};
use volward_plan::DiskForm;
use volward_simulation::check::{clean, holds, settled};
use volward_simulation::story::{home, one_node};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

fn unused(n: u8) -> DetachRequest {
    DetachRequest {
        only_unused: true,
        ..detach_ask(instance(n))
    }
}

fn device(volume: &VolumeRef, n: u8) -> DeviceId {
    DeviceId::attachment(volume.id, instance(n))
}

#[test]
fn what_somebody_has_open_stays_as_it_is_and_the_rest_goes() {
    let (lab, n1) = one_node();
    let (open, idle) = (lab.volume("open"), lab.volume("idle"));
    n1.node
        .attach(&ask(instance(1), &[disk(&open), disk(&idle)]))
        .unwrap();
    n1.kernel.set_open(device(&open, 1), true);
    let done = n1.node.detach(&unused(1)).unwrap();
    assert_eq!(done.detached, [(idle.clone(), false)]);
    assert_eq!(done.in_use, std::slice::from_ref(&open));
    assert_eq!(holds(&lab, &n1.kernel, idle.id), None);
    let left = n1.node.attachments();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].state, AttachmentState::Attached, "not quarantined");
    assert_eq!(holds(&lab, &n1.kernel, open.id), Some(LeaseMode::Exclusive));
    assert_eq!(settled(&lab, &n1), [""; 0]);

    n1.kernel.set_open(device(&open, 1), false);
    let done = n1.node.detach(&unused(1)).unwrap();
    assert_eq!((done.detached, done.in_use), (vec![(open, false)], vec![]));
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_disk_given_as_the_lv_itself_goes_by_lvms_own_device() {
    let (lab, n1) = one_node();
    let volume = lab.volume("a");
    let mut as_lv = disk(&volume);
    as_lv.form = DiskForm::Lv;
    n1.node.attach(&ask(instance(1), &[as_lv])).unwrap();
    n1.kernel.set_lv_open(volume.id, true);
    let done = n1.node.detach(&unused(1)).unwrap();
    assert_eq!((done.detached, done.in_use), (vec![], vec![volume.clone()]));
    n1.kernel.set_lv_open(volume.id, false);
    let done = n1.node.detach(&unused(1)).unwrap();
    assert_eq!(done.detached, [(volume, false)]);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn where_nobody_can_say_what_is_open_nothing_goes() {
    let (lab, n1) = one_node();
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let silent = PortError::Io {
        what: "listing".into(),
        reason: "on purpose".into(),
    };
    n1.kernel.fail_on("list-devices", silent);
    let done = n1.node.detach(&unused(1)).unwrap();
    assert_eq!((done.detached, done.in_use), (vec![], vec![volume]));
    assert_eq!(n1.node.attachments().len(), 1);
}

/// Written, then detached: its write-back is due.
fn leaving() -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    for block in 0..20 {
        lab.write(&n1.kernel, volume.id, instance(1), (block, 700 + block))
            .unwrap();
    }
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    (lab, n1, volume)
}

/// Nothing of it keeps the lockspace, and the next start brings all of it home.
fn is_put_down(lab: &Lab, n1: Daemon, volume: &VolumeRef) {
    assert_eq!(holds(lab, &n1.kernel, volume.id), None);
    assert_eq!(n1.kernel.list().unwrap(), [], "no device is left");
    assert_eq!(n1.node.copies(), []);
    let put_down = Event::WriteBackPutDown {
        volume: volume.clone(),
    };
    assert!(n1.events.told().contains(&put_down));
    n1.kill();
    lab.reboot("n1");
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert_eq!(home(lab, volume).state, HomeState::Pool);
    assert_eq!(clean(lab, &n1), [""; 0]);
}

#[test]
fn a_write_back_that_has_not_begun_is_put_down_and_begins_at_the_next_start() {
    let (lab, n1, volume) = leaving();
    n1.node.put_copies_down();
    n1.tasks.run_all();
    assert!(matches!(home(&lab, &volume).state, HomeState::Split { .. }));
    is_put_down(&lab, n1, &volume);
}

#[test]
fn a_write_back_under_way_is_put_down_and_goes_on_at_the_next_start() {
    let (lab, n1, volume) = leaving();
    // In the middle: some of it has gone home.
    let node = std::sync::Arc::clone(&n1.node);
    n1.kernel
        .before("wait-event", move |_| node.put_copies_down());
    n1.tasks.run_all();
    assert!(matches!(
        home(&lab, &volume).state,
        HomeState::Returning { .. }
    ));
    is_put_down(&lab, n1, &volume);
}

#[test]
fn a_guest_that_starts_again_has_its_copy_whatever_was_put_down() {
    let (lab, n1, volume) = leaving();
    n1.node.put_copies_down();
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.tasks.run_all();
    assert_eq!(n1.node.copies()[0].state, CopyState::WritesOnly);
    assert_eq!(settled(&lab, &n1), [""; 0]);
}
