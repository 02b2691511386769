//! What policies have to say of operations on volumes: they are asked before the first step, can only
//! refuse, and whatever is taken up, tried again or taken back asks nobody.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::Volumes;
use volward_control::{ControlError, OperationRequest};
use volward_model::scenario::Hook;
use volward_model::{
    Bytes, Combined, Course, End, Facts, Fault, FaultKind, OperationKind, Origin, Outcome,
    VolumeTask,
};
use volward_simulation::doubles::denied;
use volward_simulation::{Daemon, Lab, ask, check, detach_ask, disk, instance, operation};

const SIZE: Bytes = Bytes::mib(132);

fn lab() -> (Lab, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    (lab, daemon)
}

fn create(lab: &Lab, name: &str) -> VolumeTask {
    VolumeTask::Create {
        pool: lab.pool.clone(),
        name: name.parse().unwrap(),
        size: SIZE,
    }
}

fn delete(lab: &Lab, name: &str) -> VolumeTask {
    VolumeTask::Delete {
        pool: lab.pool.clone(),
        name: name.parse().unwrap(),
    }
}

fn refuses(daemon: &Daemon) {
    let no = denied("not-today", "the test deletes nothing today".to_owned());
    daemon.policy.say_at(Hook::Operate, no);
}

fn told(daemon: &Daemon) -> Facts {
    daemon.policy.asked_at(Hook::Operate).pop().unwrap()
}

fn names(lab: &Lab) -> Vec<String> {
    let names = lab.cluster.volumes(&lab.pool).into_iter();
    let all = names.map(|name| name.to_string());
    all.filter(|name| name != "volward-registry").collect()
}

/// Changes of the world that its calls have made.
fn changes(daemon: &Daemon) -> Vec<String> {
    let journal = daemon.kernel.journal().into_iter();
    let word = |call: &str| call.split(' ').next().unwrap_or_default().to_owned();
    let of_storage = [
        "create",
        "grow",
        "remove-volume",
        "change-tags",
        "activate",
        "take-lease",
    ];
    journal
        .filter(|call| of_storage.contains(&word(call).as_str()))
        .collect()
}

#[test]
fn what_a_policy_refuses_is_not_begun_and_its_sentence_is_what_is_said() {
    let (lab, daemon) = lab();
    lab.volume("a");
    refuses(&daemon);
    let before = changes(&daemon);
    let asked = operation("d1", delete(&lab, "a"));
    let error = daemon.node.ask_operation(&asked).unwrap_err();
    assert_eq!(error.to_string(), "the test deletes nothing today");
    assert!(matches!(&error, ControlError::Denied { .. }), "{error:?}");
    daemon.tasks.run_all();
    assert_eq!(changes(&daemon), before);
    assert!(daemon.node.operations().is_empty());
    assert_eq!(names(&lab), ["a"]);
    // `explain` finds it.
    assert_eq!(daemon.decisions.hooks(), ["operate"]);
    assert_eq!(daemon.decisions.requests(), [asked.request]);
    let outcome = Outcome::Refused {
        code: "not-today".into(),
        message: error.to_string(),
    };
    assert_eq!(daemon.decisions.outcomes(), [outcome]);
    // Nothing keeps the id: once it is allowed it is done.
    daemon.policy.agree_at(Hook::Operate);
    daemon.node.ask_operation(&asked).unwrap();
    daemon.tasks.run_all();
    assert!(names(&lab).is_empty());
    assert_eq!(daemon.decisions.outcomes().last(), Some(&Outcome::Done));
    assert_eq!(check::clean(&lab, &daemon), [""; 0]);
}

/// Nobody knows what it would have answered.
#[test]
fn a_policy_that_fails_lets_nothing_begin() {
    let (lab, daemon) = lab();
    let fault = Fault::new(FaultKind::Deadline, "it did not end in 50 ms");
    let broken = Combined::Faulted(vec![("rules".into(), fault)]);
    daemon.policy.say_at(Hook::Operate, broken);
    let asked = operation("c1", create(&lab, "a"));
    let error = daemon.node.ask_operation(&asked).unwrap_err();
    assert!(matches!(&error, ControlError::Faulted { .. }), "{error:?}");
    daemon.tasks.run_all();
    assert!(names(&lab).is_empty() && daemon.node.operations().is_empty());
}

#[test]
fn it_is_told_what_is_to_be_done_with_which_volume_and_by_whom() {
    let (lab, daemon) = lab();
    lab.volume("a");
    let (pool, from) = (lab.pool.clone(), "a".parse().unwrap());
    let a = Volumes::pool(&daemon.kernel, &lab.pool).unwrap();
    let a = a.named(&from).unwrap().clone();
    let name = |name: &str| name.parse().unwrap();
    refuses(&daemon);
    let copy = |size| VolumeTask::Copy {
        from_pool: pool.clone(),
        from: from.clone(),
        pool: pool.clone(),
        name: name("b"),
        size,
    };
    let larger = Bytes(a.size.0 * 2);
    for (task, kind, there, new_name, new_size) in [
        (
            create(&lab, "b"),
            OperationKind::Create,
            false,
            Some("b"),
            Some(SIZE),
        ),
        (delete(&lab, "a"), OperationKind::Delete, true, None, None),
        (
            VolumeTask::Extend {
                pool: pool.clone(),
                name: from.clone(),
                size: larger,
            },
            OperationKind::Extend,
            true,
            None,
            Some(larger),
        ),
        (
            copy(None),
            OperationKind::Copy,
            true,
            Some("b"),
            Some(a.size),
        ),
        (
            copy(Some(larger)),
            OperationKind::Copy,
            true,
            Some("b"),
            Some(larger),
        ),
        (
            VolumeTask::Snapshot {
                pool: pool.clone(),
                from: from.clone(),
                name: name("s"),
            },
            OperationKind::Snapshot,
            true,
            Some("s"),
            Some(a.size),
        ),
        (
            VolumeTask::Move {
                from_pool: pool.clone(),
                from: from.clone(),
                pool: pool.clone(),
                name: name("m"),
            },
            OperationKind::Other("move".to_owned()),
            true,
            Some("m"),
            Some(a.size),
        ),
        (
            VolumeTask::Rename {
                pool: pool.clone(),
                name: from.clone(),
                to: name("c"),
            },
            OperationKind::Rename,
            true,
            Some("c"),
            None,
        ),
    ] {
        let asked = OperationRequest {
            origin: Origin::Openstack,
            uid: 64_061,
            hints: vec![("project-id".to_owned(), "shop".to_owned())],
            ..operation("o1", task.clone())
        };
        daemon.node.ask_operation(&asked).unwrap_err();
        let facts = told(&daemon);
        let disks: Vec<_> = facts.disks.iter().map(|disk| disk.id).collect();
        assert_eq!(
            disks,
            if there { vec![a.volume.id] } else { vec![] },
            "{task}"
        );
        let request = &facts.request;
        assert_eq!((request.id, request.caller_uid), (asked.request, 64_061));
        assert_eq!(request.origin, Origin::Openstack);
        assert_eq!(request.hints, asked.hints);
        let operation = facts.operation.unwrap();
        assert_eq!((operation.kind, &operation.pool), (kind, &pool));
        let named = operation.new_name.map(|name| name.to_string());
        assert_eq!(
            (named.as_deref(), operation.new_size),
            (new_name, new_size),
            "{task}"
        );
    }
}

/// Who has a volume is told, on this node too: an operation is for no instance.
#[test]
fn it_is_told_who_has_the_volume() {
    let (lab, daemon) = lab();
    let volume = lab.volume("a");
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    let a = Volumes::pool(&daemon.kernel, &lab.pool).unwrap();
    let size = a.named(&volume.name).unwrap().size;
    let extend = VolumeTask::Extend {
        pool: lab.pool.clone(),
        name: volume.name.clone(),
        size: Bytes(size.0 * 2),
    };
    let asked = OperationRequest {
        dry_run: true,
        ..operation("e1", extend)
    };
    daemon.node.ask_operation(&asked).unwrap();
    let facts = told(&daemon);
    let has: Vec<_> = facts.disks[0]
        .attachments
        .iter()
        .map(|a| a.instance)
        .collect();
    assert_eq!(has, [instance(1)]);
}

#[test]
fn a_dry_run_is_asked_about_and_leaves_no_decision() {
    let (lab, daemon) = lab();
    lab.volume("a");
    let dry = OperationRequest {
        dry_run: true,
        ..operation("d1", delete(&lab, "a"))
    };
    assert!(!daemon.node.ask_operation(&dry).unwrap().plan.is_empty());
    refuses(&daemon);
    let error = daemon.node.ask_operation(&dry).unwrap_err();
    assert_eq!(error.to_string(), "the test deletes nothing today");
    assert_eq!(daemon.policy.asked_at(Hook::Operate).len(), 2);
    assert!(daemon.decisions.hooks().is_empty());
}

/// I32: whatever it would say now, what was begun is finished or taken back.
#[test]
fn i32_what_was_begun_is_carried_out_whatever_the_policy_says_by_then() {
    let (lab, daemon) = lab();
    let asked = operation("c1", create(&lab, "a"));
    daemon.node.ask_operation(&asked).unwrap();
    refuses(&daemon);
    // The same again finds it, with no new question.
    let again = operation("c1", create(&lab, "a"));
    let found = daemon.node.ask_operation(&again).unwrap();
    assert_eq!(found.operation.unwrap().operation.request, asked.request);
    assert_eq!(daemon.policy.asked_at(Hook::Operate).len(), 1);
    daemon.kill();
    let daemon = lab.start("n1");
    refuses(&daemon);
    daemon.tasks.run_all();
    let known = daemon.node.operation(&asked.id).unwrap();
    assert_eq!(known.operation.course, Course::Ended(End::Done));
    assert_eq!(names(&lab), ["a"]);
    // The policy outlives the daemon here: no question came after the first.
    assert_eq!(daemon.policy.asked_at(Hook::Operate).len(), 1);
}

/// I32: neither hook has a say in a detach.
#[test]
fn i32_a_detach_asks_neither_hook() {
    let (lab, daemon) = lab();
    let volume = lab.volume("a");
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    refuses(&daemon);
    daemon
        .policy
        .say_at(Hook::Migrate, denied("no", "no".to_owned()));
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    assert!(daemon.policy.asked_at(Hook::Operate).is_empty());
    assert!(daemon.policy.asked_at(Hook::Migrate).is_empty());
    assert_eq!(check::clean(&lab, &daemon), [""; 0]);
}

#[test]
fn what_is_gone_is_deleted_without_a_question() {
    let (lab, daemon) = lab();
    refuses(&daemon);
    daemon
        .node
        .ask_operation(&operation("d1", delete(&lab, "gone")))
        .unwrap();
    assert!(daemon.policy.asked_at(Hook::Operate).is_empty());
}

/// A rule that holds whatever policies say is said first, and they are not asked.
#[test]
fn what_cannot_be_done_is_refused_before_anybody_is_asked() {
    let (lab, daemon) = lab();
    let volume = lab.volume("a");
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    let error = daemon
        .node
        .ask_operation(&operation("d1", delete(&lab, "a")));
    assert!(
        matches!(error, Err(ControlError::Refused { .. })),
        "{error:?}"
    );
    assert!(daemon.policy.asked_at(Hook::Operate).is_empty());
}

#[test]
fn without_room_for_the_decision_nothing_is_begun() {
    let (lab, daemon) = lab();
    daemon.decisions.set_full(true);
    let asked = operation("c1", create(&lab, "a"));
    let error = daemon.node.ask_operation(&asked).unwrap_err();
    assert!(matches!(&error, ControlError::State { .. }), "{error:?}");
    assert!(daemon.node.operations().is_empty());
    daemon.decisions.set_full(false);
    daemon.node.ask_operation(&asked).unwrap();
    daemon.tasks.run_all();
    assert_eq!(names(&lab), ["a"]);
}
