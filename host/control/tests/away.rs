//! An operation on a volume whose data is in a local copy: the copy comes home first, under its guest, and then it is done to
//! the volume itself.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use volward_control::OperationRequest;
use volward_control::ports::{Clock, Devices, LeaseStyle, Volumes};
use volward_model::home::HomeState;
use volward_model::{Bytes, CopyMode, DeviceId, DeviceRole, End, RequestId, VolumeRef, VolumeTask};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, settled};
use volward_simulation::ends::ended as end;
use volward_simulation::story::{home, seconds};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance, operation};

const LARGER: Bytes = Bytes::mib(132);
const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];

/// Instance 1 runs on a copy of `a` on node 1, which is hydrated as soon as background work runs.
fn stage(style: LeaseStyle) -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.cluster.set_lease_style(style);
    let daemon = lab.start("n1");
    lab.policy.say(Say::Copy(CopyMode::Background));
    let volume = lab.volume("a");
    let asked = ask(instance(1), &[disk(&volume)]);
    daemon.node.attach(&asked).unwrap();
    write(&lab, &daemon, &volume, 3);
    (lab, daemon, volume)
}

fn write(lab: &Lab, daemon: &Daemon, volume: &VolumeRef, block: u64) {
    let at = (block, 1_000 + block);
    lab.write(&daemon.kernel, volume.id, instance(1), at)
        .unwrap();
}

fn extend(lab: &Lab) -> VolumeTask {
    VolumeTask::Extend {
        pool: lab.pool.clone(),
        name: "a".parse().unwrap(),
        size: LARGER,
    }
}

fn snapshot(lab: &Lab) -> VolumeTask {
    VolumeTask::Snapshot {
        pool: lab.pool.clone(),
        from: "a".parse().unwrap(),
        name: "moment".parse().unwrap(),
    }
}

fn delete(lab: &Lab) -> VolumeTask {
    VolumeTask::Delete {
        pool: lab.pool.clone(),
        name: "a".parse().unwrap(),
    }
}

fn trouble(daemon: &Daemon, id: &str) -> String {
    let known = daemon.node.operation(&id.parse().unwrap()).unwrap();
    assert_eq!(known.failures, 0, "{known:?}");
    known.trouble.unwrap_or_default()
}

fn cancel(daemon: &Daemon, id: &str) {
    let request = RequestId(uuid::Uuid::new_v4());
    daemon
        .node
        .cancel_operation(request, &id.parse().unwrap())
        .unwrap();
}

fn plan(daemon: &Daemon, task: VolumeTask) -> Vec<String> {
    let dry = OperationRequest {
        dry_run: true,
        ..operation("dry", task)
    };
    daemon.node.ask_operation(&dry).unwrap().plan
}

/// The guest has what it wrote, zeroes behind that, and no copy any more.
fn has_grown(lab: &Lab, daemon: &Daemon, volume: &VolumeRef) {
    assert_eq!(home(lab, volume).state, HomeState::Pool);
    assert!(daemon.node.copies().is_empty());
    let id = DeviceId::attachment(volume.id, instance(1));
    let device = daemon.kernel.get(id).unwrap().unwrap();
    assert_eq!(device.size.bytes(), LARGER);
    let (has, wrote) = (lab.cluster.contents(volume.id), lab.expected(volume.id));
    let (has, new) = has.split_at(wrote.len());
    assert_eq!(has, wrote);
    assert!(!new.is_empty() && new.iter().all(|block| *block == 0));
    // Compared above: it is longer than what is expected of it.
    let wrong = settled(lab, daemon).into_iter();
    let wrong: Vec<_> = wrong.filter(|w| !w.contains("lost data")).collect();
    assert_eq!(wrong, [""; 0]);
}

/// I11, I28.
#[test]
fn i11_a_volume_grows_while_its_copy_hydrates() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        let planned = plan(&n1, extend(&lab));
        assert!(planned[0].contains("is whole"), "{planned:?}");
        assert!(planned[1].contains("bring the local copy home"));
        assert!(planned[2].contains("is home"), "{planned:?}");
        assert!(planned.len() > 5, "{planned:?}");
        let asked = operation("e1", extend(&lab));
        n1.node.ask_operation(&asked).unwrap();
        for round in 0..12 {
            write(&lab, &n1, &a, round);
            seconds(&lab, &[&n1], 1);
        }
        assert_eq!(end(&n1, "e1"), End::Done);
        has_grown(&lab, &n1, &a);
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        let id = DeviceId::attachment(a.id, instance(1));
        assert!(n1.kernel.get(id).unwrap().is_none());
        assert!(n1.kernel.leases_held().iter().all(|(id, _)| *id != a.id));
    }
}

/// It is said what it waits for, and cancelled it changes nothing of the volume.
#[test]
fn who_waits_for_a_copy_is_told_so_and_may_cancel() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        let asked = operation("e1", extend(&lab));
        n1.node.ask_operation(&asked).unwrap();
        assert!(n1.tasks.run_named("operation") > 0);
        let told = trouble(&n1, "e1");
        assert!(told.contains("to be whole before it comes home"), "{told}");
        cancel(&n1, "e1");
        lab.cluster.clock().sleep(Duration::from_secs(2));
        n1.node.try_again();
        n1.tasks.run_named("operation");
        assert_eq!(end(&n1, "e1"), End::Cancelled);
        let pool = Volumes::pool(&n1.kernel, &lab.pool).unwrap();
        assert!(pool.volume(a.id).unwrap().size < LARGER);
        assert!(matches!(home(&lab, &a).state, HomeState::Split { .. }));
        assert_eq!(settled(&lab, &n1), [""; 0]);
    }
}

#[test]
fn i30_what_a_guest_has_on_its_copy_is_kept_as_of_one_moment() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        let asked = operation("s1", snapshot(&lab));
        n1.node.ask_operation(&asked).unwrap();
        let mut moments = Vec::new();
        for round in 0..12 {
            write(&lab, &n1, &a, round);
            moments.push(lab.expected(a.id));
            seconds(&lab, &[&n1], 1);
        }
        assert_eq!(end(&n1, "s1"), End::Done);
        let pool = Volumes::pool(&n1.kernel, &lab.pool).unwrap();
        let made = pool.named(&"moment".parse().unwrap()).unwrap();
        let kept = lab.cluster.contents(made.volume.id);
        let kept = &kept[..moments[0].len()];
        assert!(moments.iter().any(|moment| moment == kept));
        assert_eq!(settled(&lab, &n1), [""; 0]);
    }
}

/// OpenStack deletes what it has just detached.
#[test]
fn what_is_on_its_way_home_is_deleted_when_it_is_there() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        n1.tasks.run_all();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        assert_ne!(home(&lab, &a).state, HomeState::Pool);
        let asked = operation("d1", delete(&lab));
        n1.node.ask_operation(&asked).unwrap();
        // Nothing is taken from the write-back.
        assert!(n1.tasks.run_named("operation") > 0);
        assert!(trouble(&n1, "d1").contains("comes home"));
        seconds(&lab, &[&n1], 6);
        assert_eq!(end(&n1, "d1"), End::Done);
        let pool = Volumes::pool(&n1.kernel, &lab.pool).unwrap();
        assert!(pool.volume(a.id).is_none());
        assert_eq!(clean(&lab, &n1), [""; 0]);
    }
}

#[test]
fn a_cancelled_operation_leaves_a_write_back_its_lease() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        n1.tasks.run_all();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.node
            .ask_operation(&operation("d1", delete(&lab)))
            .unwrap();
        assert!(n1.tasks.run_named("operation") > 0);
        cancel(&n1, "d1");
        lab.cluster.clock().sleep(Duration::from_secs(2));
        n1.node.try_again();
        n1.tasks.run_named("operation");
        assert_eq!(end(&n1, "d1"), End::Cancelled);
        let held = n1.kernel.leases_held();
        assert!(held.iter().any(|(id, _)| *id == a.id), "{held:?}");
        seconds(&lab, &[&n1], 4);
        assert_eq!(lab.cluster.contents(a.id), lab.expected(a.id));
        assert_eq!(clean(&lab, &n1), [""; 0]);
    }
}

/// Whichever node is asked, the one that has the copy brings it home.
#[test]
fn i11_a_volume_grows_on_the_node_that_has_its_copy() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        let n2 = lab.start("n2");
        let asked = operation("e1", extend(&lab));
        n2.node.ask_operation(&asked).unwrap();
        for round in 0..12 {
            write(&lab, &n1, &a, round);
            seconds(&lab, &[&n1, &n2], 1);
        }
        assert_eq!(end(&n2, "e1"), End::Done);
        has_grown(&lab, &n1, &a);
    }
}

/// I21, I30: between any two steps, and before and after each single change; the guest lives on, and writes.
#[test]
fn i30_the_daemon_dies_on_the_way() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        let before = (n1.points.passed().len(), n1.kernel.changes_made());
        grow(&lab, &n1, &a);
        has_grown(&lab, &n1, &a);
        let (points, changes) = (n1.points.passed().len(), n1.kernel.changes_made());
        let (points, changes) = (points - before.0, changes - before.1);
        assert!(points > 12 && changes > 12, "{points}, {changes}");
        for n in 0..points {
            dies(style, &format!("point {n}"), |n1| n1.points.die_at(n));
        }
        for n in 1..=changes {
            dies(style, &format!("before {n}"), |n1| {
                n1.kernel.crash_before(n)
            });
            dies(style, &format!("after {n}"), |n1| n1.kernel.crash_after(n));
        }
    }
}

fn grow(lab: &Lab, daemon: &Daemon, volume: &VolumeRef) {
    let asked = operation("e1", extend(lab));
    // A daemon that dies answers nothing.
    drop(daemon.node.ask_operation(&asked));
    for round in 0..12 {
        if daemon.kernel.crashed() {
            return;
        }
        write(lab, daemon, volume, round);
        seconds(lab, &[daemon], 1);
    }
}

fn dies(style: LeaseStyle, case: &str, set: impl Fn(&Daemon)) {
    let (lab, n1, a) = stage(style);
    set(&n1);
    grow(&lab, &n1, &a);
    assert!(n1.kernel.crashed(), "{case}, {style:?} was not reached");
    n1.kill();
    let n1 = lab.start("n1");
    grow(&lab, &n1, &a);
    assert_eq!(end(&n1, "e1"), End::Done, "{case}, {style:?}");
    has_grown(&lab, &n1, &a);
}

/// OpenStack's control node deletes what was detached on another one.
#[test]
fn what_another_node_writes_back_is_waited_for() {
    for style in STYLES {
        let (lab, n1, a) = stage(style);
        n1.tasks.run_all();
        let n2 = Arc::new(lab.start("n2"));
        let (other, task) = (Arc::clone(&n2), delete(&lab));
        let asked = AtomicBool::new(false);
        n1.kernel.while_waiting(move |kernel, id| {
            let id_of_return = id.role == DeviceRole::Return;
            if id_of_return && !asked.swap(true, Ordering::SeqCst) {
                let known = other.node.ask_operation(&operation("d1", task.clone()));
                known.unwrap();
                assert!(other.tasks.run_named("operation") > 0);
                assert!(trouble(&other, "d1").contains("comes home"));
            }
            kernel.hydrate(id, 1).unwrap();
        });
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        assert_eq!(home(&lab, &a).state, HomeState::Pool);
        seconds(&lab, &[&n2], 6);
        assert_eq!(end(&n2, "d1"), End::Done);
        let pool = Volumes::pool(&n2.kernel, &lab.pool).unwrap();
        assert!(pool.volume(a.id).is_none());
    }
}

/// What nobody brings home is not waited for.
#[test]
fn a_copy_that_is_kept_or_of_another_node_is_refused() {
    let (lab, n1, a) = stage(LeaseStyle::Separate);
    n1.tasks.run_all();
    // One that takes only what its guest writes is never whole.
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let never = lab.volume("never");
    let asked = ask(instance(2), &[disk(&never)]);
    n1.node.attach(&asked).unwrap();
    let grow = VolumeTask::Extend {
        pool: lab.pool.clone(),
        name: "never".parse().unwrap(),
        size: LARGER,
    };
    let error = n1.node.ask_operation(&operation("e1", grow)).unwrap_err();
    assert!(error.to_string().contains("local copy"), "{error}");

    let n2 = lab.start("n2");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let error = n2
        .node
        .ask_operation(&operation("d1", delete(&lab)))
        .unwrap_err();
    assert!(
        error.to_string().contains("local copy on node n1"),
        "{error}"
    );
    let code = match error {
        volward_control::ControlError::Refused { refusal, .. } => refusal.code,
        other => panic!("{other}"),
    };
    assert_eq!(code, RefusalCode::HomeElsewhere);
    assert_ne!(home(&lab, &a).state, HomeState::Pool);
}
