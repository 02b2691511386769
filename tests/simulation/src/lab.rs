//! A cluster with daemons on it, and guests that remember what they wrote.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;
use volward_control::ports::{Clock, PortResult, Tasks};
use volward_control::{
    AttachDone, AttachRequest, Cancellation, ControlError, DetachDone, DetachRequest, DiskRequest,
    GroupRequest, Node, OperationAsked, OperationRequest, Ports, Settings,
};
use volward_model::{
    Access, Bytes, DeviceId, InstanceId, MemberState, Origin, PoolName, Purpose, RequestId,
    Sharing, VolumeId, VolumeRef, VolumeTask,
};
use volward_plan::operate::Wipe;
use volward_plan::{DiskForm, NodeRoles};
use volward_storage::events::FakeEvents;
use volward_storage::fake::{FakeCluster, FakeNode};
use volward_storage::journal::FakeJournal;
use volward_storage::marks::FakeMarks;

use crate::doubles::{Death, FakeDecisions, FakePolicy, Idle, LabClock, Points, TaskQueue};

/// 32 regions of 64 KiB: enough to be stopped in the middle, little enough for thousands of runs.
const SIZE: Bytes = Bytes::mib(2);
/// Regions that are copied while somebody waits once.
const REGIONS_PER_WAIT: u64 = 8;
/// Waits of 5 s in which nothing happens before background work is ended: longer than
/// `stall_after`.
const PATIENCE: usize = 30;

/// A cluster with the shared pool `san`, and on each node a local pool `nvme-<node>`.
pub struct Lab {
    /// Shared storage and all nodes' kernels, in memory.
    pub cluster: FakeCluster,
    /// Name of the shared pool, `san`.
    pub pool: PoolName,
    /// Further shared pools that every daemon manages ([`Lab::add_pool`]).
    others: Vec<PoolName>,
    /// What every daemon asks.
    pub policy: Arc<FakePolicy>,
    journals: BTreeMap<String, FakeJournal>,
    decisions: BTreeMap<String, Arc<FakeDecisions>>,
    truth: Mutex<BTreeMap<VolumeId, Vec<u64>>>,
    /// What daemons started from now on give back by themselves after so long.
    pub unfence_after: Option<Duration>,
    /// What daemons started from now on bring home by themselves after so long.
    pub alone_home_after: Option<Duration>,
    /// When daemons started from now on zero the extents of `san`.
    pub wipe: Wipe,
    /// Real time a sleep takes; zero unless threads race.
    pub pause: Duration,
}

/// A running daemon.
pub struct Daemon {
    /// What is tested.
    pub node: Arc<Node>,
    /// Its kernel, LVM and sanlock.
    pub kernel: FakeNode,
    /// Its background work, held.
    pub tasks: Arc<TaskQueue>,
    /// The points it passes.
    pub points: Arc<Points>,
    /// Journal that outlives the daemon, as its disk does.
    pub journal: FakeJournal,
    /// The log of its node's decisions, which outlives it too.
    pub decisions: Arc<FakeDecisions>,
    /// What it has announced to libvirt's hook.
    pub marks: Arc<FakeMarks>,
    /// What it has told of, over its life.
    pub events: Arc<FakeEvents>,
    /// The policy of all nodes.
    pub policy: Arc<FakePolicy>,
}

impl Lab {
    /// A cluster of these nodes, without volumes.
    #[must_use]
    pub fn new(nodes: &[&str]) -> Self {
        Self::over(nodes, FakeCluster::shared_pool)
    }

    /// The same, but nobody has made `san` a pool yet.
    #[must_use]
    pub fn bare(nodes: &[&str]) -> Self {
        Self::over(nodes, FakeCluster::shared_vg)
    }

    fn over(nodes: &[&str], make: fn(&FakeCluster, &str, Bytes) -> PoolName) -> Self {
        let cluster = FakeCluster::new(nodes);
        let pool = make(&cluster, "san", Bytes::mib(1024));
        for node in nodes {
            cluster.local_pool(node, &format!("nvme-{node}"), Bytes::mib(256));
            let (clock, idle) = (cluster.clock(), AtomicUsize::new(0));
            cluster.node(node).while_waiting(move |kernel, id| {
                clock.sleep(Duration::from_secs(5));
                match kernel.hydrate(id, REGIONS_PER_WAIT) {
                    Ok(1..) => idle.store(0, Ordering::SeqCst),
                    _ if idle.fetch_add(1, Ordering::SeqCst) > PATIENCE => {
                        idle.store(0, Ordering::SeqCst);
                        Idle::now();
                    }
                    _ => {}
                }
            });
        }
        let journal = |node: &&str| ((*node).to_owned(), FakeJournal::new(cluster.node(node)));
        let decisions = |node: &&str| {
            let log = FakeDecisions::new(cluster.node(node));
            ((*node).to_owned(), Arc::new(log))
        };
        Self {
            decisions: nodes.iter().map(decisions).collect(),
            journals: nodes.iter().map(journal).collect(),
            cluster,
            pool,
            others: Vec::new(),
            policy: Arc::default(),
            truth: Mutex::default(),
            unfence_after: None,
            alone_home_after: None,
            wipe: Wipe::default(),
            pause: Duration::ZERO,
        }
    }

    /// Makes another shared pool; daemons started from now on manage it too.
    pub fn add_pool(&mut self, name: &str) -> PoolName {
        let pool = self.cluster.shared_pool(name, Bytes::mib(1024));
        self.others.push(pool.clone());
        pool
    }

    /// The pools that all nodes share.
    pub fn shared_pools(&self) -> impl Iterator<Item = &PoolName> {
        std::iter::once(&self.pool).chain(&self.others)
    }

    /// Makes a volume with data of its own on it.
    pub fn volume(&self, name: &str) -> VolumeRef {
        let volume = self.cluster.volume(&self.pool, name, SIZE);
        let seed = name.bytes().fold(7, |n, b| n * 31 + u64::from(b));
        self.cluster
            .fill(volume.id, |block| seed * 1000 + block + 1);
        let data = self.cluster.contents(volume.id);
        self.truth().insert(volume.id, data);
        volume
    }

    /// Makes a volume that is marked shareable.
    pub fn shareable(&self, name: &str) -> VolumeRef {
        let volume = self.volume(name);
        self.cluster.tamper(&volume, |_, tags, _| {
            tags.push(volward_model::volume::SHAREABLE_TAG.to_owned());
        });
        volume
    }

    /// What a guest must read from the volume, block by block.
    #[must_use]
    pub fn expected(&self, volume: VolumeId) -> Vec<u64> {
        self.truth().get(&volume).cloned().unwrap_or_default()
    }

    /// Every volume that was made.
    #[must_use]
    pub fn volumes(&self) -> Vec<VolumeId> {
        self.truth().keys().copied().collect()
    }

    fn truth(&self) -> MutexGuard<'_, BTreeMap<VolumeId, Vec<u64>>> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The local pool of a node.
    #[must_use]
    pub fn local(&self, node: &str) -> Option<PoolName> {
        format!("nvme-{node}").parse().ok()
    }

    /// The journal on a node's disk.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn journal(&self, node: &str) -> FakeJournal {
        let journal = self.journals.get(node).cloned();
        journal.unwrap_or_else(|| unreachable!("{node} is in the lab"))
    }

    /// The decision log on a node's disk.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn decisions(&self, node: &str) -> Arc<FakeDecisions> {
        let log = self.decisions.get(node).cloned();
        log.unwrap_or_else(|| unreachable!("{node} is in the lab"))
    }

    /// Puts another disk into a node: what an earlier version has left there, say.
    pub fn set_journal(&mut self, node: &str, journal: FakeJournal) {
        self.journals.insert(node.to_owned(), journal);
    }

    /// A daemon that has not recovered yet; whatever was to go wrong on the node is forgotten.
    #[must_use]
    pub fn daemon(&self, node: &str, tasks: Option<Arc<dyn Tasks>>) -> Daemon {
        let kernel = self.cluster.node(node);
        kernel.restart();
        let held = Arc::new(TaskQueue::default());
        let points = Arc::new(Points::new(kernel.clone()));
        let decisions = self.decisions(node);
        let marks = Arc::new(FakeMarks::default());
        let events = Arc::new(FakeEvents::default());
        let port = Arc::new(kernel.clone());
        let ports = Ports {
            volumes: port.clone(),
            leases: port.clone(),
            activation: port.clone(),
            devices: port.clone(),
            registry: port.clone(),
            operations: Arc::new(self.journal(node)),
            fence_records: Arc::new(self.journal(node)),
            last_uses: Arc::new(self.journal(node)),
            last_writes: Arc::new(self.journal(node)),
            journal: Arc::new(self.journal(node)),
            policy: self.policy.clone(),
            decisions: decisions.clone(),
            marks: marks.clone(),
            clock: Arc::new(LabClock {
                clock: self.cluster.clock(),
                kernel: kernel.clone(),
                pause: self.pause,
                tries: AtomicUsize::new(0),
            }),
            machine: port.clone(),
            guests: port,
            tasks: tasks.unwrap_or_else(|| held.clone()),
            fault_points: points.clone(),
            events: events.clone(),
        };
        let settings = Settings {
            node: kernel.name().clone(),
            roles: NodeRoles::default(),
            labels: Vec::new(),
            pools: [std::slice::from_ref(&self.pool), &self.others].concat(),
            local: self.local(node),
            lab_without_watchdog: false,
            lock_wait: self.pause * 10_000,
            detach_lock_wait: self.pause * 10_000,
            intent_wait: Duration::from_secs(60),
            busy_for: Duration::from_secs(2),
            stall_after: Duration::from_secs(60),
            unfence_after: self.unfence_after,
            alone_home_after: self.alone_home_after,
            wipe: BTreeMap::from([(self.pool.clone(), self.wipe)]),
        };
        Daemon {
            node: Node::new(settings, ports),
            journal: self.journal(node),
            kernel,
            tasks: held,
            points,
            decisions,
            marks,
            events,
            policy: self.policy.clone(),
        }
    }

    /// Starts a daemon over whatever is there.
    ///
    /// # Panics
    /// If its state cannot be read.
    #[must_use]
    pub fn start(&self, node: &str) -> Daemon {
        let daemon = self.daemon(node, None);
        let recovered = daemon.node.recover();
        assert!(recovered.is_ok(), "{recovered:?}");
        daemon
    }

    /// The node loses its power, is found dead by the others, and boots again.
    pub fn reboot(&self, node: &str) {
        let kernel = self.cluster.node(node);
        kernel.power_cut();
        self.cluster.set_member(node, MemberState::Dead);
        kernel.boot();
    }

    /// A guest writes.
    ///
    /// # Errors
    /// As the kernel; then nothing was written.
    pub fn write(
        &self,
        kernel: &FakeNode,
        volume: VolumeId,
        instance: InstanceId,
        (block, value): (u64, u64),
    ) -> PortResult<()> {
        // Under one lock: two writers of a shared volume are remembered in the kernel's order.
        let mut truth = self.truth();
        kernel.guest_write(DeviceId::attachment(volume, instance), block, value)?;
        let at = usize::try_from(block).unwrap_or(usize::MAX);
        if let Some(place) = truth.get_mut(&volume).and_then(|data| data.get_mut(at)) {
            *place = value;
        }
        Ok(())
    }

    /// Everything a guest reads from its device.
    ///
    /// # Errors
    /// As the kernel.
    pub fn read(
        &self,
        kernel: &FakeNode,
        volume: VolumeId,
        instance: InstanceId,
    ) -> PortResult<Vec<u64>> {
        let id = DeviceId::attachment(volume, instance);
        (0..SIZE.0 / volward_storage::fake::BLOCK.0)
            .map(|block| kernel.guest_read(id, block))
            .collect()
    }
}

impl Daemon {
    /// Attaches; `None` if the daemon died in it.
    pub fn try_attach(&self, ask: &AttachRequest) -> Option<Result<AttachDone, ControlError>> {
        Death::survive(|| self.node.attach(ask))
    }

    /// Detaches; `None` if the daemon died in it.
    pub fn try_detach(&self, ask: &DetachRequest) -> Option<Result<DetachDone, ControlError>> {
        Death::survive(|| self.node.detach(ask))
    }

    /// Asks for a volume's copy to be brought home; `None` if the daemon died in it.
    pub fn try_bring_home(&self, volume: &VolumeRef) -> Option<Result<bool, ControlError>> {
        let request = RequestId(Uuid::from_u128(77));
        let (pool, name) = (&volume.pool, &volume.name);
        let begun = Death::survive(|| self.node.bring_home(request, pool, name, false));
        begun.map(|begun| begun.map(|(begun, _)| begun))
    }

    /// Asks for an operation on a volume; `None` if the daemon died in it.
    pub fn try_operation(
        &self,
        ask: &OperationRequest,
    ) -> Option<Result<OperationAsked, ControlError>> {
        Death::survive(|| self.node.ask_operation(ask))
    }

    /// Asks for snapshots of one moment; `None` if the daemon died in it.
    pub fn try_group(
        &self,
        ask: &GroupRequest,
    ) -> Option<Result<Vec<OperationAsked>, ControlError>> {
        Death::survive(|| self.node.ask_group(ask))
    }

    /// kill -9.
    pub fn kill(self) {
        self.kernel.crash();
        self.node.stop();
        self.tasks.clear();
    }
}

/// The `n`th instance: its UUID differs from the others' in the last byte.
#[must_use]
pub fn instance(n: u8) -> InstanceId {
    InstanceId(Uuid::from_u128(
        0x1111_1111_2222_3333_4444_0000_0000_0000 + u128::from(n),
    ))
}

/// A disk, exclusive and read-write.
#[must_use]
pub fn disk(volume: &VolumeRef) -> DiskRequest {
    DiskRequest {
        pool: volume.pool.clone(),
        volume: volume.name.clone(),
        form: DiskForm::Own,
        access: Access::ReadWrite,
        sharing: None,
        accept_narrowing: false,
    }
}

/// A disk, read-only.
#[must_use]
pub fn read_only(volume: &VolumeRef) -> DiskRequest {
    DiskRequest {
        access: Access::ReadOnly,
        ..disk(volume)
    }
}

/// A disk, shared and read-write.
#[must_use]
pub fn shared(volume: &VolumeRef) -> DiskRequest {
    DiskRequest {
        sharing: Some(Sharing::Shared),
        ..disk(volume)
    }
}

/// An attach request.
#[must_use]
pub fn ask(instance: InstanceId, disks: &[DiskRequest]) -> AttachRequest {
    AttachRequest {
        request: RequestId(Uuid::new_v4()),
        origin: Origin::Libvirt,
        caller_uid: 0,
        purpose: Purpose::Boot,
        instance,
        instance_name: format!("guest-{}", instance.0.as_u128() & 0xff),
        hints: Vec::new(),
        disks: disks.to_vec(),
        dry_run: false,
        cancellation: Cancellation::default(),
    }
}

/// An operation on a volume that is asked for, under that id.
///
/// # Panics
/// If the text is no id.
#[must_use]
pub fn operation(id: &str, task: VolumeTask) -> OperationRequest {
    let parsed = id.parse();
    OperationRequest {
        request: RequestId(Uuid::new_v4()),
        origin: Origin::Operator,
        uid: 0,
        hints: Vec::new(),
        id: parsed.unwrap_or_else(|_| unreachable!("{id} is an id")),
        task,
        dry_run: false,
    }
}

/// A detach request for everything the instance has.
#[must_use]
pub fn detach_ask(instance: InstanceId) -> DetachRequest {
    DetachRequest {
        request: RequestId(Uuid::new_v4()),
        origin: Origin::Libvirt,
        caller_uid: 0,
        instance,
        volumes: Vec::new(),
        not_after: None,
        only_unused: false,
        dry_run: false,
    }
}
