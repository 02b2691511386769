//! The protocol of volwardd: plain types, and a small blocking client for programs that want no
//! async runtime (libvirt's hook, the command line).
//!
//! HTTP/1.1 with JSON bodies over a unix socket; every failure has a [`Problem`] as its body.

pub mod attach;
pub mod pool;
pub mod problem;
pub mod view;

pub use attach::{
    AttachReply, AttachRequest, Attached, ConfirmReply, ConfirmRequest, DetachReply, DetachRequest,
    Detached, DiskPath, DiskWish, StartMark,
};
pub use pool::{PoolInitRequest, PoolMember, PoolView, VolumeSetRequest, VolumeView};
pub use problem::{Problem, ProblemCode};
pub use view::{
    AttachmentView, DoctorCheck, DoctorReply, DoctorVerdict, ExplainReply, HydrationView,
    PolicyView, StatusReply,
};

/// Where the daemon listens.
pub const SOCKET: &str = "/run/volward/volwardd.sock";
/// One file an instance with attachments on this node: a [`StartMark`] in JSON. The hook reads it
/// when the daemon is down.
pub const MARKS_DIR: &str = "/run/volward/instances";
/// Releases the hook could not deliver, one JSON [`DetachRequest`] a file; done at the daemon's
/// next start.
pub const SPOOL_DIR: &str = "/var/lib/volward/spool";
/// The daemon's configuration.
pub const CONFIG: &str = "/etc/volward/volward.toml";
