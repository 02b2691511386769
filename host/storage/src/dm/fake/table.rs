//! What the kernel checks of a table before it is loaded.

use volward_model::{Backing, NodeName, Sectors, Table, VolumeId};
use volward_ports::{PortError, PortResult};

use crate::fake::World;
use crate::fake::world::CloneMetadata;

pub(super) fn backing(table: &Table) -> Vec<Backing> {
    match table {
        Table::Linear { on, .. } | Table::Part { on, .. } => vec![*on],
        Table::Clone(clone) => vec![clone.metadata, clone.destination, clone.source],
        Table::Mirror(mirror) => vec![mirror.on, mirror.copy],
        Table::Error { .. } => Vec::new(),
    }
}

pub(super) fn size(table: &Table) -> Sectors {
    match table {
        Table::Linear { size, .. } | Table::Part { size, .. } | Table::Error { size } => *size,
        Table::Clone(clone) => clone.size,
        Table::Mirror(mirror) => mirror.size,
    }
}

/// What loading a table checks.
pub(super) fn check(world: &mut World, node: &NodeName, table: &Table) -> PortResult<()> {
    for on in backing(table) {
        let (there, length) = match on {
            Backing::Volume(volume) => (
                world.node(node).active.contains(&volume),
                lv_size(world, volume),
            ),
            Backing::Device(id) => match world.node(node).devices.get(&id) {
                Some(device) => (true, Some(size(&device.table))),
                None => (false, None),
            },
        };
        if !there {
            return Err(PortError::Missing {
                what: format!("the device {on:?} a table stands on"),
            });
        }
        let metadata_of_clone = matches!(table, Table::Clone(clone) if clone.metadata == on);
        let end = match table {
            Table::Part { start, size, .. } => Sectors(start.0 + size.0),
            _ => size(table),
        };
        if !metadata_of_clone && length.is_none_or(|length| length < end) {
            return Err(PortError::Io {
                what: "cannot load a table".to_owned(),
                reason: format!("{on:?} is smaller than the table"),
            });
        }
    }
    if let Table::Clone(clone) = table {
        let metadata = world.metadata_of(node, clone)?;
        let start = Sectors(metadata.1).bytes();
        if !world.clone_metadata.contains_key(&metadata) {
            let zeroed = world
                .contents
                .get(&metadata.0)
                .is_some_and(|contents| contents.is_zero_at(start));
            if !zeroed {
                return Err(PortError::Io {
                    what: "cannot load a table".to_owned(),
                    reason: "dm-clone's metadata is neither zeroed nor its own (I21)".to_owned(),
                });
            }
            let fresh = CloneMetadata::of(clone.region);
            world.clone_metadata.insert(metadata, fresh);
        }
        let begun = world.clone_metadata.get(&metadata);
        if begun.is_some_and(|begun| begun.region != clone.region) {
            return Err(PortError::Io {
                what: "cannot load a table".to_owned(),
                reason: "dm-clone's metadata is of regions of another size".to_owned(),
            });
        }
    }
    Ok(())
}

fn lv_size(world: &World, volume: VolumeId) -> Option<Sectors> {
    let mut volumes = world.pools.values().flat_map(|pool| pool.volumes.values());
    volumes.find(|lv| lv.id == volume)?.size.sectors()
}
