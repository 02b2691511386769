//! What was left in the kernel and on the LUN, beside what the journal tells of.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use volward_model::{
    AttachmentKey, AttachmentState, CopyMode, DeviceId, DeviceInfo, DeviceRole, HomeState,
    InstanceId, RequestId, VolumeRef,
};
use volward_plan::DiskForm;

use super::Recovery;
use crate::engine::{DueWriteBack, clone_of};
use crate::ports::{Event, PortResult, StoredAttachment};

impl Recovery {
    /// Attachments that are remembered, but whose device is gone: a detach took it, and could not
    /// record that. Nobody can have open what is not there, so the detach is completed.
    pub(super) fn complete_lost(&self) {
        let Ok(devices) = self.ports.devices.list() else {
            return;
        };
        let there: BTreeSet<DeviceId> = devices.into_iter().map(|d| d.id).collect();
        let mut lost: BTreeMap<InstanceId, Vec<StoredAttachment>> = BTreeMap::new();
        for attachment in self.state.attachment_table().attachments() {
            let id = DeviceId::attachment(attachment.volume.id, attachment.instance);
            let settled = attachment.state == AttachmentState::Attached;
            if settled && attachment.form == DiskForm::Own && !there.contains(&id) {
                lost.entry(attachment.instance)
                    .or_default()
                    .push(attachment.clone());
            }
        }
        for (instance, attachments) in lost {
            let volumes = attachments.iter().map(|a| a.volume.clone()).collect();
            let lost = Event::LostDetach { instance, volumes };
            self.ports.events.tell(&lost);
            let request = RequestId(Uuid::new_v4());
            // What cannot be completed is quarantined, and the engine has told of it.
            drop(self.detach.execute_detach(request, instance, &attachments));
        }
    }

    /// I13: no stale device survives. One that is open is somebody's: it is kept, and said.
    pub(super) fn remove_strays(&self) -> Vec<String> {
        let known: BTreeSet<AttachmentKey> = self
            .state
            .attachment_table()
            .attachments()
            .map(StoredAttachment::key)
            .collect();
        let mut strays = Vec::new();
        let is_stray = |key: &AttachmentKey| !known.contains(key);
        for link in self.ports.devices.links().unwrap_or_default() {
            let of_known = self
                .state
                .attachment_table()
                .of_instance(link.instance)
                .any(|a| {
                    a.volume.pool == link.pool
                        && a.volume.name == link.volume
                        && a.form == DiskForm::Own
                });
            if of_known {
                continue;
            }
            match self.ports.devices.unlink(&link) {
                Ok(_) => strays.push(format!("{}/{}", link.pool, link.volume)),
                Err(error) => self.ports.events.tell(&Event::StrayStays {
                    what: format!("the path of {}/{}", link.pool, link.volume),
                    reason: error.to_string(),
                }),
            }
        }
        for device in self.ports.devices.list().unwrap_or_default() {
            let DeviceRole::Attachment(instance) = device.id.role else {
                continue;
            };
            if is_stray(&AttachmentKey {
                volume: device.id.volume,
                instance,
            }) {
                strays.extend(self.remove_stray(&device));
            }
        }
        strays
    }

    fn remove_stray(&self, device: &DeviceInfo) -> Option<String> {
        match self.ports.devices.remove(device.id) {
            Ok(_) => {
                let what = format!("device {}", device.id);
                self.ports.events.tell(&Event::StrayRemoved { what });
                Some(device.id.to_string())
            }
            Err(error) => {
                self.ports.events.tell(&Event::StrayStays {
                    what: format!("device {}", device.id),
                    reason: error.to_string(),
                });
                None
            }
        }
    }

    /// Hydrations that went on in the kernel while the daemon was away.
    pub(super) fn take_up_copies(&self) {
        self.write_back_unspoken();
        let clones: BTreeMap<_, _> = self
            .ports
            .devices
            .list()
            .unwrap_or_default()
            .into_iter()
            .filter(|d| d.id.role == DeviceRole::Clone)
            .map(|d| (d.id.volume, d))
            .collect();
        let attached: BTreeMap<_, VolumeRef> = self
            .state
            .attachment_table()
            .attachments()
            .map(|a| (a.volume.id, a.volume.clone()))
            .collect();
        for volume in clones.keys() {
            let Some(volume) = attached.get(volume) else {
                continue;
            };
            if self.state.is_returning(volume.id) {
                continue;
            }
            let hydrating = self
                .state
                .attachment_table()
                .of_volume(volume.id)
                .filter_map(|a| a.copy)
                .any(|c| c.mode >= CopyMode::Background);
            self.copies.watch(volume, false, hydrating);
            if let Err(error) = self.allow_discards_if_linear(volume) {
                self.trouble(format!("allowing discards on {volume} again"), &error);
            }
        }
    }

    /// Copies that no attachment and no journal entry speaks of: of a detach that could not be
    /// recorded. One that was on its way home goes on; a split one is written back if this boot
    /// was at work on it. After a reboot a split one waits for its guest to start here again.
    fn write_back_unspoken(&self) {
        for pool in &self.settings.pools {
            let Ok(snapshot) = self.observer.snapshot(pool) else {
                continue;
            };
            for info in &snapshot.info.volumes {
                let volume = &info.volume;
                let Ok(home) = info.home() else { continue };
                let here = home
                    .copy()
                    .is_some_and(|(node, _)| *node == self.settings.node);
                let attached = self
                    .state
                    .attachment_table()
                    .of_volume(volume.id)
                    .next()
                    .is_some();
                let spoken_of = attached || self.state.is_returning(volume.id);
                if !here || spoken_of {
                    continue;
                }
                let goes_on = match home.state {
                    HomeState::Returning { .. } => true,
                    HomeState::Split { .. } => snapshot.held.contains_key(&volume.id.lv),
                    HomeState::Node { .. } | HomeState::Pool => false,
                };
                if goes_on {
                    let due = DueWriteBack {
                        entry: None,
                        volume: volume.clone(),
                    };
                    self.copies.start_write_backs([due]);
                }
            }
        }
    }

    fn allow_discards_if_linear(&self, volume: &VolumeRef) -> PortResult<()> {
        let id = clone_of(volume);
        if self.ports.devices.clone_status(id)?.is_none() {
            self.copies.allow_discards(volume)?;
        }
        Ok(())
    }
}
