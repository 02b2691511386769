//! Leases by lvmlockd: `lvchange -a` takes, converts and gives them up together with activation;
//! sanlock, which keeps them, tells what is held. Where LVM says a lease is on the LUN stays in
//! here.

#[cfg(any(test, feature = "fake"))]
pub(crate) mod fake;

use std::sync::Arc;

use volward_model::{LeaseHolder, LeaseMode, Member, PoolName, VolumeRef};
use volward_ports::{Activation, LeaseStatus, LeaseStyle, Leases, PortError, PortResult};

use crate::lease::Sanlock;
use crate::lvm::{Lvm, PoolKind};

/// lvmlockd, spoken to through LVM's commands, and sanlock beneath it.
#[derive(Debug)]
pub struct Lvmlockd {
    lvm: Arc<Lvm>,
    sanlock: Arc<Sanlock>,
}

impl Lvmlockd {
    /// Serves the pools that `lvm` serves.
    #[must_use]
    pub fn new(lvm: Arc<Lvm>, sanlock: Arc<Sanlock>) -> Self {
        Self { lvm, sanlock }
    }

    /// Refuses what would take or give up leases unsaid.
    fn must_be_local(&self, pool: &PoolName) -> PortResult<()> {
        match self.lvm.kind(pool)? {
            PoolKind::Local => Ok(()),
            PoolKind::Shared => Err(PortError::Io {
                what: format!("activation in pool {pool} without its leases"),
                reason: "lvmlockd takes and gives up leases with it".to_owned(),
            }),
        }
    }
}

impl Leases for Lvmlockd {
    fn style(&self, _pool: &PoolName) -> LeaseStyle {
        LeaseStyle::Fused
    }

    fn take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.lvm.activate(pool, volumes, mode)
    }

    fn convert(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.lvm.activate(pool, volumes, mode)
    }

    fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.lvm.deactivate(pool, volumes)
    }

    fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus> {
        self.sanlock.status(pool)
    }

    fn members(&self, pool: &PoolName) -> PortResult<Vec<Member>> {
        self.sanlock.members(pool)
    }

    fn holders(&self, _pool: &PoolName, volume: &VolumeRef) -> PortResult<Vec<LeaseHolder>> {
        let address = self.lvm.lease_address(volume)?;
        self.sanlock.holders(volume, &address)
    }

    fn watchdog_armed(&self) -> PortResult<bool> {
        self.sanlock.watchdog_armed()
    }
}

impl Activation for Lvmlockd {
    /// LVM's commands wait for udev.
    fn await_paths(&self, _: &[VolumeRef]) -> PortResult<()> {
        Ok(())
    }

    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.must_be_local(pool)?;
        self.lvm.activate(pool, volumes, LeaseMode::Exclusive)
    }

    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.must_be_local(pool)?;
        self.lvm.deactivate(pool, volumes)
    }
}
