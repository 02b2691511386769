//! dm-clone's metadata, and discards that count as copied.

use std::collections::BTreeSet;
use std::ops::Range;

use volward_model::{Backing, CloneTable, DeviceId, NodeName, RegionMap, Sectors, Table};
use volward_ports::{PortError, PortResult};

use super::world::{CloneMetadata, World, regions_of, unit};

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
    let begun = world.clone_metadata.get(&at);
    let mut units = begun.map(|begun| begun.units.clone()).unwrap_or_default();
    if world.node(node).metadata_lags {
        units.pop_last();
    }
    let regions = units.into_iter().flat_map(|unit| regions_of(&clone, unit));
    let hydrated: BTreeSet<u64> = regions.collect();
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
    let all = clone.size.bytes().0.div_ceil(unit(region).0);
    let is_passed = |number: &u64| {
        let of_unit = regions_of(&clone, *number);
        let mut runs = regions.iter();
        runs.any(|run| run.start <= of_unit.start && of_unit.end <= run.end)
    };
    let passed: Vec<u64> = (0..all).filter(is_passed).collect();
    let begun = world.clone_metadata.entry(at);
    let begun = begun.or_insert_with(|| CloneMetadata::of(region));
    begun.units.extend(passed);
    if begun.units.len() as u64 == all
        && let Some(device) = world.node_mut(node).devices.get_mut(&id)
    {
        device.event += 1;
    }
    Ok(())
}
