//! A copy that a guest has used is removed by nobody before it is written back, whatever could not be
//! read meanwhile; and data that is home is nobody's prisoner.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::VolumeTrouble;
use volward_model::home::HomeState;
use volward_model::{CopyMode, LeaseMode, VolumeRef};
use volward_simulation::check::{clean, data, holds};
use volward_simulation::story::{attached, failure, home};
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
