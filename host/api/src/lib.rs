//! The protocol of volwardd: plain types, and a small blocking client for programs that want no
//! async runtime (libvirt's hook, the command line).
//!
//! HTTP/1.1 with JSON bodies over a unix socket; every failure has a [`Problem`] as its body.

pub mod attach;
pub mod bounds;
pub mod client;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod inventory;
pub mod operation;
pub mod pool;
pub mod problem;
pub mod recover;
pub mod view;
pub mod words;

pub use attach::{
    AttachReply, AttachRequest, Attached, ConfirmReply, ConfirmRequest, CopyGrant, DetachReply,
    DetachRequest, Detached, DiskPath, DiskRequest, StartMark, TryingAgain,
};
pub use bounds::OutOfBounds;
pub use client::{Client, ClientError, DecisionsQuery, ExplainQuery};
pub use inventory::{
    CarriedView, LeaseInstance, LeaseView, OperationElsewhere, PoolDisk, PoolReply,
};
pub use operation::{
    OperationCancelRequest, OperationReply, OperationView, OperationsReply, SnapshotOf,
    VolumeCopyRequest, VolumeCreateRequest, VolumeDeleteRequest, VolumeExtendRequest,
    VolumeMoveRequest, VolumeRelocateRequest, VolumeRenameRequest, VolumeReply,
    VolumeSnapshotRequest, VolumeSnapshotsRequest,
};
pub use pool::{
    PoolInitRequest, PoolMember, PoolView, VolumeSetRequest, VolumeStatusView, VolumeView,
};
pub use problem::{Problem, ProblemCode};
pub use recover::{
    BringHomeReply, BringHomeRequest, DiscardCopyRequest, GivenUpView, RecoverReply, SetHomeRequest,
};
pub use view::{
    AttachmentView, ClusterReply, DecisionReply, DecisionView, DecisionsReply, DoctorCheck,
    DoctorReply, DoctorVerdict, ExplainReply, FaultView, FenceReply, FenceRequest, FencedView,
    HydrationView, PolicyView, RollbackRequest, StatusReply, UnfenceRequest,
};
/// The words the types are made of, so that a client needs no other crate of ours.
pub use volward_model as model;
pub use words::{
    AttachmentStage, Became, DomainEvent, Heard, Hook, LockType, Open, OperationKind,
    OperationState, PolicyLevel, PolicyState, PoolKind, Said, StepState, VolumeHome, VolumeMark,
    Witness, Words,
};

/// The unix socket at which the daemon listens, unless its configuration says another.
pub const SOCKET: &str = "/run/volward/volwardd.sock";
/// One file an instance with attachments on this node, named by its UUID: a
/// [`MarkFile`](model::handover::MarkFile) in JSON.
/// The hook reads it to name the start that a release is for, also when the daemon is down. So it
/// is there before the first step of an attach and goes after the last of a detach, and the
/// directory outlives the daemon.
pub const MARKS_DIR: &str = "/run/volward/instances";
/// One file an instance whose last start was refused before anything was begun, named by its UUID: a
/// [`RefusalNote`](model::handover::RefusalNote) in JSON. It is the hook's own: libvirt says release then too, and what the instance had before is
/// not this start's.
pub const REFUSED_DIR: &str = "/run/volward/refused";
/// One file an instance that migrates to this node and has no disks yet, named by its UUID: an
/// [`ArrivalNote`](model::handover::ArrivalNote) in JSON. It is the hook's own.
pub const ARRIVING_DIR: &str = "/run/volward/arriving";
/// Releases the hook could not deliver, one JSON
/// [`ReleaseFile`](model::handover::ReleaseFile) a file, `<instance>.json`; done
/// and removed at the daemon's next start, or within a minute while it lives. `<instance>.taken` is
/// one the daemon has taken up; other names there are unfinished writes.
pub const SPOOL_DIR: &str = "/var/lib/volward/spool";
/// Words that stand in the hook's program, and by which a copy of it under another name is known.
pub const HOOK_MARK: &str = "why: volward explain ";
/// The daemon's configuration file, in TOML; the hook reads the pools' names in it.
pub const CONFIG: &str = "/etc/volward/volward.toml";
