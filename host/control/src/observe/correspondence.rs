//! What the nodes of a pool say to each other, and who of them is alive: without LVM, so that it can be
//! read often.

use volward_model::{Member, NumberedSlot, PoolName, Slot, SlotReading};

use super::Observer;
use crate::ports::PortResult;
use crate::state::own_of;

/// The slots of a pool beside what sanlock says of their nodes.
#[derive(Clone, Debug)]
pub(crate) struct Correspondence {
    /// Members of the pool's lockspace.
    pub members: Vec<Member>,
    /// This node among them.
    pub own: Member,
    /// The registry.
    pub slots: Vec<NumberedSlot>,
}

impl Observer {
    /// What the nodes of a pool say to each other now.
    ///
    /// # Errors
    /// If sanlock or the registry do not answer.
    pub(crate) fn correspondence(&self, pool: &PoolName) -> PortResult<Correspondence> {
        let members = self.ports.leases.members(pool)?;
        let own = own_of(pool, &members)?;
        let slots = self.ports.registry.read(pool)?;
        Ok(Correspondence {
            members,
            own,
            slots,
        })
    }

    /// Whether the nodes of a pool have words for a migration.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub(crate) fn can_speak_of_migrations(&self, pool: &PoolName) -> PortResult<bool> {
        Ok(self.ports.registry.layout(pool)?.format >= 2)
    }
}

impl Correspondence {
    /// As [`PoolSnapshot::live_slots`](super::PoolSnapshot::live_slots).
    pub(crate) fn live_slots(&self) -> impl Iterator<Item = &Slot> {
        live_slots(&self.slots, &self.members)
    }

    /// Whether the slot was written under the generation that sanlock sees.
    pub(crate) fn is_present(&self, slot: &Slot) -> bool {
        is_present(&self.members, slot)
    }

    /// The node of that number, if it may be alive.
    pub(crate) fn living(&self, host_id: u64) -> Option<&Member> {
        let mut members = self.members.iter();
        members.find(|m| m.host_id == host_id && m.state.may_be_alive())
    }

    /// Whether what that node says is not understood: then it may say anything.
    pub(crate) fn is_unclear(&self, host_id: u64) -> bool {
        let mut places = self.slots.iter().filter(|place| place.host_id == host_id);
        places.any(|place| {
            let unclear = matches!(
                place.reading,
                SlotReading::Broken { .. } | SlotReading::Newer(_)
            );
            unclear && self.living(host_id).is_some()
        })
    }
}

/// Good slots of other nodes that may be alive.
pub(super) fn live_slots<'a>(
    slots: &'a [NumberedSlot],
    members: &'a [Member],
) -> impl Iterator<Item = &'a Slot> {
    slots.iter().filter_map(|place| {
        let SlotReading::Good { slot, .. } = &place.reading else {
            return None;
        };
        let members = &mut members.iter();
        let member = members.find(|m| m.host_id == place.host_id && !m.own)?;
        let alive = member.state.may_be_alive() || slot.generation > member.generation;
        alive.then_some(slot.as_ref())
    })
}

/// Whether the slot was written under the generation that sanlock sees, or a later one.
pub(super) fn is_present(members: &[Member], slot: &Slot) -> bool {
    let member = members.iter().find(|m| m.host_id == slot.host_id);
    member.is_some_and(|member| slot.generation >= member.generation)
}
