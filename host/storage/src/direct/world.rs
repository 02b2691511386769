//! What the direct provider needs of a node: sanlock, disks, device-mapper, and LVM for what it does not
//! serve itself. One trait, so that the provider's order of things is tested over a fake.

use std::path::PathBuf;
use std::sync::Arc;

use volward_model::device::lv_dm_uuid;
use volward_model::{LeaseMode, PoolName, VolumeRef};
use volward_ports::{Applied, PortResult, Volumes};

use super::adoption::Adoption;
use super::device::{self, Wanted};
use crate::dm::beneath;
use crate::lease::claims::{Mapper, Users};
use crate::lease::{Account, Entry, Sanlock};
use crate::lvm::Lvm;
use crate::metadata::reading::{Look, Reading};
use crate::sanlock::{Connection, Conversation, SOCKET};

/// A node, as far as leases and activation go.
pub(super) trait World: Send + Sync {
    /// Its LVs' devices, and who uses them.
    fn mapper(&self) -> &dyn Users;

    /// This process, as sanlock sees it.
    fn pid(&self) -> u32;

    /// Registers this process with sanlock once more: a lockspace has a conversation of its own.
    fn register(&self) -> PortResult<Box<dyn Conversation>>;

    /// What sanlock tells of the pool's lockspace now.
    fn account(&self, pool: &PoolName) -> PortResult<Account>;

    /// Orphans of a lockspace that this node is not in, or is leaving: sanlock does not leave it before they are
    /// given up.
    fn stranded(&self, pool: &PoolName) -> PortResult<Vec<Entry>>;

    /// The metadata on the pool's disks now; `known` is used again where nothing has changed.
    fn look(&self, pool: &PoolName, known: Option<&Arc<Reading>>) -> PortResult<Look>;

    /// Whether the node's lvm.conf keeps volumes of the pool from activation, or makes them read-only.
    fn keeps_back(&self, pool: &PoolName) -> PortResult<bool>;

    /// Makes an LV's device.
    fn map(&self, wanted: &Wanted) -> PortResult<Applied>;

    /// Removes an LV's device; one that is not there is no error.
    fn unmap(&self, volume: &VolumeRef) -> PortResult<Applied>;

    /// Returns once an lvmlockd that was started again has taken back what it takes back.
    fn let_lvmlockd_adopt(&self);

    /// Takes leases and activates, through LVM.
    fn lvm_take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()>;

    /// Deactivates and gives leases up, through LVM.
    fn lvm_release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;
}

/// This node.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) lvm: Arc<Lvm>,
    pub(super) sanlock: Arc<Sanlock>,
    pub(super) adoption: Adoption,
}

impl Here {
    /// The disks that LVM found the pool on at its last report: where to look, not what is there.
    fn disks(&self, pool: &PoolName) -> PortResult<Vec<PathBuf>> {
        if let Some(disks) = self.lvm.disks(pool) {
            return Ok(disks);
        }
        self.lvm.pool(pool)?;
        Ok(self.lvm.disks(pool).unwrap_or_default())
    }
}

impl World for Here {
    fn mapper(&self) -> &dyn Users {
        &Mapper
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn register(&self) -> PortResult<Box<dyn Conversation>> {
        Ok(Box::new(Connection::register(std::path::Path::new(
            SOCKET,
        ))?))
    }

    fn account(&self, pool: &PoolName) -> PortResult<Account> {
        self.sanlock.account(pool)
    }

    fn stranded(&self, pool: &PoolName) -> PortResult<Vec<Entry>> {
        self.sanlock.orphans(pool)
    }

    fn look(&self, pool: &PoolName, known: Option<&Arc<Reading>>) -> PortResult<Look> {
        let first = Look::at(pool, &self.disks(pool)?, known);
        if first.as_ref().is_ok_and(Look::is_whole) {
            return first;
        }
        // A disk was added, or is found under another name, or is gone: LVM is asked where they are now.
        tracing::debug!(%pool, "looking for the pool's disks again");
        self.lvm.pool(pool)?;
        Look::at(pool, &self.disks(pool)?, known)
    }

    fn keeps_back(&self, pool: &PoolName) -> PortResult<bool> {
        self.lvm.keeps_back(pool)
    }

    fn map(&self, wanted: &Wanted) -> PortResult<Applied> {
        device::make(wanted)
    }

    fn unmap(&self, volume: &VolumeRef) -> PortResult<Applied> {
        let what = volume.to_string();
        // What LVM moves is copied on without a lease, by whatever is beneath.
        let moved = beneath::halt_unused(volume.id, &what)?;
        let removed = device::remove(&lv_dm_uuid(volume.id), &what)?;
        for one in moved {
            if let Err(error) = one.remove() {
                tracing::warn!(%volume, %error, "a halted move is left beneath a volume that is gone");
            }
        }
        Ok(removed)
    }

    fn let_lvmlockd_adopt(&self) {
        self.adoption.wait();
    }

    fn lvm_take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.lvm.activate(pool, volumes, mode)
    }

    fn lvm_release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.lvm.deactivate(pool, volumes)
    }
}
