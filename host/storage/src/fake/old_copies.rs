//! Copies as 0.1.0 made them: three LVs, of which none says what it is for.

use volward_model::copy::{COPY_LAYOUT_TAG_PREFIX, COPY_STAGE_TAG_PREFIX};
use volward_model::{
    Backing, Bytes, CopyLayout, DeviceId, DeviceRole, NodeName, PoolName, Sectors, Table, VolumeId,
    VolumeName,
};

use super::cluster::name;
use super::{Contents, FakeNode, Lv, OLD_CONTENT, World};

/// 0.1.0's regions: 64 KiB, whatever the volume's size.
const OLD_REGION: Sectors = Sectors(128);
/// The two parts of a copy's LV that were LVs of their own.
const PARTS: [(DeviceRole, &str); 2] = [
    (DeviceRole::Metadata, "volward-meta-"),
    (DeviceRole::ReturnMetadata, "volward-back-"),
];

impl FakeNode {
    /// Makes of each copy in the node's local pools what it would be had 0.1.0 made it; devices that
    /// stand on it are as that version loaded them.
    pub fn age_copies(&self) {
        let mut world = self.cluster().world();
        for (pool, copy, layout) in copies(&world, self.name()) {
            age(&mut world, self.name(), (&pool, &copy), layout);
        }
    }
}

/// The copies that are one LV, with their pool.
fn copies(world: &World, node: &NodeName) -> Vec<(PoolName, VolumeName, CopyLayout)> {
    let local = world.pools.iter();
    let local = local.filter(|(_, pool)| pool.local_to.as_ref() == Some(node));
    let of_pool = |(pool_name, pool): (&PoolName, &super::Pool)| {
        let of_lv = |(lv_name, lv): (&VolumeName, &Lv)| {
            let layout = CopyLayout::from_tags(lv.tags.iter().map(String::as_str));
            let layout = layout.ok().flatten()?;
            Some((pool_name.clone(), lv_name.clone(), layout))
        };
        pool.volumes.iter().filter_map(of_lv).collect::<Vec<_>>()
    };
    local.flat_map(of_pool).collect()
}

fn age(world: &mut World, node: &NodeName, of: (&PoolName, &VolumeName), layout: CopyLayout) {
    let (pool_name, copy_name) = of;
    let Some(copy) = world.pools[pool_name].volumes.get(copy_name).cloned() else {
        return;
    };
    let says = |tag: &String| {
        tag.starts_with(COPY_STAGE_TAG_PREFIX) || tag.starts_with(COPY_LAYOUT_TAG_PREFIX)
    };
    let tags: Vec<String> = copy.tags.iter().filter(|t| !says(t)).cloned().collect();
    let old = Lv {
        size: layout.data,
        tags: tags.clone(),
        ..copy.clone()
    };
    let starts = [layout.metadata_at(), layout.return_metadata_at()];
    let mut made = Vec::new();
    for ((role, prefix), start) in PARTS.into_iter().zip(starts) {
        let id = VolumeId {
            vg: copy.id.vg,
            lv: world.lv_uuid(),
        };
        made.push((role, prefix, id));
        let zeroed = world.contents.get(&copy.id);
        let rest = match zeroed.is_some_and(|contents| contents.is_zero_at(start)) {
            true => 0,
            false => OLD_CONTENT,
        };
        let contents = Contents::filled(layout.metadata, rest);
        world.contents.insert(id, contents);
        let at = (copy.id, start.0 / 512);
        if let Some(mut begun) = world.clone_metadata.remove(&at) {
            begun.region = OLD_REGION;
            world.clone_metadata.insert((id, 0), begun);
        }
        if world.node(node).active.contains(&copy.id) {
            world.node_mut(node).active.insert(id);
        }
    }
    let lv_of = copy_name.as_str().trim_start_matches("volward-copy-");
    let part = |id, size: Bytes| Lv {
        id,
        size,
        tags: tags.clone(),
        ..copy.clone()
    };
    let parts: Vec<(VolumeName, Lv)> = made
        .iter()
        .map(|(_, prefix, id)| {
            let named = name(&format!("{prefix}{lv_of}"));
            (named, part(*id, layout.metadata))
        })
        .collect();
    if let Some(pool) = world.pools.get_mut(pool_name) {
        pool.volumes.insert(copy_name.clone(), old);
        pool.volumes.extend(parts);
    }
    on_their_own(world, node, copy.id, &made);
}

/// Clones whose metadata is a part of the copy's LV have it on the LV that the part is now.
fn on_their_own(
    world: &mut World,
    node: &NodeName,
    copy: VolumeId,
    made: &[(DeviceRole, &str, VolumeId)],
) {
    let parts: Vec<DeviceId> = world
        .node(node)
        .devices
        .iter()
        .filter_map(|(id, device)| {
            let on_copy =
                matches!(&device.table, Table::Part { on, .. } if *on == Backing::Volume(copy));
            on_copy.then_some(*id)
        })
        .collect();
    for id in parts {
        world.node_mut(node).devices.remove(&id);
        let own = made.iter().find(|(role, ..)| *role == id.role);
        for device in world.node_mut(node).devices.values_mut() {
            if let (Table::Clone(clone), Some((_, _, own))) = (&mut device.table, own)
                && clone.metadata == Backing::Device(id)
            {
                clone.metadata = Backing::Volume(*own);
                clone.region = OLD_REGION;
            }
        }
    }
}
