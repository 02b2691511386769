//! Activation: a volume being mapped on this node.

use volward_model::{PoolName, VolumeRef};

use super::PortResult;

/// Conversation with what maps volumes.
///
/// Where leases and activation are fused ([`LeaseStyle::Fused`](super::LeaseStyle::Fused)) it
/// serves pools without leases only, and refuses a shared pool's volumes: activating them takes
/// their leases.
///
/// The caller reads back what is active ([`Volumes`](super::Volumes)): exit codes prove nothing
/// (I29).
pub trait Activation: Send + Sync {
    /// Activates the volumes, one operation for all. What is active already stays so. May succeed
    /// for some and fail for others: then it is an error, and the caller reads back.
    ///
    /// # Errors
    /// If it fails or does not finish in time.
    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;

    /// Waits until active volumes have their paths, `/dev/POOL/LV`: udev makes them, and a provider need not
    /// wait for that when it activates.
    ///
    /// # Errors
    /// If udev does not in time.
    fn await_paths(&self, volumes: &[VolumeRef]) -> PortResult<()>;

    /// Deactivates them, one operation for all.
    ///
    /// # Errors
    /// [`Busy`](super::PortError::Busy) if a device is still open; others as they come.
    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;
}
