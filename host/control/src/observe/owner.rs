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
        if let Some(slot) = self.live_slots().find(|slot| slot.node == *node) {
            let silence = self.silences.get(&slot.host_id);
            let how = silence.map_or("may be alive".to_owned(), ToString::to_string);
            return Owner::MayLive(format!("{data}, which {how}"));
        }
        if let Some(sentence) = self.nameless().next() {
            return Owner::MayLive(format!(
                "{data}, and whether that node is alive is not known: {sentence}"
            ));
        }
        // Not alive: of its places, if it ever had another host-id, any tells of it.
        let gone = self.slots.iter().find_map(|place| match &place.reading {
            SlotReading::Good { slot, .. } if slot.node == *node => {
                let member = self.members.iter().find(|m| m.host_id == slot.host_id);
                Some((slot.as_ref(), member))
            }
            _ => None,
        });
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
                "; instance {} was attached there {minutes} min ago",
                attachment.instance
            ))
        });
        Owner::Gone(format!("{data}, {how}{}", since.unwrap_or_default()))
    }

    /// Slots that do not say whose they are, of nodes that may be alive.
    fn unclear(&self) -> Vec<String> {
        [self.unreadable(), self.newer(None)].concat()
    }

    /// Nodes that may be alive and have not written who they are since they joined: a node that came back
    /// under another host-id is such a one for a moment.
    fn nameless(&self) -> impl Iterator<Item = String> {
        let others = self
            .members
            .iter()
            .filter(|m| !m.own && m.state.may_be_alive());
        others.filter(|m| !self.is_named(m.host_id)).map(|member| {
            format!(
                "host-id {} in pool {} may be alive, and its slot does not say which node it is; start \
                 volwardd there, or wait until sanlock counts it as dead",
                member.host_id, self.info.name
            )
        })
    }

    /// Whether a node that may be alive says in its own slot who it is.
    fn is_named(&self, host_id: u64) -> bool {
        let mut present = self.live_slots().filter(|slot| self.is_present(slot));
        present.any(|slot| slot.host_id == host_id)
    }
}

fn how_gone(snapshot: &PoolSnapshot, slot: &Slot, member: Option<&Member>) -> String {
    match (snapshot.silences.get(&slot.host_id), member) {
        (Some(silence), _) => format!("which {silence}"),
        (None, Some(member)) => format!("which sanlock counts as {}", member.state),
        (None, None) => "which is no member of the lockspace".to_owned(),
    }
}
