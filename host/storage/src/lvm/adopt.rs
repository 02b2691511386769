//! A devices file for a pool: `pool init` makes it, once per node.

use std::io;
use std::path::{Path, PathBuf};

use volward_model::LvmUuid;
use volward_ports::{Applied, PortError, PortResult, Unmet};

use super::pvs::Pv;
use super::{DEVICES_FOLDER, LEASE_DEADLINE, Lvm, PoolSettings, config, seen};

impl Lvm {
    /// Makes the pool's devices file from the physical volumes LVM finds for it by its own
    /// configuration, and takes out of it what the pool is not on any more. The system's devices file is read,
    /// never written (I16).
    ///
    /// # Errors
    /// If the pool has no devices file configured, or no physical volume is found; a file that
    /// could only be made in part is removed again.
    pub fn adopt_devices(&self, pool: &PoolSettings) -> PortResult<Applied> {
        let file = pool.devices_file.as_deref();
        let own = file.filter(|file| *file != "system.devices");
        let file = own.ok_or_else(|| Unmet::DevicesFile {
            pool: pool.name.clone(),
        })?;
        let there = self.etc.dir().exists(Path::new(DEVICES_FOLDER).join(file));
        let listed = match there {
            true => self.listed(pool, Some(file))?,
            false => Vec::new(),
        };
        let listed = devices(&listed);
        let pvs = self.listed(pool, None)?;
        let wanted = devices(&pvs);
        if wanted.is_empty() {
            return Err(PortError::Missing {
                what: format!("a physical volume of volume group {}", pool.name),
            });
        }
        if there && wanted.iter().all(|device| listed.contains(device)) {
            return self.drop_stale(pool, file, &pvs);
        }
        self.list(pool, (file, there), &wanted)?;
        self.drop_stale(pool, file, &pvs)?;
        Ok(Applied::Changed)
    }

    /// Puts devices into the pool's devices file; `there`: it was before.
    fn list(
        &self,
        pool: &PoolSettings,
        (file, there): (&str, bool),
        wanted: &[&str],
    ) -> PortResult<()> {
        let etc = self.etc.dir();
        let inside = Path::new(DEVICES_FOLDER).join(file);
        let made = etc.create_dir_all(DEVICES_FOLDER);
        made.map_err(|error| PortError::Io {
            what: format!("cannot make {}", self.etc.path_of(DEVICES_FOLDER).display()),
            reason: error.to_string(),
        })?;
        for device in wanted {
            let line = ["lvmdevices", "--devicesfile", file, "--adddev", device];
            let line = line.map(str::to_owned).into();
            if let Err(error) = self.lvm(pool.name.as_str(), LEASE_DEADLINE, line) {
                if !there && etc.exists(&inside) {
                    etc.remove_file(&inside).map_err(|cause| PortError::Io {
                        what: format!(
                            "{error}; and cannot remove {}",
                            self.etc.path_of(&inside).display()
                        ),
                        reason: cause.to_string(),
                    })?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the entries of disks that are none of the pool's out of its devices file. One that LVM keeps, because
    /// something else is active on that disk by now, is no reason to fail: `doctor` names it.
    fn drop_stale(&self, pool: &PoolSettings, file: &str, pvs: &[Pv]) -> PortResult<Applied> {
        let ids = pvs
            .iter()
            .map(Pv::id)
            .collect::<PortResult<Vec<LvmUuid>>>()?;
        let Ok(text) = self.devices_file(file).1 else {
            return Ok(Applied::Identity);
        };
        let mut applied = Applied::Identity;
        for id in seen::stale(seen::entries(&text), &ids)
            .iter()
            .filter_map(|entry| entry.pv)
        {
            let line = [
                "lvmdevices",
                "--devicesfile",
                file,
                "--delpvid",
                id.compact(),
            ];
            let line = line.map(str::to_owned).into();
            match self.lvm(pool.name.as_str(), LEASE_DEADLINE, line) {
                Ok(_) => applied = Applied::Changed,
                Err(error) => tracing::warn!(pool = %pool.name, %id, %error, "a stale entry stays"),
            }
        }
        Ok(applied)
    }

    /// Where a devices file of this name is, and its text; for `doctor`.
    ///
    /// # Errors
    /// In the text's place: if it is not there or cannot be read.
    pub fn devices_file(&self, file: &str) -> (PathBuf, io::Result<String>) {
        let inside = Path::new(DEVICES_FOLDER).join(file);
        let text = self.etc.dir().read_to_string(&inside);
        (self.etc.path_of(inside), text)
    }

    /// The pool's physical volumes, as a devices file (or LVM's own choice) shows them.
    fn listed(&self, pool: &PoolSettings, file: Option<&str>) -> PortResult<Vec<Pv>> {
        let mut options = vec!["--config", config(pool.kind)];
        options.extend(file.into_iter().flat_map(|file| ["--devicesfile", file]));
        let all = self.pvs(pool.name.as_str(), &options)?.into_iter();
        Ok(all.filter(|pv| pv.vg_name == pool.name.as_str()).collect())
    }
}

/// Of those that are there.
fn devices(pvs: &[Pv]) -> Vec<&str> {
    let there = pvs.iter().filter(|pv| pv.is_there());
    there.map(|pv| pv.pv_name.as_str()).collect()
}
