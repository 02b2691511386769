//! The package on nodes that systemd boots: installed by apt, set up by `volward setup`, as an operator does it.

use std::fs;
use std::time::Duration;

use crate::error::IoContext;
use crate::{Cluster, Lab, LabError, Progress, Result};

const SET_UP: &str = include_str!("guest/package-set-up");
const START: &str = include_str!("guest/package-start");
const POOL_CREATE: &str = include_str!("guest/pool-create");

/// With sanlock's own timeout, `vgcreate --shared` and joining take 27 s each on a fast machine.
const STEP: Duration = Duration::from_secs(300);

/// The package is where the nodes look for it.
pub(crate) fn has_package(lab: &Lab) -> Result<()> {
    let folder = lab.share().join("debian");
    let there = fs::read_dir(&folder).at("list", &folder)?;
    let mut names = there.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    if names.any(|name| name.starts_with("volward_") && name.ends_with(".deb")) {
        return Ok(());
    }
    Err(LabError::Machine(
        "there is no package: `cargo xtask package --debug` makes it".into(),
    ))
}

/// From booted nodes to a cluster that serves.
pub(crate) fn set_up(cluster: &Cluster, progress: Progress) -> Result<()> {
    progress.during("cluster: the package, by apt, and its set-up", || {
        cluster.on_all(|node| {
            let number = node.number();
            node.run_ok_within(STEP, &format!("node={number}\n{SET_UP}"))
                .map(drop)
        })
    })?;
    progress.during("cluster: vg0 and volwardd", || {
        cluster.node(1).run_ok_within(STEP, POOL_CREATE)?;
        // One after another: the first makes the registry.
        cluster.nodes().iter().try_for_each(|node| {
            let join = "vgchange --lock-start vg0\n";
            let script = format!("{join}{START}");
            node.run_ok_within(STEP, &script).map(drop)
        })
    })
}
