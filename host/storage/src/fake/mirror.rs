//! What dm-mirror does beside the guest's I/O.

use volward_model::{Backing, DeviceId, MirrorStatus, NodeName, Table, VolumeId};
use volward_ports::{PortError, PortResult};

use super::data::BLOCK;
use super::guest::{read_backing, write_backing};
use super::node::FakeNode;
use super::world::{Device, World};

/// Between two looks so much of a mirror becomes equal.
const PARTS: u64 = 3;

fn device<'a>(world: &'a World, node: &NodeName, id: DeviceId) -> PortResult<&'a Device> {
    let found = world.node(node).devices.get(&id);
    found.ok_or_else(|| PortError::Missing {
        what: format!("device {id}"),
    })
}

fn blocks(table: &Table) -> u64 {
    match table {
        Table::Mirror(mirror) => mirror.size.bytes().0.div_ceil(BLOCK.0),
        _ => 0,
    }
}

pub(crate) fn status(
    world: &World,
    node: &NodeName,
    id: DeviceId,
) -> PortResult<Option<MirrorStatus>> {
    let device = device(world, node, id)?;
    if !matches!(device.table, Table::Mirror(_)) {
        return Ok(None);
    }
    Ok(Some(MirrorStatus {
        equal: device.equal,
        total: blocks(&device.table),
        sound: !world.node(node).mirrors_fail,
    }))
}

/// Copies a part of what is not equal yet.
pub(crate) fn copy_on(world: &mut World, node: &NodeName, id: DeviceId) -> PortResult<()> {
    let device = device(world, node, id)?;
    let Table::Mirror(mirror) = device.table.clone() else {
        return Ok(());
    };
    let (equal, total) = (device.equal, blocks(&device.table));
    let end = total.min(equal + total.div_ceil(PARTS));
    for block in equal..end {
        let value = read_backing(world, node, mirror.on, block)?;
        write_backing(world, node, mirror.copy, block, value)?;
    }
    if let Some(device) = world.node_mut(node).devices.get_mut(&id) {
        device.equal = end;
    }
    Ok(())
}

impl FakeNode {
    /// The second leg of mirrors can be written, or not.
    pub fn set_mirrors_fail(&self, fail: bool) {
        self.with(|node| node.mirrors_fail = fail);
    }

    /// Devices that are mirrors, each with the volume that is its second leg.
    #[must_use]
    pub fn mirrors(&self) -> Vec<(DeviceId, VolumeId)> {
        self.with(|node| {
            let devices = node.devices.iter();
            let mirrors = devices.filter_map(|(id, device)| match &device.table {
                Table::Mirror(mirror) => match mirror.copy {
                    Backing::Volume(copy) => Some((*id, copy)),
                    Backing::Device(_) => None,
                },
                _ => None,
            });
            mirrors.collect()
        })
    }
}
