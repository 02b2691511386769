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

use volward_model::{
    Access, AttachmentState, CopyMode, MemberState, Sharing, VolumeName, VolumeRef,
};
use volward_simulation::random::Random;
use volward_simulation::schedule::{Baton, Workers};
use volward_simulation::{
    Daemon, Lab, Say, ask, check, detach_ask, disk, instance, read_only, shared,
};
use volward_storage::fake::FakeNode;

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const EVENTS: usize = 400;
/// The place of the volume that nobody asks for.
const BYSTANDER: usize = 3;
/// So many requests and background works at most at once.
const AT_ONCE: usize = 6;
/// Far more than any run needs to come to rest.
const REST: usize = 60_000;

struct Cluster {
    lab: Lab,
    baton: Arc<Baton>,
    random: Random,
    /// By what they are called now. The last is asked for by nobody.
    volumes: Vec<VolumeRef>,
    kernels: Vec<FakeNode>,
    daemons: Vec<Daemon>,
    /// The node without power, and the event at which it boots.
    dark: Option<(usize, usize)>,
    log: Vec<String>,
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
        let baton = Baton::over(&lab.cluster);
        let kernels = NODES.map(|n| lab.cluster.node(n)).to_vec();
        let mut cluster = Self {
            lab,
            baton,
            random,
            volumes,
            kernels,
            daemons: Vec::new(),
            dark: None,
            log: Vec::new(),
            asked: Arc::default(),
            attached: Arc::default(),
        };
        for n in 0..NODES.len() {
            let daemon = cluster.started(n);
            cluster.daemons.push(daemon);
        }
        cluster
    }

    fn started(&self, n: usize) -> Daemon {
        let workers = Workers {
            baton: self.baton.clone(),
            node: NODES[n].to_owned(),
        };
        let daemon = self.lab.daemon(NODES[n], Some(Arc::new(workers)));
        daemon.node.recover().unwrap();
        daemon
    }

    fn is_dark(&self, n: usize) -> bool {
        self.dark.is_some_and(|(dark, _)| dark == n)
    }

    fn event(&mut self, at: usize) {
        if let Some((n, until)) = self.dark
            && at >= until
        {
            self.boot(n);
        }
        let n = self.random.below(NODES.len());
        let room = self.baton.alive(None).len() < AT_ONCE;
        match self.random.below(100) {
            0..6 if room && !self.is_dark(n) => self.attach(n),
            6..10 if room && !self.is_dark(n) => self.detach(n),
            10..18 => self.write(n),
            18 if !self.is_dark(n) && self.random.below(3) == 0 => self.crash(n),
            20 | 21 => self.rename(),
            19 if self.dark.is_none() && self.random.below(3) == 0 => self.cut(n, at),
            _ => {
                let alive = self.baton.alive(None);
                if let Some(worker) = self.random.pick(&alive) {
                    self.baton.step(*worker);
                }
            }
        }
    }

    fn attach(&mut self, n: usize) {
        let guest = instance(u8::try_from(self.random.below(4)).unwrap() + 1);
        let first = self.random.below(3);
        let mut disks = vec![match (first, self.random.below(3)) {
            (2, 0) => shared(&self.volumes[2]),
            (2, 1) => read_only(&self.volumes[2]),
            _ => disk(&self.volumes[first]),
        }];
        if self.random.below(3) == 0 {
            disks.push(disk(&self.volumes[(first + 1) % 3]));
        }
        self.log.push(format!("attach {guest} on {}", NODES[n]));
        let (node, request) = (self.daemons[n].node.clone(), ask(guest, &disks));
        let (attached, asked) = (self.attached.clone(), self.asked.clone());
        let names = request.disks.iter().map(|disk| disk.volume.clone());
        asked.lock().unwrap().extend(names);
        self.baton.start(NODES[n], move || {
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
        let guest = instance(u8::try_from(self.random.below(4)).unwrap() + 1);
        self.log.push(format!("detach {guest} on {}", NODES[n]));
        let node = self.daemons[n].node.clone();
        self.baton
            .start(NODES[n], move || drop(node.detach(&detach_ask(guest))));
    }

    /// An administrator gives an LV another name: one nobody has, whoever had it before.
    fn rename(&mut self) {
        let names = ["a", "b", "c", "bystander", "x", "y"];
        let at = self.random.below(self.volumes.len());
        let Some(to) = self.random.pick(&names).copied() else {
            return;
        };
        let looked_for = |name: &VolumeName| name.as_str() == to;
        if at == BYSTANDER && self.asked.lock().unwrap().iter().any(looked_for) {
            return;
        }
        let renamed = self.lab.cluster.rename(&self.volumes[at], to);
        if renamed != self.volumes[at] {
            self.log
                .push(format!("{} becomes {renamed}", self.volumes[at]));
        }
        self.volumes[at] = renamed;
    }

    /// What nobody asks for is as it was.
    fn touched(&self) -> Vec<String> {
        let bystander = &self.volumes[BYSTANDER];
        let mut wrong = Vec::new();
        for kernel in &self.kernels {
            if kernel.active().contains(&bystander.id) {
                wrong.push(format!("{} has {bystander} active", kernel.name()));
            }
            let leases = kernel.leases_held();
            if leases.iter().any(|(volume, _)| *volume == bystander.id) {
                wrong.push(format!("{} has the lease of {bystander}", kernel.name()));
            }
        }
        if self.lab.cluster.contents(bystander.id) != self.lab.expected(bystander.id) {
            wrong.push(format!("somebody wrote to {bystander}"));
        }
        if !self.lab.cluster.tags(bystander).is_empty() {
            wrong.push(format!("somebody tagged {bystander}"));
        }
        wrong
    }

    /// A guest that has a disk writes to it.
    fn write(&mut self, n: usize) {
        let writers: Vec<_> = self.daemons[n]
            .node
            .attachments()
            .into_iter()
            .filter(|a| a.access == Access::ReadWrite && a.state == AttachmentState::Attached)
            .collect();
        let Some(writer) = self.random.pick(&writers) else {
            return;
        };
        let (volume, guest) = (writer.volume.id, writer.instance);
        let write = (self.random.next_number() % 32, self.random.next_number());
        // A detach may have taken the device already.
        drop(self.lab.write(&self.kernels[n], volume, guest, write));
    }

    fn end_workers(&self, n: usize) {
        // In turn: one may wait for what another one does.
        loop {
            let alive = self.baton.alive(Some(NODES[n]));
            if alive.is_empty() {
                return;
            }
            for worker in alive {
                self.baton.step(worker);
            }
        }
    }

    fn crash(&mut self, n: usize) {
        self.log
            .push(format!("kill -9 of the daemon on {}", NODES[n]));
        self.kernels[n].crash();
        self.end_workers(n);
        self.daemons[n] = self.started(n);
    }

    fn cut(&mut self, n: usize, at: usize) {
        self.log.push(format!("power cut of {}", NODES[n]));
        self.kernels[n].power_cut();
        self.end_workers(n);
        self.lab.journal(NODES[n]).forget_marks();
        self.dark = Some((n, at + self.random.below(80)));
    }

    fn boot(&mut self, n: usize) {
        self.log.push(format!("{} boots", NODES[n]));
        self.lab.cluster.set_member(NODES[n], MemberState::Dead);
        self.kernels[n].boot();
        self.daemons[n] = self.started(n);
        self.dark = None;
    }

    fn wrong(&self, deep: bool) -> Vec<String> {
        let mut wrong = check::always(&self.lab, &self.kernels);
        wrong.extend(self.touched());
        let mut writers = [0; 3];
        for (n, daemon) in self.daemons.iter().enumerate() {
            if self.is_dark(n) {
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
                let settling = !self.baton.alive(Some(NODES[n])).is_empty();
                let data = if settling {
                    Vec::new()
                } else {
                    check::data(&self.lab, daemon)
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
        self.lab.policy.says() == Say::OneWriter
    }

    /// Everything that was begun ends.
    fn rest(&mut self) {
        if let Some((n, _)) = self.dark {
            self.boot(n);
        }
        for _ in 0..REST {
            let alive = self.baton.alive(None);
            let Some(worker) = self.random.pick(&alive) else {
                return;
            };
            self.baton.step(*worker);
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
            cluster.log.extend(wrong);
            return (cluster.log, 0);
        }
    }
    cluster.rest();
    let attached = cluster.attached.load(Ordering::SeqCst);
    let daemons = cluster.daemons.iter();
    let wrong: Vec<String> = daemons
        .flat_map(|d| {
            let recorded = check::on_record(&cluster.lab, d.kernel.name().as_str());
            [check::settled(&cluster.lab, d), recorded].concat()
        })
        .collect();
    if wrong.is_empty() {
        return (wrong, attached);
    }
    cluster.log.push("at rest:".into());
    cluster.log.extend(wrong);
    (cluster.log, attached)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn invariants_hold_under_every_seed() {
    let seeds = match number("VOLWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("VOLWARD_SEEDS").unwrap_or(100),
    };
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
