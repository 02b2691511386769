//! Attachments are cut off before another node may have their volume, and get their I/O back only
//! where nobody can have had it (I2).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ControlError;
use volward_control::ports::{Clock, Event, PortError};
use volward_model::{CopyMode, MemberState, RequestId, VolumeRef, VolumeTask};
use volward_plan::DiskForm;
use volward_plan::fence::Standing;
use volward_simulation::check::{clean, data};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance, operation, shared};

#[path = "fence/restart.rs"]
mod restart;

fn request() -> RequestId {
    RequestId("00000000-0000-0000-0000-000000000001".parse().unwrap())
}

/// As the daemon does every second: a look, and what it began.
fn look(node: &Daemon) {
    node.node.follow_leases();
    while let Some((name, work)) = node.tasks.pop() {
        // Copies have threads of their own.
        if ["leases", "fence", "unfence", "record"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            work();
        }
    }
}

fn writes(lab: &Lab, node: &Daemon, volume: &VolumeRef, value: u64) -> bool {
    let what = (3, value);
    lab.write(&node.kernel, volume.id, instance(1), what)
        .is_ok()
}

fn refused(error: &ControlError) -> (&str, &str) {
    let ControlError::Refused { refusal, .. } = error else {
        panic!("{error:?}");
    };
    (refusal.code.as_str(), &refusal.message)
}

fn fences(node: &Daemon) -> usize {
    let told = node.events.told();
    told.iter()
        .filter(|event| matches!(event, Event::Fenced { .. }))
        .count()
}

/// How much was attached at each loss that was told.
fn losses(node: &Daemon) -> Vec<usize> {
    let told = node.events.told();
    let lost = told.iter().filter_map(|event| match event {
        Event::LeasesLost { attached, .. } => Some(*attached),
        _ => None,
    });
    lost.collect()
}

#[test]
fn i2_a_lockspace_that_is_not_renewed_cuts_off_what_is_attached_and_gives_it_back() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    assert_eq!(n1.node.lease_standings()[0].1, Standing::Sound);

    // Overdue: told, and nothing new is attached. The guest goes on.
    n1.kernel.set_renewed_ago(Duration::from_secs(45));
    look(&n1);
    assert!(writes(&lab, &n1, &volume, 1));
    let other = lab.volume("b");
    let error = n1
        .node
        .attach(&ask(instance(2), &[disk(&other)]))
        .unwrap_err();
    assert_eq!(refused(&error).0, "leases-uncertain");
    // Nor is anything made, changed or deleted: LVM would fail in words of its own, or hang.
    let task = VolumeTask::Delete {
        pool: lab.pool.clone(),
        name: other.name.clone(),
    };
    let error = n1.node.ask_operation(&operation("d1", task)).unwrap_err();
    assert_eq!(refused(&error).0, "leases-uncertain");

    // Before the 80 s after which another node may have the lease.
    n1.kernel.set_renewed_ago(Duration::from_secs(60));
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 2));
    assert_eq!(fences(&n1), 1);
    let fenced = n1.node.fenced();
    let fenced = fenced.values().next().unwrap();
    assert!(
        fenced.cut && fenced.reason.contains("60 s ago"),
        "{fenced:?}"
    );
    let missing = (volume.pool.clone(), volume.name.clone());
    assert_eq!(
        n1.node.missing(instance(1), std::slice::from_ref(&missing)),
        std::slice::from_ref(&missing)
    );
    // Asked again and again, it is done once.
    look(&n1);
    assert_eq!(fences(&n1), 1);
    let error = n1.node.unfence(request(), instance(1)).unwrap_err();
    assert!(refused(&error).1.contains("not renewed"), "{error}");

    // Renewed: the same lease is held, and the guest goes on where it was.
    n1.kernel.set_renewed_ago(Duration::from_secs(1));
    look(&n1);
    let error = n1
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    assert_eq!(refused(&error).0, "fenced");
    assert_eq!(
        n1.node.unfence(request(), instance(1)).unwrap(),
        std::slice::from_ref(&volume)
    );
    assert!(writes(&lab, &n1, &volume, 3));
    assert_eq!(n1.node.missing(instance(1), &[missing]), []);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(data(&lab, &n1), [""; 0]);
}

fn given_back(node: &Daemon) -> usize {
    let told = node.events.told();
    let by_itself = |event: &&Event| {
        matches!(
            event,
            Event::Unfenced {
                by_itself: true,
                ..
            }
        )
    };
    told.iter().filter(by_itself).count()
}

/// A lab whose daemons give back by themselves after 30 s, with volume `a` of instance 1 attached.
fn by_itself() -> (Lab, Daemon, VolumeRef) {
    let mut lab = Lab::new(&["n1"]);
    lab.unfence_after = Some(Duration::from_secs(30));
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    (lab, n1, volume)
}

/// So many seconds pass, with a look in each.
fn pass(lab: &Lab, node: &Daemon, seconds: u64) {
    for _ in 0..seconds {
        lab.cluster.clock().sleep(Duration::from_secs(1));
        look(node);
    }
}

fn lose_and_regain(node: &Daemon) {
    node.kernel.set_renewed_ago(Duration::from_secs(60));
    look(node);
    node.kernel.set_renewed_ago(Duration::from_secs(1));
    look(node);
}

#[test]
fn i2_io_comes_back_by_itself_where_the_configuration_says_so_and_nobody_had_the_volume() {
    let (lab, n1, volume) = by_itself();
    lose_and_regain(&n1);
    assert!(!writes(&lab, &n1, &volume, 1));
    let fenced = n1.node.fenced();
    let after = n1.node.comes_back(fenced.values().next().unwrap());
    assert_eq!(after, Some(Duration::from_secs(30)));
    pass(&lab, &n1, 28);
    assert!(!writes(&lab, &n1, &volume, 1), "the pause");
    pass(&lab, &n1, 4);
    assert!(writes(&lab, &n1, &volume, 2));
    assert_eq!(given_back(&n1), 1);

    // The path goes again: now it has to be sound for twice as long.
    lose_and_regain(&n1);
    pass(&lab, &n1, 40);
    assert_eq!(given_back(&n1), 1);
    pass(&lab, &n1, 24);
    assert_eq!(given_back(&n1), 2);
    assert!(writes(&lab, &n1, &volume, 3));

    // Under another generation nobody knows who had the volume.
    n1.kernel.rejoin();
    look(&n1);
    pass(&lab, &n1, 300);
    assert_eq!(given_back(&n1), 2);
    assert!(!writes(&lab, &n1, &volume, 4));
}

#[test]
fn i2_what_somebody_cut_off_does_not_come_back_by_itself() {
    let (lab, n1, volume) = by_itself();
    // Lost first, and asked for then.
    n1.kernel.set_renewed_ago(Duration::from_secs(60));
    look(&n1);
    n1.node.fence(Some(instance(1)), &[]);
    look(&n1);
    n1.kernel.set_renewed_ago(Duration::from_secs(1));
    pass(&lab, &n1, 100);
    assert!(!writes(&lab, &n1, &volume, 1));
    assert_eq!(given_back(&n1), 0);
    n1.node.unfence(request(), instance(1)).unwrap();
    assert!(writes(&lab, &n1, &volume, 2));
}

/// By default nothing comes back by itself.
#[test]
fn io_that_was_cut_off_waits_for_somebody_unless_the_configuration_says_otherwise() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    lose_and_regain(&n1);
    pass(&lab, &n1, 300);
    assert!(!writes(&lab, &n1, &volume, 1));
}

#[test]
fn i2_a_sanlock_that_was_restarted_gives_nothing_back() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    n1.kernel.rejoin();
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 1));
    let error = n1.node.unfence(request(), instance(1)).unwrap_err();
    assert_eq!(refused(&error).0, "fenced");
    // Why, in the words of `ls`, and nothing that was just refused is advised.
    let message = refused(&error).1;
    assert!(message.contains("joined it again (generation"), "{message}");
    assert!(message.contains("stop the instance here"), "{message}");
    assert!(!message.contains("unfence"), "{message}");
    // What is attached under the new generation is not concerned.
    let other = lab.volume("b");
    n1.node.attach(&ask(instance(2), &[disk(&other)])).unwrap();
    look(&n1);
    look(&n1);
    lab.write(&n1.kernel, other.id, instance(2), (3, 7))
        .unwrap();
    assert_eq!(fences(&n1), 1);
}

/// sanlock left the lockspace, and the daemon was started anew: it has never seen the leases that its attachments had.
#[test]
fn i2_a_daemon_that_is_started_outside_the_lockspace_cuts_off_what_the_one_before_attached() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.kill();
    lab.cluster.set_member("n1", MemberState::Dead);
    let n1 = lab.start("n1");
    assert!(writes(&lab, &n1, &volume, 1));
    look(&n1);
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 2));
    assert_eq!(fences(&n1), 1);
    assert_eq!(losses(&n1), [1]);
    n1.node.unfence(request(), instance(1)).unwrap_err();
    // In the lockspace again, its end is taken up as any other.
    lab.cluster.set_member("n1", MemberState::Live);
    look(&n1);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// A node that was booted without its LUN, say.
#[test]
fn of_leases_that_nothing_here_needs_it_is_not_said_that_something_is_cut_off() {
    let lab = Lab::new(&["n1"]);
    lab.cluster.set_member("n1", MemberState::Dead);
    let n1 = lab.start("n1");
    look(&n1);
    look(&n1);
    assert_eq!(losses(&n1), [0]);
    assert_eq!(fences(&n1), 0);
}

/// Whoever asks for I/O hears of the new generation first; the next look hears of it all the same.
#[test]
fn i2_an_unfence_takes_no_loss_from_the_next_look() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volumes = ["a", "b"].map(|name| lab.volume(name));
    for (n, volume) in (1..).zip(&volumes) {
        n1.node.attach(&ask(instance(n), &[disk(volume)])).unwrap();
    }
    look(&n1);
    n1.node.fence(Some(instance(1)), &[]);
    look(&n1);
    assert_eq!(fences(&n1), 1);
    n1.kernel.rejoin();
    n1.node.unfence(request(), instance(1)).unwrap_err();
    look(&n1);
    assert_eq!(fences(&n1), 2);
    let write = lab.write(&n1.kernel, volumes[1].id, instance(2), (3, 7));
    write.unwrap_err();
    // What was cut off for somebody is lost like all else, for good.
    n1.node.unfence(request(), instance(1)).unwrap_err();
}

/// The guest was stopped and started again between two looks, and its leases are as they were.
#[test]
fn i2_what_is_attached_again_after_a_fence_is_cut_off_as_well() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    n1.node.fence(Some(instance(1)), &[]);
    look(&n1);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    lab.cluster.clock().advance(Duration::from_millis(1));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert!(writes(&lab, &n1, &volume, 1));
    n1.node.fence(Some(instance(1)), &[]);
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 2));
}

#[test]
fn i2_a_lease_that_is_gone_cuts_off_its_volume_and_no_other() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let [a, b] = ["a", "b"].map(|name| lab.volume(name));
    n1.node
        .attach(&ask(instance(1), &[disk(&a), disk(&b)]))
        .unwrap();
    look(&n1);
    n1.kernel.lose_lease(a.id);
    // Once may be a conversion that is under way.
    look(&n1);
    assert!(writes(&lab, &n1, &a, 1));
    look(&n1);
    assert!(!writes(&lab, &n1, &a, 2) && writes(&lab, &n1, &b, 2));
    let error = n1.node.unfence(request(), instance(1)).unwrap_err();
    assert_eq!(refused(&error).0, "fenced");
}

#[test]
fn i2_an_error_table_that_cannot_be_loaded_is_tried_again() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    let failure = PortError::Io {
        what: "a test".into(),
        reason: "a test's failure".into(),
    };
    n1.kernel.fail_on("reload", failure);
    n1.kernel.set_renewed_ago(Duration::from_secs(70));
    n1.node.follow_leases();
    let (_, asked) = n1.tasks.pop().unwrap();
    asked();
    let (_, cutting) = n1.tasks.pop().unwrap();
    cutting();
    assert!(
        writes(&lab, &n1, &volume, 1),
        "the test's failure did not happen"
    );
    assert!(!n1.node.fenced().values().next().unwrap().cut);
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 2));
}

#[test]
fn i2_a_fence_survives_the_daemon_and_a_copy_is_cut_off_too() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    lab.policy.say(Say::Copy(CopyMode::Background));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.node.fence(Some(instance(1)), &[]);
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 1));
    n1.kill();
    let n1 = lab.start("n1");
    assert_eq!(n1.node.fenced().len(), 1);
    let error = n1.node.unfence(request(), instance(1)).unwrap_err();
    assert_eq!(refused(&error).0, "fenced");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(data(&lab, &n1), [""; 0]);
}

#[test]
fn i2_what_somebody_cut_off_he_can_give_back_and_others_are_left_alone() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.shareable("a");
    for n in [1, 2] {
        n1.node
            .attach(&ask(instance(n), &[shared(&volume)]))
            .unwrap();
    }
    look(&n1);
    let all = n1.node.fence(
        Some(instance(1)),
        &[(volume.pool.clone(), "b".parse().unwrap())],
    );
    assert!(all.is_empty(), "{all:?}");
    n1.node.fence(
        Some(instance(1)),
        &[(volume.pool.clone(), volume.name.clone())],
    );
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 1));
    lab.write(&n1.kernel, volume.id, instance(2), (3, 1))
        .unwrap();
    n1.node.unfence(request(), instance(1)).unwrap();
    assert!(writes(&lab, &n1, &volume, 2));
    // All on the node.
    assert_eq!(n1.node.fence(None, &[]).len(), 2);
    look(&n1);
    assert_eq!(n1.node.fenced().len(), 2);
}

/// Its device is LVM's: it is told, once, that the guest has to be stopped.
#[test]
fn i2_a_disk_given_as_the_lv_itself_is_told_of() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    let mut lv = disk(&volume);
    lv.form = DiskForm::Lv;
    n1.node.attach(&ask(instance(1), &[lv])).unwrap();
    look(&n1);
    n1.kernel.set_renewed_ago(Duration::from_secs(70));
    look(&n1);
    look(&n1);
    let told = n1.events.told();
    let told: Vec<&Event> = told
        .iter()
        .filter(|event| matches!(event, Event::NotFenced { .. }))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!n1.node.fenced().values().next().unwrap().cut);
}

/// While node 1's guest may still write, node 2 is told who has the volume: its lease is free, and
/// node 1's slot is of the generation before.
#[test]
fn i2_what_a_node_had_before_it_joined_again_counts_until_it_says_otherwise() {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    n1.kernel.rejoin();
    let taken = |node: &Daemon| {
        let error = node
            .node
            .attach(&ask(instance(2), &[disk(&volume)]))
            .unwrap_err();
        assert_eq!(refused(&error).0, "held-elsewhere", "{error}");
    };
    taken(&n2);
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 1));
    taken(&n2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// Twice a second for as long as it lasts it would be a log full of the same sentence, and a LUN full of the
/// same slot.
#[test]
fn what_a_node_still_has_is_shown_once_and_tried_again_by_its_owner() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    // The lockspace is there, and is not renewed.
    n1.kernel.set_renewed_ago(Duration::from_secs(60));
    let failure = PortError::Busy { what: "it".into() };
    n1.kernel.fail_on("write-registry", failure);
    let unseen = || {
        let told = n1.events.told();
        let unseen = |event: &&Event| matches!(event, Event::Unseen { .. });
        told.iter().filter(unseen).count()
    };
    let written = || {
        let calls = n1.kernel.journal().into_iter();
        let writes = calls.filter(|call| call.starts_with("write-registry"));
        writes.count()
    };
    let before = written();
    for _ in 0..4 {
        look(&n1);
    }
    assert_eq!((unseen(), written() - before), (1, 1));
    n1.node.try_again();
    n1.tasks.run_all();
    look(&n1);
    let shown = written();
    assert!(shown > before + 1, "its owner has written it");
    for _ in 0..4 {
        look(&n1);
    }
    assert_eq!((unseen(), written()), (1, shown));
}

/// `ls --all` and a refusal say of a node that does not renew its lease what it has, and when that is free.
#[test]
fn of_a_node_that_is_silent_it_is_said_since_when_and_when_its_volumes_are_free() {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let volume = lab.volume("a");
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    look(&n1);
    assert_eq!(n1.node.attachments_elsewhere().silent, [""; 0]);

    n2.kernel.power_cut();
    let pass = |seconds| lab.cluster.clock().advance(Duration::from_secs(seconds));
    // The members are asked for every five seconds.
    pass(5);
    look(&n1);
    pass(30);
    look(&n1);
    assert_eq!(n1.node.attachments_elsewhere().silent, [""; 0]);
    pass(40);
    look(&n1);
    let said = "node n2 has not renewed its lease for 70 s; unless it comes back, sanlock lets go what it holds in \
                about 70 s";
    assert_eq!(
        n1.node.attachments_elsewhere().silent,
        [format!("pool san: {said}; it has san/a")]
    );
    // The policies deny it, or the daemon refuses it: both say so, and when to ask again.
    let start = |n| n1.node.attach(&ask(instance(n), &[disk(&volume)]));
    let refusal = start(2).unwrap_err();
    let (code, message) = refused(&refusal);
    assert_eq!(code, "held-elsewhere");
    assert!(message.ends_with(said), "{message}");
    lab.policy.say(Say::DenyInUse);
    let denied = start(1).unwrap_err();
    assert!(denied.to_string().ends_with(said), "{denied}");
    lab.policy.say(Say::Deny);
    let otherwise = start(1).unwrap_err();
    assert_eq!(otherwise.to_string(), "the test says no");

    // Dead: its volumes are free, and those are not whose data is only there.
    lab.policy.say(Say::AsAsked);
    lab.cluster.set_member("n2", MemberState::Dead);
    pass(100);
    look(&n1);
    let silent = n1.node.attachments_elsewhere().silent;
    assert_eq!(
        silent,
        [
            "pool san: node n2 is dead: it has not renewed its lease for 170 s or longer; it keeps nobody from san/a any more"
        ]
    );
    start(1).unwrap();
}
