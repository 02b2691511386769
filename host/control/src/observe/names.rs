//! Nodes that call themselves the same: each believes the other's copies and attachments its own.

use volward_model::{NodeName, SlotReading, VolumeRef};

use super::PoolSnapshot;

/// Why a volume is left alone whose lease no record explains: its user may be a guest on the LV
/// itself, which has no device of Volward's.
pub(crate) fn unexplained(volume: &VolumeRef) -> String {
    format!(
        "this node holds its lease, and no record says for whom: the state was lost or restored while \
         a guest ran on /dev/{volume}, or somebody activated it by hand; when nothing uses it, \
         `lvchange -an {volume}` gives it up"
    )
}

impl PoolSnapshot {
    /// Sentences: which other node that may be alive calls itself `own`, and whether this node's own
    /// place was written under another name. Until that is mended nothing is attached in the pool:
    /// homes name nodes.
    #[must_use]
    pub fn impostors(&self, own: &NodeName) -> Vec<String> {
        let pool = &self.info.name;
        let same = self.live_slots().filter(|slot| slot.node == *own);
        let mut found: Vec<String> = same
            .map(|slot| {
                format!(
                    "the node with host-id {} in pool {pool} is called {own} too; give each node a \
                     name of its own (node.name in /etc/volward/volward.toml)",
                    slot.host_id
                )
            })
            .collect();
        let in_own_place = self.slots.iter().filter(|p| p.host_id == self.own.host_id);
        found.extend(in_own_place.filter_map(|place| {
            let SlotReading::Good { slot, .. } = &place.reading else {
                return None;
            };
            let foreign = slot.node != *own && slot.generation == self.own.generation;
            foreign.then(|| {
                format!(
                    "the place of host-id {} in pool {pool}, which is this node's, was written by \
                     node {}; give each node a host_id of its own (/etc/lvm/lvmlocal.conf)",
                    place.host_id, slot.node
                )
            })
        }));
        found
    }
}
