//! A devices file for a pool: `pool init` makes it, once per node.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use volward_ports::{Applied, PortError, PortResult, Unmet};

use super::{DEVICES_FOLDER, LEASE_DEADLINE, Lvm, PoolSettings, REPORT_DEADLINE, config};

#[derive(Deserialize)]
struct Reports {
    report: Vec<Report>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    pv: Vec<Pv>,
}

#[derive(Deserialize)]
struct Pv {
    pv_name: String,
    vg_name: String,
}

impl Lvm {
    /// Makes the pool's devices file from the physical volumes LVM finds for it by its own
    /// configuration. The system's devices file is read, never written (I16).
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
        let etc = self.etc.dir();
        let inside = Path::new(DEVICES_FOLDER).join(file);
        let there = etc.exists(&inside);
        let listed = self.listed(pool, there.then_some(file))?;
        let wanted = self.listed(pool, None)?;
        if wanted.is_empty() {
            return Err(PortError::Missing {
                what: format!("a physical volume of volume group {}", pool.name),
            });
        }
        if there && wanted.iter().all(|device| listed.contains(device)) {
            return Ok(Applied::Identity);
        }
        let made = etc.create_dir_all(DEVICES_FOLDER);
        made.map_err(|error| PortError::Io {
            what: format!("cannot make {}", self.etc.path_of(DEVICES_FOLDER).display()),
            reason: error.to_string(),
        })?;
        for device in &wanted {
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
        Ok(Applied::Changed)
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

    /// The devices of the pool's physical volumes, as a devices file (or LVM's own choice) has
    /// them.
    fn listed(&self, pool: &PoolSettings, file: Option<&str>) -> PortResult<Vec<String>> {
        let mut line = vec!["pvs", "--reportformat", "json", "-o", "pv_name,vg_name"];
        line.extend(["--config", config(pool.kind)]);
        line.extend(file.into_iter().flat_map(|file| ["--devicesfile", file]));
        let line = line.into_iter().map(str::to_owned).collect();
        let output = self.lvm(pool.name.as_str(), REPORT_DEADLINE, line)?;
        let reports: Reports =
            serde_json::from_slice(&output.stdout).map_err(|error| PortError::Unreadable {
                what: "LVM's report of physical volumes".to_owned(),
                reason: error.to_string(),
            })?;
        let all = reports.report.into_iter().flat_map(|report| report.pv);
        // A missing physical volume has no device: `[unknown]`.
        Ok(all
            .filter(|pv| pv.vg_name == pool.name.as_str() && pv.pv_name.starts_with('/'))
            .map(|pv| pv.pv_name)
            .collect())
    }
}
