//! What happens on a node that somebody outside may want to know of.

use std::time::Duration;

use volward_model::{
    DeviceId, Home, InstanceId, LeaseMode, LvUuid, PoolName, RequestId, VolumeId, VolumeOperation,
    VolumeRef,
};

use super::journal::JournalEntry;

/// Whoever is told: the log today; metrics and pages are fed from the same events.
pub trait Events: Send + Sync {
    /// Takes note of an event, in the order in which one thread tells of them. Returns at once,
    /// and has no way to fail: nothing waits for who listens.
    fn tell(&self, event: &Event);
}

/// The operation that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The request it serves.
    pub request: RequestId,
    /// Its name, as [`Operation::name`](crate::Operation::name) says it.
    pub operation: &'static str,
    /// The instance it serves, if it serves one.
    pub instance: Option<InstanceId>,
    /// The volumes it touches.
    pub volumes: Vec<VolumeRef>,
}

impl From<&JournalEntry> for Subject {
    fn from(entry: &JournalEntry) -> Self {
        Self {
            request: entry.request,
            operation: entry.operation.name(),
            instance: entry.operation.instance(),
            volumes: entry.operation.volumes().into_iter().cloned().collect(),
        }
    }
}

/// One thing that happened. Reasons, causes and troubles are sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "a field is what its name says; each variant says its units"
)]
pub enum Event {
    /// An operation that was interrupted is taken up; `restarted` says that the node was restarted
    /// since.
    TakenUp { of: Subject, restarted: bool },
    /// All steps of an operation are done.
    Done { of: Subject },
    /// An operation is undone, or never had an effect.
    Undone { of: Subject, causes: Vec<String> },
    /// An operation is neither done nor undone: an operator has to act.
    Quarantined { of: Subject, causes: Vec<String> },
    /// A step of an operation failed for now, or an undo of one did: it is tried again until it is
    /// done or needs a person.
    TryingAgain { of: Subject, causes: Vec<String> },
    /// An attach is decided again, because what it was decided on has changed.
    DecidedAgain { request: RequestId, reason: String },
    /// An attach ended without attachments; `code` is that of its outcome in the decision log.
    Refused {
        request: RequestId,
        instance: InstanceId,
        code: String,
        reason: String,
    },
    /// A running guest has given disks back, and nobody has said so; they are detached.
    Unplugged {
        request: RequestId,
        instance: InstanceId,
        volumes: Vec<VolumeRef>,
    },
    /// Detaches that had happened without a record are completed.
    LostDetach {
        instance: InstanceId,
        volumes: Vec<VolumeRef>,
    },
    /// This node holds these leases, in this mode.
    Leased {
        pool: PoolName,
        volumes: Vec<VolumeRef>,
        mode: LeaseMode,
    },
    /// This node holds these leases no longer.
    Released {
        pool: PoolName,
        volumes: Vec<VolumeRef>,
    },
    /// A copy is being made while it is used; not `in_background`: of what is written only. Told
    /// again when a daemon takes it up.
    HydrationBegun {
        volume: VolumeRef,
        in_background: bool,
    },
    /// A copy is whole, and its device linear.
    HydrationComplete { volume: VolumeRef },
    /// A copy is being written back. Told again when a daemon takes it up.
    WriteBackBegun { volume: VolumeRef },
    /// A copy was written back: the shared volume is current.
    WriteBackDone { volume: VolumeRef },
    /// A write-back ended where it was, because the node goes down; the next start of the daemon takes it up.
    WriteBackPutDown { volume: VolumeRef },
    /// A person said that the copy which the home named counts no more: its node is `gone`, a sentence.
    CopyGivenUp {
        volume: VolumeRef,
        home: Home,
        gone: String,
        uid: u32,
        because: String,
    },
    /// A copy that was given up is removed for good, as a person said.
    CopyDiscarded { volume: VolumeRef, copy: LvUuid },
    /// What is left of an earlier copy is being removed.
    ClearedAway { volume: VolumeRef },
    /// A copy had trouble; it is tried again.
    CopyTrouble {
        volume: VolumeRef,
        returning: bool,
        trouble: String,
    },
    /// A copy has made no progress for `idle` (I23); counts are regions.
    CopyStalled {
        volume: VolumeRef,
        hydrated: u64,
        total: u64,
        idle: Duration,
    },
    /// A device that was left suspended is resumed.
    Resumed { device: DeviceId },
    /// What belonged to no attachment is removed (I13).
    StrayRemoved { what: String },
    /// What belongs to no attachment cannot be removed.
    StrayStays { what: String, reason: String },
    /// A device in use belonged to no record: its attachment is quarantined.
    Claimed {
        volume: VolumeRef,
        instance: InstanceId,
    },
    /// The leases of a pool are renewed again as they should be.
    LeasesSound { pool: PoolName },
    /// A renewal is overdue by `ago`; attachments of the pool are cut off in `cut_in`.
    LeasesLate {
        pool: PoolName,
        ago: Duration,
        cut_in: Duration,
    },
    /// Somebody has told the provider to leave the pool's lockspace, in which this node holds leases.
    LockspaceLeaving { pool: PoolName },
    /// Other nodes may have the leases of the pool, now or before long: what is attached is cut off.
    LeasesLost {
        pool: PoolName,
        reason: String,
        /// Attachments of the pool on this node.
        attached: usize,
    },
    /// Every I/O of an attachment fails from now on.
    Fenced {
        volume: VolumeRef,
        instance: InstanceId,
        reason: String,
    },
    /// An attachment that is to be cut off is not, yet.
    NotFenced {
        volume: VolumeRef,
        instance: InstanceId,
        reason: String,
    },
    /// An attachment has its I/O back.
    Unfenced {
        volume: VolumeRef,
        instance: InstanceId,
        /// Nobody asked for it: the leases are sound again.
        by_itself: bool,
    },
    /// An instance was to get its I/O back by itself, and did not; it is tried again later.
    StaysFenced {
        instance: InstanceId,
        reason: String,
    },
    /// A volume is shared with the node of that host-id, to which its instance migrates.
    Leaving {
        volume: VolumeRef,
        instance: InstanceId,
        to: u64,
    },
    /// A node that asked for a volume, to which its instance is to migrate, does not get it.
    NotLeaving {
        volume: VolumeId,
        instance: InstanceId,
        to: u64,
        reason: String,
    },
    /// A migration came to nothing: the volume is this node's alone again.
    TakenBack {
        volume: VolumeRef,
        instance: InstanceId,
    },
    /// A migration has ended: the volume is this node's alone.
    Arrived {
        volume: VolumeRef,
        instance: InstanceId,
    },
    /// A pool cannot be used until its registry can be opened.
    PoolUnusable { pool: PoolName, reason: String },
    /// What is on a pool's disks is older than what this node wrote there; nothing is attached or changed in it.
    PoolOlder { pool: PoolName, why: String },
    /// Somebody has said that a pool's disks are to be used as they are, although they are older.
    OlderAccepted {
        pool: PoolName,
        uid: u32,
        why: String,
    },
    /// This node's slot does not show `what` to the other nodes yet.
    Unseen {
        pool: PoolName,
        what: &'static str,
        reason: String,
    },
    /// The state or the decision log does not have `what`.
    Unrecorded { what: String, reason: String },
    /// An operation on a volume was asked for, and is on record.
    OperationBegun { operation: VolumeOperation },
    /// An operation on a volume has ended, as it says.
    OperationEnded { operation: VolumeOperation },
    /// An operation on a volume does not get on; it is tried again.
    OperationTrouble {
        operation: VolumeOperation,
        failures: u32,
        trouble: String,
    },
    /// Something failed that is gone on without.
    Trouble { what: String, reason: String },
}
