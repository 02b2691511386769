//! What is going on on this node, while the daemon runs: attachments, requests in flight, volumes
//! locked, copies, and this node's slot in each registry. Knows no use case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_model::{
    Attachment, AttachmentKey, AttachmentState, Bytes, DeviceId, DeviceInfo, DeviceRole,
    InstanceId, Member, PoolName, VolumeId, VolumeRef,
};
use volward_plan::Unmet;
use volward_plan::fence::Standing;
use volward_plan::intent::Contender;

use crate::ports::{
    Clock, Events, Finish, LastWrites as LastWriteRecords, Leases, Machine, PortError, PortResult,
    Registry, Tasks,
};
use crate::rounds::Rounds;
use crate::settings::{Ports, Settings, needs};

mod attachment_table;
mod copies;
mod fences;
mod followed;
mod in_flight;
mod last_use;
mod last_write;
mod leaving;
mod monitor;
mod operations;
mod orders;
mod owed;
mod present;
mod recording;
mod volume_locks;

pub(crate) use attachment_table::{AttachmentTable, Identity, intent};
pub use fences::Fenced;
pub(crate) use fences::Fences;
pub(crate) use followed::Followed;
pub use in_flight::Cancellation;
pub(crate) use in_flight::{Attaching, InFlight, Wanted, WantedDisk};
pub(crate) use last_use::LastUses;
use last_write::LastWrites;
pub(crate) use leaving::Leaving;
pub use monitor::{CopyMonitor, CopyView};
pub use operations::Operated;
pub(crate) use operations::OperationBook;
pub(crate) use orders::Orders;
pub(crate) use owed::{Due, Lane, Need, Owed, OwedList, Rest, Tries, pause_after};
pub use present::PresentVolume;
pub(crate) use volume_locks::{InstanceTurns, TurnGuard, VolumeGuard, VolumeLocks};

needs!(StatePorts {
    leases: Leases,
    registry: Registry,
    last_writes: LastWriteRecords,
    machine: Machine,
    clock: Clock,
    events: Events,
    tasks: Tasks,
});

/// An end that could not be written to the journal when it came: of an entry, or of what went on
/// without one.
pub(crate) type UnrecordedEnd = (Option<u64>, Finish);

/// One node's state. Shared by all requests.
pub(crate) struct State {
    ports: StatePorts,
    settings: Arc<Settings>,
    pub(crate) volume_locks: VolumeLocks,
    pub(crate) instance_turns: InstanceTurns,
    pub(crate) in_flight: InFlight,
    attachment_table: Mutex<AttachmentTable>,
    pub(crate) leaving: Leaving,
    fences: Mutex<Fences>,
    last_uses: Mutex<LastUses>,
    last_writes: Mutex<LastWrites>,
    /// What the leases of each shared pool are worth.
    followed: Mutex<BTreeMap<PoolName, Followed>>,
    /// One writer of a pool's slot at a time, so that an older content never replaces a newer one; it writes
    /// for all who changed the table before it began. Of each pool for itself: a registry that hangs keeps
    /// back no other.
    slot_writes: BTreeMap<PoolName, Rounds<PortResult<()>>>,
    /// What failed for now and is tried again.
    owed: Mutex<OwedList>,
    /// Attachment devices that are in use and belong to no attachment, until their volume can be
    /// named.
    unclaimed: Mutex<Vec<DeviceInfo>>,
    /// Volumes whose lease this node held when recovery looked, and that no record accounts for.
    unexplained: Mutex<BTreeSet<VolumeId>>,
    /// Volumes from which recovery took a device that belonged to nobody.
    strays: Mutex<BTreeSet<VolumeId>>,
    /// Copies that were `split` without a guest when recovery looked, and since when, on the monotonic clock.
    alone: Mutex<BTreeMap<VolumeId, (VolumeRef, Duration)>>,
    /// Other nodes' intents that nobody pursues any more, with their `since_ms`, by host-id.
    passed_by: Mutex<BTreeMap<(u64, AttachmentKey), u64>>,
    monitors: Mutex<BTreeMap<VolumeId, CopyMonitor>>,
    /// What the pools said last of volumes that are attached or copied here.
    present: Mutex<BTreeMap<VolumeId, PresentVolume>>,
    /// Bytes of the local pool that are granted and not allocated yet, by the volume whose copy
    /// takes them.
    promised: Mutex<BTreeMap<VolumeId, u64>>,
    stopping: AtomicBool,
    /// Write-backs end where they are, and none begins.
    copies_put_down: AtomicBool,
    unrecorded: Mutex<Vec<UnrecordedEnd>>,
    /// Operations on volumes.
    operations: Mutex<OperationBook>,
    /// What nodes have each other do.
    orders: Mutex<Orders>,
}

impl State {
    /// Nothing has been looked at yet.
    pub(crate) fn new(settings: &Arc<Settings>, ports: &Ports) -> Self {
        Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            volume_locks: VolumeLocks::default(),
            instance_turns: InstanceTurns::default(),
            in_flight: InFlight::default(),
            attachment_table: Mutex::default(),
            leaving: Leaving::default(),
            fences: Mutex::default(),
            last_uses: Mutex::default(),
            last_writes: Mutex::default(),
            followed: Mutex::default(),
            slot_writes: settings
                .pools
                .iter()
                .map(|pool| (pool.clone(), Rounds::default()))
                .collect(),
            owed: Mutex::default(),
            unclaimed: Mutex::default(),
            unexplained: Mutex::default(),
            strays: Mutex::default(),
            alone: Mutex::default(),
            passed_by: Mutex::default(),
            monitors: Mutex::default(),
            present: Mutex::default(),
            promised: Mutex::default(),
            stopping: AtomicBool::new(false),
            copies_put_down: AtomicBool::new(false),
            unrecorded: Mutex::default(),
            operations: Mutex::default(),
            orders: Mutex::default(),
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn put_copies_down(&self) {
        self.copies_put_down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn are_copies_put_down(&self) -> bool {
        self.copies_put_down.load(Ordering::SeqCst)
    }

    pub(crate) fn attachment_table(&self) -> MutexGuard<'_, AttachmentTable> {
        unpoisoned(&self.attachment_table)
    }

    pub(crate) fn fences(&self) -> MutexGuard<'_, Fences> {
        unpoisoned(&self.fences)
    }

    pub(crate) fn alone(&self) -> MutexGuard<'_, BTreeMap<VolumeId, (VolumeRef, Duration)>> {
        unpoisoned(&self.alone)
    }

    pub(crate) fn last_uses(&self) -> MutexGuard<'_, LastUses> {
        unpoisoned(&self.last_uses)
    }

    fn last_writes(&self) -> MutexGuard<'_, LastWrites> {
        unpoisoned(&self.last_writes)
    }

    pub(crate) fn followed(&self) -> MutexGuard<'_, BTreeMap<PoolName, Followed>> {
        unpoisoned(&self.followed)
    }

    /// Why a pool's leases are lost, or may be before long; `None` where nothing says so.
    pub(crate) fn uncertain(&self, pool: &PoolName, now: Duration) -> Option<String> {
        let pools = self.followed();
        match pools.get(pool)?.watch.standing(now) {
            Standing::Late { ago, .. } => Some(format!(
                "the lockspace was last renewed {} s ago",
                ago.as_secs()
            )),
            Standing::Lost { reason, .. } => Some(reason),
            Standing::Leaving => Some(
                "sanlock was told to leave the lockspace, and gives no leases in it".to_owned(),
            ),
            Standing::Unknown | Standing::Sound => None,
        }
    }

    pub(crate) fn monitors(&self) -> MutexGuard<'_, BTreeMap<VolumeId, CopyMonitor>> {
        unpoisoned(&self.monitors)
    }

    pub(crate) fn unrecorded(&self) -> MutexGuard<'_, Vec<UnrecordedEnd>> {
        unpoisoned(&self.unrecorded)
    }

    /// Operations on volumes. Never held while anything waits.
    pub(crate) fn operations(&self) -> MutexGuard<'_, OperationBook> {
        unpoisoned(&self.operations)
    }

    /// What nodes have each other do. Never held while anything waits.
    pub(crate) fn orders(&self) -> MutexGuard<'_, Orders> {
        unpoisoned(&self.orders)
    }

    /// What failed for now and is tried again. Never held while anything waits.
    pub(crate) fn owed(&self) -> MutexGuard<'_, OwedList> {
        unpoisoned(&self.owed)
    }

    /// Writes this node's slot as the attachment table is now, or later. What fails is written again: an
    /// intent that stays behind keeps other nodes waiting.
    pub(crate) fn write_slot(&self, pool: &PoolName) -> PortResult<()> {
        let write = || {
            let written = self.write_slot_alone(pool);
            self.note_written(pool, written.is_ok());
            written
        };
        match self.slot_writes.get(pool) {
            Some(rounds) => rounds.join(self.ports.tasks.as_ref(), write),
            // Not configured: it fails by itself.
            None => write(),
        }
    }

    /// What it says is of one moment: who this node is, and what it has.
    fn write_slot_alone(&self, pool: &PoolName) -> PortResult<()> {
        let identity = self.identity(pool)?;
        let mut slot = self
            .attachment_table()
            .slot(pool, &identity, self.ports.clock.now_ms());
        (slot.messages.orders, slot.messages.reports) = self.orders().of(pool);
        self.must_not_be_older(pool, &identity, &slot)?;
        let written = self.ports.registry.write(pool, &slot)?;
        self.note_write(pool, &identity, &written)
    }

    fn identity(&self, pool: &PoolName) -> PortResult<Identity> {
        let own = self.own_member(pool)?;
        Ok(Identity {
            node: self.settings.node.clone(),
            boot_id: self.ports.machine.boot_id(),
            host_id: own.host_id,
            generation: own.generation,
        })
    }

    fn note_written(&self, pool: &PoolName, written: bool) {
        let now = self.ports.clock.monotonic();
        match written {
            true => self.owed().needed_no_more(pool, Need::Slot),
            false => self.owed().need(pool, Need::Slot, now),
        }
    }

    /// Pools in whose registry other nodes still see what was before.
    pub(crate) fn unwritten(&self) -> BTreeSet<PoolName> {
        self.owed().pools_in(Need::Slot)
    }

    /// Keeps room of the local pool for the copy of a volume, which is locked.
    pub(crate) fn promise(&self, volume: VolumeId, bytes: u64) {
        unpoisoned(&self.promised).insert(volume, bytes);
    }

    /// The copy has its room, or is not made: nothing more is kept for it.
    pub(crate) fn promise_no_more(&self, volume: VolumeId) {
        unpoisoned(&self.promised).remove(&volume);
    }

    /// What is kept for all copies that are not made yet.
    pub(crate) fn promised(&self) -> Bytes {
        Bytes(unpoisoned(&self.promised).values().sum())
    }

    pub(crate) fn keep_unclaimed(&self, devices: Vec<DeviceInfo>) {
        *unpoisoned(&self.unclaimed) = devices;
    }

    pub(crate) fn unclaimed(&self) -> Vec<DeviceInfo> {
        unpoisoned(&self.unclaimed).clone()
    }

    pub(crate) fn forget_unclaimed(&self, id: DeviceId) {
        unpoisoned(&self.unclaimed).retain(|device| device.id != id);
    }

    /// Whether a device of that instance is in use that no attachment accounts for yet.
    pub(crate) fn is_unclaimed(&self, instance: InstanceId) -> bool {
        let mut devices = self.unclaimed().into_iter();
        devices.any(|device| device.id.role == DeviceRole::Attachment(instance))
    }

    /// Whether a device of that volume is in use that no attachment accounts for yet.
    pub(crate) fn uses(&self, volume: VolumeId) -> bool {
        self.unclaimed().iter().any(|d| d.id.volume == volume)
    }

    pub(crate) fn note_stray(&self, volume: VolumeId) {
        unpoisoned(&self.strays).insert(volume);
    }

    /// Whether recovery took a device of the volume that belonged to nobody.
    pub(crate) fn had_stray(&self, volume: VolumeId) -> bool {
        unpoisoned(&self.strays).contains(&volume)
    }

    /// The lease under that device is given up, or needs a person.
    pub(crate) fn forget_stray(&self, volume: VolumeId) {
        unpoisoned(&self.strays).remove(&volume);
    }

    /// Nothing on record says for whom this node holds the volume's lease.
    pub(crate) fn cannot_explain(&self, volume: VolumeId) {
        unpoisoned(&self.unexplained).insert(volume);
    }

    /// Whether nothing on record says for whom this node holds the volume's lease; `held`: whether
    /// it does now. One that was given up since needs no explanation.
    pub(crate) fn is_unexplained(&self, volume: VolumeId, held: bool) -> bool {
        let mut unexplained = unpoisoned(&self.unexplained);
        if !held {
            unexplained.remove(&volume);
        }
        unexplained.contains(&volume)
    }

    /// From now on nobody waits for this intent.
    pub(crate) fn pass_by(&self, contender: &Contender) {
        let key = (contender.host_id, contender.intent.key());
        unpoisoned(&self.passed_by).insert(key, contender.intent.since_ms);
    }

    /// Whether that attachment is an intent that stood still through a full wait.
    pub(crate) fn is_passed_by(&self, host_id: u64, attachment: &Attachment) -> bool {
        attachment.state == AttachmentState::Intent
            && unpoisoned(&self.passed_by).get(&(host_id, attachment.key()))
                == Some(&attachment.since_ms)
    }

    pub(crate) fn own_member(&self, pool: &PoolName) -> PortResult<Member> {
        own_of(pool, &self.ports.leases.members(pool)?)
    }
}

/// A panic in a request leaves what it had locked as its last write left it, which is whole.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This node among the members of a lockspace.
pub(crate) fn own_of(pool: &PoolName, members: &[Member]) -> PortResult<Member> {
    members.iter().find(|m| m.own).cloned().ok_or_else(|| {
        let (pool, taken) = (pool.clone(), None);
        PortError::from(Unmet::NotJoined { pool, taken })
    })
}
