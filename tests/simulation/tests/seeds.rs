//! Under many seeds nodes attach, detach, crash, reboot and lose power in an order that the
//! seed decides, down to every single call; after every event the invariants are looked at.
//! Meanwhile volumes are renamed, also to each other's earlier names: what is done is done to LVs and
//! not to names, so the one that nobody asks for is never touched.
//! A failure names its seed; `VOLWARD_SEED=<n>` runs that one alone, `VOLWARD_SEEDS=<n>` so many
//! (40 by itself: the fast tier has seconds; some hundreds by hand).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use volward_model::{Access, AttachmentState, CopyMode, Sharing, VolumeName, VolumeRef};
use volward_simulation::nodes::{Nodes, seeds};
use volward_simulation::random::Random;
use volward_simulation::{Lab, Say, ask, check, detach_ask, disk, instance, read_only, shared};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const EVENTS: usize = 400;
/// The place of the volume that nobody asks for.
const BYSTANDER: usize = 3;
/// So many requests and background works at most at once.
const AT_ONCE: usize = 6;
/// Far more than any run needs to come to rest.
const REST: usize = 60_000;

struct Cluster {
    nodes: Nodes,
    /// By what they are called now. The last is asked for by nobody.
    volumes: Vec<VolumeRef>,
    /// Names in attach requests that have not ended: whoever has such a name when it is looked up
    /// is the one asked for.
    asked: Arc<Mutex<Vec<VolumeName>>>,
    /// Attaches granted: a run in which nothing happens shows nothing.
    attached: Arc<AtomicUsize>,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let lab = Lab::new(&NODES);
        let mut random = Random::new(seed);
        let says = [
            Say::AsAsked,
            Say::Copy(CopyMode::Background),
            Say::Copy(CopyMode::WritesOnly),
            Say::OneWriter,
        ];
        lab.policy.say(random.pick(&says).cloned().unwrap());
        let names = ["a", "b", "bystander"];
        let [a, b, bystander] = names.map(|name| lab.volume(name));
        let volumes = vec![a, b, lab.shareable("c"), bystander];
        Self {
            nodes: Nodes::start(lab, &NODES, random),
            volumes,
            asked: Arc::default(),
            attached: Arc::default(),
        }
    }

    fn event(&mut self, at: usize) {
        self.nodes.boot(Some(at));
        let n = self.nodes.random.below(NODES.len());
        let room = self.nodes.baton.alive(None).len() < AT_ONCE;
        match self.nodes.random.below(100) {
            0..6 if room && !self.nodes.is_dark(n) => self.attach(n),
            6..10 if room && !self.nodes.is_dark(n) => self.detach(n),
            10..18 => self.write(n),
            18 if !self.nodes.is_dark(n) && self.nodes.random.below(3) == 0 => self.nodes.kill(n),
            20 | 21 => self.rename(),
            19 if self.nodes.dark.is_none() && self.nodes.random.below(3) == 0 => self.cut(n, at),
            _ => {
                self.nodes.step();
            }
        }
    }

    fn attach(&mut self, n: usize) {
        let guest = instance(u8::try_from(self.nodes.random.below(4)).unwrap() + 1);
        let first = self.nodes.random.below(3);
        let mut disks = vec![match (first, self.nodes.random.below(3)) {
            (2, 0) => shared(&self.volumes[2]),
            (2, 1) => read_only(&self.volumes[2]),
            _ => disk(&self.volumes[first]),
        }];
        if self.nodes.random.below(3) == 0 {
            disks.push(disk(&self.volumes[(first + 1) % 3]));
        }
        self.nodes
            .log
            .push(format!("attach {guest} on {}", NODES[n]));
        let (node, request) = (self.nodes.daemons[n].node.clone(), ask(guest, &disks));
        let (attached, asked) = (self.attached.clone(), self.asked.clone());
        let names = request.disks.iter().map(|disk| disk.volume.clone());
        asked.lock().unwrap().extend(names);
        self.nodes.baton.start(NODES[n], move || {
            if node.attach(&request).is_ok() {
                attached.fetch_add(1, Ordering::SeqCst);
            }
            let mut asked = asked.lock().unwrap();
            for disk in &request.disks {
                let at = asked.iter().position(|name| *name == disk.volume);
                asked.remove(at.unwrap());
            }
        });
    }

    fn detach(&mut self, n: usize) {
        let guest = instance(u8::try_from(self.nodes.random.below(4)).unwrap() + 1);
        self.nodes
            .log
            .push(format!("detach {guest} on {}", NODES[n]));
        let node = self.nodes.daemons[n].node.clone();
        self.nodes
            .baton
            .start(NODES[n], move || drop(node.detach(&detach_ask(guest))));
    }

    /// An administrator gives an LV another name: one nobody has, whoever had it before.
    fn rename(&mut self) {
        let names = ["a", "b", "c", "bystander", "x", "y"];
        let at = self.nodes.random.below(self.volumes.len());
        let Some(to) = self.nodes.random.pick(&names).copied() else {
            return;
        };
        let looked_for = |name: &VolumeName| name.as_str() == to;
        if at == BYSTANDER && self.asked.lock().unwrap().iter().any(looked_for) {
            return;
        }
        let renamed = self.nodes.lab.cluster.rename(&self.volumes[at], to);
        if renamed != self.volumes[at] {
            self.nodes
                .log
                .push(format!("{} becomes {renamed}", self.volumes[at]));
        }
        self.volumes[at] = renamed;
    }

    /// What nobody asks for is as it was.
    fn touched(&self) -> Vec<String> {
        let bystander = &self.volumes[BYSTANDER];
        let mut wrong = Vec::new();
        for kernel in &self.nodes.kernels {
            if kernel.active().contains(&bystander.id) {
                wrong.push(format!("{} has {bystander} active", kernel.name()));
            }
            let leases = kernel.leases_held();
            if leases.iter().any(|(volume, _)| *volume == bystander.id) {
                wrong.push(format!("{} has the lease of {bystander}", kernel.name()));
            }
        }
        if self.nodes.lab.cluster.contents(bystander.id) != self.nodes.lab.expected(bystander.id) {
            wrong.push(format!("somebody wrote to {bystander}"));
        }
        if !self.nodes.lab.cluster.tags(bystander).is_empty() {
            wrong.push(format!("somebody tagged {bystander}"));
        }
        wrong
    }

    /// A guest that has a disk writes to it.
    fn write(&mut self, n: usize) {
        let writers: Vec<_> = self.nodes.daemons[n]
            .node
            .attachments()
            .into_iter()
            .filter(|a| a.access == Access::ReadWrite && a.state == AttachmentState::Attached)
            .collect();
        let Some(writer) = self.nodes.random.pick(&writers) else {
            return;
        };
        let (volume, guest) = (writer.volume.id, writer.instance);
        let write = (
            self.nodes.random.next_number() % 32,
            self.nodes.random.next_number(),
        );
        // A detach may have taken the device already.
        drop(
            self.nodes
                .lab
                .write(&self.nodes.kernels[n], volume, guest, write),
        );
    }

    fn cut(&mut self, n: usize, at: usize) {
        let until = at + self.nodes.random.below(80);
        self.nodes.cut(n, until);
    }

    fn wrong(&self, deep: bool) -> Vec<String> {
        let mut wrong = check::always(&self.nodes.lab, &self.nodes.kernels);
        wrong.extend(self.touched());
        let mut writers = [0; 3];
        for (n, daemon) in self.nodes.daemons.iter().enumerate() {
            if self.nodes.is_dark(n) {
                continue;
            }
            for attachment in daemon.node.attachments() {
                let place = |v: &VolumeRef| v.id == attachment.volume.id;
                let place = self.volumes.iter().position(place);
                let shared = attachment.sharing == Sharing::Shared;
                if attachment.access == Access::ReadWrite && place == Some(2) {
                    writers[n] += 1;
                }
                if shared && place != Some(2) {
                    wrong.push(format!("{} is shared without its mark", attachment.volume));
                }
            }
            if deep {
                let settling = !self.nodes.baton.alive(Some(NODES[n])).is_empty();
                let data = if settling {
                    Vec::new()
                } else {
                    check::data(&self.nodes.lab, daemon)
                };
                wrong.extend(data);
            }
        }
        if self.one_writer() && writers.iter().sum::<usize>() > 1 {
            wrong.push(format!("more than one writer: {writers:?}"));
        }
        wrong
    }

    fn one_writer(&self) -> bool {
        self.nodes.lab.policy.says() == Say::OneWriter
    }

    /// Everything that was begun ends.
    fn rest(&mut self) {
        self.nodes.boot(None);
        for _ in 0..REST {
            if !self.nodes.step() {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

/// What is wrong, with what led to it; and how many attaches were granted.
fn run(seed: u64) -> (Vec<String>, usize) {
    let mut cluster = Cluster::new(seed);
    for at in 0..EVENTS {
        cluster.event(at);
        let wrong = cluster.wrong(at % 16 == 0);
        if !wrong.is_empty() {
            cluster.nodes.log.extend(wrong);
            return (cluster.nodes.log, 0);
        }
    }
    cluster.rest();
    let attached = cluster.attached.load(Ordering::SeqCst);
    let daemons = cluster.nodes.daemons.iter();
    let wrong: Vec<String> = daemons
        .flat_map(|d| {
            let recorded = check::on_record(&cluster.nodes.lab, d.kernel.name().as_str());
            [check::settled(&cluster.nodes.lab, d), recorded].concat()
        })
        .collect();
    if wrong.is_empty() {
        return (wrong, attached);
    }
    cluster.nodes.log.push("at rest:".into());
    cluster.nodes.log.extend(wrong);
    (cluster.nodes.log, attached)
}

#[test]
fn invariants_hold_under_every_seed() {
    let seeds = seeds(100);
    let mut granted = 0;
    let count = seeds.clone().count();
    for seed in seeds {
        let (wrong, attached) = run(seed);
        granted += attached;
        assert!(
            wrong.is_empty(),
            "VOLWARD_SEED={seed}:\n{}",
            wrong.join("\n")
        );
    }
    assert!(
        granted >= count,
        "too little happens: {granted} attaches in {count} runs"
    );
}
