//! What is neither done nor undone is kept, with its causes, until an operator has looked.

use std::collections::BTreeSet;

use volward_model::{AttachmentKey, AttachmentState, DeviceId, PoolName};
use volward_plan::Step;

use super::Engine;
use super::execute::Begun;
use crate::ports::{Event, Finish, JournalState, Operation, StoredAttachment};
use crate::state::Cancellation;

impl Engine {
    /// A guest whose device could not be taken away goes on, and is reached by its path again.
    pub(super) fn restore_paths(&self, operation: &Operation) {
        let Operation::Detach { steps, .. } = operation else {
            return;
        };
        for marked in steps {
            let Step::Unlink { volume, instance } = &marked.step else {
                continue;
            };
            let id = DeviceId::attachment(volume.id, *instance);
            if !matches!(self.ports.devices.get(id), Ok(Some(_))) {
                continue;
            }
            let link = Step::Link {
                volume: volume.clone(),
                instance: *instance,
            };
            if let Err(error) = self.step(&link, None, &Cancellation::default()) {
                let cause = error.cause(&link.to_string());
                tracing::warn!(%volume, %instance, %cause, "a path is missing");
            }
        }
    }

    /// Remembers what could neither be finished nor undone, with its causes. What a detach has
    /// released already is not among it.
    pub(super) fn quarantine(
        &self,
        begun: Begun<'_>,
        attachments: &[StoredAttachment],
        causes: &[String],
    ) {
        let released = self.released(&begun.entry.operation, attachments);
        let kept: Vec<StoredAttachment> = attachments
            .iter()
            .filter(|a| !released.contains(&a.key()))
            .cloned()
            .map(|mut a| {
                a.causes = causes_of(&a, causes);
                a.state = AttachmentState::Quarantined;
                a
            })
            .collect();
        let end = Finish {
            causes: causes.to_vec(),
            put: kept.clone(),
            remove: released.clone(),
            ..Finish::new(JournalState::Quarantined)
        };
        if let Err(error) = self.end(begun.number, end) {
            self.unrecorded("a quarantine, for now".to_owned(), &error);
        }
        self.state.attachment_table().remove(&released);
        self.keep(begun, kept, causes.to_vec());
    }

    /// The attachments of these keys, as they are when they are quarantined.
    pub(super) fn quarantined(&self, keys: &[(AttachmentKey, String)]) -> Vec<StoredAttachment> {
        let attachment_table = self.state.attachment_table();
        let quarantined = |a: &StoredAttachment| {
            let (_, why) = keys.iter().find(|(key, _)| *key == a.key())?;
            Some(StoredAttachment {
                state: AttachmentState::Quarantined,
                causes: causes_of(a, std::slice::from_ref(why)),
                ..a.clone()
            })
        };
        let attachments = attachment_table.attachments();
        attachments.filter_map(quarantined).collect()
    }

    /// Remembers and shows what is quarantined, and tells of it.
    pub(super) fn keep(&self, begun: Begun<'_>, kept: Vec<StoredAttachment>, causes: Vec<String>) {
        let of = begun.entry.into();
        self.ports.events.tell(&Event::Quarantined { of, causes });
        let pools: BTreeSet<PoolName> = kept.iter().map(|a| a.volume.pool.clone()).collect();
        self.state.attachment_table().put(kept);
        for pool in pools {
            if let Err(error) = self.state.write_slot(&pool) {
                self.ports.events.tell(&Event::Unseen {
                    pool,
                    what: "a quarantine",
                    reason: error.to_string(),
                });
            }
        }
    }
}

/// What is told of an attachment that is quarantined with these causes: what it was quarantined for
/// first stays, for that is what a person has to look at, and the latest comes after it.
fn causes_of(attachment: &StoredAttachment, latest: &[String]) -> Vec<String> {
    let quarantined = attachment.state == AttachmentState::Quarantined;
    let first = attachment.causes.first().filter(|_| quarantined);
    let mut causes: Vec<String> = first.into_iter().cloned().collect();
    let news = latest.iter().filter(|cause| Some(*cause) != first);
    causes.extend(news.cloned());
    causes
}
