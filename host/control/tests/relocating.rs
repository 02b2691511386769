//! A volume goes to another disk of its pool, under its guest or with nobody at it (I2, I30): the guest notices nothing, nothing is
//! copied beneath a volume whose lease this node has not, and whatever dies or fails leaves it whole on one of the two.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::OperationRequest;
use volward_control::ports::{Clock, LeaseStyle, Volumes};
use volward_model::{DeviceId, End, LvmUuid, MemberState, RequestId, VolumeRef, VolumeTask};
use volward_plan::DiskForm;
use volward_simulation::ends::{code, ended, refused};
use volward_simulation::{Daemon, Lab, ask, check, detach_ask, disk, instance, operation, shared};

const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];
const WAYS: [Guest; 2] = [Guest::Writes, Guest::Nobody];

/// Who has the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    /// Instance 1, on node 1.
    Writes,
    Nobody,
}

struct Stage {
    lab: Lab,
    volume: VolumeRef,
    /// The disk that it goes to.
    disk: LvmUuid,
    stamp: u64,
}

fn stage(style: LeaseStyle, guest: Guest) -> (Stage, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    lab.cluster.set_lease_style(style);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    let volume = lab.volume("a");
    let disk_of_its_own = lab.cluster.disk(&lab.pool);
    let mut stage = Stage {
        lab,
        volume,
        disk: disk_of_its_own,
        stamp: 0,
    };
    let request = ask(instance(1), &[disk(&stage.volume)]);
    daemon.node.attach(&request).unwrap();
    stage.writes(&daemon);
    if guest == Guest::Nobody {
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
    }
    (stage, daemon)
}

impl Stage {
    fn asked(&self, id: &str) -> OperationRequest {
        let task = VolumeTask::Relocate {
            pool: self.lab.pool.clone(),
            name: "a".parse().unwrap(),
            disk: self.disk,
        };
        operation(id, task)
    }

    /// The guest writes all over its disk.
    fn writes(&mut self, on: &Daemon) {
        let blocks = self.lab.expected(self.volume.id).len() as u64;
        for n in 0..3 {
            self.stamp += 1;
            let at = (n * blocks / 3, 100_000 + self.stamp);
            let written = self.lab.write(&on.kernel, self.volume.id, instance(1), at);
            written.unwrap();
        }
    }

    /// Seconds go by, and where the guest runs it writes.
    fn rounds(&mut self, guest: Guest, daemon: &Daemon, seconds: u64) {
        self.both(guest, daemon, None, seconds);
    }

    /// The same with another node, which nobody writes on.
    fn both(&mut self, guest: Guest, daemon: &Daemon, other: Option<&Daemon>, seconds: u64) {
        for _ in 0..seconds {
            for daemon in other.into_iter().chain([daemon]) {
                daemon.node.follow_migrations();
                daemon.node.try_again();
                daemon.tasks.run_all();
            }
            if guest == Guest::Writes {
                self.writes(daemon);
            }
            self.nothing_is_copied_without_a_lease(daemon, "rounds");
            let kernels = [daemon.kernel.clone()];
            assert_eq!(check::always(&self.lab, &kernels), [""; 0]);
            self.lab.cluster.clock().sleep(Duration::from_secs(1));
        }
    }

    fn nothing_is_copied_without_a_lease(&self, daemon: &Daemon, case: &str) {
        assert_eq!(daemon.kernel.moving_without_lease(), [], "I2: {case}");
    }

    fn is_on(&self) -> (LvmUuid, Option<LvmUuid>) {
        self.lab.cluster.disks_of(&self.volume).unwrap()
    }

    /// It is whole on one disk, nothing is on its way, and whoever is to have it has it and nobody else.
    fn must_be_settled(&mut self, daemon: &Daemon, guest: Guest, moved: bool, case: &str) {
        let (on, goes_to) = self.is_on();
        assert_eq!(goes_to, None, "{case}: LVM still moves it");
        assert_eq!(on == self.disk, moved, "{case}: which disk it is on");
        assert_eq!(daemon.kernel.moving(), [], "{case}");
        assert_eq!(self.lab.cluster.tags(&self.volume), [""; 0], "{case}");
        if guest == Guest::Nobody {
            let held = daemon.kernel.leases_held();
            let held = held.iter().any(|(id, _)| *id == self.volume.id);
            assert!(!held, "{case}: its lease");
            let request = ask(instance(1), &[disk(&self.volume)]);
            daemon.node.attach(&request).unwrap();
        }
        self.writes(daemon);
        assert_eq!(check::settled(&self.lab, daemon), [""; 0], "{case}");
        let content = self.lab.cluster.contents(self.volume.id);
        assert_eq!(content, self.lab.expected(self.volume.id), "{case}");
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&self.lab, daemon), [""; 0], "{case}");
    }
}

fn in_each_way(story: impl Fn(LeaseStyle, Guest)) {
    for style in STYLES {
        for guest in WAYS {
            story(style, guest);
        }
    }
}

#[test]
fn all_of_a_volume_goes_to_the_disk_that_is_named() {
    in_each_way(|style, guest| {
        let case = format!("{style:?}, {guest:?}");
        let (mut stage, daemon) = stage(style, guest);
        let dry = OperationRequest {
            dry_run: true,
            ..stage.asked("r0")
        };
        let plan = daemon.node.ask_operation(&dry).unwrap().plan;
        let moves = plan.iter().filter(|step| step.contains("have LVM move"));
        assert_eq!(moves.count(), 1, "{case}: {plan:?}");
        daemon.node.ask_operation(&stage.asked("r1")).unwrap();
        daemon.tasks.run_all();
        let waits = daemon.node.operation(&"r1".parse().unwrap()).unwrap();
        assert!(waits.trouble.unwrap().contains("% is on both"), "{case}");
        if guest == Guest::Nobody {
            let request = ask(instance(3), &[disk(&stage.volume)]);
            assert!(daemon.node.attach(&request).is_err(), "{case}: half moved");
        }
        stage.rounds(guest, &daemon, 48);
        assert_eq!(ended(&daemon, "r1"), End::Done, "{case}");
        // Who asks for what is so has nothing done.
        daemon.node.ask_operation(&stage.asked("r2")).unwrap();
        daemon.tasks.run_all();
        assert_eq!(ended(&daemon, "r2"), End::Done, "{case}");
        stage.must_be_settled(&daemon, guest, true, &case);
    });
}

#[test]
fn it_is_cancelled_and_stays_where_it_was() {
    in_each_way(|style, guest| {
        let case = format!("{style:?}, {guest:?}");
        let (mut stage, daemon) = stage(style, guest);
        daemon.node.ask_operation(&stage.asked("r1")).unwrap();
        daemon.tasks.run_all();
        assert_eq!(daemon.kernel.moving(), [stage.volume.id], "{case}");
        let request = RequestId(uuid::Uuid::nil());
        let id = "r1".parse().unwrap();
        daemon.node.cancel_operation(request, &id).unwrap();
        stage.rounds(guest, &daemon, 12);
        assert_eq!(ended(&daemon, "r1"), End::Cancelled, "{case}");
        stage.must_be_settled(&daemon, guest, false, &case);
    });
}

/// What LVM copies beneath a volume is ended before its lease is given up (I2).
#[test]
fn i2_a_guest_that_stops_meanwhile_takes_nothing_with_it_and_can_start_again() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style, Guest::Writes);
        daemon.node.ask_operation(&stage.asked("r1")).unwrap();
        daemon.tasks.run_all();
        stage.rounds(Guest::Writes, &daemon, 6);
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        stage.nothing_is_copied_without_a_lease(&daemon, "detached");
        stage.rounds(Guest::Nobody, &daemon, 48);
        assert_eq!(code(&ended(&daemon, "r1")), "source-detached");
        stage.must_be_settled(&daemon, Guest::Nobody, false, "stopped");
    }
}

/// A move that LVM's metadata still know of, of which nothing is active: whoever attaches it goes on with it, and ends it
/// beneath himself when he detaches.
#[test]
fn i2_a_move_that_somebody_else_began_ends_with_its_attachment() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style, Guest::Writes);
        let (on, _) = stage.is_on();
        let (volume, to) = (stage.volume.clone(), stage.disk);
        Volumes::relocate(&daemon.kernel, &volume, on, to).unwrap();
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(daemon.kernel.moving(), []);
        let request = ask(instance(1), &[disk(&stage.volume)]);
        daemon.node.attach(&request).unwrap();
        stage.writes(&daemon);
        // The operation goes on with what is on its way.
        daemon.node.ask_operation(&stage.asked("r1")).unwrap();
        stage.rounds(Guest::Writes, &daemon, 48);
        assert_eq!(ended(&daemon, "r1"), End::Done);
        stage.must_be_settled(&daemon, Guest::Writes, true, "taken up");
    }
}

#[test]
fn lvmpolld_may_die_meanwhile() {
    let (mut stage, daemon) = stage(LeaseStyle::Separate, Guest::Writes);
    daemon.node.ask_operation(&stage.asked("r1")).unwrap();
    daemon.tasks.run_all();
    daemon.kernel.lose_lvmpolld();
    stage.rounds(Guest::Writes, &daemon, 72);
    assert_eq!(ended(&daemon, "r1"), End::Done);
    stage.must_be_settled(&daemon, Guest::Writes, true, "polled anew");
}

/// Whose lease is lost is cut off, and what LVM copies beneath it is halted with it; when the lease is sound again, the
/// move is taken back first, and then the I/O is given back.
#[test]
fn i2_a_lost_lease_halts_what_is_copied() {
    let (mut stage, daemon) = stage(LeaseStyle::Separate, Guest::Writes);
    daemon.node.follow_leases();
    daemon.node.ask_operation(&stage.asked("r1")).unwrap();
    daemon.tasks.run_all();
    assert_eq!(daemon.kernel.moving(), [stage.volume.id]);
    daemon.node.fence(Some(instance(1)), &[]);
    daemon.tasks.run_all();
    assert_eq!(daemon.kernel.moving(), [], "it writes on");
    let id = DeviceId::attachment(stage.volume.id, instance(1));
    assert!(daemon.kernel.guest_read(id, 0).is_err());
    let request = RequestId(uuid::Uuid::nil());
    let early = daemon.node.unfence(request, instance(1)).unwrap_err();
    assert!(early.to_string().contains("halted"), "{early}");
    stage.rounds(Guest::Nobody, &daemon, 18);
    assert_eq!(code(&ended(&daemon, "r1")), "move-halted");
    daemon.node.unfence(request, instance(1)).unwrap();
    stage.must_be_settled(&daemon, Guest::Writes, false, "halted");
}

#[test]
fn who_cannot_be_moved_is_told_why() {
    let (stage, daemon) = stage(LeaseStyle::Separate, Guest::Nobody);
    let mut request = ask(instance(1), &[disk(&stage.volume)]);
    request.disks[0].form = DiskForm::Lv;
    daemon.node.attach(&request).unwrap();
    let (code, message) = refused(&daemon, &stage.asked("r1"));
    assert_eq!(code, "held-here", "{message}");
    assert!(message.contains("the LV itself"), "{message}");
    daemon.node.detach(&detach_ask(instance(1))).unwrap();

    let tags = ["volward.shareable".to_owned()];
    Volumes::change_tags(&daemon.kernel, &stage.volume, &[], &tags).unwrap();
    daemon
        .node
        .attach(&ask(instance(1), &[shared(&stage.volume)]))
        .unwrap();
    let (code, message) = refused(&daemon, &stage.asked("r2"));
    assert_eq!(code, "held-here", "{message}");
    assert!(message.contains("shared"), "{message}");
    daemon.node.detach(&detach_ask(instance(1))).unwrap();

    let other = stage.lab.start("n2");
    other
        .node
        .attach(&ask(instance(2), &[shared(&stage.volume)]))
        .unwrap();
    let (code, message) = refused(&daemon, &stage.asked("r3"));
    assert_eq!(code, "held-elsewhere", "{message}");
    assert!(message.contains("attached on node n2"), "{message}");
    other.node.detach(&detach_ask(instance(2))).unwrap();

    stage
        .lab
        .cluster
        .set_kind(&stage.volume, "raid1", &[], true);
    let (code, message) = refused(&daemon, &stage.asked("r4"));
    assert_eq!(code, "segment-type", "{message}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_begun() {
    let (stage, daemon) = stage(LeaseStyle::Separate, Guest::Writes);
    let free = Volumes::pool(&daemon.kernel, &stage.lab.pool).unwrap().free;
    stage.lab.cluster.volume(&stage.lab.pool, "filler", free);
    let (code, message) = refused(&daemon, &stage.asked("r1"));
    assert_eq!(code, "no-space", "{message}");
    assert!(message.contains("are on other disks"), "{message}");
    assert_eq!(daemon.kernel.moving(), []);
}

#[test]
fn a_disk_is_named_by_its_path_or_its_uuid() {
    let (stage, daemon) = stage(LeaseStyle::Separate, Guest::Nobody);
    let pool = &stage.lab.pool;
    let request = RequestId(uuid::Uuid::nil());
    let named = |name: &str| daemon.node.disk(request, pool, name);
    let path = format!("/dev/disk/by-id/{pool}-1");
    assert_eq!(named(&path).unwrap(), stage.disk);
    assert_eq!(named(&stage.disk.to_string()).unwrap(), stage.disk);
    let error = named("/dev/sdz").unwrap_err().to_string();
    assert!(error.contains("no disk /dev/sdz"), "{error}");
}

/// How the daemon ends.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    Point(usize),
    Before(usize),
    After(usize),
}

fn every_interruption(style: LeaseStyle, guest: Guest) -> Vec<Interruption> {
    let (mut stage, daemon) = stage(style, guest);
    let points = daemon.points.passed().len();
    let changes = daemon.kernel.changes_made();
    daemon.node.ask_operation(&stage.asked("r1")).unwrap();
    stage.rounds(guest, &daemon, 48);
    assert_eq!(ended(&daemon, "r1"), End::Done);
    let points = 0..daemon.points.passed().len() - points;
    let changes = 1..=daemon.kernel.changes_made() - changes;
    assert!(points.len() > 1 && changes.clone().count() > 1);
    points
        .map(Interruption::Point)
        .chain(changes.clone().map(Interruption::Before))
        .chain(changes.map(Interruption::After))
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Daemon,
    Node,
}

fn interrupted(style: LeaseStyle, guest: Guest, end: Interruption, back: Back) {
    let case = format!("{style:?}, {guest:?}, {end:?}, back: {back:?}");
    let (mut stage, daemon) = stage(style, guest);
    match end {
        Interruption::Point(n) => daemon.points.die_at(n),
        Interruption::Before(n) => daemon.kernel.crash_before(n),
        Interruption::After(n) => daemon.kernel.crash_after(n),
    }
    let _ = daemon.try_operation(&stage.asked("r1"));
    for _ in 0..48 {
        if daemon.kernel.crashed() {
            break;
        }
        daemon.node.try_again();
        daemon.tasks.run_all();
        stage.lab.cluster.clock().sleep(Duration::from_secs(1));
    }
    assert!(daemon.kernel.crashed(), "{case} was not reached");
    let kernel = daemon.kernel.clone();
    daemon.kill();
    let mut now = guest;
    if back == Back::Node {
        stage.lab.reboot("n1");
        now = Guest::Nobody;
    }
    assert_eq!(kernel.moving_without_lease(), [], "I2: {case}");
    let daemon = stage.lab.start("n1");
    daemon.tasks.run_all();
    daemon.node.ask_operation(&stage.asked("r1")).unwrap();
    stage.rounds(now, &daemon, 72);
    let moved = match ended(&daemon, "r1") {
        End::Done => true,
        // Its guest is gone with the node.
        End::Failed { code, .. } if guest == Guest::Writes && back == Back::Node => {
            assert_eq!(code, "source-detached", "{case}");
            false
        }
        end => panic!("{case}: {end:?}"),
    };
    stage.must_be_settled(&daemon, now, moved, &case);
}

#[test]
fn i30_it_goes_on_wherever_the_daemon_or_the_node_dies() {
    in_each_way(|style, guest| {
        for end in every_interruption(style, guest) {
            for back in [Back::Daemon, Back::Node] {
                interrupted(style, guest, end, back);
            }
        }
    });
}

/// The node that has the guest is told, and does it.
#[test]
fn another_node_is_asked() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style, Guest::Writes);
        let other = stage.lab.start("n2");
        other.node.ask_operation(&stage.asked("r1")).unwrap();
        stage.both(Guest::Writes, &daemon, Some(&other), 60);
        assert_eq!(ended(&daemon, "r1"), End::Done);
        assert_eq!(ended(&other, "r1"), End::Done);
        stage.must_be_settled(&daemon, Guest::Writes, true, "asked on n2");
        assert_eq!(check::clean(&stage.lab, &other), [""; 0]);
    }
}

/// Who was told dies in the middle: the guest starts elsewhere at once, and the move goes on beneath it; where it does not start
/// there, nothing is moved that its next start would wait for.
#[test]
fn i30_the_node_that_was_told_dies() {
    in_each_way(|style, next| {
        let case = format!("{style:?}, {next:?}");
        let (mut stage, daemon) = stage(style, Guest::Writes);
        let other = stage.lab.start("n2");
        other.node.ask_operation(&stage.asked("r1")).unwrap();
        stage.both(Guest::Writes, &daemon, Some(&other), 4);
        assert_eq!(daemon.kernel.moving(), [stage.volume.id], "{case}");
        daemon.kernel.power_cut();
        daemon.kill();
        stage.lab.cluster.set_member("n1", MemberState::Dead);
        if next == Guest::Writes {
            let request = ask(instance(1), &[disk(&stage.volume)]);
            other.node.attach(&request).unwrap();
        }
        stage.rounds(next, &other, 60);
        let end = ended(&other, "r1");
        match next {
            Guest::Writes => assert_eq!(end, End::Done, "{case}"),
            Guest::Nobody => assert_eq!(code(&end), "source-detached", "{case}"),
        }
        stage.must_be_settled(&other, next, next == Guest::Writes, &case);
    });
}

/// A node that dies leaves its volume to others, whole; and takes nothing back from who has it then.
#[test]
fn i2_a_node_that_dies_meanwhile_leaves_the_volume_to_others() {
    for style in STYLES {
        let (mut stage, daemon) = stage(style, Guest::Writes);
        daemon.node.ask_operation(&stage.asked("r1")).unwrap();
        daemon.tasks.run_all();
        stage.rounds(Guest::Writes, &daemon, 6);
        daemon.kernel.power_cut();
        daemon.kill();
        stage.lab.cluster.set_member("n1", MemberState::Dead);
        let other = stage.lab.start("n2");
        let request = ask(instance(1), &[disk(&stage.volume)]);
        other.node.attach(&request).unwrap();
        stage.writes(&other);
        stage.lab.reboot("n1");
        let daemon = stage.lab.start("n1");
        stage.rounds(Guest::Nobody, &daemon, 18);
        stage.writes(&other);
        other.node.detach(&detach_ask(instance(1))).unwrap();
        stage.nothing_is_copied_without_a_lease(&other, "detached there");
        stage.rounds(Guest::Nobody, &daemon, 540);
        assert_eq!(code(&ended(&daemon, "r1")), "source-detached");
        stage.must_be_settled(&daemon, Guest::Nobody, false, "back again");
    }
}
