//! A disk that a running guest has given back is released; one that it has, may have, or has not opened yet stays.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ports::{GuestDisks, PortError};
use volward_model::{DeviceId, VolumeRef};
use volward_plan::DiskForm;
use volward_simulation::check::{clean, holds};
use volward_simulation::story::one_node;
use volward_simulation::{Daemon, ask, detach_ask, disk, instance};

/// More looks than it takes.
const LOOKS: usize = 6;

fn look(node: &Daemon) {
    for _ in 0..LOOKS {
        node.node.release_unplugged();
    }
}

fn attached(node: &Daemon) -> Vec<VolumeRef> {
    let attachments = node.node.attachments().into_iter();
    attachments.map(|a| a.volume).collect()
}

fn path(volume: &VolumeRef) -> String {
    let (pool, name) = (&volume.pool, &volume.name);
    format!("/dev/volward/{}/{pool}/{name}", instance(1))
}

fn device(volume: &VolumeRef) -> DeviceId {
    DeviceId::attachment(volume.id, instance(1))
}

#[test]
fn what_was_open_and_is_not_the_guests_any_more_is_released_while_it_runs_on() {
    let (lab, n1) = one_node();
    let (system, data) = (lab.volume("system"), lab.volume("data"));
    let disks = [disk(&system), disk(&data)];
    n1.node.attach(&ask(instance(1), &disks)).unwrap();
    let has = |volumes: &[&VolumeRef]| {
        let paths = volumes.iter().map(|v| path(v)).collect();
        n1.kernel
            .set_guest_disks(instance(1), GuestDisks::Running(paths));
    };
    for volume in [&system, &data] {
        n1.kernel.set_open(device(volume), true);
    }
    has(&[&system, &data]);
    look(&n1);
    n1.kernel.set_open(device(&data), false);
    look(&n1);
    assert_eq!(attached(&n1), [system.clone(), data.clone()], "it has both");
    has(&[&system]);
    look(&n1);
    assert_eq!(attached(&n1), std::slice::from_ref(&system));
    assert_eq!(holds(&lab, &n1.kernel, data.id), None);
    n1.kernel.set_open(device(&system), false);
    n1.kernel
        .set_guest_disks(instance(1), GuestDisks::NotRunning);
    look(&n1);
    assert_eq!(attached(&n1), [system], "its end is the hook's");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn what_nobody_has_opened_yet_waits_for_its_guest() {
    let (lab, n1) = one_node();
    let data = lab.volume("data");
    n1.node.attach(&ask(instance(1), &[disk(&data)])).unwrap();
    n1.kernel
        .set_guest_disks(instance(1), GuestDisks::Running(vec![]));
    look(&n1);
    assert_eq!(attached(&n1), std::slice::from_ref(&data));
    // libvirt looks into a disk before its guest opens it.
    n1.kernel.set_open(device(&data), true);
    n1.node.release_unplugged();
    n1.kernel.set_open(device(&data), false);
    n1.node.release_unplugged();
    n1.kernel.set_open(device(&data), true);
    look(&n1);
    assert_eq!(attached(&n1), std::slice::from_ref(&data));
    // Attached anew, it has not been opened: that somebody had it before says nothing.
    n1.kernel.set_open(device(&data), false);
    n1.node.release_unplugged();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.node.attach(&ask(instance(1), &[disk(&data)])).unwrap();
    look(&n1);
    assert_eq!(attached(&n1), [data]);
}

/// Plugged in and unplugged between two looks; or the daemon was started again since.
#[test]
fn what_no_look_has_found_open_goes_later_where_the_kernel_counts_io() {
    let (lab, n1) = one_node();
    let data = lab.volume("data");
    n1.node.attach(&ask(instance(1), &[disk(&data)])).unwrap();
    n1.kernel
        .set_guest_disks(instance(1), GuestDisks::Running(vec![]));
    look(&n1);
    n1.kernel
        .guest_works(device(&data), 3, Duration::from_millis(1))
        .unwrap();
    look(&n1);
    assert_eq!(attached(&n1), std::slice::from_ref(&data));
    look(&n1);
    look(&n1);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn where_libvirt_or_the_kernel_says_nothing_nothing_goes() {
    let (lab, n1) = one_node();
    let data = lab.volume("data");
    n1.node.attach(&ask(instance(1), &[disk(&data)])).unwrap();
    n1.kernel.set_open(device(&data), true);
    n1.node.release_unplugged();
    n1.kernel.set_open(device(&data), false);
    let unknown = GuestDisks::Unknown("libvirt does not answer".to_owned());
    n1.kernel.set_guest_disks(instance(1), unknown);
    look(&n1);
    assert_eq!(attached(&n1), std::slice::from_ref(&data));
    n1.kernel
        .set_guest_disks(instance(1), GuestDisks::Running(vec![]));
    n1.kernel.fail_on(
        "list-devices",
        PortError::Io {
            what: "listing".into(),
            reason: "on purpose".into(),
        },
    );
    n1.node.release_unplugged();
    assert_eq!(attached(&n1), [data]);
    // libvirt is asked less and less often.
    look(&n1);
    look(&n1);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_disk_given_as_the_lv_itself_goes_when_the_guest_has_no_disk_that_may_be_it() {
    let (lab, n1) = one_node();
    let data = lab.volume("data");
    let mut as_lv = disk(&data);
    as_lv.form = DiskForm::Lv;
    n1.node.attach(&ask(instance(1), &[as_lv])).unwrap();
    n1.kernel.set_lv_open(data.id, true);
    n1.node.release_unplugged();
    n1.kernel.set_lv_open(data.id, false);
    let has = |paths: &[&str]| {
        let paths = paths.iter().map(ToString::to_string).collect();
        n1.kernel
            .set_guest_disks(instance(1), GuestDisks::Running(paths));
    };
    has(&["/dev/disk/by-id/dm-name-vg0-data"]);
    look(&n1);
    assert_eq!(attached(&n1), std::slice::from_ref(&data));
    has(&["/var/lib/libvirt/images/other.qcow2"]);
    look(&n1);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}
