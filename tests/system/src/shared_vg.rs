//! Shared volume groups on nodes, by LVM's own commands.

use std::time::Duration;

use crate::{Node, Result};

const CREATE: &str = include_str!("guest/pool-create");
const JOIN: &str = include_str!("guest/pool-join");
/// What a saved cluster depends on.
pub(crate) const SCRIPTS: &str = concat!(
    include_str!("guest/pool-create"),
    include_str!("guest/pool-join")
);
/// The LUN that every cluster has, by its serial number, and the volume group on it.
pub(crate) const FIRST: (&str, &str) = ("lun", "vg0");
/// `vgcreate --shared` alone waits for 8 I/O timeouts of sanlock, and emulation is slow.
pub(crate) const STEP: Duration = Duration::from_secs(240);

/// Makes the volume group on a LUN: on one node.
pub(crate) fn create(node: &Node, (lun, pool): (&str, &str)) -> Result<()> {
    let script = format!("lun={lun} pool={pool}\n{CREATE}");
    node.run_ok_within(STEP, &script).map(drop)
}

/// Joins its lockspace, and makes the node's local volume group where there is none yet.
pub(crate) fn join(node: &Node, pool: &str) -> Result<()> {
    let script = format!("pool={pool}\n{JOIN}");
    node.run_ok_within(STEP, &script).map(drop)
}
