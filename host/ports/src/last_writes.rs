//! The record of what this node wrote last into each pool's registry.

use volward_plan::last_write::LastWrite;

use super::PortResult;

/// Conversation with the state database about last writes.
///
/// An attach does not wait for it: what is remembered may lag behind what was written, and an older LUN is then known by
/// less.
pub trait LastWrites: Send + Sync {
    /// Replaces what is on record by these, durably.
    ///
    /// # Errors
    /// If it cannot be made durable; then it is as it was before.
    fn replace_last_writes(&self, all: &[LastWrite]) -> PortResult<()>;

    /// What is on record, one a volume group. One that is not understood is left out.
    ///
    /// # Errors
    /// If it cannot be read.
    fn last_writes(&self) -> PortResult<Vec<LastWrite>>;
}
