//! The daemon dies between any two steps, or before or after any single call that
//! changes something; or the node dies with it. Afterwards every attachment is whole, gone or
//! quarantined, nothing is left over, and no guest's write is lost (I19, I21, I24, I30, I32).
//!
//! The points come from an uninterrupted run: a new step joins by itself.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::{PortError, StoredAttachment, Volumes};
use volward_model::{AttachmentState, CopyMode, InstanceId, VolumeRef};
use volward_simulation::{
    Daemon, Lab, Say, ask, check, detach_ask, disk, instance, read_only, shared,
};

/// What is interrupted, and what comes before it.
struct Story {
    policy: Say,
    prepare: fn(&Lab, &Daemon, &[VolumeRef]),
    act: fn(&Lab, &Daemon, &[VolumeRef]),
}

/// How the daemon ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Point(usize),
    Before(usize),
    After(usize),
}

const GUEST: u8 = 1;

fn guest() -> InstanceId {
    instance(GUEST)
}

struct Stage {
    lab: Lab,
    volumes: Vec<VolumeRef>,
    daemon: Daemon,
}

fn stage(story: &Story) -> Stage {
    let lab = Lab::new(&["n1", "n2"]);
    let volumes = vec![lab.volume("a"), lab.volume("b"), lab.shareable("c")];
    lab.policy.say(story.policy.clone());
    // The other nodes have joined: their slots are there to be read.
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    (story.prepare)(&lab, &daemon, &volumes);
    Stage {
        lab,
        volumes,
        daemon,
    }
}

fn every_end(story: &Story) -> Vec<End> {
    let stage = stage(story);
    let points = stage.daemon.points.passed().len();
    let changes = stage.daemon.kernel.changes_made();
    (story.act)(&stage.lab, &stage.daemon, &stage.volumes);
    assert_eq!(
        check::settled(&stage.lab, &stage.daemon),
        [""; 0],
        "uninterrupted"
    );
    let points = 0..stage.daemon.points.passed().len() - points;
    let changes = 1..=stage.daemon.kernel.changes_made() - changes;
    assert!(!points.is_empty() && !changes.is_empty());
    points
        .map(End::Point)
        .chain(changes.clone().map(End::Before))
        .chain(changes.map(End::After))
        .collect()
}

/// What comes back, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Return {
    /// The daemon alone died.
    Daemon,
    /// The node was restarted.
    Node,
    /// The node was restarted, and the daemon is up before any pool can be read.
    NodeBeforePools,
}

/// Starts the daemon anew while no pool can be read, and lets the pools come back.
fn start_before_pools(lab: &Lab) -> Daemon {
    let daemon = lab.daemon("n1", None);
    for _ in 0..100 {
        let error = PortError::Missing {
            what: "a pool in a test".into(),
        };
        daemon.kernel.fail_on("pool", error);
    }
    daemon.node.recover().unwrap();
    while Volumes::pool(&daemon.kernel, &lab.pool).is_err() {}
    daemon.node.open_registry(&lab.pool).unwrap();
    daemon
}

fn interrupted(story: &Story, end: End, back: Return) {
    let Stage {
        lab,
        volumes,
        daemon,
    } = stage(story);
    match end {
        End::Point(n) => daemon.points.die_at(n),
        End::Before(n) => daemon.kernel.crash_before(n),
        End::After(n) => daemon.kernel.crash_after(n),
    }
    (story.act)(&lab, &daemon, &volumes);
    assert!(daemon.kernel.crashed(), "{end:?} was not reached");
    daemon.kill();
    if back != Return::Daemon {
        lab.journal("n1").forget_marks();
        lab.reboot("n1");
    }
    let asked = lab.policy.asked().len();
    let daemon = match back {
        Return::Daemon | Return::Node => lab.start("n1"),
        Return::NodeBeforePools => start_before_pools(&lab),
    };
    daemon.tasks.run_all();
    assert_eq!(lab.policy.asked().len(), asked, "I32: no plugin is asked");
    let case = format!("{end:?}, back: {back:?}");
    assert_eq!(check::settled(&lab, &daemon), [""; 0], "{case}");
    assert_eq!(check::on_record(&lab, "n1"), [""; 0], "{case}");
    // Nothing but the daemon broke, so there is nothing that could not be mended.
    let attachments = daemon.node.attachments();
    assert!(
        attachments.iter().all(|a| a.causes.is_empty()),
        "{case}: {attachments:?}"
    );

    // It works on: the guest starts again with all it had, writes, and stops.
    let disks = [disk(&volumes[0]), disk(&volumes[1]), read_only(&volumes[2])];
    if let Some(Err(error)) = daemon.try_attach(&ask(guest(), &disks)) {
        // Interrupted after the point of no return, a disk is there as it was asked for first.
        let different = error
            .to_string()
            .contains("attached to this instance already");
        assert!(different, "{case}: {error}");
    }
    assert_eq!(check::data(&lab, &daemon), [""; 0], "{case}, started again");
    let detached = daemon.node.detach(&detach_ask(guest()));
    assert!(detached.is_ok(), "{case}: {detached:?}");
    daemon.tasks.run_all();
    assert_eq!(check::clean(&lab, &daemon), [""; 0], "{case}, stopped");

    lab.policy.say(Say::AsAsked);
    let other = lab.start("n2");
    let disks: Vec<_> = volumes.iter().map(disk).collect();
    let moved = other.node.attach(&ask(instance(2), &disks));
    assert!(moved.is_ok(), "{case}: {moved:?}");
    assert_eq!(
        check::settled(&lab, &other),
        [""; 0],
        "{case}, on the other node"
    );
}

fn survives_everywhere(story: &Story) {
    for end in every_end(story) {
        for back in [Return::Daemon, Return::Node, Return::NodeBeforePools] {
            interrupted(story, end, back);
        }
    }
}

fn nothing(_: &Lab, _: &Daemon, _: &[VolumeRef]) {}

fn attach_two(_: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    let disks = [disk(&volumes[0]), disk(&volumes[1])];
    daemon.try_attach(&ask(guest(), &disks));
}

fn attach_one(_: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    daemon.try_attach(&ask(guest(), &[disk(&volumes[0])]));
}

fn attach_mixed(_: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    let disks = [disk(&volumes[0]), shared(&volumes[2])];
    daemon.try_attach(&ask(guest(), &disks));
}

fn detach_all(_: &Lab, daemon: &Daemon, _: &[VolumeRef]) {
    daemon.try_detach(&detach_ask(guest()));
}

fn write_some(lab: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    for (block, value) in [(0, 5), (7, 6), (31, 7)] {
        let written = lab.write(&daemon.kernel, volumes[0].id, guest(), (block, value));
        written.unwrap();
    }
}

/// Attached, a few regions written, hydration not begun.
fn with_copy(lab: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    attach_one(lab, daemon, volumes);
    write_some(lab, daemon, volumes);
}

fn with_whole_copy(lab: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    with_copy(lab, daemon, volumes);
    daemon.tasks.run_all();
}

fn run_tasks(_: &Lab, daemon: &Daemon, _: &[VolumeRef]) {
    daemon.tasks.run_all();
}

fn detach_and_write_back(lab: &Lab, daemon: &Daemon, volumes: &[VolumeRef]) {
    detach_all(lab, daemon, volumes);
    run_tasks(lab, daemon, volumes);
}

#[test]
fn i30_attach_of_two_volumes() {
    survives_everywhere(&Story {
        policy: Say::AsAsked,
        prepare: nothing,
        act: attach_two,
    });
}

#[test]
fn i30_attach_of_exclusive_and_shared() {
    survives_everywhere(&Story {
        policy: Say::AsAsked,
        prepare: nothing,
        act: attach_mixed,
    });
}

#[test]
fn i30_attach_of_two_volumes_with_copies() {
    survives_everywhere(&Story {
        policy: Say::Copy(CopyMode::Background),
        prepare: nothing,
        act: attach_two,
    });
}

#[test]
fn i30_attach_with_a_copy_before_start() {
    survives_everywhere(&Story {
        policy: Say::Copy(CopyMode::BeforeStart),
        prepare: nothing,
        act: attach_one,
    });
}

#[test]
fn i30_detach_of_two_volumes() {
    survives_everywhere(&Story {
        policy: Say::AsAsked,
        prepare: attach_two,
        act: detach_all,
    });
}

#[test]
fn i22_hydration_and_the_switch() {
    survives_everywhere(&Story {
        policy: Say::Copy(CopyMode::Background),
        prepare: with_copy,
        act: run_tasks,
    });
}

#[test]
fn i24_write_back_of_a_copy_that_is_not_whole() {
    survives_everywhere(&Story {
        policy: Say::Copy(CopyMode::WritesOnly),
        prepare: with_copy,
        act: detach_and_write_back,
    });
}

#[test]
fn i24_write_back_of_a_whole_copy() {
    survives_everywhere(&Story {
        policy: Say::Copy(CopyMode::Background),
        prepare: with_whole_copy,
        act: detach_and_write_back,
    });
}

/// A whole copy that comes home under its guest.
#[test]
fn i24_a_copy_that_comes_home_under_its_guest() {
    survives_everywhere(&Story {
        policy: Say::Copy(CopyMode::Background),
        prepare: with_whole_copy,
        act: |_, daemon, volumes| {
            drop(daemon.try_bring_home(&volumes[0]));
            daemon.tasks.run_all();
        },
    });
}

/// A daemon that died in the middle of `act`, and nobody came back yet.
fn dead_at(story: &Story, point: &str) -> Stage {
    let rehearsal = stage(story);
    let before = rehearsal.daemon.points.passed().len();
    (story.act)(&rehearsal.lab, &rehearsal.daemon, &rehearsal.volumes);
    let passed = rehearsal.daemon.points.passed();
    let n = passed[before..].iter().position(|p| p == point).unwrap();
    let stage = stage(story);
    stage.daemon.points.die_at(n);
    (story.act)(&stage.lab, &stage.daemon, &stage.volumes);
    assert!(stage.daemon.kernel.crashed());
    stage
}

/// What is attached or quarantined: how it is, and what its causes say.
fn causes(daemon: &Daemon) -> Vec<(AttachmentState, String)> {
    let attachments = daemon.node.attachments();
    let one = |a: &StoredAttachment| (a.state, a.causes.join("; "));
    attachments.iter().map(one).collect()
}

#[test]
fn i30_an_entry_of_which_nobody_can_say_how_far_it_is_is_quarantined() {
    let attach = Story {
        policy: Say::AsAsked,
        prepare: nothing,
        act: attach_two,
    };
    let detach = Story {
        policy: Say::AsAsked,
        prepare: attach_two,
        act: detach_all,
    };
    for (story, point) in [
        (&attach, "attach/create-device/after"),
        (&attach, "attach/link/after"),
        (&detach, "detach/remove-device/after"),
    ] {
        let Stage { lab, daemon, .. } = dead_at(story, point);
        lab.journal("n1").damage_open_entries();
        daemon.kill();
        let daemon = lab.start("n1");
        daemon.tasks.run_all();
        // A detach comes after the attach that was finished.
        let entry = 1 + usize::from(point.starts_with("detach"));
        let said = format!("entry {entry} of the journal: it was damaged");
        let quarantined = vec![(AttachmentState::Quarantined, said); 2];
        assert_eq!(causes(&daemon), quarantined, "{point}");
        assert_eq!(check::settled(&lab, &daemon), [""; 0], "{point}");
        daemon.node.detach(&detach_ask(guest())).unwrap();
        assert_eq!(check::clean(&lab, &daemon), [""; 0], "{point}");
    }
}

#[test]
fn a_damaged_entry_of_an_earlier_boot_is_taken_up_as_any_other() {
    let attach = Story {
        policy: Say::Copy(CopyMode::Background),
        prepare: nothing,
        act: attach_two,
    };
    let Stage { lab, daemon, .. } = dead_at(&attach, "attach/create-device/after");
    lab.journal("n1").damage_open_entries();
    daemon.kill();
    lab.reboot("n1");
    let daemon = lab.start("n1");
    daemon.tasks.run_all();
    assert_eq!(causes(&daemon), []);
    assert_eq!(check::clean(&lab, &daemon), [""; 0]);
}

/// Opened by somebody in between: no later try can take its device away.
#[test]
fn i30_a_detach_that_cannot_be_completed_after_a_crash_is_quarantined_with_its_path() {
    let detach = Story {
        policy: Say::AsAsked,
        prepare: attach_two,
        act: detach_all,
    };
    let Stage {
        lab,
        daemon,
        volumes,
    } = dead_at(&detach, "detach/unlink/after");
    daemon.kill();
    let daemon = lab.daemon("n1", None);
    // A guest that runs has all its disks open.
    let set_open = |open| {
        for volume in &volumes {
            let id = volward_model::DeviceId::attachment(volume.id, guest());
            daemon.kernel.set_open(id, open);
        }
    };
    set_open(true);
    let recovered = daemon.node.recover().unwrap();
    assert_eq!(recovered.quarantined.len(), 1);
    let states: Vec<_> = causes(&daemon)
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    assert_eq!(states, [AttachmentState::Quarantined; 2]);
    use volward_control::ports::Devices;
    assert_eq!(daemon.kernel.links().unwrap().len(), 2, "the guest's paths");
    set_open(false);
    daemon.node.detach(&detach_ask(guest())).unwrap();
    assert_eq!(check::clean(&lab, &daemon), [""; 0]);
}
