//! The record of what instances had when their volumes were detached.

use volward_plan::last_use::LastUse;

use super::PortResult;

/// Conversation with the state database about the last use of volumes.
///
/// Nothing waits for it: a use that is not on record is one of which nothing is known, and refuses nobody.
pub trait LastUses: Send + Sync {
    /// Replaces what is on record by these, durably.
    ///
    /// # Errors
    /// If it cannot be made durable; then it is as it was before.
    fn replace_last_uses(&self, all: &[LastUse]) -> PortResult<()>;

    /// What is on record. One that is not understood is left out.
    ///
    /// # Errors
    /// If it cannot be read.
    fn last_uses(&self) -> PortResult<Vec<LastUse>>;
}
