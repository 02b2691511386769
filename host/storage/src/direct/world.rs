//! What the direct provider needs of a node: sanlock, disks, device-mapper, and LVM for what it does not
//! serve itself. One trait, so that the provider's order of things is tested over a fake.

use std::path::PathBuf;
use std::sync::Arc;

use volward_model::device::lv_dm_uuid;
use volward_model::{LeaseMode, PoolName, VolumeId, VolumeRef};
use volward_ports::{Applied, Leases, PortResult, Volumes};

use super::device::{self, Wanted};
use super::reading::{Look, Reading};
use crate::blockdev;
use crate::lease::{Account, Sanlock};
use crate::lvm::Lvm;
use crate::lvmlockd::Lvmlockd;
use crate::sanlock::{Connection, Conversation, SOCKET};

/// A node, as far as leases and activation go.
pub(super) trait World: Send + Sync {
    /// This process, as sanlock sees it.
    fn pid(&self) -> u32;

    /// Registers this process with sanlock once more: a lockspace has a conversation of its own.
    fn register(&self) -> PortResult<Box<dyn Conversation>>;

    /// What sanlock tells of the pool's lockspace now.
    fn account(&self, pool: &PoolName) -> PortResult<Account>;

    /// The metadata on the pool's disks now; `known` is used again where nothing has changed.
    fn look(&self, pool: &PoolName, known: Option<&Arc<Reading>>) -> PortResult<Look>;

    /// Whether the LV is mapped on this node, by whomever.
    fn is_mapped(&self, volume: VolumeId) -> PortResult<bool>;

    /// Who has the LV's device open, for people.
    fn users(&self, volume: VolumeId) -> Vec<String>;

    /// Makes an LV's device.
    fn map(&self, wanted: &Wanted) -> PortResult<Applied>;

    /// Removes an LV's device; one that is not there is no error.
    fn unmap(&self, volume: &VolumeRef) -> PortResult<Applied>;

    /// Takes leases and activates, through LVM.
    fn lvm_take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()>;

    /// Deactivates and gives leases up, through LVM.
    fn lvm_release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()>;
}

/// This node.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) lvm: Arc<Lvm>,
    pub(super) lvmlockd: Arc<Lvmlockd>,
    pub(super) sanlock: Arc<Sanlock>,
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

    fn is_mapped(&self, volume: VolumeId) -> PortResult<bool> {
        Ok(blockdev::find(&lv_dm_uuid(volume))?.is_some())
    }

    fn users(&self, volume: VolumeId) -> Vec<String> {
        device::users(&lv_dm_uuid(volume))
    }

    fn map(&self, wanted: &Wanted) -> PortResult<Applied> {
        device::make(wanted)
    }

    fn unmap(&self, volume: &VolumeRef) -> PortResult<Applied> {
        device::remove(&lv_dm_uuid(volume.id), &volume.to_string())
    }

    fn lvm_take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.lvmlockd.take(pool, volumes, mode)
    }

    fn lvm_release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.lvmlockd.release(pool, volumes)
    }
}
