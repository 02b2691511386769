//! The destination, from the attach to the end.

use volward_model::{AttachmentState, PoolName};

use super::Migrate;
use crate::observe::Correspondence;
use crate::ports::{Event, Migration};

impl Migrate {
    /// What no other node shows any more becomes this node's alone. A node that is dead shows nothing;
    /// sanlock says when its lease counts no longer.
    pub(super) fn follow_arriving(&self, pool: &PoolName, said: &Correspondence) {
        for attachment in self.migrating(pool) {
            let Some(Migration::Arriving { .. }) = attachment.migration else {
                continue;
            };
            let key = attachment.key();
            let mut others = said.live_slots().flat_map(|slot| &slot.attachments);
            if others.any(|a| a.key() == key && a.state != AttachmentState::Intent) {
                continue;
            }
            let Some(guard) = self.take(&attachment) else {
                continue;
            };
            if self.is_over(&attachment) {
                self.ports.events.tell(&Event::Arrived {
                    volume: attachment.volume.clone(),
                    instance: attachment.instance,
                });
            }
            drop(guard);
        }
    }
}
