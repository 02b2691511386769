//! Physical volumes by themselves: which there are, where, and of which group.

use serde::Deserialize;
use volward_model::LvmUuid;
use volward_ports::PortResult;

use super::report::{Reports, id, json};
use super::{Lvm, REPORT_DEADLINE};

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    pv: Vec<Pv>,
}

/// As LVM lists it.
#[derive(Deserialize)]
pub(super) struct Pv {
    pv_uuid: String,
    /// The path of its device.
    pub(super) pv_name: String,
    /// Empty of one that is in no group.
    pub(super) vg_name: String,
}

impl Pv {
    pub(super) fn id(&self) -> PortResult<LvmUuid> {
        id("pv_uuid", &self.pv_uuid)
    }

    /// Whether it is there.
    pub(super) fn is_there(&self) -> bool {
        is_device(&self.pv_name)
    }
}

/// Whether LVM names a device: one that it misses is called `[unknown]`.
pub(super) fn is_device(path: &str) -> bool {
    path.starts_with('/')
}

impl Lvm {
    /// What `pvs` lists with these options.
    pub(super) fn pvs(&self, lane: &str, options: &[&str]) -> PortResult<Vec<Pv>> {
        let mut line = vec!["pvs", "--reportformat", "json"];
        line.extend(["-o", "pv_uuid,pv_name,vg_name"]);
        line.extend(options);
        let line = line.into_iter().map(str::to_owned).collect();
        let output = self.lvm(lane, REPORT_DEADLINE, line)?;
        let reports: Reports<Report> = json(&output.stdout)?;
        let all = reports.report.into_iter();
        Ok(all.flat_map(|report| report.pv).collect())
    }
}
