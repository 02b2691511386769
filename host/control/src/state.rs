//! What is going on on this node, while the daemon runs: attachments, requests in flight, volumes
//! locked, copies, and this node's slot in each registry. Knows no use case.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::{CloneStatus, CopyProgress, Member, PoolName, VolumeId, VolumeRef};

use volward_plan::Unmet;

use crate::ports::{Clock, Finish, Leases, Machine, PortError, PortResult, Registry};
use crate::settings::{Ports, Settings, needs};

mod attachment_table;
mod in_flight;
mod monitor;
mod volume_locks;

pub(crate) use attachment_table::{AttachmentTable, Identity, intent};
pub use in_flight::Cancellation;
pub(crate) use in_flight::{Attaching, InFlight};
pub use monitor::{CopyMonitor, CopyView};
pub(crate) use volume_locks::{VolumeGuard, VolumeLocks};

needs!(StatePorts {
    leases: Leases,
    registry: Registry,
    machine: Machine,
    clock: Clock,
});

/// An end that could not be written to the journal when it came: of an entry, or of what went on
/// without one.
pub(crate) type UnrecordedEnd = (Option<u64>, Finish);

/// One node's state. Shared by all requests.
pub(crate) struct State {
    ports: StatePorts,
    settings: Arc<Settings>,
    pub(crate) volume_locks: VolumeLocks,
    pub(crate) in_flight: InFlight,
    attachment_table: Mutex<AttachmentTable>,
    /// One writer of a slot at a time, so that an older content never replaces a newer one.
    slot_writer: Mutex<()>,
    monitors: Mutex<BTreeMap<VolumeId, CopyMonitor>>,
    /// Bytes of the local pool that are granted and not allocated yet.
    pub(crate) promised: AtomicU64,
    stopping: AtomicBool,
    unrecorded: Mutex<Vec<UnrecordedEnd>>,
}

impl State {
    /// Nothing has been looked at yet.
    pub(crate) fn new(settings: &Arc<Settings>, ports: &Ports) -> Self {
        Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            volume_locks: VolumeLocks::default(),
            in_flight: InFlight::default(),
            attachment_table: Mutex::default(),
            slot_writer: Mutex::default(),
            monitors: Mutex::default(),
            promised: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            unrecorded: Mutex::default(),
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn attachment_table(&self) -> MutexGuard<'_, AttachmentTable> {
        self.attachment_table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn monitors(&self) -> MutexGuard<'_, BTreeMap<VolumeId, CopyMonitor>> {
        self.monitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unrecorded(&self) -> MutexGuard<'_, Vec<UnrecordedEnd>> {
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

    pub(crate) fn own_member(&self, pool: &PoolName) -> PortResult<Member> {
        own_of(pool, &self.ports.leases.members(pool)?)
    }

    /// Copies on this node.
    pub(crate) fn copies(&self) -> Vec<CopyView> {
        self.monitors().values().map(CopyMonitor::view).collect()
    }

    /// Whether the volume is being written back.
    pub(crate) fn is_returning(&self, volume: VolumeId) -> bool {
        self.monitors().get(&volume).is_some_and(|w| w.returning)
    }

    /// A copy's latest status, for everybody to see.
    pub(crate) fn note_status(&self, volume: &VolumeRef, status: &CloneStatus) {
        let now = self.ports.clock.monotonic();
        let progress = {
            let mut monitors = self.monitors();
            let Some(entry) = monitors.get_mut(&volume.id) else {
                return;
            };
            entry.see(now, status, self.settings.stall_after);
            entry.progress()
        };
        self.show_progress(&volume.pool, progress);
    }

    /// Others are told how far it is; that they are not is no reason to stop copying.
    fn show_progress(&self, pool: &PoolName, progress: CopyProgress) {
        self.attachment_table().set_copy(pool, progress);
        if let Err(error) = self.write_slot(pool) {
            tracing::debug!(%pool, %error, "progress not published");
        }
    }

    pub(crate) fn note_complete(&self, volume: &VolumeRef) {
        let progress = {
            let mut monitors = self.monitors();
            let Some(entry) = monitors.get_mut(&volume.id) else {
                return;
            };
            entry.switched = true;
            entry.wants_progress = false;
            entry.stalled_ms = 0;
            entry.remaining_ms = None;
            entry.trouble = None;
            if let Some(status) = &mut entry.status {
                status.hydrated = status.total;
            }
            entry.progress()
        };
        self.show_progress(&volume.pool, progress);
    }

    pub(crate) fn note_trouble(&self, volume: VolumeId, trouble: &str) {
        if let Some(entry) = self.monitors().get_mut(&volume) {
            entry.trouble = Some(trouble.to_owned());
        }
    }

    /// The clone vanished: either a write-back has taken over, or the attach was undone.
    pub(crate) fn forget_hydration(&self, volume: VolumeId) {
        let mut monitors = self.monitors();
        if monitors.get(&volume).is_some_and(|w| !w.returning) {
            monitors.remove(&volume);
            self.attachment_table().drop_copy(volume);
        }
    }

    /// A write-back is over.
    pub(crate) fn forget(&self, volume: &VolumeRef) {
        // Attached again in the meantime: then it is being hydrated, and watched as that.
        if self
            .monitors()
            .get(&volume.id)
            .is_some_and(|w| !w.returning)
        {
            return;
        }
        self.monitors().remove(&volume.id);
        self.attachment_table().drop_copy(volume.id);
        if let Err(error) = self.write_slot(&volume.pool) {
            tracing::debug!(%error, "a finished copy is still shown to other nodes");
        }
    }
}

/// This node among the members of a lockspace.
pub(crate) fn own_of(pool: &PoolName, members: &[Member]) -> PortResult<Member> {
    members
        .iter()
        .find(|m| m.own)
        .cloned()
        .ok_or_else(|| PortError::from(Unmet::NotJoined { pool: pool.clone() }))
}
