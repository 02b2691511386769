//! Leases: taken, converted, released and listed; and how fresh the lockspace is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volward_model::{HeldLease, LeaseHolder, LeaseMode, LvUuid, Member, PoolName, VolumeRef};

use super::PortResult;

/// What the lease provider says of this node, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// As [`Leases::held`].
    pub held: BTreeMap<LvUuid, HeldLease>,
    /// LVs whose lease somebody else than Volward has on this node: active by hand.
    pub by_hand: BTreeSet<LvUuid>,
    /// As [`Leases::watchdog_armed`].
    pub watchdog_armed: bool,
    /// As [`Leases::freshness`].
    pub freshness: Freshness,
    /// The lockspace generation of this node: another one means that it left the lockspace and joined
    /// it again. `None` where the provider does not tell.
    pub generation: Option<u64>,
}

/// When this node last renewed its lease on the lockspace. A lockspace that is listed as joined
/// need not be alive: a node whose LUN hung long enough never renews again, and goes on listing
/// its lockspace and its leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The last renewal that succeeded.
    Renewed {
        /// Time since then.
        ago: Duration,
        /// After so long without one the other nodes may take this node's leases.
        expires_after: Duration,
    },
    /// Renewed, until nothing holds a lease in it: somebody has told the provider to leave the lockspace. Leases that are held
    /// stay this node's; no other one can be had.
    Leaving {
        /// Time since the last renewal that succeeded.
        ago: Duration,
        /// After so long without one the other nodes may take this node's leases.
        expires_after: Duration,
    },
    /// This node's leases were lost, and the provider does not leave the lockspace as long as a process has some:
    /// it may be renewed again, and gives no lease.
    GivenUp,
    /// The provider does not tell.
    Unknown,
}

impl Freshness {
    /// Whether the other nodes may take this node's leases by now. `false` where nobody knows.
    #[must_use]
    pub fn is_expired(self) -> bool {
        match self {
            Self::Renewed { ago, expires_after } | Self::Leaving { ago, expires_after } => {
                ago >= expires_after
            }
            Self::GivenUp => true,
            Self::Unknown => false,
        }
    }

    /// Whether so many renewals have failed that what the leases protect is cut off: three quarters of the
    /// time after which others may take them. `false` where nobody knows.
    #[must_use]
    pub fn is_failing(self) -> bool {
        match self {
            Self::Renewed { ago, expires_after } | Self::Leaving { ago, expires_after } => {
                ago >= expires_after * 3 / 4
            }
            Self::GivenUp => true,
            Self::Unknown => false,
        }
    }

    /// Whether the provider gives no lease in the lockspace any more, and adopts none.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, Self::GivenUp | Self::Leaving { .. })
    }
}

/// Whether a lease can be had without activation. A use case does not ask; the function that
/// carries out a lease step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStyle {
    /// One operation does both: [`Leases::take`] and [`Leases::convert`] activate as well, and
    /// [`Leases::release`] deactivates first. lvmlockd's are so.
    Fused,
    /// Two operations: the lease is taken before [`Activation::activate`], and released after
    /// [`Activation::deactivate`].
    ///
    /// [`Activation::activate`]: super::Activation::activate
    /// [`Activation::deactivate`]: super::Activation::deactivate
    Separate,
}

/// Conversation with the lease provider about shared pools, from typed answers only.
///
/// After every change the caller reads the state back through [`Leases::held`]: exit codes prove
/// nothing (I29).
pub trait Leases: Send + Sync {
    /// Whether leases come with activation in that pool.
    fn style(&self, pool: &PoolName) -> LeaseStyle;

    /// Takes leases that this node does not hold, one operation for all. May succeed for some and
    /// fail for others: then it is an error, and the caller reads back.
    ///
    /// # Errors
    /// If another node's lease stands in the way, or the operation fails or does not finish in
    /// time.
    fn take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()>;

    /// Gives leases that this node holds another mode, one operation for all. One that has the
    /// mode already keeps it.
    ///
    /// # Errors
    /// As [`Leases::take`].
    fn convert(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()>;

    /// Gives leases up, one operation for all. One that is not held is no error.
    ///
    /// # Errors
    /// If it fails; [`Busy`](super::PortError::Busy) where it deactivates too and a device is
    /// still open.
    fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;

    /// The LV leases that Volward holds on this node in the pool's lockspace, by LV, orphans among them. VG
    /// and global leases are left out, and so is what is active by hand.
    ///
    /// # Errors
    /// If the provider does not answer, or the lockspace is not joined.
    fn held(&self, pool: &PoolName) -> PortResult<BTreeMap<LvUuid, HeldLease>> {
        Ok(self.status(pool)?.held)
    }

    /// When this node last renewed its lease on the pool's lockspace.
    ///
    /// # Errors
    /// As [`Leases::held`].
    fn freshness(&self, pool: &PoolName) -> PortResult<Freshness> {
        Ok(self.status(pool)?.freshness)
    }

    /// Leases held, watchdog and freshness in one question.
    ///
    /// # Errors
    /// As [`Leases::held`].
    fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus>;

    /// The members of the pool's lockspace; this node is marked.
    ///
    /// # Errors
    /// As [`Leases::held`].
    fn members(&self, pool: &PoolName) -> PortResult<Vec<Member>>;

    /// Who holds the volume's lease in the cluster, read from the LUN: for messages.
    ///
    /// # Errors
    /// If the lease area cannot be read.
    fn holders(&self, pool: &PoolName, volume: &VolumeRef) -> PortResult<Vec<LeaseHolder>>;

    /// Whether losing leases resets the node.
    ///
    /// # Errors
    /// If the provider does not answer.
    fn watchdog_armed(&self) -> PortResult<bool>;
}
