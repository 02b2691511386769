//! Device-mapper, by ioctl.

use std::ops::Range;
use std::time::Duration;

use volward_model::{
    Backing, Bytes, CloneStatus, DeviceId, DeviceInfo, InstanceId, IoCounters, MirrorStatus,
    PoolName, RegionMap, Sectors, Table, VolumeId, VolumeName,
};

use super::{Applied, PortResult};

/// Where a guest finds an attachment's device: `/dev/volward/<instance>/<pool>/<volume>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkPath {
    /// The virtual machine.
    pub instance: InstanceId,
    /// Pool, for people.
    pub pool: PoolName,
    /// Volume, for people.
    pub volume: VolumeName,
}

/// A mirror whose second leg is split off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The device that is a mirror.
    pub id: DeviceId,
    /// What it stands on afterwards.
    pub table: Table,
    /// Whether it is read-only then.
    pub read_only: bool,
}

/// What became of mirrors that were to be split at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitAt {
    /// All second legs are apart, and whole.
    Done,
    /// The mirrors are as they were, for one of them is not whole; how far each is.
    Kept(Vec<MirrorStatus>),
}

/// Conversation with device-mapper about devices of ours; it never touches another's.
pub trait Devices: Send + Sync {
    /// Makes a device with a live table; foreign udev rules are off for it. A device that is
    /// there with the same table and mode is taken as it is; resumed, if it was suspended.
    /// `discards: false` makes the kernel refuse discards on it (`discard_max_bytes` 0), before
    /// anybody can open it by its link (I21).
    ///
    /// # Errors
    /// [`Identity`](super::PortError::Identity) if a device of the name has another UUID or
    /// another table; [`Missing`](super::PortError::Missing) if a backing device is not there.
    fn create(
        &self,
        id: DeviceId,
        table: &Table,
        read_only: bool,
        discards: bool,
    ) -> PortResult<Applied>;

    /// Removes a device.
    ///
    /// # Errors
    /// [`Busy`](super::PortError::Busy) if somebody has it open.
    fn remove(&self, id: DeviceId) -> PortResult<Applied>;

    /// Puts another table under a live device: load, suspend (without freezing filesystems),
    /// resume. If the suspended device cannot be given the new table, the old one is resumed
    /// (I22).
    ///
    /// # Errors
    /// If the table cannot be loaded; the old one is live then.
    fn reload(&self, id: DeviceId, table: &Table, read_only: bool) -> PortResult<()>;

    /// Resumes a device that a crash left suspended.
    ///
    /// # Errors
    /// If it is not there.
    fn resume(&self, id: DeviceId) -> PortResult<Applied>;

    /// All devices of ours, recognised by their dm UUID.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    fn list(&self) -> PortResult<Vec<DeviceInfo>>;

    /// One device; `None` if it is not there.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    fn get(&self, id: DeviceId) -> PortResult<Option<DeviceInfo>>;

    /// Who has a device open, in a few words each, for people: `qemu-system-x86 (process 4711)`. Empty if nobody
    /// has, or nobody can tell.
    fn users(&self, id: DeviceId) -> Vec<String>;

    /// Whether somebody has the LV's own device open (device-mapper's own layers count too); `false` if it is not
    /// there.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    fn is_lv_open(&self, volume: VolumeId) -> PortResult<bool>;

    /// Ends what LVM copies beneath an LV's own device while it moves the LV between disks: from here on all I/O to what moves
    /// fails. LVM's metadata is left as it is.
    ///
    /// # Errors
    /// If what is in flight does not end.
    fn halt_move(&self, volume: VolumeId) -> PortResult<Applied>;

    /// Whether that was done, and the LV is on it still.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    fn is_move_halted(&self, volume: VolumeId) -> PortResult<bool>;

    /// The status of a clone, or `None` if its live table is no clone (any more).
    ///
    /// # Errors
    /// If the device is not there or its status cannot be understood.
    fn clone_status(&self, id: DeviceId) -> PortResult<Option<CloneStatus>>;

    /// How far a mirror's second leg is; `None` if its live table is no mirror (any more).
    ///
    /// # Errors
    /// If the device is not there or its status cannot be understood.
    fn mirror_status(&self, id: DeviceId) -> PortResult<Option<MirrorStatus>>;

    /// Puts other tables in the place of mirrors, as [`Devices::reload`] does, all at one moment: at that moment nothing is in
    /// flight on any of them, and whatever their guests write waits until all are through. What the second legs hold then
    /// they keep. The mirrors stay if the second leg of one of them is not whole: then [`SplitAt::Kept`] says how far each is.
    ///
    /// # Errors
    /// If a table cannot be loaded, or a device is no mirror; the old tables are live then, of those that were not given theirs
    /// already.
    fn split(&self, mirrors: &[Split]) -> PortResult<SplitAt>;

    /// Switches background hydration on or off.
    ///
    /// # Errors
    /// If the device is no clone.
    fn set_hydration(&self, id: DeviceId, on: bool) -> PortResult<()>;

    /// Sets how many regions a clone copies at once (`threshold`) and in one piece (`batch`).
    ///
    /// # Errors
    /// If the device is no clone, or one of the two is 0: nothing would hydrate.
    fn set_amounts(&self, id: DeviceId, threshold: u32, batch: u32) -> PortResult<()>;

    /// The size of the regions of the clone whose metadata begins there on an active LV; `None` of zeroes, on which a clone has
    /// yet to be loaded.
    ///
    /// # Errors
    /// If what is there is neither.
    fn region(&self, on: VolumeId, at: Sectors) -> PortResult<Option<Sectors>>;

    /// Which regions a clone has in its destination, as its metadata says, which is on `metadata`; what the kernel had not
    /// written there yet is written first.
    ///
    /// # Errors
    /// If the device cannot be flushed, or the metadata cannot be read or understood.
    fn regions(&self, id: DeviceId, metadata: Backing) -> PortResult<RegionMap>;

    /// Counts regions of a clone as copied, without copying them: from now on they are what the destination has there. They
    /// are of that size, and whole.
    ///
    /// # Errors
    /// If the kernel refuses one; those before it count.
    fn pass_over(&self, id: DeviceId, region: Sectors, regions: &[Range<u64>]) -> PortResult<()>;

    /// The I/O of a device so far; `None` if it is not there.
    ///
    /// # Errors
    /// If the kernel does not answer.
    fn io(&self, id: DeviceId) -> PortResult<Option<IoCounters>>;

    /// Allows or refuses discards on a live device.
    ///
    /// # Errors
    /// If the device is not there.
    fn set_discards(&self, id: DeviceId, allowed: bool) -> PortResult<()>;

    /// Waits until the device's event counter leaves `event`, at most `at_most`. Says whether it
    /// did.
    ///
    /// # Errors
    /// If the device is not there.
    fn wait_event(&self, id: DeviceId, event: u32, at_most: Duration) -> PortResult<bool>;

    /// Writes zeroes over the first `amount` of a device of ours that nothing has open, and flushes.
    ///
    /// # Errors
    /// [`Busy`](super::PortError::Busy) or an I/O error if it is open; if it is smaller, or cannot
    /// be written.
    fn zero_device(&self, id: DeviceId, amount: Bytes) -> PortResult<()>;

    /// Flushes everything written to the device to its backing.
    ///
    /// # Errors
    /// If the flush fails.
    fn flush(&self, id: DeviceId) -> PortResult<()>;

    /// Publishes the device's path.
    ///
    /// # Errors
    /// If the link cannot be made, or something that is no link of ours is in its place.
    fn link(&self, path: &LinkPath, id: DeviceId) -> PortResult<Applied>;

    /// Withdraws the path, and directories that became empty.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn unlink(&self, path: &LinkPath) -> PortResult<Applied>;

    /// All paths that are published.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn links(&self) -> PortResult<Vec<LinkPath>>;
}
