//! The records of operations on volumes: durable, one an id.

use volward_model::{Bytes, OperationId, VolumeOperation};

use super::PortResult;

/// Conversation with the state database about operations on volumes.
pub trait Operations: Send + Sync {
    /// Writes an operation as it stands now, durably; the one of its id is replaced.
    ///
    /// # Errors
    /// If it cannot be made durable: then nothing may be begun that it speaks of.
    fn put(&self, operation: &VolumeOperation) -> PortResult<()> {
        self.put_all(std::slice::from_ref(operation))
    }

    /// The same of several, all or none.
    ///
    /// # Errors
    /// As [`Operations::put`]: then none is written.
    fn put_all(&self, operations: &[VolumeOperation]) -> PortResult<()>;

    /// Notes how many bytes are copied and zeroed. Need not survive the node: less is done once more.
    ///
    /// # Errors
    /// If it cannot be written, or there is no such operation.
    fn note_zeroed(&self, id: &OperationId, zeroed: Bytes) -> PortResult<()>;

    /// All that are kept, the oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    fn operations(&self) -> PortResult<Vec<VolumeOperation>>;

    /// Removes the records of operations that have ended. One that is not there is no error.
    ///
    /// # Errors
    /// If it cannot be written.
    fn forget(&self, ids: &[OperationId]) -> PortResult<()>;
}
