//! LVM: which volumes there are, what marks them, making and removing them.

use std::sync::Arc;

use volward_model::{
    Bytes, LvmUuid, Mark, PhysicalVolume, PoolInfo, PoolName, VolumeId, VolumeName, VolumeRef,
    Whereabouts,
};

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

/// Conversation with LVM about volumes and their metadata. What takes leases and activates is
/// [`Leases`](super::Leases) and [`Activation`](super::Activation).
pub trait Volumes: Send + Sync {
    /// The pool and all its volumes as they are now, never from a cache (I10).
    ///
    /// # Errors
    /// [`Missing`](super::PortError::Missing) if there is no such VG; others as they come.
    fn pool(&self, pool: &PoolName) -> PortResult<PoolInfo>;

    /// Makes the devices of the pool's physical volumes known to this node's LVM, in a devices file
    /// of the pool's own. The system's devices file is read, never written (I16).
    ///
    /// # Errors
    /// [`Unmet`](super::PortError::Unmet) if the pool has no devices file of its own;
    /// [`Missing`](super::PortError::Missing) if no physical volume is found; others as they come.
    fn adopt(&self, pool: &PoolName) -> PortResult<Applied>;

    /// The same as [`pool`](Volumes::pool), where an earlier report will do because the metadata on the disks is checked
    /// now not to have changed since (I10): what decides and what is looked at under the lease.
    /// What is active is asked of the kernel each time.
    ///
    /// # Errors
    /// As [`pool`](Volumes::pool).
    fn validated_pool(&self, pool: &PoolName) -> PortResult<Arc<PoolInfo>> {
        self.pool(pool).map(Arc::new)
    }

    /// The same, for what is shown only: `None` where the disks do not answer within two seconds, or
    /// nothing was read of them yet. A disk that hangs must not hold up a list.
    ///
    /// # Errors
    /// As [`pool`](Volumes::pool).
    fn glance(&self, pool: &PoolName) -> PortResult<Option<Arc<PoolInfo>>> {
        self.validated_pool(pool).map(Some)
    }

    /// The disks that the pool is on, and what is on each, by path: for what is shown.
    ///
    /// # Errors
    /// As [`pool`](Volumes::pool).
    fn physical_volumes(&self, pool: &PoolName) -> PortResult<Vec<PhysicalVolume>>;

    /// The one of them that has that path on this node, by whatever link, or that UUID of LVM's.
    ///
    /// # Errors
    /// As [`pool`](Volumes::pool).
    fn physical_volume(&self, pool: &PoolName, named: &str) -> PortResult<Option<PhysicalVolume>> {
        let id: Option<LvmUuid> = named.parse().ok();
        let disks = self.physical_volumes(pool)?;
        let is_it = |disk: &PhysicalVolume| Some(disk.id) == id || disk.path == named;
        Ok(disks.into_iter().find(is_it))
    }

    /// On which of them a volume is, and whether it is on the way from one to another.
    ///
    /// # Errors
    /// As [`pool`](Volumes::pool).
    fn whereabouts(&self, volume: &VolumeRef) -> PortResult<Whereabouts>;

    /// Begins to move what a volume has on one physical volume to another one, and has that ended when all is there. A move
    /// that is on its way is ended where all is there, and else watched again. The volume is active here under the exclusive lease, whoever has it: LVM
    /// is told not to take it.
    ///
    /// # Errors
    /// If LVM begins nothing: there is no space, say.
    fn relocate(&self, volume: &VolumeRef, from: LvmUuid, to: LvmUuid) -> PortResult<Applied>;

    /// Ends a move that is on its way: what moves stays where it was. The volume is active here under the exclusive lease.
    ///
    /// # Errors
    /// If LVM does not end it; it goes on then, or nothing copies.
    fn end_relocation(&self, volume: &VolumeRef) -> PortResult<Applied>;

    /// Takes autoactivation off all volumes of a pool, those that come later too (I4).
    ///
    /// # Errors
    /// If the metadata cannot be changed.
    fn disable_pool_autoactivation(&self, pool: &PoolName) -> PortResult<()>;

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

    /// The same, but inactive, and in a shared pool: what was in its extents is read by whoever activates
    /// it. An LV of that name with the same tags and at least that size is taken as it is.
    ///
    /// # Errors
    /// As [`create`](Volumes::create).
    fn make(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)>;

    /// Gives an LV that is not active anywhere another name.
    ///
    /// # Errors
    /// If another LV has the name, or another node has it active.
    fn rename(&self, volume: &VolumeRef, to: &VolumeName) -> PortResult<Applied>;

    /// Makes an LV that is active under the exclusive lease at least so large. What is on it
    /// stays.
    ///
    /// # Errors
    /// If there is no space, or another node has it active.
    fn grow(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied>;

    /// The same of an LV whose lease this node holds in any mode, for attachments: LVM is told not to take
    /// it. LVM gives the active LV its new length.
    ///
    /// # Errors
    /// As [`grow`](Volumes::grow).
    fn grow_held(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied>;

    /// Removes an LV that this node does not hold, if there is one of that identity. In a shared pool LVM
    /// takes its exclusive lease for that, which proves that no node has it. Of one with a `mark`, only while it has
    /// that: whoever takes it away meanwhile has said that the volume is somebody's.
    ///
    /// # Errors
    /// [`Busy`](super::PortError::Busy) if it is open; [`NotInEffect`](super::PortError::NotInEffect) if it has that mark no more.
    fn remove(&self, volume: &VolumeRef, mark: Option<&Mark>) -> PortResult<Applied>;

    /// Writes zeroes over the first `amount` of an active LV, and flushes.
    ///
    /// # Errors
    /// If the device is not the LV meant (I28), or cannot be written.
    fn zero(&self, volume: &VolumeRef, amount: Bytes) -> PortResult<()>;

    /// Writes zeroes over `amount` from `start` on, and flushes: when it returns they are on the disks.
    /// `shared`: attachments' devices stand on the LV, which do not reach so far.
    ///
    /// # Errors
    /// As [`zero`](Volumes::zero); [`Deadline`](super::PortError::Deadline) if the disks take too long:
    /// the writing goes on then, and the device stays open until it ends.
    fn zero_range(
        &self,
        volume: &VolumeRef,
        start: Bytes,
        amount: Bytes,
        shared: bool,
    ) -> PortResult<()>;

    /// Copies `amount` from `start` on of the first of two active LVs to the same place of the second, and
    /// flushes: when it returns it is on the disks. `read`: others have the first open, who do not write to it.
    ///
    /// # Errors
    /// As [`zero_range`](Volumes::zero_range), for both.
    fn copy_range(
        &self,
        volumes: (&VolumeRef, &VolumeRef),
        start: Bytes,
        amount: Bytes,
        read: bool,
    ) -> PortResult<()>;
}
