//! Three nodes that share a volume, and one guest that moves between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use volward_control::ports::Registry;
use volward_control::{AttachDone, AttachRequest, ControlError, DiskRequest};
use volward_model::{
    Access, Attachment, AttachmentState, InstanceId, LeaseMode, MigrationCall, MigrationNonce,
    Purpose, Sharing, Slot, SlotReading, VolumeId, VolumeRef,
};
use volward_plan::migrate::Job;
use volward_simulation::{Daemon, Lab, ask, check, detach_ask, disk, instance};
use volward_storage::fake::FakeNode;

/// The nodes, with daemons that look at migrations while somebody waits for them.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) volume: VolumeRef,
    daemons: Daemons,
    /// Who looks whenever another node's daemon sleeps.
    looks: Arc<Mutex<Option<&'static str>>>,
    /// What was wrong before some call of some node.
    wrong: Arc<Mutex<Vec<String>>>,
}

type Daemons = Arc<Mutex<BTreeMap<&'static str, Arc<Daemon>>>>;

pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];

pub(crate) fn guest() -> InstanceId {
    instance(1)
}

/// What libvirt's hook asks on the node to which the guest migrates.
pub(crate) fn arrival(disks: &[DiskRequest]) -> AttachRequest {
    AttachRequest {
        purpose: Purpose::MigrationIn,
        ..ask(guest(), disks)
    }
}

pub(crate) fn code(error: &ControlError) -> &'static str {
    match error {
        ControlError::Refused { refusal, .. } => refusal.code.as_str(),
        other => panic!("not refused: {other:?}"),
    }
}

/// The mode in which a node has the lease of the pair's volume.
pub(crate) fn lease(pair: &Pair, node: &str) -> Option<LeaseMode> {
    let held = pair.lab.cluster.node(node).leases_held();
    let held = held.into_iter().find(|(v, _)| *v == pair.volume.id);
    held.map(|(_, mode)| mode)
}

/// As the daemon does every second: a look, and what it began.
fn look(daemon: &Daemon) {
    daemon.node.follow_migrations();
    while let Some((name, work)) = daemon.tasks.pop() {
        if name == "migrations" {
            volward_simulation::doubles::Death::survive(work);
        }
    }
}

/// Of the nodes that may be alive: who has the volume although another one excludes that, or has a
/// device of it without its lease, and whether more than two have it.
fn excluded(kernels: &[FakeNode], volume: VolumeId) -> Vec<String> {
    let lease = |kernel: &FakeNode| {
        let held = kernel.leases_held().into_iter();
        held.filter(|(v, _)| *v == volume)
            .map(|(_, mode)| mode)
            .next()
    };
    let modes: Vec<LeaseMode> = kernels.iter().filter_map(lease).collect();
    let mut wrong = Vec::new();
    let exclusive = modes.contains(&LeaseMode::Exclusive);
    if modes.len() > 2 || (exclusive && modes.len() > 1) {
        wrong.push(format!("the volume is leased {modes:?}"));
    }
    for kernel in kernels {
        let mut devices = kernel.devices().into_iter();
        if devices.any(|d| d.volume == volume) && lease(kernel).is_none() {
            wrong.push(format!("{} has a device without its lease", kernel.name()));
        }
    }
    wrong
}

impl Pair {
    pub(crate) fn new() -> Self {
        let lab = Lab::new(&NODES);
        let volume = lab.volume("root");
        let daemons: BTreeMap<_, _> = NODES
            .iter()
            .map(|node| (*node, Arc::new(lab.start(node))))
            .collect();
        let pair = Self {
            lab,
            volume,
            daemons: Arc::new(Mutex::new(daemons)),
            looks: Arc::default(),
            wrong: Arc::default(),
        };
        pair.pace();
        // What comes from now on is seen to come.
        NODES.iter().for_each(|node| pair.look(node));
        pair
    }

    pub(crate) fn node(&self, node: &str) -> Arc<Daemon> {
        self.daemons.lock().unwrap()[node].clone()
    }

    /// kill -9, and a new daemon.
    pub(crate) fn restart(&self, node: &'static str) {
        self.node(node).kernel.crash();
        let daemon = Arc::new(self.lab.start(node));
        self.daemons.lock().unwrap().insert(node, daemon);
    }

    pub(crate) fn look(&self, node: &str) {
        look(&self.node(node));
    }

    pub(crate) fn follow_leases(&self, node: &str) {
        let node = self.node(node);
        node.node.follow_leases();
        node.tasks.run_all();
    }

    pub(crate) fn starts_on(&self, node: &str) {
        let request = ask(guest(), &[disk(&self.volume)]);
        self.node(node).node.attach(&request).unwrap();
        self.look(node);
    }

    /// `virsh migrate` on the source: its libvirt has a job from now on, the destination calls its hook.
    pub(crate) fn begins(&self, source: &str) {
        let job = Job::MigratingOut { since: None };
        self.node(source).kernel.set_job(guest(), job);
        self.look(source);
    }

    /// Before each call of each node the leases are looked at; whoever sleeps lets `looks` look.
    fn pace(&self) {
        let (daemons, looks) = (Arc::clone(&self.daemons), Arc::clone(&self.looks));
        let (wrong, volume) = (Arc::clone(&self.wrong), self.volume.id);
        let kernels = NODES.map(|node| self.lab.cluster.node(node));
        self.lab.cluster.set_pace(move |kernel, call| {
            wrong.lock().unwrap().extend(excluded(&kernels, volume));
            let source = *looks.lock().unwrap();
            let Some(source) = source.filter(|_| call == "sleep") else {
                return;
            };
            if kernel.name().as_str() == source {
                return;
            }
            let daemon = daemons.lock().unwrap()[source].clone();
            if !daemon.kernel.crashed() {
                look(&daemon);
            }
        });
    }

    /// Whenever another node's daemon sleeps, `source` looks.
    pub(crate) fn with_looks<T>(&self, source: &'static str, what: impl FnOnce() -> T) -> T {
        *self.looks.lock().unwrap() = Some(source);
        let said = what();
        *self.looks.lock().unwrap() = None;
        said
    }

    /// `prepare` on the destination, while whoever has the volume looks.
    pub(crate) fn attach(&self, destination: &str) -> Result<AttachDone, ControlError> {
        let has = |node: &&&str| self.node(node).node.attachments().len() == 1;
        let others = NODES.iter().filter(|node| **node != destination);
        let source = others.clone().find(has).unwrap_or(&"n1");
        let request = arrival(&[disk(&self.volume)]);
        let node = self.node(destination);
        self.with_looks(source, || node.node.attach(&request))
    }

    /// The guest goes on at the destination, and libvirt releases it at the source.
    pub(crate) fn ends(&self, source: &str) {
        let node = self.node(source);
        node.kernel.set_job(guest(), Job::None);
        node.node.detach(&detach_ask(guest())).unwrap();
    }

    /// The guest writes on that node.
    #[track_caller]
    pub(crate) fn writes(&self, node: &str, value: u64) {
        let kernel = self.lab.cluster.node(node);
        let what = (3, value);
        self.lab
            .write(&kernel, self.volume.id, guest(), what)
            .unwrap();
    }

    pub(crate) fn leases(&self) -> [Option<LeaseMode>; 2] {
        ["n1", "n2"].map(|node| lease(self, node))
    }

    /// What holds at every moment.
    #[track_caller]
    pub(crate) fn holds(&self) {
        let kernels = NODES.map(|node| self.lab.cluster.node(node));
        assert_eq!(check::always(&self.lab, &kernels), [""; 0]);
        assert_eq!(*self.wrong.lock().unwrap(), [""; 0]);
        for node in NODES {
            let daemon = self.node(node);
            if !daemon.kernel.crashed() {
                assert_eq!(check::data(&self.lab, &daemon), [""; 0], "{node}");
            }
        }
    }

    /// The slot that a node has written.
    pub(crate) fn slot(&self, node: &str) -> Slot {
        let kernel = self.lab.cluster.node(node);
        let places = Registry::read(&kernel, &self.lab.pool).unwrap();
        let slots = places.into_iter().find_map(|place| match place.reading {
            SlotReading::Good { slot, .. } if slot.node == *kernel.name() => Some(slot),
            _ => None,
        });
        (*slots.unwrap()).clone()
    }

    /// A call in a node's slot, beside an attachment of that state, as an attach under way has it.
    pub(crate) fn write_call(&self, node: &str, call: MigrationCall, state: AttachmentState) {
        let mut slot = self.slot(node);
        slot.messages.calls = vec![call];
        slot.attachments = vec![Attachment {
            volume: call.volume,
            instance: call.instance,
            node: slot.node.clone(),
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            since_ms: slot.written_ms,
            state,
        }];
        let kernel = self.lab.cluster.node(node);
        Registry::write(&kernel, &self.lab.pool, &slot).unwrap();
    }

    /// An attach has asked node n1, and its daemon was killed.
    pub(crate) fn leaves_a_call(&self, node: &str) {
        let call = MigrationCall {
            volume: self.volume.id,
            instance: guest(),
            nonce: MigrationNonce(uuid::Uuid::from_u128(5)),
            source: 1,
        };
        self.write_call(node, call, AttachmentState::Intent);
    }
}
