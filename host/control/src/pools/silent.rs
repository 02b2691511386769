//! Nodes that do not renew their leases, for people: since when, what they hold, and when that is free.

use volward_model::{AttachmentState, HomeState, Slot, SlotReading, VolumeId};

use crate::observe::PoolSnapshot;

impl PoolSnapshot {
    /// Sentences: a node each. A dead node whose slot names nothing is not worth one.
    #[must_use]
    pub fn silent_nodes(&self) -> Vec<String> {
        let pool = &self.info.name;
        let silent = self.silences.iter().filter_map(|(host_id, silence)| {
            let slot = self.slot_of(*host_id);
            let node = slot.map_or_else(
                || format!("the node with host-id {host_id}"),
                |slot| format!("node {}", slot.node),
            );
            let has = slot.map(|slot| self.held_by(slot)).unwrap_or_default();
            let (there, free): (Vec<VolumeId>, Vec<VolumeId>) =
                has.into_iter().partition(|id| self.is_partly_elsewhere(*id));
            let mut parts = Vec::new();
            if !free.is_empty() {
                let names = self.names(&free);
                parts.push(match silence.dead {
                    true => format!("it keeps nobody from {names} any more"),
                    false => format!("it has {names}"),
                });
            }
            if !there.is_empty() {
                let names = self.names(&there);
                parts.push(format!(
                    "only the copy there has all the data of {names}: `volward recover` says what can be done"
                ));
            }
            if silence.dead && parts.is_empty() {
                return None;
            }
            let rest: String = parts.iter().map(|part| format!("; {part}")).collect();
            Some(format!("pool {pool}: {node} {silence}{rest}"))
        });
        silent.collect()
    }

    fn slot_of(&self, host_id: u64) -> Option<&Slot> {
        self.slots.iter().find_map(|place| match &place.reading {
            SlotReading::Good { slot, .. } if place.host_id == host_id => Some(slot.as_ref()),
            _ => None,
        })
    }

    fn held_by(&self, slot: &Slot) -> Vec<VolumeId> {
        let held = slot.attachments.iter();
        let held = held.filter(|a| a.state != AttachmentState::Intent);
        let mut held: Vec<VolumeId> = held.map(|a| a.volume).collect();
        held.extend(self.info.volumes.iter().filter_map(|info| {
            let home = info.home().ok()?;
            let (node, _) = home.copy()?;
            (*node == slot.node).then_some(info.volume.id)
        }));
        held.sort();
        held.dedup();
        held
    }

    /// Whether a copy on some node has data that the LUN has not.
    fn is_partly_elsewhere(&self, id: VolumeId) -> bool {
        let home = self.info.volume(id).and_then(|info| info.home().ok());
        home.is_some_and(|home| home.state != HomeState::Pool)
    }

    fn names(&self, ids: &[VolumeId]) -> String {
        let names: Vec<String> = ids
            .iter()
            .map(|id| {
                let named = self.info.volume(*id);
                named.map_or_else(|| id.lv.to_string(), |info| info.volume.to_string())
            })
            .collect();
        names.join(", ")
    }
}
