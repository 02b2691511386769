//! dm-clone's metadata, and discards that count as copied.

use std::ops::Range;

use volward_model::{Backing, CloneTable, DeviceId, NodeName, RegionMap, Sectors, Table};
use volward_ports::{PortError, PortResult};

use super::world::World;

fn clone_of(world: &World, node: &NodeName, id: DeviceId) -> Option<CloneTable> {
    match &world.node(node).devices.get(&id)?.table {
        Table::Clone(clone) => Some(clone.clone()),
        _ => None,
    }
}

/// What is in the metadata; without the last region where a test has it lag behind.
pub(crate) fn map(
    world: &World,
    node: &NodeName,
    id: DeviceId,
    metadata: Backing,
) -> PortResult<RegionMap> {
    let unreadable = |reason: &str| PortError::Unreadable {
        what: format!("the metadata of device {id}"),
        reason: reason.to_owned(),
    };
    let clone = clone_of(world, node, id).ok_or_else(|| unreadable("it is no clone"))?;
    if clone.metadata != metadata {
        return Err(unreadable("it is another clone's"));
    }
    let at = world.metadata_of(node, &clone)?;
    let mut hydrated = world.clone_metadata.get(&at).cloned().unwrap_or_default();
    if world.node(node).metadata_lags {
        hydrated.pop_last();
    }
    let total = clone.size.0.div_ceil(clone.region.0);
    let words = (0..total.div_ceil(64)).map(|word| {
        let bits = hydrated.range(word * 64..(word + 1) * 64);
        bits.fold(0, |bits, region| bits | 1 << (region % 64))
    });
    let map = RegionMap::new(clone.region, clone.size, words.collect());
    map.ok_or_else(|| unreadable("it has too many regions"))
}

/// As a discard of a clone with `no_discard_passdown`.
pub(crate) fn pass_over(
    world: &mut World,
    node: &NodeName,
    id: DeviceId,
    region: Sectors,
    regions: &[Range<u64>],
) -> PortResult<()> {
    let invalid = |reason: &str| PortError::Invalid {
        what: format!("passing over regions of device {id}"),
        reason: reason.to_owned(),
    };
    let clone = clone_of(world, node, id).ok_or_else(|| invalid("it is no clone"))?;
    let full = clone.size.0 / clone.region.0;
    let whole = regions.iter().all(|run| run.end <= full);
    if clone.region != region || !whole {
        return Err(invalid("they are not the clone's"));
    }
    let at = world.metadata_of(node, &clone)?;
    let total = clone.size.0.div_ceil(clone.region.0);
    let hydrated = world.clone_metadata.entry(at).or_default();
    hydrated.extend(regions.iter().cloned().flatten());
    if hydrated.len() as u64 == total
        && let Some(device) = world.node_mut(node).devices.get_mut(&id)
    {
        device.event += 1;
    }
    Ok(())
}
