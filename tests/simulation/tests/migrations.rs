//! Under many seeds guests start, migrate, are called off and stop on three nodes, while daemons and nodes die, down to
//! every single call. At every moment at most two nodes have a volume, and two only where both share it for a
//! migration; a guest's writes succeed wherever it runs; in the end each guest that runs has its volume alone.
//! A failure names its seed; `VOLWARD_SEED=<n>` runs that one alone, `VOLWARD_SEEDS=<n>` so many.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use volward_control::AttachRequest;
use volward_control::ports::Clock;
use volward_model::{DeviceRole, InstanceId, LeaseMode, Purpose, VolumeRef};
use volward_plan::migrate::Job;
use volward_simulation::nodes::{Nodes, seeds};
use volward_simulation::random::Random;
use volward_simulation::{Lab, ask, check, detach_ask, disk, instance};
use volward_storage::fake::FakeNode;

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const EVENTS: usize = 900;
const AT_ONCE: usize = 8;
/// Far more than any run needs to come to rest.
const REST: usize = 60_000;

/// What libvirt knows of a guest.
struct Guest {
    instance: InstanceId,
    volume: VolumeRef,
    /// Where it runs.
    runs: Option<usize>,
    /// What libvirt is doing with it, and on which node.
    busy: Option<(Doing, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// `prepare` of a start.
    Starts,
    /// `prepare` of a migration.
    Arrives,
    /// `release`.
    Goes,
}

/// An operation of libvirt's that has ended: of which guest, and whether it was granted.
type Ended = Arc<Mutex<Vec<(usize, Doing, bool)>>>;

struct Cluster {
    nodes: Nodes,
    guests: Vec<Guest>,
    ended: Ended,
    /// Starts that were granted and must not have been.
    wrong: Arc<Mutex<Vec<String>>>,
    moved: usize,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let lab = Lab::new(&NODES);
        let guests = [(1, "a"), (2, "b")].map(|(n, name)| Guest {
            instance: instance(n),
            volume: lab.volume(name),
            runs: None,
            busy: None,
        });
        Self {
            nodes: Nodes::start(lab, &NODES, Random::new(seed)),
            guests: guests.into(),
            ended: Arc::default(),
            wrong: Arc::default(),
            moved: 0,
        }
    }

    fn event(&mut self, at: usize) {
        self.nodes.boot(Some(at));
        self.hear_ended();
        let n = self.nodes.random.below(NODES.len());
        let g = self.nodes.random.below(self.guests.len());
        let room = self.nodes.baton.alive(None).len() < AT_ONCE && !self.nodes.is_dark(n);
        match self.nodes.random.below(100) {
            0..6 if room => self.begin(g, n),
            6 if room => self.stop(g),
            7 | 8 if room => self.start_elsewhere(g, n),
            9..20 if room => self.nodes.daemons[n].node.follow_migrations(),
            20..24 => self.write(g),
            24 if !self.nodes.is_dark(n) && self.nodes.random.below(4) == 0 => self.crash(n),
            25 if self.nodes.dark.is_none() && self.nodes.random.below(8) == 0 => self.cut(n, at),
            _ => {
                self.nodes.step();
            }
        }
    }

    /// A guest starts on the node, or migrates to it.
    fn begin(&mut self, g: usize, n: usize) {
        let guest = &self.guests[g];
        if guest.busy.is_some() || guest.runs == Some(n) {
            return;
        }
        let doing = match guest.runs {
            None => Doing::Starts,
            Some(source) => {
                let job = Job::MigratingOut { since: None };
                self.nodes.kernels[source].set_job(guest.instance, job);
                Doing::Arrives
            }
        };
        self.attach(g, n, doing);
    }

    fn attach(&mut self, g: usize, n: usize, doing: Doing) {
        let guest = &mut self.guests[g];
        guest.busy = Some((doing, n));
        let purpose = match doing {
            Doing::Arrives => Purpose::MigrationIn,
            Doing::Starts | Doing::Goes => Purpose::Boot,
        };
        let request = AttachRequest {
            purpose,
            ..ask(guest.instance, &[disk(&guest.volume)])
        };
        self.nodes
            .log
            .push(format!("{doing:?} {} on {}", guest.volume, NODES[n]));
        let (node, ended) = (self.nodes.daemons[n].node.clone(), self.ended.clone());
        self.nodes.baton.start(NODES[n], move || {
            let granted = node.attach(&request).is_ok();
            ended.lock().unwrap().push((g, doing, granted));
        });
    }

    fn release(&mut self, g: usize, n: usize) {
        let guest = &mut self.guests[g];
        guest.busy = Some((Doing::Goes, n));
        self.nodes
            .log
            .push(format!("release {} on {}", guest.volume, NODES[n]));
        let (node, ended) = (self.nodes.daemons[n].node.clone(), self.ended.clone());
        let request = detach_ask(guest.instance);
        self.nodes.baton.start(NODES[n], move || {
            let done = node.detach(&request).is_ok();
            ended.lock().unwrap().push((g, Doing::Goes, done));
        });
    }

    fn stop(&mut self, g: usize) {
        let guest = &mut self.guests[g];
        if let (Some(n), None) = (guest.runs, guest.busy) {
            guest.runs = None;
            self.release(g, n);
        }
    }

    /// Somebody starts a guest that runs, on another node.
    fn start_elsewhere(&mut self, g: usize, n: usize) {
        let guest = &self.guests[g];
        if guest.busy.is_some() || guest.runs.is_none() || guest.runs == Some(n) {
            return;
        }
        let request = ask(guest.instance, &[disk(&guest.volume)]);
        let (node, wrong) = (self.nodes.daemons[n].node.clone(), self.wrong.clone());
        let said = format!("{} was started on {} too", guest.volume, NODES[n]);
        let busy = self.ended.clone();
        self.guests[g].busy = Some((Doing::Starts, n));
        self.nodes.baton.start(NODES[n], move || {
            if node.attach(&request).is_ok() {
                wrong.lock().unwrap().push(said);
            }
            busy.lock().unwrap().push((g, Doing::Starts, false));
        });
    }

    /// libvirt hears how what it asked for has ended.
    fn hear_ended(&mut self) {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap());
        for (g, doing, granted) in ended {
            let guest = &mut self.guests[g];
            let Some((_, n)) = guest.busy.take() else {
                continue;
            };
            // A node that has died meanwhile runs nothing.
            let dark = self.nodes.is_dark(n);
            match doing {
                Doing::Starts if granted && !dark => guest.runs = Some(n),
                // The hook notes what it could not deliver, and it is done later.
                Doing::Goes if !granted && !dark => self.release(g, n),
                Doing::Starts | Doing::Goes => {}
                Doing::Arrives => self.arrived(g, n, granted && !dark),
            }
        }
    }

    fn arrived(&mut self, g: usize, n: usize, granted: bool) {
        let guest = &mut self.guests[g];
        let Some(source) = guest.runs else {
            // It died with its node.
            if granted {
                self.release(g, n);
            }
            return;
        };
        self.nodes.kernels[source].set_job(guest.instance, Job::None);
        match granted {
            true if self.nodes.random.below(3) > 0 => {
                guest.runs = Some(n);
                self.moved += 1;
                self.release(g, source);
            }
            true => self.release(g, n),
            false => {}
        }
    }

    /// A guest writes, and must be able to.
    fn write(&mut self, g: usize) {
        let guest = &self.guests[g];
        let Some(n) = guest.runs.filter(|n| !self.nodes.is_dark(*n)) else {
            return;
        };
        let what = (
            self.nodes.random.next_number() % 32,
            self.nodes.random.next_number(),
        );
        let written = self.nodes.lab.write(
            &self.nodes.kernels[n],
            guest.volume.id,
            guest.instance,
            what,
        );
        if let Err(error) = written {
            let said = format!("{} cannot write on {}: {error}", guest.volume, NODES[n]);
            self.wrong.lock().unwrap().push(said);
        }
    }

    /// What libvirt asked of a daemon that died was not granted, and is released; so is what it did not
    /// hear of.
    fn forget(&mut self, n: usize) {
        self.hear_ended();
        for g in 0..self.guests.len() {
            let Some((doing, on)) = self.guests[g].busy else {
                continue;
            };
            if on != n {
                continue;
            }
            self.guests[g].busy = None;
            if let (Doing::Arrives, Some(source)) = (doing, self.guests[g].runs) {
                self.nodes.kernels[source].set_job(self.guests[g].instance, Job::None);
            }
            if self.guests[g].runs != Some(n) && !self.nodes.is_dark(n) {
                self.release(g, n);
            }
        }
    }

    fn crash(&mut self, n: usize) {
        self.nodes.kill(n);
        self.forget(n);
    }

    fn cut(&mut self, n: usize, at: usize) {
        let until = at + self.nodes.random.below(120);
        self.nodes.cut(n, until);
        for guest in self.guests.iter_mut().filter(|g| g.runs == Some(n)) {
            guest.runs = None;
            self.nodes.kernels[n].set_job(guest.instance, Job::None);
        }
        self.forget(n);
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = check::always(&self.nodes.lab, &self.nodes.kernels);
        wrong.extend(self.wrong.lock().unwrap().clone());
        for guest in &self.guests {
            let id = guest.volume.id;
            let has = |kernel: &&FakeNode| {
                let role = DeviceRole::Attachment(guest.instance);
                let mut devices = kernel.devices().into_iter();
                devices.any(|d| d.volume == id && d.role == role)
            };
            let having: Vec<&FakeNode> = self.nodes.kernels.iter().filter(has).collect();
            let shared = |kernel: &&FakeNode| {
                let mut leases = kernel.leases_held().into_iter();
                leases.any(|lease| lease == (id, LeaseMode::Shared))
            };
            if having.len() > 2 || (having.len() == 2 && !having.iter().all(shared)) {
                let names: Vec<_> = having.iter().map(|kernel| kernel.name()).collect();
                wrong.push(format!("{} has devices on {names:?}", guest.volume));
            }
        }
        wrong
    }

    fn settle(&mut self) {
        for _ in 0..REST {
            self.hear_ended();
            if self.nodes.baton.alive(None).is_empty() && self.ended.lock().unwrap().is_empty() {
                return;
            }
            self.nodes.step();
        }
        panic!("it never comes to rest: {:#?}", self.nodes.log);
    }

    /// Everything that was begun ends, and the daemons have looked.
    fn rest(&mut self) {
        self.nodes.boot(None);
        for _ in 0..8 {
            self.settle();
            for daemon in &self.nodes.daemons {
                daemon.node.follow_migrations();
            }
            self.nodes.lab.cluster.clock().sleep(Duration::from_secs(1));
        }
        self.settle();
    }

    fn wrong_at_rest(&self) -> Vec<String> {
        let mut wrong = self.wrong();
        for daemon in &self.nodes.daemons {
            wrong.extend(check::settled(&self.nodes.lab, daemon));
        }
        for guest in &self.guests {
            for (n, daemon) in self.nodes.daemons.iter().enumerate() {
                let attachments = daemon.node.attachments();
                let own = attachments.iter().find(|a| a.instance == guest.instance);
                let leases = self.nodes.kernels[n].leases_held();
                let lease = leases.iter().find(|(v, _)| *v == guest.volume.id);
                let lease = lease.map(|(_, mode)| *mode);
                let is_right = match own {
                    Some(own) => {
                        guest.runs == Some(n)
                            && own.migration.is_none()
                            && lease == Some(LeaseMode::Exclusive)
                    }
                    None => guest.runs != Some(n) && lease.is_none(),
                };
                if !is_right {
                    let (volume, runs) = (&guest.volume, guest.runs);
                    let node = NODES[n];
                    wrong.push(format!(
                        "{volume} on {node}: {lease:?}, {own:?}, runs: {runs:?}"
                    ));
                }
            }
        }
        wrong
    }
}

/// What is wrong, with what led to it; and how many guests moved.
fn run(seed: u64) -> (Vec<String>, usize) {
    let mut cluster = Cluster::new(seed);
    for at in 0..EVENTS {
        cluster.event(at);
        let wrong = cluster.wrong();
        if !wrong.is_empty() {
            cluster.nodes.log.extend(wrong);
            return (cluster.nodes.log, 0);
        }
    }
    cluster.rest();
    let wrong = cluster.wrong_at_rest();
    if wrong.is_empty() {
        return (wrong, cluster.moved);
    }
    cluster.nodes.log.push("at rest:".into());
    cluster.nodes.log.extend(wrong);
    (cluster.nodes.log, 0)
}

#[test]
fn i7_one_node_has_a_guests_volume_under_every_seed() {
    let seeds = seeds(60);
    let (mut moved, count) = (0, seeds.clone().count());
    for seed in seeds {
        let (wrong, of_run) = run(seed);
        moved += of_run;
        assert!(
            wrong.is_empty(),
            "VOLWARD_SEED={seed}:\n{}",
            wrong.join("\n")
        );
    }
    assert!(
        moved * 2 >= count || count == 1,
        "too little happens: {moved} migrations in {count} runs"
    );
}
