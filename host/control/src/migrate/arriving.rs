//! The destination, from the attach to the end.

use volward_model::{AttachmentState, PoolName};

use super::Migrate;
use crate::observe::Correspondence;
use crate::ports::{Event, Migration, StoredAttachment};

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
            self.arrive(&attachment);
            drop(guard);
        }
    }

    fn arrive(&self, attachment: &StoredAttachment) {
        let volume = &attachment.volume;
        let mode = self.needed(attachment.key(), None);
        if let Err(error) = self.convert(volume, mode) {
            tracing::debug!(%volume, %error, "not this node's alone yet");
            return;
        }
        if let Err(error) = self.mark(attachment, None) {
            self.unrecorded(attachment, &error);
            return;
        }
        self.ports.events.tell(&Event::Arrived {
            volume: volume.clone(),
            instance: attachment.instance,
        });
    }
}
