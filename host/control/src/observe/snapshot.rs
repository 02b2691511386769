//! A pool as one look found it, and what the other nodes' slots mean beside what sanlock says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use volward_model::{
    Attachment, AttachmentState, CopyProgress, HeldLease, LvUuid, Member, MigrationAnswer,
    NewerSlot, NumberedSlot, PoolInfo, Slot, SlotReading, VolumeId,
};
use volward_plan::fence::Silence;
use volward_plan::input::ForeignAnswer;

use super::Traces;
use super::correspondence::{is_present, live_slots};

/// A shared pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    /// As LVM has it.
    pub info: Arc<PoolInfo>,
    /// Leases this node holds.
    pub held: BTreeMap<LvUuid, HeldLease>,
    /// LVs whose lease somebody else than Volward has on this node.
    pub by_hand: BTreeSet<LvUuid>,
    /// Whether sanlock runs under a watchdog.
    pub watchdog_armed: bool,
    /// Members of its lockspace.
    pub members: Vec<Member>,
    /// This node among them.
    pub own: Member,
    /// Members that do not renew their leases, by host-id.
    pub silences: BTreeMap<u64, Silence>,
    /// The registry.
    pub slots: Vec<NumberedSlot>,
    /// What this node itself has of the pool's volumes.
    pub(crate) traces: Traces,
}

impl PoolSnapshot {
    /// Good slots of other nodes that may be alive. One written under another lockspace generation
    /// counts too, until its node has written it anew: a node whose sanlock was restarted may have
    /// guests that still write. One of a later generation than sanlock has seen is of a node that has
    /// just joined again: it is alive. A slot of a dead node holds nothing.
    pub fn live_slots(&self) -> impl Iterator<Item = &Slot> {
        live_slots(&self.slots, &self.members)
    }

    /// What the live slots say is attached or asked for. An intent of another lockspace generation is
    /// nobody's any more: who announced it lost what it was about to take.
    pub fn attachments_of_others(&self) -> impl Iterator<Item = (&Slot, &Attachment)> {
        let of_slot = |slot| {
            let present = self.is_present(slot);
            let counts = move |a: &&Attachment| present || a.state != AttachmentState::Intent;
            let attachments = slot.attachments.iter().filter(counts);
            attachments.map(move |attachment| (slot, attachment))
        };
        self.live_slots().flat_map(of_slot)
    }

    /// Answers to this node's calls about the volume, by nodes that may be alive.
    pub(super) fn answers(&self, volume: VolumeId) -> impl Iterator<Item = ForeignAnswer> {
        let own = &self.own;
        let to_us = move |a: &&MigrationAnswer| {
            a.volume == volume && a.to == own.host_id && a.generation == own.generation
        };
        let present = self.live_slots().filter(|slot| self.is_present(slot));
        present.flat_map(move |slot| {
            let answers = slot.messages.answers.iter().filter(to_us);
            answers.map(|answer| ForeignAnswer {
                host_id: slot.host_id,
                answer: answer.clone(),
            })
        })
    }

    /// Whether the slot was written under the generation that sanlock sees.
    pub(super) fn is_present(&self, slot: &Slot) -> bool {
        is_present(&self.members, slot)
    }

    /// Sentences: whose slot cannot be read although the node may be alive.
    #[must_use]
    pub fn unreadable(&self) -> Vec<String> {
        let broken = self.slots.iter().filter_map(|place| {
            let SlotReading::Broken { reason } = &place.reading else { return None };
            self.live_member(place.host_id)?;
            Some(format!(
                "the registry slot of host-id {} in pool {} cannot be read ({reason}), and that node \
                 may be alive; restart volwardd there",
                place.host_id, self.info.name
            ))
        });
        broken.collect()
    }

    /// Sentences: which nodes that may be alive may hold the volume, by slots that only a newer
    /// version understands; of `None`, which such nodes there are. The
    /// generation does not matter, as in [`PoolSnapshot::live_slots`].
    #[must_use]
    pub fn newer(&self, volume: Option<VolumeId>) -> Vec<String> {
        let newer = self.newer_slots().filter_map(|(host_id, slot)| {
            if volume.is_some_and(|volume| !slot.may_hold(volume)) {
                return None;
            }
            let node = slot.node.as_ref().map_or_else(
                || format!("the node with host-id {host_id}"),
                |node| format!("node {node}"),
            );
            let names = match &slot.held {
                Some(held) if volume.is_none() => format!("names {} volume(s)", held.len()),
                Some(_) => "names this volume".to_owned(),
                None => "does not tell this version which volumes it has".to_owned(),
            };
            Some(format!(
                "{node} runs a newer Volward, whose slot in pool {} {names} ({}); upgrade this node",
                self.info.name, slot.reason
            ))
        });
        newer.collect()
    }

    /// Slots that only a newer version understands, of nodes that may be alive, by host-id.
    pub(crate) fn newer_slots(&self) -> impl Iterator<Item = (u64, &NewerSlot)> {
        self.slots.iter().filter_map(|place| {
            let SlotReading::Newer(slot) = &place.reading else {
                return None;
            };
            self.live_member(place.host_id)?;
            Some((place.host_id, slot))
        })
    }

    fn live_member(&self, host_id: u64) -> Option<&Member> {
        self.members
            .iter()
            .find(|m| m.host_id == host_id && !m.own && m.state.may_be_alive())
    }

    /// How far the copy of a volume is, by the node that has it.
    pub(super) fn progress(&self, volume: VolumeId) -> Option<CopyProgress> {
        self.live_slots()
            .flat_map(|s| &s.copies)
            .find(|c| c.volume == volume)
            .copied()
    }
}
