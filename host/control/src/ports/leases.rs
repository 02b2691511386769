//! sanlock: who holds what.

use std::collections::BTreeMap;

use volward_model::{HeldLease, LeaseHolder, LvUuid, Member, PoolName, VolumeInfo};

use super::PortResult;

/// Conversation with sanlock, from typed answers only.
pub trait Leases: Send + Sync {
    /// The LV leases this node holds in the pool's lockspace, by LV. VG and global leases are
    /// left out.
    ///
    /// # Errors
    /// If sanlock does not answer, or the lockspace is not joined.
    fn held(&self, pool: &PoolName) -> PortResult<BTreeMap<LvUuid, HeldLease>>;

    /// The members of the pool's lockspace; this node is marked.
    ///
    /// # Errors
    /// As [`Leases::held`].
    fn members(&self, pool: &PoolName) -> PortResult<Vec<Member>>;

    /// Who holds the volume's lease in the cluster, read from the LUN: for messages.
    ///
    /// # Errors
    /// If the lease area cannot be read.
    fn holders(&self, pool: &PoolName, volume: &VolumeInfo) -> PortResult<Vec<LeaseHolder>>;

    /// Whether sanlock runs under a watchdog that resets the node when leases are lost.
    ///
    /// # Errors
    /// If sanlock does not answer.
    fn watchdog_armed(&self) -> PortResult<bool>;
}
