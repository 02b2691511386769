//! Device-mapper in memory, dm-clone included.

use std::ops::Range;
use std::time::Duration;

use volward_model::{
    Backing, Bytes, CloneMode, CloneStatus, CloneTable, DeviceId, DeviceInfo, DeviceNumber,
    IoCounters, MirrorStatus, NodeName, RegionMap, Sectors, Table, VolumeId,
};
use volward_ports::{Applied, Devices, LinkPath, PortError, PortResult, Split, SplitAt};

use crate::fake::world::regions_of;
use crate::fake::{Device, FakeNode, World, mirror, regions, relocate};

mod table;

use table::{backing, check, size};

fn missing(id: DeviceId) -> PortError {
    PortError::Missing {
        what: format!("device {id}"),
    }
}

fn device(world: &World, node: &NodeName, id: DeviceId) -> PortResult<Device> {
    let found = world.node(node).devices.get(&id).cloned();
    found.ok_or_else(|| missing(id))
}

fn device_mut<'a>(
    world: &'a mut World,
    node: &NodeName,
    id: DeviceId,
) -> PortResult<&'a mut Device> {
    let found = world.node_mut(node).devices.get_mut(&id);
    found.ok_or_else(|| missing(id))
}

fn used_by_device(world: &World, node: &NodeName, id: DeviceId) -> bool {
    let on = Backing::Device(id);
    let devices = world.node(node).devices.values();
    devices
        .into_iter()
        .any(|device| backing(&device.table).contains(&on))
}

fn info(world: &World, node: &NodeName, id: DeviceId, device: &Device) -> DeviceInfo {
    DeviceInfo {
        id,
        number: DeviceNumber {
            major: 253,
            minor: device.minor,
        },
        open: device.opened || used_by_device(world, node, id),
        suspended: device.suspended,
        read_only: device.read_only,
        target: Some(
            match device.table {
                Table::Linear { .. } | Table::Part { .. } => "linear",
                Table::Clone(_) => "clone",
                Table::Mirror(_) => "mirror",
                Table::Error { .. } => "error",
            }
            .to_owned(),
        ),
        size: size(&device.table),
        event: device.event,
    }
}

/// The same device, whatever a clone's knobs are by now.
fn same(a: &Table, b: &Table) -> bool {
    match (a, b) {
        (Table::Clone(a), Table::Clone(b)) => {
            let core = |c: &CloneTable| (c.metadata, c.destination, c.source, c.size, c.region);
            core(a) == core(b)
        }
        _ => a == b,
    }
}

fn create(
    world: &mut World,
    node: &NodeName,
    id: DeviceId,
    table: &Table,
    (read_only, discards): (bool, bool),
) -> PortResult<Applied> {
    check(world, node, table)?;
    if let Some(device) = world.node_mut(node).devices.get_mut(&id) {
        if !same(&device.table, table) || device.read_only != read_only {
            return Err(PortError::Identity {
                what: format!("device {id}"),
                expected: format!("{table:?}"),
                found: format!("{:?}", device.table),
            });
        }
        let resumed = std::mem::take(&mut device.suspended);
        device.discards = discards;
        return Ok(if resumed {
            Applied::Changed
        } else {
            Applied::Identity
        });
    }
    let minor = u32::try_from(world.next_number()).unwrap_or(u32::MAX);
    let device = Device {
        table: table.clone(),
        read_only,
        discards,
        suspended: false,
        opened: false,
        event: 0,
        minor,
        hydrating: matches!(table, Table::Clone(clone) if clone.hydrating),
        equal: 0,
        io: IoCounters::default(),
    };
    world.node_mut(node).devices.insert(id, device);
    Ok(Applied::Changed)
}

impl Devices for FakeNode {
    fn create(
        &self,
        id: DeviceId,
        table: &Table,
        read_only: bool,
        discards: bool,
    ) -> PortResult<Applied> {
        self.changes("create-device", id, |world, node| {
            create(world, node, id, table, (read_only, discards))
        })
    }

    fn remove(&self, id: DeviceId) -> PortResult<Applied> {
        self.changes("remove-device", id, |world, node| {
            let Some(device) = world.node(node).devices.get(&id) else {
                return Ok(Applied::Identity);
            };
            if device.opened || used_by_device(world, node, id) {
                return Err(PortError::Busy {
                    what: format!("device {id}"),
                });
            }
            world.node_mut(node).devices.remove(&id);
            Ok(Applied::Changed)
        })
    }

    fn users(&self, id: DeviceId) -> Vec<String> {
        let guest = self.is_open(id);
        let guest = guest.then(|| "qemu-system-x86 (process 4711)".to_owned());
        guest.into_iter().collect()
    }

    fn is_lv_open(&self, volume: VolumeId) -> PortResult<bool> {
        self.reads("is-lv-open", volume, |world, node| {
            Ok(world.node(node).lvs_opened.contains(&volume))
        })
    }

    fn halt_move(&self, volume: VolumeId) -> PortResult<Applied> {
        self.changes("halt-move", volume, |world, node| {
            Ok(relocate::halt(world, node, volume))
        })
    }

    fn is_move_halted(&self, volume: VolumeId) -> PortResult<bool> {
        self.reads("is-move-halted", volume, |world, node| {
            Ok(relocate::is_halted(world, node, volume))
        })
    }

    fn reload(&self, id: DeviceId, table: &Table, read_only: bool) -> PortResult<()> {
        self.changes("reload", id, |world, node| {
            device(world, node, id)?;
            check(world, node, table)?;
            let device = device_mut(world, node, id)?;
            device.table = table.clone();
            device.read_only = read_only;
            device.suspended = false;
            device.hydrating = matches!(table, Table::Clone(clone) if clone.hydrating);
            device.equal = 0;
            Ok(())
        })
    }

    /// Between two looks the kernel gets on.
    fn mirror_status(&self, id: DeviceId) -> PortResult<Option<MirrorStatus>> {
        self.changes("mirror-status", id, |world, node| {
            let seen = mirror::status(world, node, id)?;
            mirror::copy_on(world, node, id)?;
            Ok(seen)
        })
    }

    /// Between two of several devices it can be interrupted, as the kernel can; each has its own name in faults.
    fn split(&self, mirrors: &[Split]) -> PortResult<SplitAt> {
        let mut seen = Vec::new();
        for one in mirrors {
            let status = self.reads("split-status", one.id, |world, node| {
                check(world, node, &one.table)?;
                mirror::status(world, node, one.id)?.ok_or_else(|| PortError::Invalid {
                    what: format!("splitting device {}", one.id),
                    reason: "it is no mirror".to_owned(),
                })
            })?;
            seen.push(status);
        }
        if !seen.iter().all(MirrorStatus::whole) {
            return Ok(SplitAt::Kept(seen));
        }
        for one in mirrors {
            self.changes("split", one.id, |world, node| {
                let device = device_mut(world, node, one.id)?;
                (device.table, device.read_only) = (one.table.clone(), one.read_only);
                (device.suspended, device.equal) = (false, 0);
                Ok(())
            })?;
        }
        Ok(SplitAt::Done)
    }

    fn resume(&self, id: DeviceId) -> PortResult<Applied> {
        self.changes("resume", id, |world, node| {
            let device = device_mut(world, node, id)?;
            Ok(if std::mem::take(&mut device.suspended) {
                Applied::Changed
            } else {
                Applied::Identity
            })
        })
    }

    fn list(&self) -> PortResult<Vec<DeviceInfo>> {
        self.reads("list-devices", "", |world, node| {
            let devices = world.node(node).devices.iter();
            Ok(devices
                .map(|(id, device)| info(world, node, *id, device))
                .collect())
        })
    }

    fn get(&self, id: DeviceId) -> PortResult<Option<DeviceInfo>> {
        self.reads("get-device", id, |world, node| {
            let device = world.node(node).devices.get(&id);
            Ok(device.map(|device| info(world, node, id, device)))
        })
    }

    fn clone_status(&self, id: DeviceId) -> PortResult<Option<CloneStatus>> {
        self.reads("clone-status", id, |world, node| {
            let device = device(world, node, id)?;
            let Table::Clone(clone) = &device.table else {
                return Ok(None);
            };
            let begun = world.clone_metadata.get(&world.metadata_of(node, clone)?);
            let units = begun.iter().flat_map(|begun| &begun.units);
            let regions = units.map(|unit| regions_of(clone, *unit));
            Ok(Some(CloneStatus {
                region: clone.region,
                hydrated: regions.map(|regions| regions.end - regions.start).sum(),
                total: clone.size.0.div_ceil(clone.region.0),
                in_flight: 0,
                hydrating: device.hydrating,
                mode: CloneMode::ReadWrite,
            }))
        })
    }

    fn set_hydration(&self, id: DeviceId, on: bool) -> PortResult<()> {
        self.changes("set-hydration", format!("{id} {on}"), |world, node| {
            let device = device_mut(world, node, id)?;
            if !matches!(device.table, Table::Clone(_)) {
                return Err(PortError::Invalid {
                    what: format!("setting the hydration of device {id}"),
                    reason: "it is no clone".to_owned(),
                });
            }
            device.hydrating = on;
            Ok(())
        })
    }

    fn set_amounts(&self, id: DeviceId, threshold: u32, batch: u32) -> PortResult<()> {
        let detail = format!("{id} {threshold} {batch}");
        self.changes(
            "set-amounts",
            detail,
            |world, node| match &mut device_mut(world, node, id)?.table {
                Table::Clone(clone) if threshold > 0 && batch > 0 => {
                    clone.threshold = threshold;
                    clone.batch = batch;
                    Ok(())
                }
                _ => Err(PortError::Invalid {
                    what: format!("setting the amounts of device {id}"),
                    reason: "it is no clone, or one of them is 0".to_owned(),
                }),
            },
        )
    }

    fn region(&self, on: VolumeId, at: Sectors) -> PortResult<Option<Sectors>> {
        self.reads("region", on, |world, node| {
            if !world.node(node).active.contains(&on) {
                return Err(PortError::Missing {
                    what: format!("an active LV {on}"),
                });
            }
            let begun = world.clone_metadata.get(&(on, at.0));
            Ok(begun.map(|begun| begun.region))
        })
    }

    fn regions(&self, id: DeviceId, metadata: Backing) -> PortResult<RegionMap> {
        self.reads("regions", id, |world, node| {
            regions::map(world, node, id, metadata)
        })
    }

    fn pass_over(&self, id: DeviceId, region: Sectors, runs: &[Range<u64>]) -> PortResult<()> {
        let count = runs.len();
        self.changes("pass-over", format!("{id} {count}"), |world, node| {
            regions::pass_over(world, node, id, region, runs)
        })
    }

    fn io(&self, id: DeviceId) -> PortResult<Option<IoCounters>> {
        self.reads("io", id, |world, node| {
            Ok(world.node(node).devices.get(&id).map(|device| device.io))
        })
    }

    fn set_discards(&self, id: DeviceId, allowed: bool) -> PortResult<()> {
        self.changes("set-discards", format!("{id} {allowed}"), |world, node| {
            device_mut(world, node, id)?.discards = allowed;
            Ok(())
        })
    }

    /// Fake time passes only where a test lets it ([`FakeNode::while_waiting`]).
    fn wait_event(&self, id: DeviceId, event: u32, _at_most: Duration) -> PortResult<bool> {
        self.wait_a_moment(id);
        self.reads("wait-event", id, |world, node| {
            Ok(device(world, node, id)?.event != event)
        })
    }

    fn zero_device(&self, id: DeviceId, amount: Bytes) -> PortResult<()> {
        self.changes("zero-device", format!("{id} {amount}"), |world, node| {
            if device(world, node, id)?.opened || used_by_device(world, node, id) {
                return Err(PortError::Busy {
                    what: format!("device {id}"),
                });
            }
            let part = world.part(node, id)?;
            if let Some(contents) = world.contents.get_mut(&part.0) {
                contents.zero(Sectors(part.1).bytes(), amount);
            }
            world.clone_metadata.remove(&part);
            Ok(())
        })
    }

    fn flush(&self, id: DeviceId) -> PortResult<()> {
        self.changes("flush", id, |world, node| device(world, node, id).map(drop))
    }

    fn link(&self, path: &LinkPath, id: DeviceId) -> PortResult<Applied> {
        let detail = format!("{}/{}/{}", path.instance, path.pool, path.volume);
        self.changes("link", detail, |world, node| {
            device(world, node, id)?;
            let before = world.node_mut(node).links.insert(path.clone(), id);
            Ok(if before == Some(id) {
                Applied::Identity
            } else {
                Applied::Changed
            })
        })
    }

    fn unlink(&self, path: &LinkPath) -> PortResult<Applied> {
        let detail = format!("{}/{}/{}", path.instance, path.pool, path.volume);
        self.changes("unlink", detail, |world, node| {
            let before = world.node_mut(node).links.remove(path);
            Ok(match before {
                Some(_) => Applied::Changed,
                None => Applied::Identity,
            })
        })
    }

    fn links(&self) -> PortResult<Vec<LinkPath>> {
        self.reads("links", "", |world, node| {
            Ok(world.node(node).links.keys().cloned().collect())
        })
    }
}
