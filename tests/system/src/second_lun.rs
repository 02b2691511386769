//! A second LUN that all nodes see, shown to them while they run, as a storage system does it; and the pool on it.

use serde_json::json;

use crate::volward::{Setup, Volward};
use crate::{Cluster, Node, Result, shared_vg};

/// The disk's name, which its serial number is: `/dev/disk/by-id/virtio-lun2` on each node.
const LUN: &str = "lun2";
/// Sparse, in GiB.
const SIZE_GIB: u64 = 8;
/// The shared pool on it.
pub const SECOND_POOL: &str = "vg1";

impl Cluster {
    /// Shows a second LUN to all nodes, each with a path of its own, and makes the shared volume group
    /// [`SECOND_POOL`] on it, joined by all.
    ///
    /// # Errors
    /// When QEMU refuses, or LVM does.
    pub fn add_lun(&self) -> Result<()> {
        self.make_disk(&format!("{LUN}.img"), SIZE_GIB)?;
        self.on_all(show)?;
        self.on_all(|node| {
            let there = format!(
                "for _ in $(seq 300); do [ -b /dev/disk/by-id/virtio-{LUN} ] && exit; sleep 0.1; done; exit 1"
            );
            node.run_ok(&there).map(drop)
        })?;
        if let Some(first) = self.nodes().first() {
            shared_vg::create(first, (LUN, SECOND_POOL))?;
        }
        self.on_all(|node| shared_vg::join(node, SECOND_POOL))
    }
}

impl Volward<'_> {
    /// Makes what [`Cluster::add_lun`] has brought a pool of all nodes: their daemons are started again.
    ///
    /// # Errors
    /// When one does not come back or does not serve it.
    pub fn add_pool(&self) -> Result<()> {
        let setup = Setup {
            config: format!(
                "[[pool]]\nname = \"{SECOND_POOL}\"\nprovider = \"{}\"\n",
                self.cluster().provider()
            ),
            ..Setup::default()
        };
        Self::set_up(self.cluster(), &setup)?;
        let init = format!("pool init {SECOND_POOL}");
        // The first makes the registry; each makes itself a devices file.
        if let Some(first) = self.cluster().nodes().first() {
            self.cli_ok(first.number(), &init)?;
        }
        self.cluster().on_all(|node| {
            self.cli_ok(node.number(), &init)?;
            self.wait_for_pool(node.number(), SECOND_POOL)
        })
    }
}

fn show(node: &Node) -> Result<()> {
    let mut qmp = node.qmp()?;
    qmp.execute(
        "blockdev-add",
        json!({
            "driver": "file", "node-name": format!("{LUN}-file"), "filename": format!("{LUN}.img"), "locking": "off",
            "discard": "unmap", "cache": {"no-flush": true},
        }),
    )?;
    qmp.execute(
        "blockdev-add",
        json!({
            "driver": "raw", "node-name": format!("{LUN}-raw"), "file": format!("{LUN}-file"), "discard": "unmap",
        }),
    )?;
    qmp.execute(
        "device_add",
        json!({
            "driver": "virtio-blk-pci", "id": LUN, "drive": format!("{LUN}-raw"), "share-rw": true, "serial": LUN,
            "rerror": "report", "werror": "report",
        }),
    )?;
    Ok(())
}
