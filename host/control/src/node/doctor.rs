//! What `doctor` asks of a node.

use volward_model::{PoolName, VolumeId, VolumeRef};

use super::Node;
use crate::ports::StoredAttachment;
use crate::views::VolumeTrouble;

impl Node {
    /// Volumes of the pools that can be read that an operator should look at, because of where their
    /// data is.
    #[must_use]
    pub fn to_look_at(&self) -> Vec<(VolumeRef, VolumeTrouble)> {
        let pools = self.settings.pools.iter();
        pools.flat_map(|pool| self.views.to_look_at(pool)).collect()
    }

    /// The same in one pool.
    #[must_use]
    pub fn to_look_at_in(&self, pool: &PoolName) -> Vec<(VolumeRef, VolumeTrouble)> {
        self.views.to_look_at(pool)
    }

    /// Attachments of instances that have none of their devices open: no guest uses them now.
    #[must_use]
    pub fn not_in_use(&self) -> Vec<StoredAttachment> {
        self.views.not_in_use()
    }

    /// LVs of the local pool that are copies of volumes that no pool of this node has any more, each with
    /// that volume's identity; none where a pool cannot be read.
    #[must_use]
    pub fn orphaned_copies(&self) -> Vec<(VolumeRef, VolumeId)> {
        self.views.orphaned_copies()
    }

    /// Attachments, leases and sharing of this node that cannot all be true at once, and
    /// lockspaces that are not renewed; empty when all is well. For `doctor`.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut found = self.unwritten_slots();
        let pools = self.settings.pools.iter();
        found.extend(pools.flat_map(|pool| self.views.inconsistencies(pool)));
        found
    }

    /// The same in one pool, but for its registry.
    #[must_use]
    pub fn inconsistencies_in(&self, pool: &PoolName) -> Vec<String> {
        self.views.inconsistencies(pool)
    }

    /// Sentences: in which pools' registries the other nodes still see what was before.
    #[must_use]
    pub fn unwritten_slots(&self) -> Vec<String> {
        self.views.unwritten_slots()
    }

    /// Why a shared pool is older on its disks than this node left it, a sentence; `None` where nothing says so.
    #[must_use]
    pub fn older(&self, pool: &PoolName) -> Option<String> {
        self.state.older(pool)
    }
}
