//! Writes what 0.1.0 leaves on a node's disk. Compiled in a checkout of 0.1.0 only: see README.md.
#![allow(warnings, clippy::all)]

#[path = "../../../host/daemon/src/marks.rs"]
mod marks;
#[path = "../../../host/daemon/src/state.rs"]
mod state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use state::State;
use uuid::Uuid;
use volward_control::ports::*;
use volward_control::{Node, Ports, Settings};
use volward_model::*;
use volward_plan::geometry::CloneGeometry;
use volward_plan::recheck::Expectation;
use volward_plan::{DiskForm, NextHome, Planned, Step};
use volward_simulation::doubles::{Death, FakeDecisions};
use volward_simulation::{
    Daemon, FakeJournal, Lab, Points, Say, TaskQueue, ask, detach_ask, disk, instance, read_only,
    shared,
};

/// The lab's journal says when the daemon dies; what it takes is written by the real one.
struct Tee(FakeJournal, State);

impl Journal for Tee {
    fn next_sequence(&self) -> PortResult<u64> {
        self.0.next_sequence()?;
        self.1.next_sequence()
    }
    fn begin(&self, entry: &JournalEntry) -> PortResult<u64> {
        self.0.begin(entry)?;
        self.1.begin(entry)
    }
    fn mark(&self, entry: u64, step: usize, mark: StepMark) -> PortResult<()> {
        self.0.mark(entry, step, mark)?;
        self.1.mark(entry, step, mark)
    }
    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<u64>> {
        self.0.finish(entry, end)?;
        self.1.finish(entry, end)
    }
    fn open_entries(&self) -> PortResult<Vec<JournalEntry>> {
        self.0.open_entries()?;
        self.1.open_entries()
    }
    fn find(&self, what: &JournalQuery, limit: usize) -> PortResult<Vec<JournalEntry>> {
        self.0.find(what, limit)?;
        self.1.find(what, limit)
    }
    fn attachments(&self) -> PortResult<Vec<StoredAttachment>> {
        self.0.attachments()?;
        self.1.attachments()
    }
    fn change_attachments(
        &self,
        put: &[StoredAttachment],
        remove: &[AttachmentKey],
    ) -> PortResult<()> {
        self.0.change_attachments(put, remove)?;
        self.1.change_attachments(put, remove)
    }
}

fn start(lab: &Lab, state: State) -> Daemon {
    let kernel = lab.cluster.node("n1");
    kernel.restart();
    let tasks = Arc::new(TaskQueue::default());
    let points = Arc::new(Points::new(kernel.clone()));
    let decisions = Arc::new(FakeDecisions::default());
    let port = Arc::new(kernel.clone());
    let ports = Ports {
        volumes: port.clone(),
        leases: port.clone(),
        devices: port.clone(),
        registry: port.clone(),
        journal: Arc::new(Tee(lab.journal("n1"), state)),
        policy: lab.policy.clone(),
        decisions: decisions.clone(),
        marks: Arc::new(Unmarked),
        clock: Arc::new(lab.cluster.clock()),
        machine: port,
        tasks: tasks.clone(),
        interruptions: points.clone(),
    };
    let settings = Settings {
        node: kernel.name().clone(),
        labels: Vec::new(),
        pools: vec![lab.pool.clone()],
        local: lab.local("n1"),
        lab_without_watchdog: false,
        wait_for_turn: Duration::ZERO,
        wait_to_detach: Duration::ZERO,
        wait_for_intent: Duration::from_secs(60),
        busy_for: Duration::from_secs(2),
        stall_after: Duration::from_secs(60),
    };
    let daemon = Daemon {
        node: Node::new(settings, ports),
        journal: lab.journal("n1"),
        kernel,
        tasks,
        points,
        decisions,
    };
    daemon.node.recover().unwrap();
    daemon
}

struct Stage {
    lab: Lab,
    v: Vec<VolumeRef>,
    daemon: Daemon,
}

fn stage(folder: &Path, name: &str) -> Stage {
    let path = folder.join(format!("{name}.db"));
    let lab = Lab::new(&["n1", "n2"]);
    let v = vec![lab.volume("a"), lab.volume("b"), lab.shareable("c")];
    lab.start("n2").kill();
    let daemon = start(&lab, State::open(&path).unwrap());
    Stage { lab, v, daemon }
}

/// Dies at the `nth` (from 0) passing of that point from now on.
fn die_at(s: &Stage, point: &str, nth: usize, act: impl Fn(&Stage)) {
    act(s);
    assert!(s.daemon.kernel.crashed(), "{point} {nth}: {:#?}", s.daemon.points.passed());
    assert_eq!(s.daemon.points.passed().last().unwrap(), point, "{:#?}", s.daemon.points.passed());
}

fn attach_ab(s: &Stage) {
    let disks = [disk(&s.v[0]), disk(&s.v[1])];
    s.daemon.try_attach(&ask(instance(1), &disks));
}

fn write_some(s: &Stage) {
    for (block, value) in [(0, 5), (7, 6), (31, 7)] {
        s.lab.write(&s.daemon.kernel, s.v[0].id, instance(1), (block, value)).unwrap();
    }
}

/// Where the point is passed, counted on a stage of its own.
fn index(scratch: &Path, say: &Say, prepare: fn(&Stage), act: fn(&Stage), point: &str, nth: usize) -> usize {
    let s = stage(scratch, &Uuid::new_v4().to_string());
    s.lab.policy.say(say.clone());
    prepare(&s);
    let before = s.daemon.points.passed().len();
    act(&s);
    let passed = s.daemon.points.passed();
    let all = passed[before..].iter().enumerate().filter(|(_, p)| *p == point);
    all.map(|(n, _)| n).nth(nth).unwrap_or_else(|| panic!("{point}: {passed:#?}"))
}

fn interrupted(folder: &Path, name: &str, say: Say, prepare: fn(&Stage), act: fn(&Stage), (point, nth): (&str, usize)) -> Stage {
    let n = index(&folder.join("scratch"), &say, prepare, act, point, nth);
    let s = stage(folder, name);
    s.lab.policy.say(say);
    prepare(&s);
    s.daemon.points.die_at(n);
    die_at(&s, point, nth, act);
    s
}

fn nothing(_: &Stage) {}

fn with_copies(s: &Stage) {
    attach_ab(s);
    write_some(s);
}

fn detach(s: &Stage) {
    s.daemon.try_detach(&detach_ask(instance(1)));
}

fn write_back(s: &Stage) {
    s.daemon.tasks.run_all();
}

/// Ended entries of every kind, one attachment attached, one quarantined, and guest 1 detached.
fn mixed(s: &Stage) {
    // Undone.
    s.daemon.kernel.fail_on("create", PortError::Refused("a failure in a test".into()));
    drop(s.daemon.node.attach(&ask(instance(1), &[disk(&s.v[0])])));
    // Attached, and stays.
    s.lab.policy.say(Say::AsAsked);
    s.daemon.node.attach(&ask(instance(2), &[shared(&s.v[2])])).unwrap();
    // Attached, in use while it is detached: quarantined.
    s.daemon.node.attach(&ask(instance(3), &[read_only(&s.v[1])])).unwrap();
    s.daemon.kernel.set_open(DeviceId::attachment(s.v[1].id, instance(3)), true);
    assert!(s.daemon.node.detach(&detach_ask(instance(3))).is_err());
    s.lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    s.daemon.node.attach(&ask(instance(1), &[disk(&s.v[0])])).unwrap();
    write_some(s);
    s.daemon.node.detach(&detach_ask(instance(1))).unwrap();
}

fn every_step(s: &Stage) -> Vec<Planned> {
    let a = s.v[0].clone();
    let c = s.v[2].clone();
    let local: PoolName = s.lab.local("n1").unwrap();
    let pool = s.lab.pool.clone();
    let guest = instance(4);
    let n1: NodeName = "n1".parse().unwrap();
    let n2: NodeName = "n2".parse().unwrap();
    let geometry = CloneGeometry { region: Sectors(128), threshold: 16, batch: 16 };
    let size = Sectors(4096);
    let attachment = |state, sharing, access| Attachment {
        volume: c.id, instance: guest, node: n2.clone(), sharing, access, since_ms: 9, state,
    };
    let lv: LvUuid = a.id.lv;
    let expectation = |state| Expectation {
        volume: a.clone(), size: size.bytes(), home: Home { state, generation: 3 }, shareable: true,
        others: vec![
            attachment(AttachmentState::Attached, Sharing::Shared, Access::ReadOnly),
            attachment(AttachmentState::Quarantined, Sharing::Exclusive, Access::ReadWrite),
        ],
        lease: LeaseMode::Shared, own_host_id: 1,
    };
    let expectations = vec![
        expectation(HomeState::Pool),
        expectation(HomeState::Split { node: n1.clone(), copy: lv }),
        expectation(HomeState::Returning { node: n1.clone(), copy: lv }),
        expectation(HomeState::Node { node: n2.clone(), copy: lv }),
    ];
    let steps = vec![
        Step::Lease { pool: pool.clone(), volumes: vec![a.clone(), c.clone()], mode: LeaseMode::Exclusive },
        Step::Release { pool: pool.clone(), volumes: vec![a.clone()] },
        Step::DisableAutoactivation { pool: pool.clone(), volumes: vec![a.clone()] },
        Step::LookAgain { expectations },
        Step::MakeCopy { volume: a.clone(), local: local.clone(), size: size.bytes(), metadata: Bytes::mib(4) },
        Step::ZeroMetadata { volume: a.clone(), local: local.clone() },
        Step::RemoveCopy { volume: a.clone(), local: local.clone() },
        Step::SetHome { volume: a.clone(), from_generation: 3, to: NextHome::Pool, local: local.clone() },
        Step::SetHome { volume: a.clone(), from_generation: 4, to: NextHome::Split(n1.clone()), local: local.clone() },
        Step::SetHome { volume: a.clone(), from_generation: 5, to: NextHome::Returning(n1.clone()), local: local.clone() },
        Step::LoadClone { volume: a.clone(), local: local.clone(), size, geometry, hydrating: true },
        Step::UnloadClone { volume: a.clone() },
        Step::AwaitHydration { volume: a.clone() },
        Step::CreateDevice { volume: a.clone(), instance: guest, on_clone: true, size, read_only: false, discards: true },
        Step::RemoveDevice { volume: a.clone(), instance: guest },
        Step::Publish { pool: pool.clone(), attachments: vec![attachment(AttachmentState::Intent, Sharing::Shared, Access::ReadWrite)] },
        Step::Withdraw { pool: pool.clone(), attachments: vec![AttachmentKey { volume: c.id, instance: guest }] },
        Step::Link { volume: a.clone(), instance: guest },
        Step::Unlink { volume: a.clone(), instance: guest },
        Step::MakeReturnMetadata { volume: a.clone(), local: local.clone(), size: Bytes::mib(4) },
        Step::LoadReturn { volume: a.clone(), local, size, geometry },
        Step::AwaitReturn { volume: a.clone() },
        Step::UnloadReturn { volume: a.clone() },
    ];
    let undo = steps.clone();
    steps.into_iter().map(|step| Planned { step, undo: undo[..2].to_vec() }).collect()
}

fn words(folder: &Path) {
    let s = stage(folder, "every-word");
    let db = State::open(&folder.join("every-word.db")).unwrap();
    let a = s.v[0].clone();
    let copy = |mode, fate| Some(CopyPlan { mode, in_flight: Some(Bytes::mib(2)), batch: None, fate });
    let stored = |n: u8, form, sharing, access, copy, state| StoredAttachment {
        volume: a.clone(), instance: instance(n), instance_name: format!("guest-{n}"), form, sharing, access, copy,
        since_ms: 1_700_000_000_000 + u64::from(n), sequence: u64::from(n), boot_id: "an-earlier-boot".into(), state,
        causes: vec!["one sentence".into(), "another \"quoted\" one".into()],
    };
    use AttachmentState::*;
    let all = vec![
        stored(4, DiskForm::Own, Sharing::Exclusive, Access::ReadWrite, copy(CopyMode::WritesOnly, CopyFate::WriteBack), Attached),
        stored(5, DiskForm::Lv, Sharing::Shared, Access::ReadOnly, None, Quarantined),
        stored(6, DiskForm::Own, Sharing::Shared, Access::ReadWrite, copy(CopyMode::Background, CopyFate::Keep), Intent),
        stored(7, DiskForm::Own, Sharing::Exclusive, Access::ReadWrite, copy(CopyMode::BeforeStart, CopyFate::Discard), Attached),
    ];
    let steps = every_step(&s);
    let marks = [StepMark::Waiting, StepMark::Started, StepMark::Done, StepMark::Undone];
    let states = [JournalState::Open, JournalState::Done, JournalState::Undone, JournalState::Quarantined];
    let kinds = [JournalKind::Attach, JournalKind::Detach, JournalKind::WriteBack, JournalKind::Attach];
    for (n, (state, kind)) in states.into_iter().zip(kinds).enumerate() {
        let entry = JournalEntry {
            id: 0, request: RequestId(Uuid::from_u128(n as u128 + 1)), kind, boot_id: "an-earlier-boot".into(),
            started_ms: 1_700_000_000_000, instance: (kind != JournalKind::WriteBack).then(|| instance(4)),
            volumes: s.v.clone(), steps: steps.clone(), commit_at: 17, puts: all.clone(),
            removes: vec![all[0].key()], write_back: vec![a.clone()], state: JournalState::Open,
            marks: vec![StepMark::Waiting; steps.len()], causes: vec![],
        };
        let id = db.begin(&entry).unwrap();
        for step in 0..steps.len() {
            db.mark(id, step, marks[step % marks.len()]).unwrap();
        }
        if state != JournalState::Open {
            let causes = vec!["what went wrong".into(), "then that".into()];
            db.finish(id, &Finish { state, causes, put: all.clone(), remove: vec![], follow: vec![] }).unwrap();
        }
    }
}

fn main() {
    let out = std::env::args().nth(1).unwrap();
    let folder = Path::new(&out);
    std::fs::create_dir_all(folder.join("scratch")).unwrap();
    let copy = Say::Copy(CopyMode::BeforeStart);
    interrupted(folder, "attach-before-path", copy.clone(), nothing, attach_ab, ("attach/create-device/after", 0));
    interrupted(folder, "attach-after-path", copy, nothing, attach_ab, ("attach/link/after", 0));
    let copy = Say::Copy(CopyMode::WritesOnly);
    interrupted(folder, "detach", copy.clone(), with_copies, detach, ("detach/remove-device/after", 0));
    let s = interrupted(folder, "write-back", copy, mixed, write_back, ("write-back/load-return/after", 0));
    // What a living daemon has left for the hook.
    let marks = marks::Marks::new(&folder.join("marks"), s.daemon.kernel.boot_id()).unwrap();
    for a in s.lab.journal("n1").remembered() {
        Marks::announce(&marks, a.instance, a.sequence);
    }
    words(folder);
}
