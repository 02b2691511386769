//! Copies whose volume is gone: removed, or removed and made again, which is another one.

use std::collections::BTreeSet;

use volward_model::volume::COPY_OF_TAG_PREFIX;
use volward_model::{VolumeId, VolumeInfo, VolumeRef};

use super::Views;

impl Views {
    /// LVs of the local pool that say they are of a volume that no pool of this node has, each with
    /// that volume's identity. None where a pool cannot be read: its volumes may only be unseen.
    pub(crate) fn orphaned_copies(&self) -> Vec<(VolumeRef, VolumeId)> {
        let glance = |pool| self.ports.volumes.glance(pool).ok().flatten();
        let Some(local) = self.settings.local.as_ref().and_then(glance) else {
            return Vec::new();
        };
        let mut known = BTreeSet::new();
        for pool in &self.settings.pools {
            let Some(info) = glance(pool) else {
                return Vec::new();
            };
            known.extend(info.volumes.iter().map(|v| v.volume.id));
        }
        let copies = local
            .volumes
            .iter()
            .filter_map(|lv| Some((lv, copy_of(lv)?)));
        copies
            .filter(|(_, of)| !known.contains(of))
            .map(|(lv, of)| (lv.volume.clone(), of))
            .collect()
    }
}

fn copy_of(lv: &VolumeInfo) -> Option<VolumeId> {
    let mut tags = lv.tags.iter();
    tags.find_map(|tag| tag.strip_prefix(COPY_OF_TAG_PREFIX)?.parse().ok())
}
