//! Nodes whose daemons and power fail while they work: what runs under seeds has in common.

use std::ops::Range;
use std::sync::Arc;

use volward_model::MemberState;
use volward_storage::fake::FakeNode;

use crate::lab::{Daemon, Lab};
use crate::random::Random;
use crate::schedule::{Baton, Workers};

/// The nodes of a run. All that they do at once is done in the order that the seed decides.
pub struct Nodes {
    /// Their cluster.
    pub lab: Lab,
    /// Which of their workers goes on.
    pub baton: Arc<Baton>,
    /// The seed's numbers.
    pub random: Random,
    /// A kernel a node, in the order of the names.
    pub kernels: Vec<FakeNode>,
    /// A daemon a node.
    pub daemons: Vec<Daemon>,
    /// The node without power, and the event at which it boots.
    pub dark: Option<(usize, usize)>,
    /// What was done, for whoever reads of a failure.
    pub log: Vec<String>,
    names: Vec<&'static str>,
}

impl Nodes {
    /// Over a cluster of nodes of these names, each with a daemon that has recovered.
    #[must_use]
    pub fn start(lab: Lab, names: &[&'static str], random: Random) -> Self {
        let baton = Baton::over(&lab.cluster);
        let kernels = names.iter().map(|name| lab.cluster.node(name)).collect();
        let mut nodes = Self {
            lab,
            baton,
            random,
            kernels,
            daemons: Vec::new(),
            dark: None,
            log: Vec::new(),
            names: names.to_vec(),
        };
        for n in 0..names.len() {
            let daemon = nodes.started(n);
            nodes.daemons.push(daemon);
        }
        nodes
    }

    fn started(&self, n: usize) -> Daemon {
        let workers = Workers {
            baton: self.baton.clone(),
            node: self.names[n].to_owned(),
        };
        let daemon = self.lab.daemon(self.names[n], Some(Arc::new(workers)));
        let recovered = daemon.node.recover();
        assert!(recovered.is_ok(), "{recovered:?}");
        daemon
    }

    /// Whether the node is without power.
    #[must_use]
    pub fn is_dark(&self, n: usize) -> bool {
        self.dark.is_some_and(|(dark, _)| dark == n)
    }

    /// One call of one worker that the seed picks; `false` where nobody works.
    pub fn step(&mut self) -> bool {
        let alive = self.baton.alive(None);
        let picked = self.random.pick(&alive);
        if let Some(worker) = picked {
            self.baton.step(*worker);
        }
        picked.is_some()
    }

    /// The node's workers come to their ends, in turn: one may wait for what another one does.
    fn end_workers(&self, n: usize) {
        loop {
            let alive = self.baton.alive(Some(self.names[n]));
            if alive.is_empty() {
                return;
            }
            for worker in alive {
                self.baton.step(worker);
            }
        }
    }

    /// The daemon is killed, and started again.
    pub fn kill(&mut self, n: usize) {
        self.log
            .push(format!("kill -9 of the daemon on {}", self.names[n]));
        self.kernels[n].crash();
        self.end_workers(n);
        self.daemons[n] = self.started(n);
    }

    /// The node loses its power, until that event.
    pub fn cut(&mut self, n: usize, until: usize) {
        self.log.push(format!("power cut of {}", self.names[n]));
        self.kernels[n].power_cut();
        self.end_workers(n);
        self.lab.journal(self.names[n]).forget_marks();
        self.dark = Some((n, until));
    }

    /// The node without power boots, at that event or, with `None`, whenever it is; the others have found it dead.
    pub fn boot(&mut self, at: Option<usize>) {
        let due = |until: usize| at.is_none_or(|at| at >= until);
        let Some((n, _)) = self.dark.filter(|(_, until)| due(*until)) else {
            return;
        };
        self.log.push(format!("{} boots", self.names[n]));
        self.lab
            .cluster
            .set_member(self.names[n], MemberState::Dead);
        self.kernels[n].boot();
        self.daemons[n] = self.started(n);
        self.dark = None;
    }
}

/// The seeds of a test: the one that `VOLWARD_SEED` names, or as many as `VOLWARD_SEEDS` says, or `by_itself`.
#[must_use]
pub fn seeds(by_itself: u64) -> Range<u64> {
    let number = |variable| -> Option<u64> { std::env::var(variable).ok()?.parse().ok() };
    match number("VOLWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("VOLWARD_SEEDS").unwrap_or(by_itself),
    }
}
