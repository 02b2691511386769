//! Snapshots of several volumes that hold the same moment (I27, I28, I30): all of them or none, whatever dies or fails, and the
//! guest goes on with its volumes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use volward_control::ports::{Clock, LeaseStyle, PortError, Volumes};
use volward_control::{ControlError, GroupRequest, OperationAsked};
use volward_model::{
    Bytes, Course, End, OperationId, Origin, RequestId, VolumeInfo, VolumeRef, VolumeTask,
};
use volward_simulation::{Daemon, Lab, ask, check, detach_ask, disk, instance, operation, story};
use volward_storage::journal::FakeJournal;

const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];
const NAMES: [&str; 2] = ["a", "b"];

/// A guest with two disks, which writes to one after the other, and what both held after each write.
struct Stage {
    lab: Lab,
    volumes: [VolumeRef; 2],
    moments: Vec<[Vec<u64>; 2]>,
    stamp: u64,
}

fn stage(style: LeaseStyle) -> (Stage, Daemon) {
    stage_with(style, Duration::ZERO)
}

/// `pause`: a ten-thousandth of what a request waits for its turn.
fn stage_with(style: LeaseStyle, pause: Duration) -> (Stage, Daemon) {
    let mut lab = Lab::new(&["n1", "n2"]);
    lab.pause = pause;
    lab.cluster.set_lease_style(style);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    let volumes = NAMES.map(|name| lab.volume(name));
    let mut stage = Stage {
        lab,
        volumes,
        moments: Vec::new(),
        stamp: 0,
    };
    stage.attach(&daemon);
    stage.writes(&daemon);
    (stage, daemon)
}

impl Stage {
    fn attach(&self, daemon: &Daemon) {
        let disks: Vec<_> = self.volumes.iter().map(disk).collect();
        daemon.node.attach(&ask(instance(1), &disks)).unwrap();
    }

    fn of(&self, from: &str, to: &str) -> VolumeTask {
        VolumeTask::Snapshot {
            pool: self.lab.pool.clone(),
            from: from.parse().unwrap(),
            name: to.parse().unwrap(),
        }
    }

    fn asked(&self) -> GroupRequest {
        GroupRequest {
            request: RequestId(uuid::Uuid::new_v4()),
            origin: Origin::Operator,
            uid: 0,
            hints: Vec::new(),
            id: "g".parse().unwrap(),
            members: members(vec![self.of("a", "a-1"), self.of("b", "b-1")]),
            dry_run: false,
        }
    }

    /// What both hold now; what was before is no moment of what is asked for from now on.
    fn forget(&mut self) {
        self.moments.clear();
        self.remember();
    }

    fn remember(&mut self) {
        let now = self.volumes.each_ref().map(|v| self.lab.expected(v.id));
        self.moments.push(now);
    }

    fn writes(&mut self, on: &Daemon) {
        let blocks = self.lab.expected(self.volumes[0].id).len() as u64;
        for n in 0..3 {
            for which in 0..2 {
                self.stamp += 1;
                let at = (n * blocks / 3, 100_000 + self.stamp);
                let id = self.volumes[which].id;
                self.lab.write(&on.kernel, id, instance(1), at).unwrap();
                self.remember();
            }
        }
    }

    fn rounds(&mut self, guest: bool, daemon: &Daemon, seconds: u64) {
        for _ in 0..seconds {
            daemon.node.follow_migrations();
            daemon.node.try_again();
            daemon.tasks.run_all();
            if guest {
                self.writes(daemon);
            }
            let kernels = [daemon.kernel.clone()];
            assert_eq!(check::always(&self.lab, &kernels), [""; 0]);
            self.lab.cluster.clock().sleep(Duration::from_secs(1));
        }
    }

    fn made(&self, daemon: &Daemon) -> Vec<VolumeInfo> {
        let pool = Volumes::pool(&daemon.kernel, &self.lab.pool).unwrap();
        let named = NAMES.map(|name| pool.named(&format!("{name}-1").parse().unwrap()).cloned());
        named.into_iter().flatten().collect()
    }

    /// Volumes like any others, which hold what the guest's disks held at one moment.
    fn must_be_a_moment(&self, daemon: &Daemon, case: &str) {
        let made = self.made(daemon);
        let [a, b] = made.as_slice() else {
            panic!("{case}: {made:?}");
        };
        for one in [a, b] {
            assert!(one.tags.is_empty() && !one.active, "{case}: {one:?}");
        }
        let length = self.moments[0][0].len();
        let has = [a, b].map(|one| self.lab.cluster.contents(one.volume.id)[..length].to_vec());
        assert!(self.moments.contains(&has), "{case}: of no moment");
    }

    /// The guest has its volumes and writes to them alone, as ever.
    fn must_go_on(&mut self, daemon: &Daemon, case: &str) {
        assert_eq!(daemon.kernel.mirrors(), [], "{case}");
        self.writes(daemon);
        assert_eq!(check::settled(&self.lab, daemon), [""; 0], "{case}");
        for volume in &self.volumes {
            let origin = self.lab.cluster.contents(volume.id);
            assert_eq!(origin, self.lab.expected(volume.id), "{case}");
        }
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&self.lab, daemon), [""; 0], "{case}");
    }
}

fn ends(daemon: &Daemon) -> Vec<End> {
    let all = daemon.node.operations().into_iter();
    all.map(|known| match known.operation.course {
        Course::Ended(end) => end,
        course => panic!(
            "{} has not ended: {course:?}, {:?}",
            known.operation.id, known.trouble
        ),
    })
    .collect()
}

fn codes(daemon: &Daemon) -> Vec<String> {
    let code = |end| match end {
        End::Failed { code, .. } => code,
        other => panic!("not failed: {other:?}"),
    };
    ends(daemon).into_iter().map(code).collect()
}

fn members(tasks: Vec<VolumeTask>) -> Vec<(OperationId, VolumeTask)> {
    let group: OperationId = "g".parse().unwrap();
    let numbered = (1..).zip(tasks);
    numbered
        .map(|(n, task)| (group.member(n).unwrap(), task))
        .collect()
}

/// What may pass.
fn for_now() -> PortError {
    PortError::Io {
        what: "it".to_owned(),
        reason: "the disks do not answer".to_owned(),
    }
}

fn refusal(answer: Result<Vec<OperationAsked>, ControlError>) -> (String, String) {
    match answer {
        Err(ControlError::Refused { refusal, .. }) => (refusal.code.to_string(), refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}

/// Seconds go by on both nodes, and the guest writes on the first.
fn both(stage: &mut Stage, daemons: [&Daemon; 2], seconds: u64) {
    for _ in 0..seconds {
        story::seconds(&stage.lab, &daemons, 1);
        stage.writes(daemons[0]);
        let kernels = daemons.map(|daemon| daemon.kernel.clone());
        assert_eq!(check::always(&stage.lab, &kernels), [""; 0]);
    }
}

/// Whichever node is asked, the one that has the guest keeps its disks.
#[test]
fn snapshots_of_one_moment_are_made_where_the_guest_is() {
    for style in STYLES {
        let (mut stage, n1) = stage(style);
        let n2 = stage.lab.start("n2");
        let dry = GroupRequest {
            dry_run: true,
            ..stage.asked()
        };
        let planned = n2.node.ask_group(&dry).unwrap();
        assert!(planned.iter().all(|one| one.plan[0].contains("node n1")));
        stage.forget();
        n2.node.ask_group(&stage.asked()).unwrap();
        both(&mut stage, [&n1, &n2], 8);
        assert_eq!(ends(&n1), [End::Done, End::Done]);
        assert_eq!(ends(&n2), [End::Done, End::Done]);
        stage.must_be_a_moment(&n1, "ordered");
        // Asked for again it is found.
        assert_eq!(n2.node.ask_group(&stage.asked()).unwrap().len(), 2);
        stage.must_go_on(&n1, "ordered");
    }
}

/// All or none, also where another node is asked.
#[test]
fn what_one_node_refuses_or_takes_back_of_another_ones_group_it_makes_nothing_of() {
    for style in STYLES {
        let (mut stage, n1) = stage(style);
        let n2 = stage.lab.start("n2");
        n2.node.ask_group(&stage.asked()).unwrap();
        n2.tasks.run_all();
        // One of the new names is taken before it hears of that.
        stage.lab.volume("b-1");
        both(&mut stage, [&n1, &n2], 8);
        let codes = codes(&n2);
        assert!(codes.iter().all(|code| code == "name-taken"), "{codes:?}");
        assert!(n1.node.operations().is_empty());
        let left = Volumes::pool(&n1.kernel, &stage.lab.pool).unwrap();
        assert!(left.named(&"a-1".parse().unwrap()).is_none());

        let again = GroupRequest {
            id: "h".parse().unwrap(),
            members: [("h:1", "a", "a-2"), ("h:2", "b", "b-2")]
                .map(|(id, from, to)| (id.parse().unwrap(), stage.of(from, to)))
                .to_vec(),
            ..stage.asked()
        };
        n2.node.ask_group(&again).unwrap();
        n2.tasks.run_all();
        let request = RequestId(uuid::Uuid::new_v4());
        let first = "h:1".parse().unwrap();
        n2.node.cancel_operation(request, &first).unwrap();
        both(&mut stage, [&n1, &n2], 8);
        for id in ["h:1", "h:2"] {
            let known = n2.node.operation(&id.parse().unwrap()).unwrap();
            let ended = Course::Ended(End::Cancelled);
            assert_eq!(known.operation.course, ended, "{id}: {:?}", known.trouble);
        }
        let left = Volumes::pool(&n1.kernel, &stage.lab.pool).unwrap();
        for name in ["a-2", "b-2"] {
            assert!(left.named(&name.parse().unwrap()).is_none(), "{name}");
        }
        assert_eq!(n1.kernel.mirrors(), []);
    }
}

/// A moment is of one node.
#[test]
fn volumes_of_two_nodes_have_no_moment_in_common() {
    let (stage, n1) = stage(LeaseStyle::Separate);
    let n2 = stage.lab.start("n2");
    let other = stage.lab.volume("c");
    n2.node.attach(&ask(instance(2), &[disk(&other)])).unwrap();
    let asked = GroupRequest {
        members: members(vec![stage.of("a", "a-1"), stage.of("c", "c-1")]),
        ..stage.asked()
    };
    for daemon in [&n1, &n2] {
        let (code, message) = refusal(daemon.node.ask_group(&asked));
        assert_eq!(code, "held-elsewhere");
        assert!(message.contains("a moment is of one node"), "{message}");
        assert!(daemon.node.operations().is_empty());
    }
}

#[test]
fn snapshots_of_a_guests_disks_hold_one_moment() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        let dry = GroupRequest {
            dry_run: true,
            ..stage.asked()
        };
        let plans = daemon.node.ask_group(&dry).unwrap();
        assert_eq!(plans.len(), 2);
        assert!(
            plans
                .iter()
                .all(|one| one.operation.is_none() && !one.plan.is_empty())
        );
        assert_eq!(daemon.node.operations().len(), 0, "only tried");
        stage.forget();
        daemon.node.ask_group(&stage.asked()).unwrap();
        let again = daemon.node.ask_group(&stage.asked()).unwrap();
        assert_eq!(again.len(), 2, "a retry finds them");
        stage.rounds(true, &daemon, 8);
        assert_eq!(ends(&daemon), [End::Done, End::Done]);
        stage.must_be_a_moment(&daemon, "written");
        stage.must_go_on(&daemon, "written");
        stage.must_be_a_moment(&daemon, "a moment stays");
    }
}

/// One that comes late would be of no moment, and one that is left out of a retry is not forgotten.
#[test]
fn an_id_is_for_the_same_snapshots_only() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    let request = ask(instance(2), &[disk(&stage.lab.volume("c"))]);
    daemon.node.attach(&request).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| stage.of(name, &format!("{name}-1")));
    // An operation of its own has the id that the second one would have.
    daemon
        .node
        .ask_operation(&operation("h:2", b.clone()))
        .unwrap();
    let taken = GroupRequest {
        id: "h".parse().unwrap(),
        members: vec![
            ("h:1".parse().unwrap(), a.clone()),
            ("h:2".parse().unwrap(), b.clone()),
        ],
        ..stage.asked()
    };
    assert_eq!(
        refusal(daemon.node.ask_group(&taken)).0,
        "operation-differs"
    );
    stage.rounds(true, &daemon, 6);
    daemon.node.ask_group(&stage.asked()).unwrap_err();
    let gone = VolumeTask::Delete {
        pool: stage.lab.pool.clone(),
        name: "b-1".parse().unwrap(),
    };
    daemon.node.ask_operation(&operation("rm", gone)).unwrap();
    stage.rounds(true, &daemon, 3);
    stage.forget();
    daemon.node.ask_group(&stage.asked()).unwrap();
    for other in [vec![a.clone()], vec![a, b, c]] {
        let other = GroupRequest {
            members: members(other),
            ..stage.asked()
        };
        let (code, message) = refusal(daemon.node.ask_group(&other));
        assert_eq!(code, "operation-differs", "{message}");
        stage.rounds(true, &daemon, 3);
    }
    stage.rounds(true, &daemon, 6);
    assert_eq!(daemon.node.operations().len(), 4);
    stage.must_be_a_moment(&daemon, "asked again");
}

/// Who waits for its turn while all are split off sees what has become of it, and not what it was when it came.
#[test]
fn who_waits_for_its_turn_meanwhile_begins_no_new_mirror() {
    let (mut stage, daemon) = stage_with(LeaseStyle::Fused, Duration::from_millis(1));
    stage.forget();
    daemon.node.ask_group(&stage.asked()).unwrap();
    let (node, tasks) = (Arc::clone(&daemon.node), Arc::clone(&daemon.tasks));
    let (sender, waiting) = mpsc::channel();
    daemon.kernel.before("split", move |cluster| {
        cluster.clock().sleep(Duration::from_secs(5));
        node.try_again();
        while let Some((_, work)) = tasks.pop() {
            sender.send(thread::spawn(work)).unwrap();
        }
        // It reads its record, then waits for its turn.
        thread::sleep(Duration::from_millis(100));
    });
    stage.rounds(true, &daemon, 6);
    let waited: Vec<_> = waiting
        .try_iter()
        .map(|worker| worker.join().unwrap())
        .collect();
    assert!(!waited.is_empty(), "nobody was there to wait");
    stage.rounds(true, &daemon, 6);
    assert_eq!(ends(&daemon), [End::Done, End::Done]);
    stage.must_be_a_moment(&daemon, "waited");
    stage.must_go_on(&daemon, "waited");
}

/// No request waits here, and a turn that cannot be had now is no failure.
#[test]
fn whose_turn_another_has_is_looked_at_again() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    stage.forget();
    daemon.node.ask_group(&stage.asked()).unwrap();
    let (node, tasks) = (Arc::clone(&daemon.node), Arc::clone(&daemon.tasks));
    daemon.kernel.before("split", move |cluster| {
        cluster.clock().sleep(Duration::from_secs(5));
        node.try_again();
        while let Some((_, work)) = tasks.pop() {
            work();
        }
    });
    stage.rounds(true, &daemon, 12);
    assert_eq!(ends(&daemon), [End::Done, End::Done]);
    stage.must_be_a_moment(&daemon, "looked at again");
    stage.must_go_on(&daemon, "looked at again");
}

/// One is equal long before the other, whose mirror begins late.
#[test]
fn who_is_equal_first_waits_for_the_other() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.kernel.fail_on("reload", for_now());
    daemon.node.ask_group(&stage.asked()).unwrap();
    stage.rounds(true, &daemon, 4);
    stage.forget();
    stage.rounds(true, &daemon, 12);
    assert_eq!(ends(&daemon), [End::Done, End::Done]);
    stage.must_be_a_moment(&daemon, "one after the other");
    stage.must_go_on(&daemon, "one after the other");
}

#[test]
fn what_ends_one_of_them_ends_all() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        daemon.node.ask_group(&stage.asked()).unwrap();
        daemon.tasks.run_all();
        let request = RequestId(uuid::Uuid::nil());
        daemon
            .node
            .cancel_operation(request, &"g:2".parse().unwrap())
            .unwrap();
        stage.rounds(true, &daemon, 3);
        assert_eq!(ends(&daemon), [End::Cancelled, End::Cancelled]);
        assert_eq!(stage.made(&daemon), []);
        stage.must_go_on(&daemon, "cancelled");
    }
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.node.ask_group(&stage.asked()).unwrap();
    daemon.tasks.run_all();
    let mut one = detach_ask(instance(1));
    one.volumes = vec![(stage.lab.pool.clone(), "b".parse().unwrap())];
    daemon.node.detach(&one).unwrap();
    stage.rounds(false, &daemon, 3);
    assert_eq!(codes(&daemon), ["source-detached", "source-detached"]);
    assert_eq!(stage.made(&daemon), []);
    assert_eq!(daemon.kernel.mirrors(), []);
}

#[test]
fn a_leg_that_fails_costs_all_copies_and_not_the_guest() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.node.ask_group(&stage.asked()).unwrap();
    let kernel = daemon.kernel.clone();
    // At the last moment, when nothing is in flight.
    daemon
        .kernel
        .before("split-status", move |_| kernel.set_mirrors_fail(true));
    stage.rounds(true, &daemon, 30);
    assert_eq!(codes(&daemon), ["copy-broken", "copy-broken"]);
    assert_eq!(stage.made(&daemon), []);
    stage.must_go_on(&daemon, "failed");
}

/// The moment is on record: from here on none of them is taken back.
#[test]
fn past_its_moment_none_is_cancelled() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    stage.forget();
    daemon.node.ask_group(&stage.asked()).unwrap();
    let has_moment = |daemon: &Daemon| {
        let all = daemon.node.operations();
        all.iter().all(|one| one.operation.zeroed > Bytes(0))
    };
    // The copies are kept from being shown.
    let failing = daemon.kernel.clone();
    daemon.kernel.before("split", move |_| {
        for _ in 0..20 {
            failing.fail_on("change-tags", for_now());
        }
    });
    for _ in 0..10 {
        stage.rounds(true, &daemon, 1);
        if has_moment(&daemon) {
            break;
        }
    }
    assert!(has_moment(&daemon));
    if daemon
        .node
        .operations()
        .iter()
        .any(|one| one.operation.end().is_none())
    {
        let request = RequestId(uuid::Uuid::nil());
        let cancelled = daemon
            .node
            .cancel_operation(request, &"g:1".parse().unwrap());
        assert!(
            matches!(cancelled, Err(ControlError::Refused { .. })),
            "{cancelled:?}"
        );
    }
    stage.rounds(true, &daemon, 300);
    assert_eq!(ends(&daemon), [End::Done, End::Done]);
    stage.must_be_a_moment(&daemon, "past its moment");
}

#[test]
fn what_has_no_moment_in_common_is_refused_and_nothing_is_begun() {
    let (stage, daemon) = stage(LeaseStyle::Fused);
    stage.lab.volume("idle");
    let with = |task: VolumeTask| GroupRequest {
        members: members(vec![stage.of("a", "a-1"), task]),
        ..stage.asked()
    };
    let (code, message) = refusal(daemon.node.ask_group(&with(stage.of("idle", "i-1"))));
    assert_eq!(code, "source-detached", "{message}");
    assert!(message.contains("ask for it by itself"), "{message}");
    for twice in [stage.of("a", "other"), stage.of("b", "a-1")] {
        let (code, message) = refusal(daemon.node.ask_group(&with(twice)));
        assert_eq!(code, "name-taken", "{message}");
        assert!(message.contains("named twice"), "{message}");
    }
    assert_eq!(daemon.node.operations().len(), 0);
    assert_eq!(stage.made(&daemon), []);
}

#[derive(Clone, Copy, Debug)]
enum Dies {
    Before(usize),
    After(usize),
}

/// The daemon or the node dies at each change that it makes.
#[test]
fn i30_it_dies_at_any_change() {
    for style in STYLES {
        let changes = {
            let (stage, daemon) = stage(style);
            let before = daemon.kernel.changes_made();
            daemon.node.ask_group(&stage.asked()).unwrap();
            for _ in 0..8 {
                daemon.node.try_again();
                daemon.tasks.run_all();
                stage.lab.cluster.clock().sleep(Duration::from_secs(1));
            }
            assert_eq!(ends(&daemon), [End::Done, End::Done]);
            daemon.kernel.changes_made() - before
        };
        assert!(changes > 20, "{changes}");
        for n in 1..=changes {
            for at in [Dies::Before(n), Dies::After(n)] {
                dies(style, at, false);
                dies(style, at, true);
            }
        }
    }
}

fn dies(style: LeaseStyle, at: Dies, reboots: bool) {
    let case = format!("{style:?}, {at:?}, the node too: {reboots}");
    let (mut stage, daemon) = stage(style);
    stage.forget();
    match at {
        Dies::Before(n) => daemon.kernel.crash_before(n),
        Dies::After(n) => daemon.kernel.crash_after(n),
    }
    let asked = stage.asked();
    if daemon.try_group(&asked).is_some() {
        for _ in 0..20 {
            if daemon.kernel.crashed() {
                break;
            }
            daemon.node.try_again();
            daemon.tasks.run_all();
            if !daemon.kernel.crashed() {
                stage.writes(&daemon);
            }
            stage.lab.cluster.clock().sleep(Duration::from_secs(1));
        }
        assert!(daemon.kernel.crashed(), "{case} was not reached");
    }
    daemon.kill();
    if reboots {
        stage.lab.reboot("n1");
    }
    let daemon = stage.lab.start("n1");
    daemon.tasks.run_all();
    if reboots && daemon.node.operations().is_empty() {
        // Nothing was on record, and nobody writes any more.
        assert_eq!(stage.made(&daemon), [], "{case}");
        return;
    }
    // Whoever was not answered asks again, with the same id.
    daemon.node.ask_group(&asked).unwrap();
    if !reboots {
        stage.writes(&daemon);
    }
    stage.rounds(!reboots, &daemon, 12);
    let ends = ends(&daemon);
    match ends.as_slice() {
        [End::Done, End::Done] => stage.must_be_a_moment(&daemon, &case),
        [
            End::Failed { code: one, .. },
            End::Failed { code: other, .. },
        ] if reboots => {
            assert_eq!([one.as_str(), other], ["source-detached"; 2], "{case}");
            assert_eq!(stage.made(&daemon), [], "{case}");
        }
        other => panic!("{case}: {other:?}"),
    }
    if reboots {
        stage.attach(&daemon);
    }
    stage.must_go_on(&daemon, &case);
}

/// Whatever fails once is tried again, or ends both.
#[test]
fn any_change_may_fail_once() {
    let changes = {
        let (mut stage, daemon) = stage(LeaseStyle::Fused);
        let before = daemon.kernel.changes_made();
        daemon.node.ask_group(&stage.asked()).unwrap();
        stage.rounds(true, &daemon, 14);
        daemon.kernel.changes_made() - before
    };
    for n in 1..=changes {
        let case = format!("change {n}");
        let (mut stage, daemon) = stage(LeaseStyle::Fused);
        stage.forget();
        daemon.kernel.fail_at(n);
        let begun = daemon.node.ask_group(&stage.asked()).is_ok();
        stage.rounds(true, &daemon, 14);
        match (begun, ends(&daemon).as_slice()) {
            (false, []) => assert_eq!(stage.made(&daemon), [], "{case}"),
            (true, [End::Done, End::Done]) => stage.must_be_a_moment(&daemon, &case),
            (true, [End::Failed { .. }, End::Failed { .. }]) => {
                assert_eq!(stage.made(&daemon), [], "{case}");
            }
            (_, other) => panic!("{case}: {other:?}"),
        }
        stage.must_go_on(&daemon, &case);
    }
}

/// With the records goes whoever would end it.
#[test]
fn without_their_records_the_guest_writes_to_its_volumes_alone_again() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.node.ask_group(&stage.asked()).unwrap();
    daemon.tasks.run_all();
    assert_eq!(daemon.kernel.mirrors().len(), 2);
    for volume in &stage.volumes {
        let id = volward_model::DeviceId::attachment(volume.id, instance(1));
        daemon.kernel.set_open(id, true);
    }
    let empty = FakeJournal::new(daemon.kernel.clone());
    daemon.kill();
    stage.lab.set_journal("n1", empty);
    let daemon = stage.lab.start("n1");
    assert_eq!(daemon.kernel.mirrors(), []);
    stage.writes(&daemon);
}
