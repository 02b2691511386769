//! Operations on volumes: making, deleting and growing them, under ids that a retry finds.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "operations/copying.rs"]
mod copying;
#[path = "operations/ordering.rs"]
mod ordering;

use std::sync::Arc;

use volward_control::ControlError;
use volward_control::ports::{Clock, LeaseStyle, PortError, Volumes};
use volward_model::{
    Bytes, DeviceId, End, Home, HomeState, MemberState, OperationId, RequestId, VolumeInfo,
    VolumeRef, VolumeTask,
};
use volward_plan::operate::Wipe;
use volward_simulation::ends::{code, ended as end};
use volward_simulation::{
    Daemon, Lab, ask, check, detach_ask, disk, instance, operation, read_only, shared,
};
use volward_storage::fake::OLD_CONTENT;

/// More than two chunks.
const SIZE: Bytes = Bytes::mib(132);
const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];

fn lab() -> (Lab, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    (lab, daemon)
}

fn in_each_style(story: impl Fn(Lab, Daemon)) {
    for style in STYLES {
        let lab = Lab::new(&["n1", "n2"]);
        lab.cluster.set_lease_style(style);
        lab.start("n2").kill();
        let daemon = lab.start("n1");
        story(lab, daemon);
    }
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

fn extend(lab: &Lab, name: &str, size: Bytes) -> VolumeTask {
    VolumeTask::Extend {
        pool: lab.pool.clone(),
        name: name.parse().unwrap(),
        size,
    }
}

/// Asks, and has it carried out.
fn done(daemon: &Daemon, id: &str, task: VolumeTask) -> End {
    daemon.node.ask_operation(&operation(id, task)).unwrap();
    daemon.tasks.run_all();
    end(daemon, id)
}

fn refusal(daemon: &Daemon, id: &str, task: VolumeTask) -> String {
    match daemon.node.ask_operation(&operation(id, task)) {
        Err(ControlError::Refused { refusal, .. }) => refusal.code.to_string(),
        Err(error) => panic!("not refused: {error}"),
        Ok(asked) => panic!("not refused: {asked:?}"),
    }
}

fn found(lab: &Lab, daemon: &Daemon, name: &str) -> Option<VolumeInfo> {
    let pool = Volumes::pool(&daemon.kernel, &lab.pool).unwrap();
    pool.named(&name.parse().unwrap()).cloned()
}

fn names(lab: &Lab) -> Vec<String> {
    let names = lab.cluster.volumes(&lab.pool).into_iter();
    let all = names.map(|name| name.to_string());
    all.filter(|name| name != "volward-registry").collect()
}

fn calls(daemon: &Daemon, name: &str) -> usize {
    let journal = daemon.kernel.journal();
    journal
        .iter()
        .filter(|call| call.split(' ').next() == Some(name))
        .count()
}

/// Another tenant's data is in every extent that is free.
#[test]
fn i27_a_volume_that_is_made_reads_as_zeroes_and_can_be_attached() {
    in_each_style(|lab, daemon| {
        assert_eq!(done(&daemon, "c1", create(&lab, "new")), End::Done);
        let made = found(&lab, &daemon, "new").unwrap();
        assert_eq!((made.size, made.tags.len()), (SIZE, 0));
        assert!(!made.active && !made.autoactivation);
        let blocks = lab.cluster.contents(made.volume.id);
        assert!(
            blocks.iter().all(|block| *block == 0),
            "another tenant's data"
        );
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
        let progress = daemon.node.operation(&"c1".parse().unwrap()).unwrap();
        assert_eq!((progress.operation.zeroed, progress.total), (SIZE, SIZE));
        let request = ask(instance(1), &[disk(&made.volume)]);
        daemon.node.attach(&request).unwrap();
    });
}

#[test]
fn a_retry_finds_the_same_operation_and_another_request_is_refused() {
    let (lab, daemon) = lab();
    let first = daemon
        .node
        .ask_operation(&operation("c1", create(&lab, "new")))
        .unwrap();
    let again = daemon
        .node
        .ask_operation(&operation("c1", create(&lab, "new")))
        .unwrap();
    let request = |asked: &volward_control::OperationAsked| {
        asked.operation.as_ref().unwrap().operation.request
    };
    assert_eq!(request(&first), request(&again), "the same one");
    assert_eq!(
        refusal(&daemon, "c1", create(&lab, "other")),
        "operation-differs"
    );
    // The name is promised to the first.
    assert_eq!(
        refusal(&daemon, "c2", create(&lab, "new")),
        "operation-open"
    );
    // It is not there, and will be.
    assert_eq!(
        refusal(&daemon, "d1", delete(&lab, "new")),
        "operation-open"
    );
    daemon.tasks.run_all();
    daemon.kill();
    let daemon = lab.start("n1");
    assert_eq!(done(&daemon, "c1", create(&lab, "new")), End::Done);
    assert_eq!(names(&lab), ["new"]);
    assert_eq!(refusal(&daemon, "c3", create(&lab, "new")), "name-taken");
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is_begun() {
    let (lab, daemon) = lab();
    lab.volume("a");
    let sized = |name: &str, size| VolumeTask::Create {
        pool: lab.pool.clone(),
        name: name.parse().unwrap(),
        size: Bytes(size),
    };
    for (task, code) in [
        (sized("a", 4096), "name-taken"),
        (sized("b", 0), "size-unsupported"),
        (sized("b", 1000), "size-unsupported"),
        (sized("b", 1 << 40), "no-space"),
        (sized("snapshot-x", 4096), "name-reserved"),
        (sized("volward-x", 4096), "name-reserved"),
    ] {
        assert_eq!(refusal(&daemon, "c", task.clone()), code, "{task}");
    }
    let nowhere = VolumeTask::Create {
        pool: "nowhere".parse().unwrap(),
        name: "b".parse().unwrap(),
        size: SIZE,
    };
    let error = daemon
        .node
        .ask_operation(&operation("c", nowhere))
        .unwrap_err();
    assert!(matches!(error, ControlError::NotFound(_)), "{error}");
    assert_eq!(daemon.node.operations(), [], "nothing is on record");
    assert_eq!(names(&lab), ["a"]);
    daemon.kernel.set_watchdog(false);
    assert_eq!(refusal(&daemon, "c", sized("b", 4096)), "no-watchdog");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (lab, daemon) = lab();
    let changes = daemon.kernel.changes_made();
    let mut asked = operation("c1", create(&lab, "new"));
    asked.dry_run = true;
    let plan = daemon.node.ask_operation(&asked).unwrap();
    assert_eq!(plan.operation, None);
    assert!(plan.plan[0].contains("volward.new=c1"), "{:?}", plan.plan);
    assert!(
        plan.plan.iter().any(|line| line.contains("zero 132 MiB")),
        "{:?}",
        plan.plan
    );
    daemon.tasks.run_all();
    assert_eq!(daemon.kernel.changes_made(), changes);
    assert_eq!((daemon.node.operations().len(), names(&lab).len()), (0, 0));
}

/// On whichever node, whatever became of the daemon that makes it.
#[test]
fn what_is_being_made_is_attached_by_nobody() {
    in_each_style(|lab, daemon| {
        daemon
            .node
            .ask_operation(&operation("c1", create(&lab, "new")))
            .unwrap();
        daemon.kernel.fail_on("zero-range", failure());
        daemon.tasks.run_all();
        let made = found(&lab, &daemon, "new").unwrap();
        let request = ask(instance(1), &[disk(&made.volume)]);
        let other = lab.start("n2");
        for refused in [daemon.node.attach(&request), other.node.attach(&request)] {
            match refused.unwrap_err() {
                ControlError::Refused { refusal, .. } => {
                    assert_eq!(refusal.code.as_str(), "being-made");
                }
                error => panic!("{error}"),
            }
        }
        // It is tried again, and is a volume then.
        let clock = lab.cluster.clock();
        clock.sleep(std::time::Duration::from_secs(5));
        daemon.node.try_again();
        daemon.tasks.run_all();
        assert_eq!(end(&daemon, "c1"), End::Done);
        daemon
            .node
            .attach(&ask(instance(1), &[disk(&made.volume)]))
            .unwrap();
    });
}

fn failure() -> PortError {
    PortError::Io {
        what: "writing".into(),
        reason: "Input/output error".into(),
    }
}

/// Longer than any pause between two tries.
fn try_again(lab: &Lab, daemon: &Daemon) {
    lab.cluster
        .clock()
        .sleep(std::time::Duration::from_secs(31));
    daemon.node.try_again();
    daemon.tasks.run_all();
}

#[test]
fn a_volume_whose_disks_fail_is_taken_back_and_nothing_is_left() {
    in_each_style(|lab, daemon| {
        for _ in 0..3 {
            daemon.kernel.fail_on("zero-range", failure());
        }
        daemon
            .node
            .ask_operation(&operation("c1", create(&lab, "new")))
            .unwrap();
        for _ in 0..3 {
            daemon.tasks.run_all();
            try_again(&lab, &daemon);
        }
        assert_eq!(code(&end(&daemon, "c1")), "storage");
        assert_eq!(names(&lab), [""; 0]);
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
        // Whoever asked hears of it, and asks anew.
        assert_eq!(done(&daemon, "c2", create(&lab, "new")), End::Done);
    });
}

#[test]
fn an_operation_is_cancelled_until_it_can_only_be_completed() {
    in_each_style(|lab, daemon| {
        let request = || RequestId(uuid::Uuid::new_v4());
        let cancel = |id: &str| {
            let id: OperationId = id.parse().unwrap();
            daemon.node.cancel_operation(request(), &id)
        };
        daemon
            .node
            .ask_operation(&operation("c1", create(&lab, "new")))
            .unwrap();
        daemon.kernel.fail_on("zero-range", failure());
        daemon.tasks.run_all();
        assert_eq!(names(&lab), ["new"]);
        cancel("c1").unwrap();
        daemon.tasks.run_all();
        assert_eq!(end(&daemon, "c1"), End::Cancelled);
        assert_eq!(names(&lab), [""; 0]);
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
        assert!(cancel("c1").unwrap_err().to_string().contains("has ended"));
        assert!(matches!(cancel("nobody"), Err(ControlError::NotFound(_))));

        lab.volume("a");
        daemon.kernel.fail_on("remove-volume", failure());
        daemon
            .node
            .ask_operation(&operation("d1", delete(&lab, "a")))
            .unwrap();
        daemon.tasks.run_all();
        let late = cancel("d1").unwrap_err().to_string();
        assert!(late.contains("can only be completed"), "{late}");
        try_again(&lab, &daemon);
        assert_eq!(end(&daemon, "d1"), End::Done);
    });
}

#[test]
fn a_volume_is_deleted_and_its_name_is_free() {
    in_each_style(|lab, daemon| {
        let a = lab.volume("a");
        daemon.kernel.fail_on("remove-volume", failure());
        daemon
            .node
            .ask_operation(&operation("d1", delete(&lab, "a")))
            .unwrap();
        daemon.tasks.run_all();
        // The volume is not gone, and its name is.
        assert_eq!(names(&lab), [format!("volward-dying-{}", a.id.lv)]);
        assert_eq!(done(&daemon, "c1", create(&lab, "a")), End::Done);
        try_again(&lab, &daemon);
        assert_eq!(end(&daemon, "d1"), End::Done);
        assert_eq!(names(&lab), ["a"]);
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
        // Gone is done, under the same id and under another one.
        assert_eq!(done(&daemon, "d1", delete(&lab, "a")), End::Done);
        assert_eq!(names(&lab), ["a"], "it is another volume by now");
        assert_eq!(done(&daemon, "d2", delete(&lab, "gone")), End::Done);
        let note = |id: &str| {
            let found = daemon.node.operation(&id.parse().unwrap()).unwrap();
            found.operation.had_nothing_to_do()
        };
        assert_eq!(note("d1"), None, "what was deleted is no mistake");
        let nothing = note("d2").unwrap();
        assert!(
            nothing.contains(&format!("there is no volume {}/gone", lab.pool)),
            "{nothing}"
        );
        let dry = volward_control::OperationRequest {
            dry_run: true,
            ..operation("d3", delete(&lab, "gone"))
        };
        let asked = daemon.node.ask_operation(&dry).unwrap();
        assert_eq!((asked.operation, asked.plan), (None, vec![nothing]));
    });
}

#[test]
fn a_volume_that_somebody_has_is_not_deleted() {
    in_each_style(|lab, daemon| {
        let (a, c) = (lab.volume("a"), lab.shareable("c"));
        daemon.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
        let other = lab.start("n2");
        other.node.attach(&ask(instance(2), &[shared(&c)])).unwrap();
        assert_eq!(refusal(&daemon, "d1", delete(&lab, "a")), "held-here");
        assert_eq!(refusal(&other, "d1", delete(&lab, "a")), "held-elsewhere");
        assert_eq!(refusal(&daemon, "d1", delete(&lab, "c")), "held-elsewhere");
        // Its slot does not show it, and its lease does: the last proof.
        lab.cluster.set_member("n2", MemberState::Fail);
        lab.cluster
            .show_place_as(&lab.pool, "n2", Some(volward_model::SlotReading::Empty));
        let ended = done(&daemon, "d2", delete(&lab, "c"));
        assert_eq!(code(&ended), "held-elsewhere", "{ended:?}");
        assert_eq!(names(&lab), ["a", "c"]);
        assert_eq!(check::data(&lab, &daemon), [""; 0]);
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(done(&daemon, "d3", delete(&lab, "a")), End::Done);
    });
}

#[test]
fn a_volume_whose_data_is_in_a_copy_is_neither_deleted_nor_grown() {
    let (lab, daemon) = lab();
    let a = lab.volume("a");
    let home = Home {
        state: HomeState::Split {
            node: "n2".parse().unwrap(),
            copy: "c".repeat(32).parse().unwrap(),
        },
        generation: 1,
    };
    lab.cluster.tamper(&a, |_, tags, _| tags.push(home.tag()));
    assert_eq!(refusal(&daemon, "d1", delete(&lab, "a")), "home-elsewhere");
    let larger = extend(&lab, "a", SIZE);
    assert_eq!(refusal(&daemon, "e1", larger), "home-elsewhere");
}

/// When extents are zeroed is the pool's setting.
#[test]
fn a_pool_says_when_its_extents_are_zeroed() {
    for (wipe, made, deleted) in [
        (Wipe::BeforeUse, true, false),
        (Wipe::AfterUse, false, true),
        (Wipe::Both, true, true),
        (Wipe::None, false, false),
    ] {
        let mut lab = Lab::new(&["n1", "n2"]);
        lab.wipe = wipe;
        lab.start("n2").kill();
        let daemon = lab.start("n1");
        assert_eq!(done(&daemon, "c1", create(&lab, "new")), End::Done);
        let id = found(&lab, &daemon, "new").unwrap().volume.id;
        let old = lab.cluster.contents(id).contains(&OLD_CONTENT);
        assert_eq!(old, !made, "{wipe}");
        let zeroed = calls(&daemon, "zero-range");
        assert_eq!(done(&daemon, "d1", delete(&lab, "new")), End::Done);
        assert_eq!(calls(&daemon, "zero-range") > zeroed, deleted, "{wipe}");
        assert_eq!(names(&lab), [""; 0]);
    }
}

#[test]
fn a_volume_grows_and_shows_zeroes_behind_what_it_had() {
    in_each_style(|lab, daemon| {
        let a = lab.volume("a");
        let had = lab.cluster.contents(a.id);
        assert_eq!(done(&daemon, "e1", extend(&lab, "a", SIZE)), End::Done);
        let grown = found(&lab, &daemon, "a").unwrap();
        assert_eq!((grown.size, grown.tags.len()), (SIZE, 0));
        let now = lab.cluster.contents(a.id);
        assert_eq!(now[..had.len()], had, "its data");
        assert!(
            now[had.len()..].iter().all(|block| *block == 0),
            "another tenant's data"
        );
        assert_eq!(
            check::clean(&lab, &daemon),
            ["the shared LV of ".to_owned() + &a.id.to_string() + " lost data"],
            "only longer than it was"
        );
        // So large already, and smaller.
        assert_eq!(done(&daemon, "e2", extend(&lab, "a", SIZE)), End::Done);
        assert_eq!(
            refusal(&daemon, "e3", extend(&lab, "a", Bytes::mib(4))),
            "would-shrink"
        );
        assert_eq!(
            refusal(&daemon, "e3", extend(&lab, "a", Bytes(1 << 40))),
            "no-space"
        );
        let gone = daemon
            .node
            .ask_operation(&operation("e3", extend(&lab, "b", SIZE)));
        assert!(matches!(gone, Err(ControlError::NotFound(_))), "{gone:?}");
    });
}

/// The guest sees its new length when what is behind its old one is zeroed, and never before.
#[test]
fn i11_a_volume_grows_under_its_guest_which_sees_no_end_that_is_not_zeroed() {
    in_each_style(|lab, daemon| {
        let c = lab.shareable("c");
        for guest in [1, 2] {
            daemon
                .node
                .attach(&ask(instance(guest), &[shared(&c)]))
                .unwrap();
        }
        let length = |guest| {
            use volward_control::ports::Devices;
            let id = DeviceId::attachment(c.id, instance(guest));
            daemon.kernel.get(id).unwrap().unwrap().size.bytes()
        };
        let before = length(1);
        daemon.kernel.fail_on("zero-range", failure());
        daemon
            .node
            .ask_operation(&operation("e1", extend(&lab, "c", SIZE)))
            .unwrap();
        daemon.tasks.run_all();
        assert_eq!(found(&lab, &daemon, "c").unwrap().size, SIZE);
        assert_eq!(
            [length(1), length(2)],
            [before; 2],
            "its end is not zeroed yet"
        );
        // Whoever comes meanwhile waits: what it would see is not decided yet.
        let third = daemon
            .node
            .attach(&ask(instance(3), &[shared(&c)]))
            .unwrap_err();
        assert!(third.to_string().contains("being grown"), "{third}");
        try_again(&lab, &daemon);
        assert_eq!(end(&daemon, "e1"), End::Done);
        assert_eq!([length(1), length(2)], [SIZE; 2]);
        let id = DeviceId::attachment(c.id, instance(2));
        let first = before.0 / volward_storage::fake::BLOCK.0;
        let last = SIZE.0 / volward_storage::fake::BLOCK.0;
        for block in first..last {
            assert_eq!(
                daemon.kernel.guest_read(id, block).unwrap(),
                0,
                "block {block}"
            );
        }
        for guest in [1, 2] {
            daemon.node.detach(&detach_ask(instance(guest))).unwrap();
        }
        assert!(found(&lab, &daemon, "c").unwrap().tags == ["volward.shareable"]);
    });
}

/// The node that began it is gone for good: the same id on another node goes on with it, and a delete
/// removes what nobody goes on with.
#[test]
fn what_a_lost_node_has_begun_is_completed_or_removed_by_another_one() {
    in_each_style(|lab, daemon| {
        for name in ["x", "y"] {
            daemon.kernel.fail_on("zero-range", failure());
            daemon
                .node
                .ask_operation(&operation(name, create(&lab, name)))
                .unwrap();
            daemon.tasks.run_all();
        }
        daemon.kernel.power_cut();
        let other = lab.start("n2");
        assert_eq!(refusal(&other, "z", create(&lab, "x")), "name-taken");
        lab.cluster.set_member("n1", MemberState::Dead);
        assert_eq!(done(&other, "d", delete(&lab, "y")), End::Done);
        assert_eq!(names(&lab), ["x"]);
        assert_eq!(done(&other, "x", create(&lab, "x")), End::Done);
        let made = found(&lab, &other, "x").unwrap();
        assert!(
            lab.cluster
                .contents(made.volume.id)
                .iter()
                .all(|block| *block == 0)
        );
        assert_eq!(done(&other, "d2", delete(&lab, "x")), End::Done);
        assert_eq!(names(&lab), [""; 0]);
        assert_eq!(check::clean(&lab, &other), [""; 0]);
    });
}

/// The same of a volume that was being grown, before it has grown and after; another id is told whose mark it is.
#[test]
fn what_a_lost_node_was_growing_is_grown_by_another_one_under_the_same_id() {
    in_each_style(|lab, daemon| {
        let (a, b) = (lab.volume("a"), lab.volume("b"));
        let had = [&a, &b].map(|volume| lab.cluster.contents(volume.id));
        for (name, point) in [("a", "grow"), ("b", "zero-range")] {
            daemon.kernel.fail_on(point, failure());
            let task = extend(&lab, name, Bytes(SIZE.0 - 512));
            daemon.node.ask_operation(&operation(name, task)).unwrap();
            daemon.tasks.run_all();
        }
        daemon.kernel.power_cut();
        let other = lab.start("n2");
        let grown = |name: &str| found(&lab, &other, name).unwrap();
        assert!(grown("a").size < SIZE && grown("b").size == SIZE);
        for name in ["a", "b"] {
            assert!(grown(name).mark().is_some(), "{name}");
            let task = extend(&lab, name, Bytes(SIZE.0 - 512));
            assert_eq!(refusal(&other, "e9", task), "being-grown");
        }
        lab.cluster.set_member("n1", MemberState::Dead);
        for (name, had) in ["a", "b"].into_iter().zip(had) {
            let task = extend(&lab, name, Bytes(SIZE.0 - 512));
            assert_eq!(done(&other, name, task), End::Done, "{name}");
            let now = grown(name);
            assert_eq!((now.size, now.mark()), (SIZE, None));
            let contents = lab.cluster.contents(now.volume.id);
            assert_eq!(contents[..had.len()], had, "its data");
            assert!(contents[had.len()..].iter().all(|block| *block == 0));
        }
    });
}

/// What reports success and does nothing is tried again later, and not at once and for ever.
#[test]
fn i13_a_step_without_effect_is_not_taken_for_done() {
    let lab = Lab::new(&["n1", "n2"]);
    lab.cluster.set_lease_style(LeaseStyle::Separate);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    daemon.kernel.ignore_on("deactivate");
    daemon
        .node
        .ask_operation(&operation("c1", create(&lab, "new")))
        .unwrap();
    daemon.tasks.run_all();
    let known = daemon.node.operation(&"c1".parse().unwrap()).unwrap();
    let trouble = known.trouble.unwrap();
    assert!(trouble.contains("deactivate it"), "{trouble}");
    try_again(&lab, &daemon);
    assert_eq!(end(&daemon, "c1"), End::Done);
    assert_eq!(check::clean(&lab, &daemon), [""; 0]);
    let made = found(&lab, &daemon, "new").unwrap();
    assert!(!made.active);
}

/// A lockspace that is not renewed: what is written then may be another's extents.
#[test]
fn i27_nothing_is_zeroed_without_a_sound_lease() {
    let (lab, daemon) = lab();
    daemon
        .node
        .ask_operation(&operation("c1", create(&lab, "new")))
        .unwrap();
    let kernel = daemon.kernel.clone();
    daemon.kernel.before("zero-range", move |_| {
        kernel.set_renewed_ago(std::time::Duration::from_secs(65));
    });
    daemon.tasks.run_all();
    assert_eq!(
        calls(&daemon, "zero-range"),
        1,
        "the one that was under way"
    );
    daemon.kernel.set_renewed_ago(std::time::Duration::ZERO);
    try_again(&lab, &daemon);
    assert_eq!(end(&daemon, "c1"), End::Done);
}

/// A lease that an operation has is nobody's stray, also for the daemon that is started next.
#[test]
fn a_restart_in_the_middle_of_zeroing_goes_on_where_it_was() {
    in_each_style(|lab, daemon| {
        daemon
            .node
            .ask_operation(&operation("c1", create(&lab, "new")))
            .unwrap();
        let kernel = daemon.kernel.clone();
        // Before the second chunk.
        daemon.kernel.before("zero-range", move |_| {
            let next = kernel.clone();
            kernel.before("zero-range", move |_| next.crash_before(1));
        });
        daemon.tasks.run_all();
        assert!(daemon.kernel.crashed());
        daemon.kill();
        let daemon = lab.start("n1");
        let known = daemon.node.operation(&"c1".parse().unwrap()).unwrap();
        assert_eq!(known.operation.zeroed, Bytes::mib(64));
        daemon.tasks.run_all();
        assert_eq!(end(&daemon, "c1"), End::Done);
        assert_eq!(calls(&daemon, "zero-range"), 3, "one before, two after");
        let made: VolumeRef = found(&lab, &daemon, "new").unwrap().volume;
        assert!(
            lab.cluster
                .contents(made.id)
                .iter()
                .all(|block| *block == 0)
        );
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
    });
}

/// Whatever LVM writes while it misses a disk here marks that disk as missing for every node.
#[test]
fn an_operation_waits_while_a_disk_of_the_pool_is_missing() {
    in_each_style(|lab, daemon| {
        let a = lab.volume("a");
        let had = found(&lab, &daemon, "a").unwrap().size;
        let task = extend(&lab, "a", Bytes::mib(300));
        daemon.node.ask_operation(&operation("e1", task)).unwrap();
        lab.cluster.set_partial(&lab.pool, true);
        daemon.tasks.run_all();
        try_again(&lab, &daemon);
        let waits = daemon.node.operation(&"e1".parse().unwrap()).unwrap();
        let trouble = waits.trouble.unwrap_or_default();
        assert!(trouble.contains("misses one of its physical"), "{trouble}");
        assert_eq!(refusal(&daemon, "d1", delete(&lab, "a")), "pool-incomplete");
        let request = RequestId(uuid::Uuid::new_v4());
        let marked = daemon.node.set_shareable(request, &a.pool, &a.name, true);
        let Err(ControlError::Refused { refusal, .. }) = marked else {
            panic!("not refused: {marked:?}")
        };
        assert_eq!(refusal.code.to_string(), "pool-incomplete");
        let now = found(&lab, &daemon, "a").unwrap();
        assert_eq!((now.size, now.tags), (had, Vec::new()));
        lab.cluster.set_partial(&lab.pool, false);
        try_again(&lab, &daemon);
        assert_eq!(end(&daemon, "e1"), End::Done);
    });
}

/// A call has a cost of its own; what a disk does quickly is asked for in fewer of them.
#[test]
fn a_quick_disk_is_asked_for_more_at_a_time() {
    let zeroed_in = |quick: bool| {
        let (lab, daemon) = lab();
        let before = daemon.kernel.changes_made();
        if quick {
            let clock = lab.cluster.clock();
            daemon.kernel.before("zero-range", move |_| {
                clock.sleep(std::time::Duration::from_millis(20));
            });
        }
        assert_eq!(done(&daemon, "c1", create(&lab, "v")), End::Done);
        let made = found(&lab, &daemon, "v").unwrap();
        let contents = lab.cluster.contents(made.volume.id);
        assert!(
            contents.iter().all(|block| *block == 0),
            "all of it is zero"
        );
        daemon.kernel.changes_made() - before
    };
    // 64, 64 and 4 MiB; 64 and 68. Each notes its progress.
    assert_eq!(zeroed_in(false) - zeroed_in(true), 2);
}

/// Who has it taken back while a step of it fails is told that, not how the step failed.
#[test]
fn what_is_cancelled_while_a_step_fails_for_good_ends_as_cancelled() {
    let (lab, daemon) = lab();
    let node = Arc::clone(&daemon.node);
    daemon.kernel.before("zero-range", move |_| {
        let request = RequestId(uuid::Uuid::new_v4());
        let id = "c1".parse().unwrap();
        node.cancel_operation(request, &id).unwrap();
    });
    let for_good = PortError::Identity {
        what: "a test".into(),
        expected: "this".into(),
        found: "that".into(),
    };
    daemon.kernel.fail_on("zero-range", for_good);
    assert_eq!(done(&daemon, "c1", create(&lab, "v")), End::Cancelled);
    assert_eq!(lab.cluster.volumes(&lab.pool).len(), 1, "the registry");
}
