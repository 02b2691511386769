//! The registry on the LUN.

use volward_model::{Bytes, NumberedSlot, PoolName, RegistryLayout, Slot, VolumeId};

use super::{Applied, PortResult};

/// Nodes for which a registry has places.
pub const REGISTRY_NODES: u32 = 512;

/// The size of a registry LV that `pool init` makes: places for [`REGISTRY_NODES`] nodes, of two
/// copies of 256 KiB, and their index; also behind a registry of 0.1.0's layout, 12 MiB, that is
/// converted. As much as lvmlockd's own volume takes.
pub const REGISTRY_SIZE: Bytes = Bytes::mib(280);

/// How often a place was written, and in which registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// The registry's LV.
    pub registry: VolumeId,
    /// 0 of a place that never was; `None` where that cannot be told: a copy of it is damaged, or of a newer version.
    pub count: Option<u64>,
}

/// A write of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// As it was found.
    pub before: Writes,
    /// How often the place was written by now.
    pub count: u64,
}

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
    fn write(&self, pool: &PoolName, slot: &Slot) -> PortResult<Written>;

    /// How often a place was written, as the LUN has it now.
    ///
    /// # Errors
    /// As [`read`](Registry::read).
    fn writes(&self, pool: &PoolName, host_id: u64) -> PortResult<Writes>;

    /// Makes a fresh registry LV ready: every place empty. Only `pool init` does this.
    ///
    /// # Errors
    /// If it cannot be written, or already holds a registry.
    fn format(&self, pool: &PoolName) -> PortResult<()>;

    /// How the registry is laid out.
    ///
    /// # Errors
    /// As [`read`](Registry::read); also if a newer Volward laid it out.
    fn layout(&self, pool: &PoolName) -> PortResult<RegistryLayout>;

    /// Brings a registry of layout 1 to layout 2, every slot as it is, broken ones included. Only
    /// `pool init` does this, under the exclusive lease of an LV that is large enough
    /// ([`REGISTRY_SIZE`]). What breaks off leaves layout 1 whole.
    ///
    /// # Errors
    /// If it cannot be read or written, or the LV is too small.
    fn convert(&self, pool: &PoolName) -> PortResult<Applied>;
}
