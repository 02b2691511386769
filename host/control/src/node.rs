//! One node: its ports, its settings, and what is going on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use volward_model::{NodeName, PoolName, RequestId, VolumeId};

use crate::attachment_table::{AttachmentTable, Identity};
use crate::copies::CopyMonitor;
use crate::in_flight::InFlight;
use crate::ports::{
    Activation, Clock, Decisions, Devices, FaultPoints, Finish, Journal, JournalEntry, JournalKind,
    JournalState, Leases, Machine, Marks, Policy, PortResult, Registry, Tasks, Volumes,
};
use crate::volume_locks::VolumeLocks;

/// The world.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port its type names")]
pub struct Ports {
    pub volumes: Arc<dyn Volumes>,
    pub leases: Arc<dyn Leases>,
    pub activation: Arc<dyn Activation>,
    pub devices: Arc<dyn Devices>,
    pub registry: Arc<dyn Registry>,
    pub journal: Arc<dyn Journal>,
    pub policy: Arc<dyn Policy>,
    pub decisions: Arc<dyn Decisions>,
    pub marks: Arc<dyn Marks>,
    pub clock: Arc<dyn Clock>,
    pub machine: Arc<dyn Machine>,
    pub tasks: Arc<dyn Tasks>,
    pub fault_points: Arc<dyn FaultPoints>,
}

/// What the operator configured, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's name: sanlock's, stable over reboots.
    pub node: NodeName,
    /// Free words about the node, for policies.
    pub labels: Vec<(String, String)>,
    /// The shared pools.
    pub pools: Vec<PoolName>,
    /// The local pool.
    pub local: Option<PoolName>,
    /// The configuration says in so many words that this is a lab that may do without a watchdog.
    pub lab_without_watchdog: bool,
    /// How long a request waits for another one on the same volume.
    pub lock_wait: Duration,
    /// How long a detach does. Longer: whoever asked may have given up (libvirt's hook does after
    /// 45 s), but what he asked for is still to be done.
    pub detach_lock_wait: Duration,
    /// How long a request waits for another node's intent to be settled.
    pub intent_wait: Duration,
    /// How long a device that is still open is tried to be removed.
    pub busy_for: Duration,
    /// After so long without progress a hydration is called stalled (I23).
    pub stall_after: Duration,
}

/// One node. Shared by all requests.
pub struct Node {
    pub(crate) settings: Settings,
    pub(crate) ports: Ports,
    pub(crate) volume_locks: VolumeLocks,
    pub(crate) in_flight: InFlight,
    attachment_table: Mutex<AttachmentTable>,
    /// One writer of a slot at a time, so that an older content never replaces a newer one.
    slot_writer: Mutex<()>,
    pub(crate) watched: Mutex<BTreeMap<VolumeId, CopyMonitor>>,
    /// Bytes of the local pool that are granted and not allocated yet.
    pub(crate) promised: AtomicU64,
    stopping: AtomicBool,
    /// Ends that could not be written to the journal when they came.
    unrecorded: Mutex<Vec<(Option<u64>, Finish)>>,
    /// For background work, which outlives the request that started it.
    me: Weak<Self>,
}

impl Node {
    /// A node that has not looked at anything yet; [`Node::recover`] comes first.
    #[must_use]
    pub fn new(settings: Settings, ports: Ports) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            settings,
            ports,
            volume_locks: VolumeLocks::default(),
            in_flight: InFlight::default(),
            attachment_table: Mutex::default(),
            slot_writer: Mutex::default(),
            watched: Mutex::default(),
            promised: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            unrecorded: Mutex::default(),
            me: me.clone(),
        })
    }

    /// What was configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Background work ends at its next stop; what it was doing goes on in the kernel, and is
    /// taken up again at the next start.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// `None` when the node is on its way out: then nothing new is begun.
    pub(crate) fn handle(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    pub(crate) fn attachment_table(&self) -> MutexGuard<'_, AttachmentTable> {
        self.attachment_table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watched(&self) -> MutexGuard<'_, BTreeMap<VolumeId, CopyMonitor>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A journal entry that begins now, about nothing yet.
    pub(crate) fn new_entry(&self, request: RequestId, kind: JournalKind) -> JournalEntry {
        JournalEntry {
            id: 0,
            request,
            kind,
            boot_id: self.ports.machine.boot_id(),
            started_ms: self.ports.clock.now_ms(),
            instance: None,
            volumes: Vec::new(),
            steps: Vec::new(),
            commit_at: 0,
            puts: Vec::new(),
            removes: Vec::new(),
            write_back: Vec::new(),
            state: JournalState::Open,
            marks: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Ends a journal entry, or what went on without one. What cannot be written is kept, and
    /// written before anything new is begun: else the next start would take up an old request
    /// over a newer one.
    ///
    /// # Errors
    /// If it could not be written now.
    pub(crate) fn end(&self, entry: Option<u64>, end: Finish) -> PortResult<Vec<u64>> {
        let written = match self.record_ends() {
            Ok(()) => self.record(entry, &end),
            Err(error) => Err(error),
        };
        if written.is_err() {
            // What follows goes on without an entry of its own.
            let end = Finish {
                follow: Vec::new(),
                ..end
            };
            self.unrecorded().push((entry, end));
        }
        written
    }

    /// Writes the ends that are still missing, oldest first.
    ///
    /// # Errors
    /// If there are some that still cannot be written.
    pub(crate) fn record_ends(&self) -> PortResult<()> {
        let mut unrecorded = self.unrecorded();
        while let Some((entry, end)) = unrecorded.first() {
            self.record(*entry, end)?;
            unrecorded.remove(0);
        }
        Ok(())
    }

    fn record(&self, entry: Option<u64>, end: &Finish) -> PortResult<Vec<u64>> {
        let journal = &self.ports.journal;
        match entry {
            Some(entry) => journal.finish(entry, end),
            None => {
                journal.change_attachments(&end.put, &end.remove)?;
                Ok(Vec::new())
            }
        }
    }

    fn unrecorded(&self) -> MutexGuard<'_, Vec<(Option<u64>, Finish)>> {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes this node's slot as the attachment table is now.
    pub(crate) fn write_slot(&self, pool: &PoolName) -> PortResult<()> {
        let own = self.own_member(pool)?;
        let identity = Identity {
            node: self.settings.node.clone(),
            boot_id: self.ports.machine.boot_id(),
            host_id: own.host_id,
            generation: own.generation,
        };
        let writer = self
            .slot_writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let slot = self
            .attachment_table()
            .slot(pool, &identity, self.ports.clock.now_ms());
        let written = self.ports.registry.write(pool, &slot);
        drop(writer);
        written
    }
}
