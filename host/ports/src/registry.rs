//! The registry on the LUN.

use volward_model::{Bytes, NumberedSlot, PoolName, Slot};

use super::PortResult;

/// The size of a registry LV that `pool init` makes: room for 89 nodes. Larger is possible (2000
/// places at most), but every snapshot of the pool reads the whole index, 8 KiB a place.
pub const REGISTRY_SIZE: Bytes = Bytes::mib(12);

/// Conversation with a pool's registry LV, by direct I/O.
pub trait Registry: Send + Sync {
    /// Every place that was ever written. Unchanged slots cost one sector each.
    ///
    /// # Errors
    /// If the LV is not active or cannot be read at all; a single bad place is a
    /// [`Broken`](volward_model::SlotReading::Broken) reading.
    fn read(&self, pool: &PoolName) -> PortResult<Vec<NumberedSlot>>;

    /// Writes this node's own place (`slot.host_id`), durably. Its content as a whole: the last
    /// call's is what others see.
    ///
    /// # Errors
    /// If it cannot be written, or is larger than a place.
    fn write(&self, pool: &PoolName, slot: &Slot) -> PortResult<()>;

    /// Makes a fresh registry LV ready: every place empty. Only `pool init` does this.
    ///
    /// # Errors
    /// If it cannot be written, or already holds a registry.
    fn format(&self, pool: &PoolName) -> PortResult<()>;
}
