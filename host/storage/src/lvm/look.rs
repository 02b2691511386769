//! What is looked at before a change, and after it.

use volward_model::{PoolName, VolumeInfo, VolumeRef};
use volward_ports::{PortError, PortResult, Unmet, Volumes};

use super::{Lvm, PoolKind, PoolSettings, REPORT_DEADLINE, report};

impl Lvm {
    /// Of a shared pool, that LVM finds all its physical volumes: it would mark one that it misses with whatever
    /// it writes, for every node. Most of its commands do not refuse by themselves.
    pub(super) fn must_be_whole(&self, pool: &PoolName) -> PortResult<()> {
        let shared = self.settings(pool)?.kind == PoolKind::Shared;
        if shared && self.validated_pool(pool)?.partial {
            return Err(PortError::from(Unmet::PoolIncomplete {
                pool: pool.clone(),
            }));
        }
        Ok(())
    }

    /// A volume as LVM has it now, by its UUID.
    pub(super) fn present(&self, volume: &VolumeRef) -> PortResult<VolumeInfo> {
        let info = self.pool(&volume.pool)?;
        let found = info.volume(volume.id).cloned();
        found.ok_or_else(|| PortError::Missing {
            what: format!("{volume} (LV UUID {})", volume.id.lv),
        })
    }

    /// Whether the VG is there, asked in a way that succeeds either way.
    pub(super) fn exists(&self, settings: &PoolSettings) -> PortResult<bool> {
        let args = ["--reportformat", "json", "-o", "vg_name"].map(str::to_owned);
        let output = self.run(settings, REPORT_DEADLINE, "vgs", &args)?;
        Ok(report::vg_names(&output.stdout)?.contains(&settings.name.to_string()))
    }
}
