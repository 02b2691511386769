//! The registry in memory.

use std::sync::Arc;

use volward_model::volume::REGISTRY_VOLUME;
use volward_model::{Bytes, NodeName, NumberedSlot, PoolName, RegistryLayout, Slot, SlotReading};
use volward_ports::{
    Applied, PortError, PortResult, REGISTRY_SIZE, Registry, Unmet, Writes, Written,
};

use crate::fake::{FakeNode, World};

/// The registry LV must be active here.
fn check_active(world: &World, pool: &PoolName, node: &NodeName) -> PortResult<()> {
    let volumes = &world.pool(pool, node)?.volumes;
    let active = volumes
        .iter()
        .find(|(name, _)| name.as_str() == REGISTRY_VOLUME)
        .is_some_and(|(_, lv)| world.node(node).active.contains(&lv.id));
    if active {
        Ok(())
    } else {
        Err(PortError::Missing {
            what: format!("an active {pool}/{REGISTRY_VOLUME}"),
        })
    }
}

/// How often a place was written. One that a test shows as something else cannot be read.
fn writes_of(world: &World, pool: &PoolName, node: &NodeName, host_id: u64) -> PortResult<Writes> {
    check_active(world, pool, node)?;
    let found = world.pool(pool, node)?;
    let mut volumes = found.volumes.iter();
    let registry = volumes.find(|(name, _)| name.as_str() == REGISTRY_VOLUME);
    let (_, registry) = registry.ok_or_else(|| unformatted(pool))?;
    let places = found.places.as_ref().ok_or_else(|| unformatted(pool))?;
    let count = match places.get(&host_id) {
        None => Some(0),
        Some(place) if place.shown_as.is_some() => None,
        Some(place) => Some(place.writes),
    };
    Ok(Writes {
        registry: registry.id,
        count,
    })
}

fn unformatted(pool: &PoolName) -> PortError {
    let registry = format!("{pool}/{REGISTRY_VOLUME}");
    PortError::from(Unmet::NoRegistry { registry })
}

impl Registry for FakeNode {
    fn read(&self, pool: &PoolName) -> PortResult<Vec<NumberedSlot>> {
        self.reads("read-registry", pool, |world, node| {
            check_active(world, pool, node)?;
            let places = &world.pool(pool, node)?.places;
            let places = places.as_ref().ok_or_else(|| unformatted(pool))?;
            Ok(places
                .iter()
                .map(|(host_id, place)| NumberedSlot {
                    host_id: *host_id,
                    reading: match (&place.shown_as, &place.slot) {
                        (Some(shown), _) => shown.clone(),
                        (None, Some(slot)) => SlotReading::Good {
                            slot: Arc::new(slot.clone()),
                            torn: false,
                        },
                        (None, None) => SlotReading::Empty,
                    },
                })
                .collect())
        })
    }

    fn write(&self, pool: &PoolName, slot: &Slot) -> PortResult<Written> {
        let detail = format!("{pool} {} attachments", slot.attachments.len());
        self.changes("write-registry", detail, |world, node| {
            check_active(world, pool, node)?;
            let host_id = world.node(node).host_id;
            if slot.host_id != host_id {
                return Err(PortError::Invalid {
                    what: format!("writing slot {}", slot.host_id),
                    reason: format!("this node's is {host_id}"),
                });
            }
            let before = writes_of(world, pool, node, host_id)?;
            let places = world.pool_mut(pool, node)?.places.as_mut();
            let places = places.ok_or_else(|| unformatted(pool))?;
            let place = places.entry(host_id).or_default();
            place.slot = Some(slot.clone());
            place.writes += 1;
            let count = place.writes;
            Ok(Written { before, count })
        })
    }

    fn writes(&self, pool: &PoolName, host_id: u64) -> PortResult<Writes> {
        self.reads("registry-writes", pool, |world, node| {
            writes_of(world, pool, node, host_id)
        })
    }

    fn format(&self, pool: &PoolName) -> PortResult<()> {
        self.changes("format-registry", pool, |world, node| {
            check_active(world, pool, node)?;
            let places = &mut world.pool_mut(pool, node)?.places;
            if places.is_some() {
                let registry = format!("{pool}/{REGISTRY_VOLUME}");
                return Err(PortError::from(Unmet::RegistryExists { registry }));
            }
            *places = Some(Default::default());
            Ok(())
        })
    }

    fn layout(&self, pool: &PoolName) -> PortResult<RegistryLayout> {
        self.reads("registry-layout", pool, |world, node| {
            check_active(world, pool, node)?;
            let found = world.pool(pool, node)?;
            found.places.as_ref().ok_or_else(|| unformatted(pool))?;
            let (format, places, kib) = match found.old_registry {
                true => (1, 89, 64),
                false => (2, 512, 256),
            };
            Ok(RegistryLayout {
                format,
                places,
                place_size: Bytes::kib(kib),
            })
        })
    }

    fn convert(&self, pool: &PoolName) -> PortResult<Applied> {
        self.changes("convert-registry", pool, |world, node| {
            check_active(world, pool, node)?;
            let volumes = &world.pool(pool, node)?.volumes;
            let registry = volumes
                .iter()
                .find(|(name, _)| name.as_str() == REGISTRY_VOLUME);
            if registry.is_none_or(|(_, lv)| lv.size < REGISTRY_SIZE) {
                return Err(PortError::Invalid {
                    what: "converting the registry".to_owned(),
                    reason: "the volume is too small".to_owned(),
                });
            }
            let pool = world.pool_mut(pool, node)?;
            match std::mem::take(&mut pool.old_registry) {
                true => Ok(Applied::Changed),
                false => Ok(Applied::Identity),
            }
        })
    }
}
