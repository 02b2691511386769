//! What is wrong with the places of a registry, for people.

use volward_model::{NumberedSlot, SlotReading};

use crate::observe::PoolSnapshot;

/// A place of the registry with what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTrouble {
    /// Whose place.
    pub host_id: u64,
    /// A sentence.
    pub trouble: String,
}

impl PoolSnapshot {
    /// What is wrong with the slots: broken, torn, newer than this version, or of an earlier life
    /// of their node.
    #[must_use]
    pub fn slot_troubles(&self) -> Vec<SlotTrouble> {
        let trouble = |place: &NumberedSlot| {
            let member = self.members.iter().find(|m| m.host_id == place.host_id);
            let trouble = match &place.reading {
                SlotReading::Empty => return None,
                SlotReading::Broken { reason } => format!("cannot be read: {reason}"),
                SlotReading::Newer(newer) => format!(
                    "is a newer Volward's ({}): what it names counts as held; upgrade this node",
                    newer.reason
                ),
                SlotReading::Good { torn: true, .. } => {
                    "its newer copy is torn; the one before it is used".to_owned()
                }
                SlotReading::Good { slot, .. } => match member {
                    Some(m) if m.state.may_be_alive() && m.generation != slot.generation => {
                        format!(
                            "stale: written in lockspace generation {}, the node is in {}",
                            slot.generation, m.generation
                        )
                    }
                    _ if slot.unknown > 0 => format!(
                        "tells of {} attachment(s) in words of a newer Volward: they count as \
                         attached, exclusive and read-write; upgrade this node",
                        slot.unknown
                    ),
                    _ => return None,
                },
            };
            Some(SlotTrouble {
                host_id: place.host_id,
                trouble,
            })
        };
        self.slots.iter().filter_map(trouble).collect()
    }

    /// The name a member gives itself.
    #[must_use]
    pub fn name_of(&self, host_id: u64) -> Option<&volward_model::NodeName> {
        self.slots.iter().find_map(|place| match &place.reading {
            SlotReading::Good { slot, .. } if place.host_id == host_id => Some(&slot.node),
            SlotReading::Newer(newer) if place.host_id == host_id => newer.node.as_ref(),
            _ => None,
        })
    }
}
