//! The daemon dies between any two steps of an operation on a volume, or before or after any single call that
//! changes something; or the node dies with it. Afterwards the operation goes on to its end: the volume is
//! whole or gone, nothing of it is held, and no guest reads what it has not written (I27, I28, I30).
//!
//! The points come from an uninterrupted run: a new step joins by itself. Beside that, any single call fails
//! once: then the operation goes on, or is taken back whole. And two nodes grow, attach and delete one volume
//! at once, in an order that a seed decides.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::time::Duration;

use volward_control::ports::{Clock, LeaseStyle, Volumes};
use volward_model::{Bytes, Course, End, VolumeInfo, VolumeRef, VolumeTask};
use volward_simulation::random::Random;
use volward_simulation::schedule::{Baton, Workers};
use volward_simulation::{
    Daemon, Lab, ask, check, detach_ask, disk, instance, operation, read_only,
};
use volward_storage::fake::BLOCK;

/// Three chunks: the last one is smaller.
const SIZE: Bytes = Bytes::mib(132);
/// Two chunks.
const ORIGIN: Bytes = Bytes::mib(100);
const STYLES: [LeaseStyle; 2] = [LeaseStyle::Fused, LeaseStyle::Separate];

/// What is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Create,
    Delete,
    Extend,
    ExtendAttached,
    Copy,
    /// Of a volume that an instance here reads.
    Snapshot,
    /// From another pool.
    Move,
    Rename,
}

/// The other pool.
const WELL: &str = "well";

/// How the daemon ends.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    Point(usize),
    Before(usize),
    After(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Daemon,
    Node,
}

struct Stage {
    lab: Lab,
    daemon: Daemon,
    /// The volume that is there before.
    volume: Option<VolumeRef>,
    /// What is on it.
    had: Vec<u64>,
}

fn stage(story: Story, style: LeaseStyle) -> Stage {
    let mut lab = Lab::new(&["n1", "n2"]);
    lab.wipe = volward_plan::operate::Wipe::Both;
    // Each pool costs changes of its own at the start.
    let well = (story == Story::Move).then(|| lab.add_pool(WELL));
    lab.cluster.set_lease_style(style);
    lab.start("n2").kill();
    let daemon = lab.start("n1");
    let volume = match story {
        Story::Create => None,
        Story::Delete | Story::Extend | Story::ExtendAttached => Some(lab.volume("v")),
        Story::Copy | Story::Snapshot | Story::Rename => {
            let origin = lab.cluster.volume(&lab.pool, "origin", ORIGIN);
            lab.cluster.fill(origin.id, |block| 7_000 + block);
            Some(origin)
        }
        Story::Move => {
            let well = well.as_ref().unwrap();
            let origin = lab.cluster.volume(well, "origin", ORIGIN);
            lab.cluster.fill(origin.id, |block| 7_000 + block);
            let tags = ["volward.shareable", "tier-1"].map(str::to_owned);
            Volumes::change_tags(&daemon.kernel, &origin, &[], &tags).unwrap();
            Some(origin)
        }
    };
    let had = volume.as_ref().map(|v| lab.cluster.contents(v.id));
    if let (Story::Snapshot, Some(volume)) = (story, &volume) {
        daemon
            .node
            .attach(&ask(instance(2), &[read_only(volume)]))
            .unwrap();
    }
    if let (Story::ExtendAttached, Some(volume)) = (story, &volume) {
        daemon
            .node
            .attach(&ask(instance(1), &[disk(volume)]))
            .unwrap();
    }
    Stage {
        lab,
        daemon,
        volume,
        had: had.unwrap_or_default(),
    }
}

fn task(story: Story, lab: &Lab) -> VolumeTask {
    let (pool, name) = (lab.pool.clone(), "v".parse().unwrap());
    let from = "origin".parse().unwrap();
    match story {
        Story::Copy => VolumeTask::Copy {
            from_pool: pool.clone(),
            from,
            pool,
            name,
            size: Some(SIZE),
        },
        Story::Snapshot => VolumeTask::Snapshot { pool, from, name },
        Story::Move => VolumeTask::Move {
            from_pool: WELL.parse().unwrap(),
            from,
            pool,
            name,
        },
        Story::Rename => VolumeTask::Rename {
            pool,
            name: from,
            to: name,
        },
        Story::Create => VolumeTask::Create {
            pool,
            name,
            size: SIZE,
        },
        Story::Delete => VolumeTask::Delete { pool, name },
        Story::Extend | Story::ExtendAttached => VolumeTask::Extend {
            pool,
            name,
            size: SIZE,
        },
    }
}

fn act(story: Story, stage: &Stage) {
    let asked = operation("op", task(story, &stage.lab));
    let begun = stage.daemon.try_operation(&asked);
    if begun.is_some() {
        stage.daemon.tasks.run_all();
    }
}

fn every_interruption(story: Story, style: LeaseStyle) -> Vec<Interruption> {
    let stage = stage(story, style);
    let points = stage.daemon.points.passed().len();
    let changes = stage.daemon.kernel.changes_made();
    act(story, &stage);
    must_be_whole(story, &stage.lab, &stage.daemon, &stage, "uninterrupted");
    let points = 0..stage.daemon.points.passed().len() - points;
    let changes = 1..=stage.daemon.kernel.changes_made() - changes;
    let least = if matches!(story, Story::Rename) { 1 } else { 6 };
    assert!(points.len() > least && changes.clone().count() > least);
    points
        .map(Interruption::Point)
        .chain(changes.clone().map(Interruption::Before))
        .chain(changes.map(Interruption::After))
        .collect()
}

fn found(lab: &Lab, daemon: &Daemon) -> Option<VolumeInfo> {
    let pool = Volumes::pool(&daemon.kernel, &lab.pool).unwrap();
    pool.named(&"v".parse().unwrap()).cloned()
}

/// The operation has ended as done, and what it is about is as it is to be.
fn must_be_whole(story: Story, lab: &Lab, daemon: &Daemon, stage: &Stage, case: &str) {
    let known = daemon.node.operation(&"op".parse().unwrap());
    let course = known.map(|known| (known.operation.course, known.trouble));
    assert_eq!(course, Some((Course::Ended(End::Done), None)), "{case}");
    let volumes = lab.cluster.volumes(&lab.pool);
    let Some(volume) = found(lab, daemon) else {
        assert!(matches!(story, Story::Delete), "{case}: {volumes:?}");
        assert_eq!(volumes.len(), 1, "{case}: {volumes:?}");
        return;
    };
    let size = match story {
        Story::Snapshot | Story::Rename | Story::Move => ORIGIN,
        _ => SIZE,
    };
    let tags = match story {
        Story::Move => &["volward.shareable", "tier-1"][..],
        _ => &[],
    };
    assert_eq!(volume.size, size, "{case}");
    assert_eq!(volume.tags, tags, "{case}");
    if let (Story::Move, Some(origin)) = (story, &stage.volume) {
        let left = lab.cluster.volumes(&origin.pool);
        assert_eq!(left.len(), 1, "{case}: the registry alone, {left:?}");
        let held = daemon.kernel.leases_held();
        assert!(!held.iter().any(|(id, _)| *id == origin.id), "{case}");
    }
    if let (Story::Copy | Story::Snapshot, Some(origin)) = (story, &stage.volume) {
        let pool = Volumes::pool(&daemon.kernel, &lab.pool).unwrap();
        let origin = pool.volume(origin.id).unwrap();
        assert_eq!(origin.tags, [""; 0], "{case}: the mark of the source");
        assert_eq!(lab.cluster.contents(origin.volume.id), stage.had, "{case}");
        let held = daemon.kernel.leases_held();
        let held = held.iter().any(|(id, _)| *id == origin.volume.id);
        let read = !daemon.node.attachments().is_empty();
        assert_eq!(held, read, "{case}: the lease of the source");
    }
    let now = lab.cluster.contents(volume.volume.id);
    assert_eq!(now[..stage.had.len()], stage.had, "{case}: its data");
    let zero = now[stage.had.len()..].iter().all(|block| *block == 0);
    assert!(zero, "{case}: another tenant's data");
    if daemon.node.attachments().is_empty() {
        let held: Vec<_> = daemon.kernel.leases_held();
        let held = held.iter().any(|(id, _)| *id == volume.volume.id);
        assert!(!held && !volume.active, "{case}: it is held");
    }
}

fn interrupted(story: Story, style: LeaseStyle, end: Interruption, back: Back) {
    let case = format!("{story:?}, {style:?}, {end:?}, back: {back:?}");
    let stage = stage(story, style);
    match end {
        Interruption::Point(n) => stage.daemon.points.die_at(n),
        Interruption::Before(n) => stage.daemon.kernel.crash_before(n),
        Interruption::After(n) => stage.daemon.kernel.crash_after(n),
    }
    act(story, &stage);
    assert!(stage.daemon.kernel.crashed(), "{case} was not reached");
    let Stage {
        lab,
        daemon,
        volume,
        had,
    } = stage;
    daemon.kill();
    if back == Back::Node {
        lab.reboot("n1");
    }
    let asked = lab.policy.asked().len();
    let daemon = lab.start("n1");
    daemon.tasks.run_all();
    // Whoever was not answered asks again, with the same id.
    daemon
        .node
        .ask_operation(&operation("op", task(story, &lab)))
        .unwrap();
    daemon.tasks.run_all();
    assert_eq!(lab.policy.asked().len(), asked, "I32: no policy is asked");
    let stage = Stage {
        lab,
        daemon,
        volume,
        had,
    };
    let (lab, daemon) = (&stage.lab, &stage.daemon);
    must_be_whole(story, lab, daemon, &stage, &case);
    guest_reads(story, &stage, &case);
}

/// Who had it has it, and whoever attaches it now reads what it is to hold.
fn guest_reads(story: Story, stage: &Stage, case: &str) {
    let (lab, daemon) = (&stage.lab, &stage.daemon);
    let Some(volume) = found(lab, daemon) else {
        return;
    };
    let again = daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume.volume)]));
    assert!(again.is_ok(), "{case}: {again:?}");
    let id = volward_model::DeviceId::attachment(volume.volume.id, instance(1));
    let expected = lab.cluster.contents(volume.volume.id);
    let last = expected.len() - 1;
    for block in [0, stage.had.len().min(last), last] {
        let read = daemon.kernel.guest_read(id, u64::try_from(block).unwrap());
        assert_eq!(read.unwrap(), expected[block], "{case}, block {block}");
    }
    assert_eq!(expected.len() as u64, volume.size.0 / BLOCK.0);
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    daemon.node.detach(&detach_ask(instance(2))).unwrap();
    let left: Vec<String> = check::clean(lab, daemon)
        .into_iter()
        .filter(|wrong| !wrong.contains("lost data"))
        .collect();
    assert_eq!(left, [""; 0], "{case}, {story:?}");
}

fn survives_everywhere(story: Story) {
    for style in STYLES {
        for end in every_interruption(story, style) {
            for back in [Back::Daemon, Back::Node] {
                if back == Back::Node && matches!(story, Story::ExtendAttached) {
                    // Its guest is gone with the node: what follows is the same as detached.
                    continue;
                }
                interrupted(story, style, end, back);
            }
        }
    }
}

#[test]
fn i30_a_volume_is_made() {
    survives_everywhere(Story::Create);
}

#[test]
fn i30_a_volume_is_deleted() {
    survives_everywhere(Story::Delete);
}

#[test]
fn i30_a_volume_is_grown() {
    survives_everywhere(Story::Extend);
}

#[test]
fn i30_a_volume_is_grown_under_its_guest() {
    survives_everywhere(Story::ExtendAttached);
}

#[test]
fn i30_a_volume_is_copied() {
    survives_everywhere(Story::Copy);
}

#[test]
fn i30_a_snapshot_is_made_of_what_is_read() {
    survives_everywhere(Story::Snapshot);
}

#[test]
fn i30_a_volume_goes_to_another_pool() {
    survives_everywhere(Story::Move);
}

#[test]
fn i30_a_volume_is_renamed() {
    survives_everywhere(Story::Rename);
}

/// Longer than any pause between two tries.
fn try_again(lab: &Lab, daemon: &Daemon) {
    for _ in 0..6 {
        lab.cluster.clock().sleep(Duration::from_secs(31));
        daemon.node.try_again();
        daemon.tasks.run_all();
    }
}

#[test]
fn i30_any_call_that_fails_is_made_again_or_all_is_taken_back() {
    for style in STYLES {
        for story in [
            Story::Create,
            Story::Delete,
            Story::Extend,
            Story::ExtendAttached,
            Story::Copy,
            Story::Snapshot,
            Story::Move,
            Story::Rename,
        ] {
            let rehearsal = stage(story, style);
            let before = rehearsal.daemon.kernel.changes_made();
            act(story, &rehearsal);
            let changes = rehearsal.daemon.kernel.changes_made() - before;
            for n in 1..=changes {
                let case = format!("{story:?}, {style:?}, call {n} of {changes} fails");
                let stage = stage(story, style);
                stage.daemon.kernel.fail_at(n);
                act(story, &stage);
                let (lab, daemon) = (&stage.lab, &stage.daemon);
                try_again(lab, daemon);
                if daemon.node.operation(&"op".parse().unwrap()).is_none() {
                    // Its record could not be written: nothing was begun.
                    let named = !matches!(
                        story,
                        Story::Copy | Story::Snapshot | Story::Move | Story::Rename
                    );
                    let before = named && stage.volume.is_some();
                    assert_eq!(found(lab, daemon).is_some(), before, "{case}");
                    act(story, &stage);
                }
                must_be_whole(story, lab, daemon, &stage, &case);
                guest_reads(story, &stage, &case);
            }
        }
    }
}

/// From the records' point of view nothing has happened: what was written since the last durable one is gone.
#[test]
fn i27_progress_that_is_lost_is_made_again() {
    let stage = stage(Story::Create, LeaseStyle::Separate);
    let kernel = stage.daemon.kernel.clone();
    stage
        .daemon
        .kernel
        .before("journal-zeroed", move |_| kernel.crash_before(1));
    act(Story::Create, &stage);
    assert!(stage.daemon.kernel.crashed());
    let Stage { lab, daemon, .. } = stage;
    daemon.kill();
    lab.reboot("n1");
    let daemon = lab.start("n1");
    daemon.tasks.run_all();
    let made = found(&lab, &daemon).unwrap();
    assert!(
        lab.cluster
            .contents(made.volume.id)
            .iter()
            .all(|block| *block == 0)
    );
}

/// Both nodes' daemons, whose work goes on when the baton says so.
fn both(lab: &Lab, baton: &Arc<Baton>) -> Vec<Daemon> {
    let started = ["n1", "n2"].map(|node| {
        let workers = Workers {
            baton: Arc::clone(baton),
            node: node.to_owned(),
        };
        let daemon = lab.daemon(node, Some(Arc::new(workers)));
        daemon.node.recover().unwrap();
        daemon
    });
    started.into()
}

/// One volume, two nodes, everything at once: it is attached by one, or whole and grown, or gone, and never two of
/// these.
fn raced(seed: u64) {
    let lab = Lab::new(&["n1", "n2"]);
    let mut random = Random::new(seed);
    let style = if random.below(2) == 0 {
        LeaseStyle::Fused
    } else {
        LeaseStyle::Separate
    };
    lab.cluster.set_lease_style(style);
    let volume = lab.volume("v");
    let had = lab.cluster.contents(volume.id);
    let baton = Baton::over(&lab.cluster);
    let daemons = both(&lab, &baton);
    let request = |n: u8, id: &str, story| {
        let node = Arc::clone(&daemons[usize::from(n)].node);
        let asked = operation(id, task(story, &lab));
        let name = ["n1", "n2"][usize::from(n)];
        baton.start(name, move || drop(node.ask_operation(&asked)));
    };
    let attach = |n: u8| {
        let node = Arc::clone(&daemons[usize::from(n)].node);
        let asked = ask(instance(n + 1), &[disk(&volume)]);
        let name = ["n1", "n2"][usize::from(n)];
        baton.start(name, move || drop(node.attach(&asked)));
    };
    let copy = |n: u8, id: &str| {
        let node = Arc::clone(&daemons[usize::from(n)].node);
        let kept = VolumeTask::Snapshot {
            pool: lab.pool.clone(),
            from: volume.name.clone(),
            name: format!("kept-{id}").parse().unwrap(),
        };
        let asked = operation(id, kept);
        let name = ["n1", "n2"][usize::from(n)];
        baton.start(name, move || drop(node.ask_operation(&asked)));
    };
    for _ in 0..6 {
        let n = u8::try_from(random.below(2)).unwrap();
        let id = format!("o{}", random.below(1000));
        match random.below(7) {
            0 => request(n, &id, Story::Delete),
            1 | 2 => request(n, &id, Story::Extend),
            3 | 4 => copy(n, &id),
            _ => attach(n),
        }
        for _ in 0..random.below(120) {
            let alive = baton.alive(None);
            let Some(worker) = random.pick(&alive) else {
                break;
            };
            baton.step(*worker);
        }
        at_every_moment(&lab, &daemons, &had, &volume, seed);
    }
    for _ in 0..40 {
        for _ in 0..20_000 {
            let alive = baton.alive(None);
            let Some(worker) = random.pick(&alive) else {
                break;
            };
            baton.step(*worker);
        }
        lab.cluster.clock().sleep(Duration::from_secs(31));
        for daemon in &daemons {
            daemon.node.try_again();
        }
        if baton.alive(None).is_empty() {
            break;
        }
    }
    at_every_moment(&lab, &daemons, &had, &volume, seed);
    for daemon in &daemons {
        for known in daemon.node.operations() {
            let ended = matches!(known.operation.course, Course::Ended(_));
            assert!(ended, "seed {seed}: {known:?}");
        }
    }
    let attached: usize = daemons.iter().map(|d| d.node.attachments().len()).sum();
    let there = found(&lab, &daemons[0]);
    assert!(attached <= 1, "seed {seed}");
    assert!(
        there.is_some() || attached == 0,
        "seed {seed}: attached, and gone"
    );
    if let Some(there) = there {
        assert_eq!(there.mark(), None, "seed {seed}");
    }
    let pool = Volumes::pool(&daemons[0].kernel, &lab.pool).unwrap();
    for kept in &pool.volumes {
        if kept.volume.name.as_str().starts_with("kept-") {
            assert_eq!(kept.mark(), None, "seed {seed}: {kept:?}");
            let now = lab.cluster.contents(kept.volume.id);
            assert_eq!(now[..had.len()], had, "seed {seed}: its content");
            assert!(
                now[had.len()..].iter().all(|b| *b == 0),
                "seed {seed}: what is behind it"
            );
        }
    }
}

/// Both nodes are asked for one and the same, under one id: whoever was not answered by the one asks the other, and the one
/// lives. What either says is done is there.
fn asked_of_both(story: Story, seed: u64) {
    let lab = Lab::new(&["n1", "n2"]);
    let mut random = Random::new(seed);
    let style = STYLES[usize::from(random.below(2) == 0)];
    lab.cluster.set_lease_style(style);
    let volume = (story != Story::Create).then(|| lab.volume("v"));
    let baton = Baton::over(&lab.cluster);
    let daemons = both(&lab, &baton);
    let step = |random: &mut Random, times: usize| {
        for _ in 0..times {
            let alive = baton.alive(None);
            let Some(worker) = random.pick(&alive) else {
                break;
            };
            baton.step(*worker);
        }
    };
    for (name, daemon) in ["n1", "n2"].into_iter().zip(&daemons) {
        let (node, asked) = (Arc::clone(&daemon.node), operation("o1", task(story, &lab)));
        baton.start(name, move || drop(node.ask_operation(&asked)));
        let before = random.below(200);
        step(&mut random, before);
    }
    for _ in 0..40 {
        step(&mut random, 20_000);
        lab.cluster.clock().sleep(Duration::from_secs(31));
        for daemon in &daemons {
            daemon.node.try_again();
        }
        if baton.alive(None).is_empty() {
            break;
        }
    }
    let known = |daemon: &Daemon| daemon.node.operation(&"o1".parse().unwrap());
    let ends = daemons.iter().filter_map(known);
    let ends: Vec<End> = ends
        .map(|known| known.operation.end().cloned().unwrap())
        .collect();
    let pool = Volumes::pool(&daemons[0].kernel, &lab.pool).unwrap();
    let there = pool.named(&"v".parse().unwrap());
    let case = format!("{story:?}, seed {seed}: {ends:?}");
    for found in &pool.volumes {
        assert_eq!(found.mark(), None, "{case}");
    }
    if let (Some(volume), false) = (volume, story == Story::Delete) {
        assert_eq!(there.map(|info| info.volume.id), Some(volume.id), "{case}");
    }
    if !ends.contains(&End::Done) {
        return;
    }
    match story {
        Story::Create => {
            let made = there.unwrap_or_else(|| panic!("{case}: it is gone"));
            let contents = lab.cluster.contents(made.volume.id);
            assert!(contents.iter().all(|block| *block == 0), "{case}");
        }
        Story::Extend => assert!(there.unwrap().size >= SIZE, "{case}"),
        Story::Delete => assert!(there.is_none(), "{case}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i1_two_nodes_that_are_asked_for_the_same_under_one_id_do_it_once() {
    for story in [Story::Create, Story::Extend, Story::Delete] {
        (0..60).for_each(|seed| asked_of_both(story, seed));
    }
}

fn at_every_moment(lab: &Lab, daemons: &[Daemon], had: &[u64], volume: &VolumeRef, seed: u64) {
    let kernels: Vec<_> = daemons.iter().map(|d| d.kernel.clone()).collect();
    assert_eq!(check::always(lab, &kernels), [""; 0], "seed {seed}");
    let now = lab.cluster.contents(volume.id);
    if !now.is_empty() {
        assert_eq!(now[..had.len()], *had, "seed {seed}: its data");
    }
    // What a guest can reach is what it had, or zeroes.
    for daemon in daemons {
        for attachment in daemon.node.attachments() {
            let id = volward_model::DeviceId::attachment(volume.id, attachment.instance);
            use volward_control::ports::Devices;
            let Ok(Some(device)) = daemon.kernel.get(id) else {
                continue;
            };
            let blocks = usize::try_from(device.size.bytes().0 / BLOCK.0).unwrap();
            let zero = now[had.len().min(blocks)..blocks]
                .iter()
                .all(|block| *block == 0);
            assert!(zero, "seed {seed}: a guest can read another tenant's data");
        }
    }
}

#[test]
fn i1_two_nodes_grow_attach_copy_and_delete_one_volume_at_once() {
    let seeds = std::env::var("VOLWARD_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    match seeds {
        Some(seed) => raced(seed),
        None => (0..60).for_each(raced),
    }
}
