//! sanlock: who holds what.

use std::collections::BTreeMap;

use volward_model::{HeldLease, LeaseHolder, LvUuid, Member, PoolName, VolumeInfo};

use super::PortResult;

/// What sanlock says of this node, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// As [`Leases::held`].
    pub held: BTreeMap<LvUuid, HeldLease>,
    /// As [`Leases::watchdog_armed`].
    pub watchdog_armed: bool,
}

/// Conversation with sanlock, from typed answers only.
pub trait Leases: Send + Sync {
    /// The LV leases this node holds in the pool's lockspace, by LV. VG and global leases are
    /// left out.
    ///
    /// # Errors
    /// If sanlock does not answer, or the lockspace is not joined.
    fn held(&self, pool: &PoolName) -> PortResult<BTreeMap<LvUuid, HeldLease>>;

    /// Leases held and watchdog in one question, where sanlock answers both at once.
    ///
    /// # Errors
    /// As [`Leases::held`].
    fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus> {
        Ok(LeaseStatus {
            held: self.held(pool)?,
            watchdog_armed: self.watchdog_armed()?,
        })
    }

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
