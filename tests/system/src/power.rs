//! A node whose power is cut, with what a real one keeps on its own disk. The lab's quick nodes boot with a fresh root.

use crate::volward::{Setup, Volward};
use crate::{Cluster, ClusterSpec, Node, Result};

/// What is kept.
const KEPT: &str = "etc/volward etc/lvm/devices etc/libvirt/qemu var/lib/volward";

/// Makes room for what is kept, on the node's own disk. Once, before [`cut`].
///
/// # Errors
/// When the local pool has no room.
pub fn makes_room(node: &Node) -> Result<()> {
    node.run_ok("lvcreate -qq -n keep -L 64M local").map(drop)
}

/// Cuts a node's power.
///
/// # Errors
/// When it is down already.
pub fn cut(node: &Node) -> Result<()> {
    let keep = format!("tar -C / -cf /dev/local/keep {KEPT} && sync");
    node.run_ok(&keep)?;
    node.kill()
}

/// Boots it, with Volward as it was left; the node is a member of its cluster again.
///
/// # Errors
/// When it does not come up, cannot join, or the daemon does not start.
pub fn boot(
    cluster: &Cluster,
    spec: &ClusterSpec,
    volward: &Volward<'_>,
    number: u8,
) -> Result<()> {
    cluster.rejoin(number, spec)?;
    let restore = "lvchange -ay local/keep && tar -C / -xf /dev/local/keep";
    volward.node(number).run_ok(restore)?;
    volward.install_node(number, &Setup::default())
}
