//! A volume is copied while its guest writes to it (I27, I28, I30): what is made holds one moment, the guest notices
//! nothing, and whatever dies or fails leaves the guest with its volume and nothing else.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::OperationRequest;
use volward_control::ports::{Clock, Devices, LeaseStyle, Volumes};
use volward_model::{
    Bytes, DeviceId, End, MemberState, RequestId, VolumeInfo, VolumeRef, VolumeTask,
};
use volward_plan::DiskForm;
use volward_simulation::ends::{code, ended, refused};
use volward_simulation::{Daemon, Lab, ask, check, detach_ask, disk, instance, operation, shared};
use volward_storage::journal::FakeJournal;

const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];

/// A volume that instance 1 writes to on node 1, and what it held since it was asked for its copy.
struct Stage {
    lab: Lab,
    volume: VolumeRef,
    moments: Vec<Vec<u64>>,
    stamp: u64,
}

fn stage(style: LeaseStyle) -> (Stage, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.cluster.set_lease_style(style);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    let volume = lab.volume("a");
    let request = ask(instance(1), &[disk(&volume)]);
    daemon.node.attach(&request).unwrap();
    let mut stage = Stage {
        lab,
        volume,
        moments: Vec::new(),
        stamp: 0,
    };
    stage.writes(&daemon);
    (stage, daemon)
}

impl Stage {
    fn snapshot(&self, id: &str) -> OperationRequest {
        let task = VolumeTask::Snapshot {
            pool: self.lab.pool.clone(),
            from: "a".parse().unwrap(),
            name: "moment".parse().unwrap(),
        };
        operation(id, task)
    }

    /// What was before is no moment of what is asked for from now on.
    fn forget(&mut self) {
        self.moments = vec![self.lab.expected(self.volume.id)];
    }

    /// The guest writes all over its disk, one write after the other.
    fn writes(&mut self, on: &Daemon) {
        let blocks = self.lab.expected(self.volume.id).len() as u64;
        for n in 0..5 {
            self.stamp += 1;
            let at = (n * blocks / 5, 100_000 + self.stamp);
            let written = self.lab.write(&on.kernel, self.volume.id, instance(1), at);
            written.unwrap();
            self.moments.push(self.lab.expected(self.volume.id));
        }
    }

    /// Seconds go by on the nodes, and where the guest runs it writes.
    fn rounds(&mut self, guest: Option<&Daemon>, nodes: &[&Daemon], seconds: u64) {
        for _ in 0..seconds {
            for daemon in nodes {
                daemon.node.follow_migrations();
                daemon.node.try_again();
                daemon.tasks.run_all();
            }
            if let Some(guest) = guest {
                self.writes(guest);
            }
            let kernels: Vec<_> = nodes.iter().map(|daemon| daemon.kernel.clone()).collect();
            assert_eq!(check::always(&self.lab, &kernels), [""; 0]);
            self.lab.cluster.clock().sleep(Duration::from_secs(1));
        }
    }

    fn made(&self, daemon: &Daemon) -> Option<VolumeInfo> {
        let pool = Volumes::pool(&daemon.kernel, &self.lab.pool).unwrap();
        pool.named(&"moment".parse().unwrap()).cloned()
    }

    fn device(&self) -> DeviceId {
        DeviceId::attachment(self.volume.id, instance(1))
    }

    fn target(&self, daemon: &Daemon) -> Option<String> {
        daemon.kernel.get(self.device()).unwrap()?.target
    }

    /// A volume like any other, which holds what the guest's disk held at one moment since it was asked for.
    fn must_be_a_moment(&self, daemon: &Daemon, case: &str) {
        let made = self.made(daemon).unwrap();
        assert!(made.tags.is_empty() && !made.active, "{case}: {made:?}");
        let has = self.lab.cluster.contents(made.volume.id);
        // A volume has whole extents.
        let (has, behind) = has.split_at(self.moments[0].len());
        assert!(
            self.moments.iter().any(|moment| moment == has),
            "{case}: of no moment"
        );
        assert!(behind.iter().all(|block| *block == 0), "{case}: behind it");
        let held = daemon.kernel.leases_held();
        assert!(held.iter().all(|(id, _)| *id != made.volume.id), "{case}");
    }

    /// The guest has its volume and writes to it alone, as ever.
    fn must_go_on(&mut self, daemon: &Daemon, case: &str) {
        assert_eq!(self.target(daemon).as_deref(), Some("linear"), "{case}");
        self.writes(daemon);
        assert_eq!(check::settled(&self.lab, daemon), [""; 0], "{case}");
        let origin = self.lab.cluster.contents(self.volume.id);
        assert_eq!(origin, self.lab.expected(self.volume.id), "{case}");
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&self.lab, daemon), [""; 0], "{case}");
    }
}

#[test]
fn what_a_guest_writes_to_is_copied_as_of_one_moment() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        let dry = OperationRequest {
            dry_run: true,
            ..stage.snapshot("s0")
        };
        let plan = daemon.node.ask_operation(&dry).unwrap().plan;
        assert!(
            plan.iter().any(|step| step.contains("write to both")),
            "{plan:?}"
        );
        stage.forget();
        daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
        daemon.tasks.run_all();
        assert_eq!(stage.target(&daemon).as_deref(), Some("mirror"));
        let waits = daemon.node.operation(&"s1".parse().unwrap()).unwrap();
        assert_eq!(waits.failures, 0);
        assert!(waits.trouble.unwrap().contains("are equal"));
        // Nobody has it until it is whole.
        let early = stage.made(&daemon).unwrap();
        let request = ask(instance(3), &[disk(&early.volume)]);
        assert!(daemon.node.attach(&request).is_err());
        stage.rounds(Some(&daemon), &[&daemon], 6);
        assert_eq!(ended(&daemon, "s1"), End::Done);
        stage.must_be_a_moment(&daemon, "written");
        let kept = stage.lab.cluster.contents(early.volume.id);
        stage.must_go_on(&daemon, "written");
        assert_eq!(
            stage.lab.cluster.contents(early.volume.id),
            kept,
            "a moment stays"
        );
        daemon.node.attach(&request).unwrap();
    }
}

/// What is behind the content of a larger copy is zero, where another tenant's data was (I27).
#[test]
fn i27_a_larger_copy_of_what_a_guest_writes_to_ends_in_zeroes() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    let task = VolumeTask::Copy {
        from_pool: stage.lab.pool.clone(),
        from: "a".parse().unwrap(),
        pool: stage.lab.pool.clone(),
        name: "moment".parse().unwrap(),
        size: Some(Bytes::mib(100)),
    };
    stage.forget();
    daemon.node.ask_operation(&operation("c1", task)).unwrap();
    stage.rounds(Some(&daemon), &[&daemon], 6);
    assert_eq!(ended(&daemon, "c1"), End::Done);
    let made = stage.made(&daemon).unwrap();
    assert_eq!(made.size, Bytes::mib(100));
    let has = stage.lab.cluster.contents(made.volume.id);
    let content = stage.moments[0].len();
    assert!(stage.moments.iter().any(|moment| *moment == has[..content]));
    assert!(has[content..].iter().all(|block| *block == 0));
    stage.must_go_on(&daemon, "larger");
}

#[test]
fn a_guest_that_stops_meanwhile_can_start_again_at_once_and_nothing_is_left() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
        daemon.tasks.run_all();
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        stage.rounds(None, &[&daemon], 3);
        assert_eq!(code(&ended(&daemon, "s1")), "source-detached");
        assert_eq!(stage.made(&daemon), None);
        let request = ask(instance(1), &[disk(&stage.volume)]);
        daemon.node.attach(&request).unwrap();
        stage.must_go_on(&daemon, "stopped");
    }
}

#[test]
fn it_is_cancelled_and_the_guest_goes_on() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
        daemon.tasks.run_all();
        let request = RequestId(uuid::Uuid::nil());
        let id = "s1".parse().unwrap();
        daemon.node.cancel_operation(request, &id).unwrap();
        stage.rounds(Some(&daemon), &[&daemon], 2);
        assert_eq!(ended(&daemon, "s1"), End::Cancelled);
        assert_eq!(stage.made(&daemon), None);
        stage.must_go_on(&daemon, "cancelled");
    }
}

/// The pool's disks give an error for the copy alone.
#[test]
fn a_leg_that_fails_costs_the_copy_and_not_the_guest() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
        daemon.tasks.run_all();
        daemon.kernel.set_mirrors_fail(true);
        stage.rounds(Some(&daemon), &[&daemon], 3);
        assert_eq!(code(&ended(&daemon, "s1")), "copy-broken");
        assert_eq!(stage.made(&daemon), None);
        stage.must_go_on(&daemon, "failed");
    }
}

/// At the last moment, when nothing is in flight, a leg has failed after all.
#[test]
fn a_leg_that_fails_as_it_is_split_off_is_seen() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
    let kernel = daemon.kernel.clone();
    daemon
        .kernel
        .before("split-status", move |_| kernel.set_mirrors_fail(true));
    stage.rounds(Some(&daemon), &[&daemon], 6);
    assert_eq!(code(&ended(&daemon, "s1")), "copy-broken");
    assert_eq!(stage.made(&daemon), None);
    stage.must_go_on(&daemon, "failed");
}

#[test]
fn what_more_than_one_could_write_is_not_followed() {
    let (stage, daemon) = stage(LeaseStyle::Fused);
    let of = |from: &str, to: &str| VolumeTask::Snapshot {
        pool: stage.lab.pool.clone(),
        from: from.parse().unwrap(),
        name: to.parse().unwrap(),
    };
    let common = stage.lab.shareable("common");
    let request = ask(instance(2), &[shared(&common)]);
    daemon.node.attach(&request).unwrap();
    let (code, message) = refused(&daemon, &operation("s1", of("common", "m1")));
    assert_eq!(code, "held-here", "{message}");
    let own = stage.lab.volume("own");
    let mut as_lv = disk(&own);
    as_lv.form = DiskForm::Lv;
    daemon.node.attach(&ask(instance(3), &[as_lv])).unwrap();
    let (code, message) = refused(&daemon, &operation("s2", of("own", "m2")));
    assert_eq!(code, "held-here", "{message}");
}

#[test]
fn a_lost_lease_cuts_the_copy_off_with_the_guest() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
    daemon.tasks.run_all();
    daemon.node.fence(Some(instance(1)), &[]);
    while let Some((name, work)) = daemon.tasks.pop() {
        if name.starts_with("fence") {
            work();
        }
    }
    assert_eq!(daemon.kernel.mirrors(), []);
    assert_eq!(stage.target(&daemon).as_deref(), Some("error"));
    stage.rounds(None, &[&daemon], 3);
    assert_eq!(code(&ended(&daemon, "s1")), "copy-broken");
    assert_eq!(stage.made(&daemon), None);
}

/// With the records goes whoever would end it.
#[test]
fn without_its_record_the_guest_writes_to_its_volume_alone_again() {
    let (mut stage, daemon) = stage(LeaseStyle::Fused);
    daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
    daemon.tasks.run_all();
    assert_eq!(stage.target(&daemon).as_deref(), Some("mirror"));
    daemon.kernel.set_open(stage.device(), true);
    let empty = FakeJournal::new(daemon.kernel.clone());
    daemon.kill();
    stage.lab.set_journal("n1", empty);
    let daemon = stage.lab.start("n1");
    assert_eq!(daemon.kernel.mirrors(), []);
    assert_eq!(stage.target(&daemon).as_deref(), Some("linear"));
    stage.writes(&daemon);
}

/// The node that has the guest is told, and does it.
#[test]
fn another_node_is_asked() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        let other = stage.lab.start("n2");
        stage.forget();
        let dry = OperationRequest {
            dry_run: true,
            ..stage.snapshot("s0")
        };
        let plan = other.node.ask_operation(&dry).unwrap().plan;
        assert!(plan[0].contains("node n1"), "{plan:?}");
        other.node.ask_operation(&stage.snapshot("s1")).unwrap();
        stage.rounds(Some(&daemon), &[&other, &daemon], 12);
        assert_eq!(ended(&daemon, "s1"), End::Done);
        assert_eq!(ended(&other, "s1"), End::Done);
        stage.must_be_a_moment(&daemon, "asked on n2");
        let known = other.node.operation(&"s1".parse().unwrap()).unwrap();
        let made = stage.made(&daemon).unwrap().volume;
        assert_eq!(
            known.operation.volume,
            Some(made.clone()),
            "who asked is told which"
        );
        stage.must_go_on(&daemon, "asked on n2");
        assert_eq!(check::clean(&stage.lab, &other), [""; 0]);
        let attached = other.node.attach(&ask(instance(4), &[disk(&made)]));
        assert!(attached.is_ok(), "{attached:?}");
    }
}

/// Who has the guest dies in the middle: nothing of the copy is left, and the guest starts elsewhere.
#[test]
fn i30_the_node_that_was_told_dies() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style);
        let other = stage.lab.start("n2");
        other.node.ask_operation(&stage.snapshot("s1")).unwrap();
        stage.rounds(Some(&daemon), &[&other, &daemon], 2);
        assert_eq!(stage.target(&daemon).as_deref(), Some("mirror"));
        daemon.kernel.power_cut();
        daemon.kill();
        stage.lab.cluster.set_member("n1", MemberState::Dead);
        stage.rounds(None, &[&other], 5);
        assert_eq!(code(&ended(&other, "s1")), "source-detached");
        assert_eq!(stage.made(&other), None);
        let request = ask(instance(1), &[disk(&stage.volume)]);
        other.node.attach(&request).unwrap();
        stage.must_go_on(&other, "n1 died");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Daemon,
    Node,
}

/// The daemon or the node dies at each point of it.
#[test]
fn i30_it_dies_at_any_point() {
    for style in STYLES {
        let points = {
            let (mut stage, daemon) = stage(style);
            let before = daemon.points.passed().len();
            daemon.node.ask_operation(&stage.snapshot("s1")).unwrap();
            stage.rounds(Some(&daemon), &[&daemon], 6);
            assert_eq!(ended(&daemon, "s1"), End::Done);
            daemon.points.passed().len() - before
        };
        assert!(points > 10, "{points}");
        for n in 0..points {
            for back in [Back::Daemon, Back::Node] {
                dies(style, n, back);
            }
        }
    }
}

fn dies(style: LeaseStyle, point: usize, back: Back) {
    let case = format!("{style:?}, point {point}, back: {back:?}");
    let (mut stage, daemon) = stage(style);
    stage.forget();
    daemon.points.die_at(point);
    let asked = stage.snapshot("s1");
    if daemon.try_operation(&asked).is_some() {
        let mut seconds = 0;
        while !daemon.kernel.crashed() {
            daemon.node.try_again();
            daemon.tasks.run_all();
            if !daemon.kernel.crashed() {
                stage.writes(&daemon);
            }
            stage.lab.cluster.clock().sleep(Duration::from_secs(1));
            seconds += 1;
            assert!(seconds < 20, "{case} was not reached");
        }
    }
    daemon.kill();
    if back == Back::Node {
        stage.lab.reboot("n1");
    }
    let daemon = stage.lab.start("n1");
    daemon.tasks.run_all();
    // Whoever was not answered asks again, with the same id.
    let again = daemon.node.ask_operation(&asked);
    let guest = (back == Back::Daemon).then_some(&daemon);
    if guest.is_some() {
        stage.writes(&daemon);
    }
    stage.rounds(guest, &[&daemon], 8);
    let end = match &again {
        Ok(_) => ended(&daemon, "s1"),
        Err(error) => panic!("{case}: {error}"),
    };
    match (back, &end) {
        (_, End::Done) => stage.must_be_a_moment(&daemon, &case),
        (Back::Node, End::Failed { code, .. }) => {
            assert_eq!(code, "source-detached", "{case}");
            assert_eq!(stage.made(&daemon), None, "{case}");
        }
        (_, other) => panic!("{case}: {other:?}"),
    }
    if back == Back::Node {
        let request = ask(instance(1), &[disk(&stage.volume)]);
        let attached = daemon.node.attach(&request);
        assert!(attached.is_ok(), "{case}: {attached:?}");
    }
    stage.must_go_on(&daemon, &case);
}
