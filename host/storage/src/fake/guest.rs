//! I/O through fake devices, as a guest and dm-clone do it.

use volward_model::{Backing, CloneTable, DeviceId, MirrorTable, NodeName, Table, VolumeId};
use volward_ports::{PortError, PortResult};

use super::data::BLOCK;
use super::node::FakeNode;
use super::relocate::is_halted;
use super::world::{CloneMetadata, MetadataAt, World, unit};

fn io(id: DeviceId, reason: &str) -> PortError {
    PortError::Io {
        what: format!("I/O on device {id}"),
        reason: reason.to_owned(),
    }
}

fn halted(volume: VolumeId) -> PortError {
    PortError::Io {
        what: format!("I/O on LV {volume}"),
        reason: "its move between disks was halted".to_owned(),
    }
}

/// What a device does with I/O at this moment.
enum Live {
    Linear(Backing),
    Clone(Box<CloneTable>, MetadataAt),
    /// With so many blocks that are equal.
    Mirror(MirrorTable, u64),
}

fn live(world: &World, node: &NodeName, id: DeviceId) -> PortResult<Live> {
    let device = world.node(node).devices.get(&id);
    let device = device.ok_or_else(|| io(id, "there is no such device"))?;
    if device.suspended {
        return Err(io(id, "it is suspended"));
    }
    match &device.table {
        Table::Error { .. } => Err(io(id, "its table is an error table")),
        Table::Linear { on, .. } => Ok(Live::Linear(*on)),
        Table::Part { .. } => Err(io(id, "no guest has it")),
        Table::Mirror(mirror) => Ok(Live::Mirror(mirror.clone(), device.equal)),
        Table::Clone(clone) => {
            let metadata = world.metadata_of(node, clone)?;
            Ok(Live::Clone(Box::new(clone.clone()), metadata))
        }
    }
}

fn unit_of(clone: &CloneTable, block: u64) -> u64 {
    block * BLOCK.0 / unit(clone.region).0
}

fn units(clone: &CloneTable) -> u64 {
    clone.size.bytes().0.div_ceil(unit(clone.region).0)
}

fn blocks(clone: &CloneTable, number: u64) -> std::ops::Range<u64> {
    let per = unit(clone.region).0 / BLOCK.0;
    let end = (clone.size.bytes().0).div_ceil(BLOCK.0);
    number * per..((number + 1) * per).min(end)
}

fn hydrated(world: &World, metadata: MetadataAt, number: u64) -> bool {
    let begun = world.clone_metadata.get(&metadata);
    begun.is_some_and(|begun| begun.units.contains(&number))
}

pub(super) fn read_backing(
    world: &World,
    node: &NodeName,
    on: Backing,
    block: u64,
) -> PortResult<u64> {
    match on {
        Backing::Device(id) => read(world, node, id, block),
        Backing::Volume(volume) if !world.node(node).active.contains(&volume) => {
            Err(PortError::Missing {
                what: format!("an active LV {volume}"),
            })
        }
        Backing::Volume(volume) if is_halted(world, node, volume) => Err(halted(volume)),
        Backing::Volume(volume) => {
            let contents = world.contents.get(&volume);
            Ok(contents.map_or(0, |contents| contents.get(block)))
        }
    }
}

pub(super) fn write_backing(
    world: &mut World,
    node: &NodeName,
    on: Backing,
    block: u64,
    value: u64,
) -> PortResult<()> {
    match on {
        Backing::Device(id) => write(world, node, id, block, value),
        Backing::Volume(volume) if !world.node(node).active.contains(&volume) => {
            Err(PortError::Missing {
                what: format!("an active LV {volume}"),
            })
        }
        Backing::Volume(volume) if is_halted(world, node, volume) => Err(halted(volume)),
        Backing::Volume(volume) => {
            if let Some(contents) = world.contents.get_mut(&volume) {
                contents.set(block, value);
            }
            Ok(())
        }
    }
}

fn read(world: &World, node: &NodeName, id: DeviceId, block: u64) -> PortResult<u64> {
    match live(world, node, id)? {
        Live::Linear(on) => read_backing(world, node, on, block),
        Live::Mirror(mirror, _) => read_backing(world, node, mirror.on, block),
        Live::Clone(clone, metadata) => {
            let from = if hydrated(world, metadata, unit_of(&clone, block)) {
                clone.destination
            } else {
                clone.source
            };
            read_backing(world, node, from, block)
        }
    }
}

fn write(
    world: &mut World,
    node: &NodeName,
    id: DeviceId,
    block: u64,
    value: u64,
) -> PortResult<()> {
    if world
        .node(node)
        .devices
        .get(&id)
        .is_some_and(|device| device.read_only)
    {
        return Err(io(id, "it is read-only"));
    }
    match live(world, node, id)? {
        Live::Linear(on) => write_backing(world, node, on, block, value),
        Live::Mirror(mirror, equal) => {
            // What is not equal yet is copied later, as it is then.
            if block < equal {
                write_backing(world, node, mirror.copy, block, value)?;
            }
            write_backing(world, node, mirror.on, block, value)
        }
        Live::Clone(clone, metadata) => {
            // A partial write hydrates its region first.
            hydrate_unit(world, node, id, &clone, metadata, unit_of(&clone, block))?;
            write_backing(world, node, clone.destination, block, value)
        }
    }
}

/// Copies one unit; raises the event when it was the last.
fn hydrate_unit(
    world: &mut World,
    node: &NodeName,
    id: DeviceId,
    clone: &CloneTable,
    metadata: MetadataAt,
    number: u64,
) -> PortResult<()> {
    if hydrated(world, metadata, number) {
        return Ok(());
    }
    for block in blocks(clone, number) {
        let value = read_backing(world, node, clone.source, block)?;
        write_backing(world, node, clone.destination, block, value)?;
    }
    finish(world, node, id, clone, metadata, number);
    Ok(())
}

fn finish(
    world: &mut World,
    node: &NodeName,
    id: DeviceId,
    clone: &CloneTable,
    metadata: MetadataAt,
    number: u64,
) {
    let begun = world.clone_metadata.entry(metadata);
    let begun = begun.or_insert_with(|| CloneMetadata::of(clone.region));
    begun.units.insert(number);
    if begun.units.len() as u64 == units(clone)
        && let Some(device) = world.node_mut(node).devices.get_mut(&id)
    {
        device.event += 1;
    }
}

/// A discard of a whole region counts it as hydrated without copying: from then on it reads as
/// the destination's old content (seen on real nodes; I21).
fn discard(world: &mut World, node: &NodeName, id: DeviceId, block: u64) -> PortResult<()> {
    let device = world.node(node).devices.get(&id);
    if device.is_some_and(|device| !device.discards || device.read_only) {
        return Err(io(id, "it takes no discards"));
    }
    match live(world, node, id)? {
        Live::Linear(Backing::Device(below)) => discard(world, node, below, block),
        Live::Linear(Backing::Volume(_)) | Live::Mirror(..) => Ok(()),
        Live::Clone(clone, metadata) => {
            let number = unit_of(&clone, block);
            if !hydrated(world, metadata, number) {
                finish(world, node, id, &clone, metadata, number);
            }
            Ok(())
        }
    }
}

impl FakeNode {
    /// A guest reads a block ([`BLOCK`]) of a device.
    ///
    /// # Errors
    /// As the kernel: no device, an error table, an inactive LV below.
    pub fn guest_read(&self, id: DeviceId, block: u64) -> PortResult<u64> {
        read(&self.cluster().world(), self.name(), id, block)
    }

    /// A guest writes a block of a device.
    ///
    /// # Errors
    /// As [`FakeNode::guest_read`]; or if the device is read-only.
    pub fn guest_write(&self, id: DeviceId, block: u64, value: u64) -> PortResult<()> {
        write(&mut self.cluster().world(), self.name(), id, block, value)
    }

    /// A guest has so many reads and writes done on a device, each of which takes so long; what they
    /// are of does not matter.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn guest_works(&self, id: DeviceId, ios: u64, each: std::time::Duration) -> PortResult<()> {
        let mut world = self.cluster().world();
        let device = world.node_mut(self.name()).devices.get_mut(&id);
        let device = device.ok_or_else(|| io(id, "there is no such device"))?;
        device.io.done += ios;
        device.io.busy_us += ios * u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The amounts that a clone has now: regions at once, and in one piece.
    #[must_use]
    pub fn amounts(&self, id: DeviceId) -> Option<(u32, u32)> {
        let world = self.cluster().world();
        match &world.node(self.name()).devices.get(&id)?.table {
            Table::Clone(clone) => Some((clone.threshold, clone.batch)),
            _ => None,
        }
    }

    /// A guest discards the region a block is in.
    ///
    /// # Errors
    /// As [`FakeNode::guest_write`]; or if the device takes no discards.
    pub fn guest_discard(&self, id: DeviceId, block: u64) -> PortResult<()> {
        discard(&mut self.cluster().world(), self.name(), id, block)
    }

    /// Lets dm-clone hydrate at most that many regions in the background, or blocks where these are more, if that is on; says
    /// how many it did.
    ///
    /// # Errors
    /// If the device is no live clone, or its source cannot be read.
    pub fn hydrate(&self, id: DeviceId, at_most: u64) -> PortResult<u64> {
        let mut world = self.cluster().world();
        let Live::Clone(clone, metadata) = live(&world, self.name(), id)? else {
            return Err(io(id, "it is no clone"));
        };
        let node = world.node(self.name());
        if !node.devices.get(&id).is_some_and(|device| device.hydrating) {
            return Ok(0);
        }
        let missing: Vec<u64> = (0..units(&clone))
            .filter(|number| !hydrated(&world, metadata, *number))
            .take(usize::try_from(at_most).unwrap_or(usize::MAX))
            .collect();
        for number in &missing {
            hydrate_unit(&mut world, self.name(), id, &clone, metadata, *number)?;
        }
        Ok(missing.len() as u64)
    }
}
