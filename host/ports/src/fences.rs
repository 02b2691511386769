//! The record of what is cut off: the next daemon gives I/O back only where it knows what was taken.

use volward_model::AttachmentKey;

use super::PortResult;

/// Conversation with the state database about attachments whose I/O is cut off.
///
/// Nothing waits for it: the cut is made first. What is not on record keeps its I/O from coming back once the daemon
/// was started again, and nothing else.
pub trait FenceRecords: Send + Sync {
    /// Replaces what is on record by these, durably.
    ///
    /// # Errors
    /// If it cannot be made durable; then it is as it was before.
    fn replace_fences(&self, all: &[FenceRecord]) -> PortResult<()>;

    /// What is on record. One that is not understood is left out: it counts as not on record.
    ///
    /// # Errors
    /// If it cannot be read.
    fn fences(&self) -> PortResult<Vec<FenceRecord>>;
}

/// An attachment whose I/O is cut off, as the next daemon finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceRecord {
    /// Which attachment.
    pub attachment: AttachmentKey,
    /// When it was granted, in milliseconds since the Unix epoch: a later one of the same volume to the same instance
    /// is another.
    pub granted_ms: u64,
    /// Why it was cut off, a sentence without a full stop.
    pub reason: String,
    /// When that was found, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The same lease may be sound again.
    pub regainable: bool,
    /// sanlock's version of the lease before; `None` where it was not seen.
    pub version: Option<u64>,
    /// Somebody asked for it.
    pub asked: bool,
}
