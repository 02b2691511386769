//! LVM: which volumes there are; lease and activation.

use volward_model::{Bytes, LeaseMode, PoolInfo, PoolName, VolumeId, VolumeName, VolumeRef};

use super::{Applied, PortResult};

/// A logical volume to be made in a local pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// Where.
    pub pool: PoolName,
    /// Its name.
    pub name: VolumeName,
    /// At least this much; LVM rounds up to its extent.
    pub size: Bytes,
    /// Tags from the start, so that a crash leaves no LV nobody knows.
    pub tags: Vec<String>,
}

/// Conversation with LVM. Shared pools go through lvmlockd, so leases come with activation.
///
/// After every lease command the caller reads the state back through
/// [`Leases`](super::Leases) and [`Volumes::pool`]: exit codes prove nothing (I29).
pub trait Volumes: Send + Sync {
    /// The pool and all its volumes as they are now, never from a cache (I10).
    ///
    /// # Errors
    /// [`Missing`](super::PortError::Missing) if there is no such VG; others as they come.
    fn pool(&self, pool: &PoolName) -> PortResult<PoolInfo>;

    /// The same, where an earlier report will do because the metadata on the disks is checked
    /// now not to have changed since (I10): what decides and what is looked at under the lease.
    /// What is active is asked of the kernel each time.
    ///
    /// # Errors
    /// As [`pool`](Volumes::pool).
    fn validated_pool(&self, pool: &PoolName) -> PortResult<PoolInfo> {
        self.pool(pool)
    }

    /// Takes (or converts) the lease and activates, one command for all (`-aey`, `-asy`);
    /// for a local pool plain activation. May succeed for some and fail for others: then it is
    /// an error, and the caller looks.
    ///
    /// # Errors
    /// If the command fails or does not finish in time.
    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()>;

    /// Deactivates and gives the lease up, one command for all (`-an`).
    ///
    /// # Errors
    /// [`Busy`](super::PortError::Busy) if a device is still open; others as they come.
    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;

    /// Takes autoactivation off (I4).
    ///
    /// # Errors
    /// If the command fails.
    fn disable_autoactivation(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;

    /// Removes and adds tags in one metadata commit.
    ///
    /// # Errors
    /// If the command fails; the caller reads back.
    fn change_tags(&self, volume: &VolumeRef, remove: &[String], add: &[String]) -> PortResult<()>;

    /// Makes an LV in a local pool, active, autoactivation off, old signatures left alone
    /// (nobody scans it), and says its identity. An LV of that name with the same tags and at
    /// least that size is taken as it is.
    ///
    /// # Errors
    /// If there is no space, or another LV has the name.
    fn create(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)>;

    /// Makes an LV that is active under the exclusive lease at least so large. What is on it
    /// stays.
    ///
    /// # Errors
    /// If there is no space, or another node has it active.
    fn grow(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied>;

    /// Removes an LV of a local pool, if there is one of that name *and* identity.
    ///
    /// # Errors
    /// [`Busy`](super::PortError::Busy) if it is open.
    fn remove(&self, volume: &VolumeRef) -> PortResult<Applied>;

    /// Writes zeroes over the first `amount` of an active LV, and flushes.
    ///
    /// # Errors
    /// If the device is not the LV meant (I28), or cannot be written.
    fn zero(&self, volume: &VolumeRef, amount: Bytes) -> PortResult<()>;
}
