//! The node that has the copy which a volume's home names, as seen from another one.

use volward_model::{Home, Member, NodeName, Slot, SlotReading, VolumeInfo};
use volward_plan::witness::Owner;

use super::PoolSnapshot;

impl PoolSnapshot {
    /// What is known of it. Whoever cannot be told from it may be it, and be alive.
    pub(super) fn owner(
        &self,
        home: &Home,
        info: &VolumeInfo,
        here: &NodeName,
        now_ms: u64,
    ) -> Owner {
        let Some((node, _)) = home.copy().filter(|(node, _)| *node != here) else {
            return Owner::Here;
        };
        let data = format!("the data of {} is in the copy on node {node}", info.volume);
        if let Some(sentence) = self.unclear().into_iter().next() {
            return Owner::MayLive(format!(
                "{data}, and whether that node is alive is not known: {sentence}"
            ));
        }
        let slots = self.slots.iter().filter_map(|place| match &place.reading {
            SlotReading::Good { slot, .. } if slot.node == *node => Some(slot.as_ref()),
            _ => None,
        });
        let mut gone = None;
        for slot in slots {
            let member = self.members.iter().find(|m| m.host_id == slot.host_id);
            match member {
                Some(member) if may_live(member, slot) => {
                    let silence = self.silences.get(&slot.host_id);
                    let how = silence.map_or("may be alive".to_owned(), ToString::to_string);
                    return Owner::MayLive(format!("{data}, which {how}"));
                }
                _ => gone = Some((slot, member)),
            }
        }
        let how = match gone {
            None => "which no place of the registry is of".to_owned(),
            Some((slot, member)) => how_gone(self, slot, member),
        };
        let since = gone.and_then(|(slot, _)| {
            let attachment = slot
                .attachments
                .iter()
                .find(|a| a.volume == info.volume.id)?;
            let minutes = now_ms.saturating_sub(attachment.since_ms) / 60_000;
            Some(format!(
                "; instance {} was attached there {minutes} minutes ago",
                attachment.instance
            ))
        });
        Owner::Gone(format!("{data}, {how}{}", since.unwrap_or_default()))
    }

    /// Slots that do not say whose they are, of nodes that may be alive.
    fn unclear(&self) -> Vec<String> {
        [self.unreadable(), self.newer(None)].concat()
    }
}

/// As [`PoolSnapshot::live_slots`]: a slot of a later generation is of a node that has just joined.
fn may_live(member: &Member, slot: &Slot) -> bool {
    member.state.may_be_alive() || slot.generation > member.generation
}

fn how_gone(snapshot: &PoolSnapshot, slot: &Slot, member: Option<&Member>) -> String {
    match (snapshot.silences.get(&slot.host_id), member) {
        (Some(silence), _) => format!("which {silence}"),
        (None, Some(member)) => format!("which sanlock counts as {}", member.state),
        (None, None) => "which is no member of the lockspace".to_owned(),
    }
}
