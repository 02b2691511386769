//! A copy whose guest does not start again after a boot comes home by itself, where the configuration says so.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::VolumeTrouble;
use volward_control::ports::Clock;
use volward_model::home::HomeState;
use volward_model::{CopyMode, VolumeRef};
use volward_simulation::check::{clean, settled};
use volward_simulation::story::home;
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

const PAUSE: Duration = Duration::from_secs(600);

/// Volume `a` of instance 1 was partly in its copy when its node was booted again; the daemon is not started yet.
fn booted(comes_home: bool) -> (Lab, VolumeRef) {
    let mut lab = Lab::new(&["n1", "n2"]);
    lab.alone_home_after = comes_home.then_some(PAUSE);
    lab.policy.say(Say::Copy(CopyMode::Background));
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    for block in [3, 9, 17] {
        let write = (block, 100 + block);
        lab.write(&n1.kernel, volume.id, instance(1), write)
            .unwrap();
    }
    n1.kill();
    lab.reboot("n1");
    lab.policy.say(Say::AsAsked);
    (lab, volume)
}

/// So much time passes, with what the daemon does by itself.
fn pass(lab: &Lab, daemon: &Daemon, time: Duration) {
    lab.cluster.clock().sleep(time);
    daemon.node.try_again();
    daemon.tasks.run_all();
}

fn is_split(lab: &Lab, volume: &VolumeRef) -> bool {
    matches!(home(lab, volume).state, HomeState::Split { .. })
}

#[track_caller]
fn is_home(lab: &Lab, daemon: &Daemon, volume: &VolumeRef) {
    assert_eq!(home(lab, volume).state, HomeState::Pool);
    assert_eq!(clean(lab, daemon), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

#[test]
fn it_comes_home_when_its_guests_time_is_over_and_another_node_may_have_it() {
    let (lab, volume) = booted(true);
    let n1 = lab.start("n1");
    pass(&lab, &n1, PAUSE - Duration::from_secs(1));
    assert!(is_split(&lab, &volume));
    pass(&lab, &n1, Duration::from_secs(1));
    is_home(&lab, &n1, &volume);
    assert_eq!(n1.node.to_look_at(), []);
    let n2 = lab.start("n2");
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    // What was brought home once is nobody's concern any more.
    pass(&lab, &n1, PAUSE);
    assert_eq!(n2.node.attachments().len(), 1);
}

#[test]
fn it_stays_where_nothing_else_is_configured() {
    let (lab, volume) = booted(false);
    let n1 = lab.start("n1");
    pass(&lab, &n1, PAUSE * 10);
    assert!(is_split(&lab, &volume));
    let waits = [(volume, VolumeTrouble::WaitsForItsGuest)];
    assert_eq!(n1.node.to_look_at(), waits);
}

#[test]
fn a_guest_that_starts_in_time_keeps_it() {
    let (lab, volume) = booted(true);
    let n1 = lab.start("n1");
    pass(&lab, &n1, PAUSE / 2);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    pass(&lab, &n1, PAUSE);
    assert!(is_split(&lab, &volume));
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    is_home(&lab, &n1, &volume);
}

/// I24, I30: before and after each change, with and without the node.
#[test]
fn i24_whoever_dies_on_the_way_it_comes_home() {
    let calls = {
        let (lab, _) = booted(true);
        let n1 = lab.start("n1");
        let before = n1.kernel.changes_made();
        pass(&lab, &n1, PAUSE);
        n1.kernel.changes_made() - before
    };
    assert!(calls > 8, "{calls}");
    for call in 1..=calls {
        for (after, reboots) in [(false, false), (false, true), (true, false), (true, true)] {
            let case = format!("call {call}, after: {after}, reboots: {reboots}");
            let (lab, volume) = booted(true);
            let n1 = lab.start("n1");
            match after {
                true => n1.kernel.crash_after(call),
                false => n1.kernel.crash_before(call),
            }
            pass(&lab, &n1, PAUSE);
            n1.kill();
            if reboots {
                lab.reboot("n1");
            }
            let n1 = lab.start("n1");
            n1.tasks.run_all();
            pass(&lab, &n1, PAUSE);
            assert_eq!(home(&lab, &volume).state, HomeState::Pool, "{case}");
            assert_eq!(clean(&lab, &n1), [""; 0], "{case}");
            let there = lab.cluster.contents(volume.id);
            assert_eq!(there, lab.expected(volume.id), "{case}");
        }
    }
}
