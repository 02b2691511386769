//! What LVM would report of a pool, of the metadata on its disks: a command of LVM's takes a busy node half a second, and
//! with thousands of volumes seconds.
//!
//! Only of pools all of whose volumes are linear or striped: what LVM makes of others it says itself. And only where the disks are
//! those of the last report; a pool that was extended is reported anew.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use volward_model::{
    Bytes, LvUuid, PoolInfo, PoolName, VolumeId, VolumeInfo, VolumeName, VolumeRef,
};
use volward_ports::PortResult;

use super::mark::Mark;
use super::report::{Reported, kind};
use crate::metadata::layout::{Layout, Lv};
use crate::metadata::reading::Look;

/// The pool on these disks, and the mark under which that holds; `None` where LVM is to be asked.
///
/// # Errors
/// If the disks cannot be read.
pub(super) fn read(pool: &PoolName, disks: &[PathBuf]) -> PortResult<Option<(Reported, Mark)>> {
    let Some(before) = Mark::of(disks)? else {
        return Ok(None);
    };
    let look = Look::at(pool, disks, None)?;
    let is_whole = look.is_whole() && look.reading.layout.pvs.len() == disks.len();
    let info = pool_of(pool, &look.reading.layout).filter(|_| is_whole);
    // A commit in between: the mark is of before it, or of after it.
    let holds = Mark::of(disks)?.as_ref() == Some(&before);
    let Some((info, lock_args)) = info.filter(|_| holds) else {
        return Ok(None);
    };
    let reported = Reported {
        info: Arc::new(info),
        disks: disks.to_vec(),
        lock_args,
    };
    Ok(Some((reported, before)))
}

/// Which volumes are active is not known of metadata: none is.
fn pool_of(pool: &PoolName, layout: &Layout) -> Option<(PoolInfo, HashMap<LvUuid, String>)> {
    if layout.pvs.iter().any(|pv| pv.missing) {
        return None;
    }
    let extent = layout.extent.bytes();
    let all: u64 = layout.pvs.iter().map(|pv| pv.pe_count).sum();
    let mut taken = 0_u64;
    let mut volumes = Vec::new();
    let mut lock_args = HashMap::new();
    for (uuid, lv) in &layout.lvs {
        let extents = lv.takes?;
        taken = taken.checked_add(extents)?;
        if !lv.visible {
            // LVM's own, such as `lvmlock`.
            continue;
        }
        let volume = VolumeRef {
            id: VolumeId {
                vg: layout.vg,
                lv: *uuid,
            },
            pool: pool.clone(),
            name: lv.name.parse::<VolumeName>().ok()?,
        };
        if let Some(args) = &lv.lock_args {
            lock_args.insert(*uuid, args.clone());
        }
        let mut tags = lv.tags.clone();
        tags.sort();
        volumes.push(VolumeInfo {
            volume,
            size: times(extents, extent)?,
            tags,
            segment_type: kinds(lv)?,
            active: false,
            autoactivation: lv.autoactivation && layout.autoactivation,
            roles: vec!["public".to_owned()],
            own_lease: lv.lock_args.is_some(),
            read_only: false,
        });
    }
    // As LVM lists them.
    volumes.sort_by(|a, b| a.volume.name.cmp(&b.volume.name));
    let info = PoolInfo {
        name: pool.clone(),
        vg: layout.vg,
        kind: kind(layout.lock_type.clone()),
        size: times(all, extent)?,
        free: times(all.checked_sub(taken)?, extent)?,
        extent,
        partial: false,
        autoactivation: layout.autoactivation,
        volumes,
    };
    Some((info, lock_args))
}

fn times(extents: u64, extent: Bytes) -> Option<Bytes> {
    extents.checked_mul(extent.0).map(Bytes)
}

/// LVM's words for its segments, each once; `None` where it is more than segments.
fn kinds(lv: &Lv) -> Option<String> {
    let mut kinds: Vec<&str> = Vec::new();
    for segment in lv.segments.as_ref().ok()? {
        let kind = match segment.stripes.len() {
            1 => "linear",
            _ => "striped",
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Some(kinds.join(","))
}

#[cfg(test)]
#[path = "derived_tests.rs"]
mod tests;
