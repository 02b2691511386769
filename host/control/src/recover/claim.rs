//! Devices in use of which no record speaks: their users keep their volumes.

use std::collections::BTreeSet;

use volward_model::{
    Access, AttachmentKey, AttachmentState, DeviceInfo, DeviceRole, InstanceId, LeaseMode, Sharing,
    VolumeRef,
};
use volward_plan::DiskForm;

use super::Recovery;
use crate::ports::{Event, Finish, JournalEntry, JournalState, StoredAttachment};

impl Recovery {
    /// Devices in use that belong to no attachment and to none of these operations are attachments.
    pub(super) fn claim_what_is_open(&self, entries: &[JournalEntry]) {
        let begun = |device: &DeviceInfo, instance| {
            entries.iter().any(|entry| {
                let mut volumes = entry.operation.volumes().into_iter();
                entry.operation.instance() == Some(instance)
                    && volumes.any(|volume| volume.id == device.id.volume)
            })
        };
        let mut devices = self.ports.devices.list().unwrap_or_default();
        devices.retain(|device| {
            let DeviceRole::Attachment(instance) = device.id.role else {
                return false;
            };
            let volume = device.id.volume;
            let recorded = self
                .state
                .attachment_table()
                .has(AttachmentKey { volume, instance });
            device.open && !recorded && !begun(device, instance)
        });
        self.state.keep_unclaimed(devices);
        self.claim();
    }

    /// A device that is open and that no attachment belongs to has a user: the state was lost, or
    /// restored from an older copy. It becomes a quarantined attachment, which keeps its volume
    /// from everybody else, is shown, and goes with a detach when its user has ended. What cannot
    /// be named yet, because its pool cannot be read, is claimed when the pool is opened.
    pub(crate) fn claim(&self) {
        for device in self.state.unclaimed() {
            let DeviceRole::Attachment(instance) = device.id.role else {
                continue;
            };
            // Closed since it was found: nobody's, like any other, and so is the lease under it.
            if self.ports.devices.remove(device.id).is_ok() {
                self.state.note_stray(device.id.volume);
                self.state.forget_unclaimed(device.id);
                continue;
            }
            let Some((volume, lease)) = self.name_of(&device) else {
                continue;
            };
            let attachment = self.claimed(&device, volume, instance, lease);
            let put = Finish {
                put: vec![attachment.clone()],
                ..Finish::new(JournalState::Done)
            };
            if let Err(error) = self.engine.end(None, put) {
                self.engine
                    .unrecorded("an attachment that was found, for now".to_owned(), &error);
            }
            self.ports.events.tell(&Event::Claimed {
                volume: attachment.volume.clone(),
                instance,
            });
            self.state.attachment_table().put([attachment]);
            self.state.forget_unclaimed(device.id);
        }
    }

    /// The volume under a device, and this node's lease of it.
    fn name_of(&self, device: &DeviceInfo) -> Option<(VolumeRef, Option<LeaseMode>)> {
        self.settings.pools.iter().find_map(|pool| {
            let snapshot = self.observer.snapshot(pool).ok()?;
            let volume = &snapshot.info.volume(device.id.volume)?.volume;
            let lease = snapshot.held.get(&volume.id.lv).map(|held| held.mode);
            Some((volume.clone(), lease))
        })
    }

    fn claimed(
        &self,
        device: &DeviceInfo,
        volume: VolumeRef,
        instance: InstanceId,
        lease: Option<LeaseMode>,
    ) -> StoredAttachment {
        StoredAttachment {
            volume,
            instance,
            instance_name: String::new(),
            form: DiskForm::Own,
            // What is not known to be shared is taken for exclusive.
            sharing: match lease {
                Some(LeaseMode::Shared) => Sharing::Shared,
                Some(LeaseMode::Exclusive) | None => Sharing::Exclusive,
            },
            access: match device.read_only {
                true => Access::ReadOnly,
                false => Access::ReadWrite,
            },
            // Nobody knows.
            asked: match device.read_only {
                true => Access::ReadOnly,
                false => Access::ReadWrite,
            },
            claims: BTreeSet::new(),
            copy: None,
            since_ms: self.ports.clock.now_ms(),
            sequence: 0,
            boot_id: self.ports.machine.boot_id(),
            state: AttachmentState::Quarantined,
            causes: vec![format!(
                "device {} was in use when volwardd started, and its state knew of no such \
                 attachment: the state was lost, or restored from an older copy; the guest goes on, \
                 and when it has ended, `volward detach {instance}` releases its volumes",
                device.id
            )],
            migration: None,
        }
    }
}
