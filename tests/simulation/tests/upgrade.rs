//! What 0.1.0 had begun when it was stopped for good is taken up by this build: its state as it
//! left it (tests/compat/state/0.1.0), over the kernel, LUN and registry of that moment.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use volward_control::ports::{Journal, JournalEntry, JournalQuery, JournalState, PortError};
use volward_model::{AttachmentState, CopyMode, DeviceId, VolumeRef};
use volward_simulation::{
    Daemon, FakeJournal, Lab, Say, ask, check, detach_ask, disk, instance, read_only, shared,
};
use volward_storage::journal::SqliteJournal;

/// The cluster of tests/compat/state/0.1.0/make.rs.
struct Stage {
    lab: Lab,
    volumes: Vec<VolumeRef>,
    daemon: Daemon,
}

type Act = fn(&Stage);

fn stage(say: &Say) -> Stage {
    let lab = Lab::new(&["n1", "n2"]);
    let volumes = vec![lab.volume("a"), lab.volume("b"), lab.shareable("c")];
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    lab.policy.say(say.clone());
    Stage {
        lab,
        volumes,
        daemon,
    }
}

/// The cluster as it is when a daemon dies where 0.1.0 did: the first time it passes `point`.
fn interrupted(say: &Say, prepare: Act, act: Act, point: &str) -> Stage {
    let rehearsal = stage(say);
    prepare(&rehearsal);
    let before = rehearsal.daemon.points.passed().len();
    act(&rehearsal);
    let passed = rehearsal.daemon.points.passed();
    let n = passed[before..].iter().position(|p| p == point).unwrap();

    let stage = stage(say);
    prepare(&stage);
    stage.daemon.points.die_at(n);
    act(&stage);
    assert!(stage.daemon.kernel.crashed());
    stage
}

/// What the state of 0.1.0 says once this build has opened it.
fn released(stage: &Stage, name: &str) -> FakeJournal {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat/state/0.1.0");
    let sql = std::fs::read_to_string(folder.join(format!("{name}.sql"))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(&sql).unwrap();
    drop(connection);
    let folder = volward_folder::Folder::open(dir.path()).unwrap();
    let state = SqliteJournal::open(&folder).unwrap();
    let mut entries: BTreeMap<u64, JournalEntry> = BTreeMap::new();
    for volume in &stage.volumes {
        let query = JournalQuery::Volume(volume.clone());
        let found = state.find(&query, 100).unwrap();
        entries.extend(found.into_iter().map(|e| (e.id, e)));
    }
    assert!(!entries.is_empty(), "the volumes are those of the fixture");
    FakeJournal::holding(
        stage.daemon.kernel.clone(),
        entries.into_values().collect(),
        state.attachments().unwrap(),
        state.next_sequence().unwrap(),
    )
}

/// The daemon of this build over what is there; with `reboot` the node was restarted as well.
fn upgraded(mut stage: Stage, name: &str, reboot: bool) -> Stage {
    let journal = released(&stage, name);
    stage.daemon.kernel.age_copies();
    stage.daemon.kill();
    stage.lab.set_journal("n1", journal);
    if reboot {
        stage.lab.journal("n1").forget_marks();
        stage.lab.reboot("n1");
    }
    let asked = stage.lab.policy.asked().len();
    stage.daemon = stage.lab.start("n1");
    stage.daemon.tasks.run_all();
    let Stage { lab, daemon, .. } = &stage;
    assert_eq!(lab.policy.asked().len(), asked, "I32: no policy is asked");
    let wrong = check::settled(lab, daemon);
    assert_eq!(wrong, [""; 0], "{name}, reboot: {reboot}");
    stage
}

/// The state of the newest entry of an operation: the one that was open.
fn became(stage: &Stage, operation: &str) -> JournalState {
    let entries = stage.lab.journal("n1").entries();
    let entry = entries
        .iter()
        .rev()
        .find(|e| e.operation.name() == operation);
    let entry = entry.unwrap();
    println!("{:?}", entry.causes);
    entry.state
}

/// Nothing of the guests is left here, and another node can have every volume.
fn all_free(stage: &Stage, guests: &[u8]) {
    let Stage {
        lab,
        daemon,
        volumes,
    } = stage;
    for guest in guests {
        daemon.node.detach(&detach_ask(instance(*guest))).unwrap();
    }
    daemon.tasks.run_all();
    assert_eq!(check::clean(lab, daemon), [""; 0]);
    lab.policy.say(Say::AsAsked);
    let other = lab.start("n2");
    let disks: Vec<_> = volumes.iter().map(disk).collect();
    other.node.attach(&ask(instance(9), &disks)).unwrap();
    assert_eq!(check::settled(lab, &other), [""; 0]);
}

fn nothing(_: &Stage) {}

fn attach(stage: &Stage) {
    let disks = [disk(&stage.volumes[0]), disk(&stage.volumes[1])];
    stage.daemon.try_attach(&ask(instance(1), &disks));
}

fn write_some(stage: &Stage) {
    let Stage { lab, daemon, .. } = stage;
    for (block, value) in [(0, 5), (7, 6), (31, 7)] {
        let volume = stage.volumes[0].id;
        lab.write(&daemon.kernel, volume, instance(1), (block, value))
            .unwrap();
    }
}

fn running_on_copies(stage: &Stage) {
    attach(stage);
    write_some(stage);
}

fn detach(stage: &Stage) {
    stage.daemon.try_detach(&detach_ask(instance(1)));
}

/// One guest attached, one quarantined, one detached whose copy is to be written back.
fn several_guests(stage: &Stage) {
    let Stage {
        lab,
        daemon,
        volumes,
    } = stage;
    let failure = PortError::Io {
        what: "a test".into(),
        reason: "it fails on purpose".into(),
    };
    daemon.kernel.fail_on("create", failure);
    let failed = daemon.node.attach(&ask(instance(1), &[disk(&volumes[0])]));
    assert!(failed.is_err());
    lab.policy.say(Say::AsAsked);
    let asks = [
        ask(instance(2), &[shared(&volumes[2])]),
        ask(instance(3), &[read_only(&volumes[1])]),
    ];
    for ask in &asks {
        daemon.node.attach(ask).unwrap();
    }
    let open = DeviceId::attachment(volumes[1].id, instance(3));
    daemon.kernel.set_open(open, true);
    assert!(daemon.node.detach(&detach_ask(instance(3))).is_err());
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let ask = ask(instance(1), &[disk(&volumes[0])]);
    daemon.node.attach(&ask).unwrap();
    write_some(stage);
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
}

fn write_back(stage: &Stage) {
    stage.daemon.tasks.run_all();
}

#[test]
fn an_attach_of_0_1_0_that_nobody_can_have_opened_is_taken_back() {
    for reboot in [false, true] {
        let copy = Say::Copy(CopyMode::BeforeStart);
        let stage = interrupted(&copy, nothing, attach, "attach/create-device/after");
        let stage = upgraded(stage, "attach-before-path", reboot);
        assert_eq!(became(&stage, "attach"), JournalState::Undone);
        assert!(stage.daemon.node.attachments().is_empty());
        all_free(&stage, &[]);
    }
}

#[test]
fn an_attach_of_0_1_0_whose_first_path_was_there_is_completed() {
    let copy = Say::Copy(CopyMode::BeforeStart);
    let stage = interrupted(&copy, nothing, attach, "attach/link/after");
    let stage = upgraded(stage, "attach-after-path", false);
    assert_eq!(became(&stage, "attach"), JournalState::Done);
    let attachments = stage.daemon.node.attachments();
    let modes: Vec<_> = attachments.iter().map(|a| a.copy.unwrap().mode).collect();
    assert_eq!(modes, [CopyMode::BeforeStart; 2]);
    all_free(&stage, &[1]);
}

#[test]
fn a_detach_of_0_1_0_is_completed_and_what_the_guest_wrote_comes_home() {
    for reboot in [false, true] {
        let copy = Say::Copy(CopyMode::WritesOnly);
        let point = "detach/remove-device/after";
        let stage = interrupted(&copy, running_on_copies, detach, point);
        let stage = upgraded(stage, "detach", reboot);
        assert_eq!(became(&stage, "detach"), JournalState::Done);
        // The steps wrote both copies back: `settled` has compared the shared LVs' content.
        assert_eq!(became(&stage, "write-back"), JournalState::Done);
        assert!(stage.daemon.node.attachments().is_empty());
        all_free(&stage, &[]);
    }
}

#[test]
fn a_write_back_of_0_1_0_goes_on_beside_what_was_attached_and_quarantined() {
    let copy = Say::Copy(CopyMode::WritesOnly);
    let point = "write-back/load-write-back/after";
    let stage = interrupted(&copy, several_guests, write_back, point);
    let stage = upgraded(stage, "write-back", false);
    assert_eq!(became(&stage, "write-back"), JournalState::Done);
    let mut states: Vec<_> = stage
        .daemon
        .node
        .attachments()
        .iter()
        .map(|a| (a.instance, a.state, a.causes.len()))
        .collect();
    states.sort_by_key(|(guest, ..)| *guest);
    let expected = [
        (instance(2), AttachmentState::Attached, 0),
        (instance(3), AttachmentState::Quarantined, 1),
    ];
    assert_eq!(states, expected);
    let open = DeviceId::attachment(stage.volumes[1].id, instance(3));
    stage.daemon.kernel.set_open(open, false);
    all_free(&stage, &[2, 3]);
}

#[test]
fn the_mark_is_announced_before_the_first_step() {
    let copy = Say::Copy(CopyMode::BeforeStart);
    let stage = interrupted(&copy, nothing, attach, "attach/lease/before");
    let announced = stage.daemon.marks.announced();
    assert_eq!(
        announced.into_iter().collect::<Vec<_>>(),
        [(instance(1), 1)]
    );
}
