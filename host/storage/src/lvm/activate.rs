//! `lvchange -a`: with lvmlockd it takes, converts and gives up leases too.

use std::path::PathBuf;

use devicemapper::{DM, DevId, DmUuid};
use volward_model::device::lv_dm_uuid;
use volward_model::{LeaseMode, PoolName, VolumeId, VolumeRef};
use volward_ports::{PortError, PortResult, Volumes};

use super::{Lvm, PoolKind};

impl Lvm {
    /// Takes or converts the leases and activates, one command for all (`-aey`, `-asy`); in a
    /// local pool plain activation, whatever the mode.
    ///
    /// # Errors
    /// If the command fails, for all or for some, or does not finish in time.
    pub fn activate(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> PortResult<()> {
        let how = match (self.settings(pool)?.kind, mode) {
            (PoolKind::Local, _) => "-ay",
            (PoolKind::Shared, LeaseMode::Exclusive) => "-aey",
            (PoolKind::Shared, LeaseMode::Shared) => "-asy",
        };
        self.change(pool, &[how], volumes)
    }

    /// Deactivates and gives the leases up, one command for all (`-an`).
    ///
    /// # Errors
    /// [`Busy`](PortError::Busy) if a device is still open; others as they come.
    pub fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.change(pool, &["-an"], volumes).map_err(|error| {
            match volumes.iter().find(|volume| is_open(volume.id)) {
                Some(open) => PortError::Busy {
                    what: open.to_string(),
                },
                None => error,
            }
        })
    }

    /// Whose disks the pool is on.
    ///
    /// # Errors
    /// If no such pool is configured.
    pub(crate) fn kind(&self, pool: &PoolName) -> PortResult<PoolKind> {
        Ok(self.settings(pool)?.kind)
    }

    /// The disks that LVM found the pool on at its last report; `None` before the first.
    pub(crate) fn disks(&self, pool: &PoolName) -> Option<Vec<PathBuf>> {
        self.memory.disks(pool)
    }

    /// Where the volume's lease is in the pool's lease area, as LVM writes it
    /// (`1.0.0:70254592`).
    ///
    /// # Errors
    /// If the volume has no lease of its own, or LVM does not answer.
    pub(crate) fn lease_address(&self, volume: &VolumeRef) -> PortResult<String> {
        self.validated_pool(&volume.pool)?;
        let found = self.memory.lock_args(&volume.pool, volume.id);
        found.ok_or_else(|| PortError::Missing {
            what: format!("a lease of its own for volume {volume}"),
        })
    }
}

/// Whether the LV is mapped and somebody has it open: asked of the kernel.
fn is_open(volume: VolumeId) -> bool {
    let uuid = lv_dm_uuid(volume);
    let count = DmUuid::new(&uuid)
        .and_then(|uuid| DM::new()?.device_info(&DevId::Uuid(uuid)))
        .map(|info| info.open_count());
    count.is_ok_and(|count| count > 0)
}
