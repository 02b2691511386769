//! Breaking a node's path to the LUN, in QEMU, so that the node's own kernel sees the fault.

use serde_json::json;

use crate::qmp::Qmp;
use crate::{Node, Result};

/// The device that holds the disk; `lun` itself is only its PCI shell.
const BACKEND: &str = "/machine/peripheral/lun/virtio-backend";

/// How a path breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Requests hang, and land when the path heals: a dead fabric with queueing.
    Hang,
    /// Requests fail with EIO at once: a removed LUN.
    Errors,
}

impl Node {
    /// Cuts this node's path to the LUN; the other nodes keep theirs.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn cut_lun(&self, how: Cut) -> Result<()> {
        let mut qmp = self.qmp()?;
        match how {
            Cut::Hang => {
                throttle(&mut qmp, 1)?;
                // A fresh throttle lets one request pass. Let it be ours and not the node's.
                qmp.human(&format!("qemu-io -d {BACKEND} \"aio_read -q 0 512\""))?;
            }
            Cut::Errors => {
                qmp.execute(
                    "blockdev-add",
                    json!({
                        "driver": "blkdebug", "node-name": "lun-broken", "image": "lun-raw",
                        "inject-error": [{"event": "none", "errno": 5, "immediately": true}],
                    }),
                )?;
                plug(&mut qmp, "lun-broken")?;
            }
        }
        Ok(())
    }

    /// Slows this node's path to the LUN down to so many bytes a second: what copies gigabytes
    /// in practice takes as long with megabytes.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn slow_lun(&self, bytes_per_second: u32) -> Result<()> {
        throttle(&mut self.qmp()?, bytes_per_second)
    }

    /// Heals what [`Node::cut_lun`] cut or [`Node::slow_lun`] slowed; of a path that was not cut, nothing changes.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn restore_lun(&self) -> Result<()> {
        let mut qmp = self.qmp()?;
        throttle(&mut qmp, 0)?;
        let nodes = qmp.execute("query-named-block-nodes", json!({"flat": true}))?;
        let broken = nodes
            .as_array()
            .is_some_and(|all| all.iter().any(|node| node["node-name"] == "lun-broken"));
        if broken {
            plug(&mut qmp, "lun-raw")?;
            qmp.execute("blockdev-del", json!({"node-name": "lun-broken"}))?;
        }
        Ok(())
    }
}

/// Bytes per second; 0 is no limit, and lets go what was held.
fn throttle(qmp: &mut Qmp, rate: u32) -> Result<()> {
    let limits = json!({
        "id": BACKEND, "bps": rate, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
    });
    qmp.execute("block_set_io_throttle", limits)?;
    Ok(())
}

fn plug(qmp: &mut Qmp, block_node: &str) -> Result<()> {
    let drive =
        json!({"path": "/machine/peripheral/lun", "property": "drive", "value": block_node});
    qmp.execute("qom-set", drive)?;
    Ok(())
}
