//! Attachments beside what their volumes are now: LVM's names and sizes change under them.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{Bytes, DeviceId, DeviceInfo, PoolName, VolumeId, VolumeRef};
use volward_plan::DiskForm;

use super::Views;
use crate::ports::StoredAttachment;
use crate::state::{CopyView, PresentVolume};

/// An attachment of this node, with what its volume is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAttachment {
    /// As it was attached; the volume has the name that its path has.
    pub stored: StoredAttachment,
    /// What the pool says of the volume now; `None` if it cannot be read quickly, or does not list
    /// the volume any more.
    pub now: Option<PresentVolume>,
    /// The pool was read, and the volume is not in it.
    pub vanished: bool,
    /// The size of the guest's device; `None` where the guest has the LV itself, or the kernel does
    /// not say.
    pub device_size: Option<Bytes>,
}

impl SeenAttachment {
    /// As it was attached, without a look at what the volume is now.
    #[must_use]
    pub fn remembered(stored: StoredAttachment) -> Self {
        Self {
            stored,
            now: None,
            vanished: false,
            device_size: None,
        }
    }

    /// Whether the volume has another name than when it was attached.
    #[must_use]
    pub fn is_renamed(&self) -> bool {
        let name = &self.stored.volume.name;
        self.now.as_ref().is_some_and(|now| now.name != *name)
    }

    /// The device's size and the volume's, where they are not the same.
    #[must_use]
    pub fn grown(&self) -> Option<(Bytes, Bytes)> {
        let (device, now) = (self.device_size?, self.now.as_ref()?);
        (device != now.size).then_some((device, now.size))
    }

    /// What an operator should know of it, each a sentence.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let volume = &self.stored.volume;
        let mut notes = Vec::new();
        if let Some(now) = self.now.as_ref().filter(|_| self.is_renamed()) {
            notes.push(format!(
                "it was attached as {volume} and is called {}/{} now: its path keeps the first name \
                 until it is detached, and the next start needs the new one",
                volume.pool, now.name
            ));
        }
        if self.vanished {
            notes.push(format!(
                "{volume} (LV UUID {}) is not in the pool any more; detach it",
                volume.id.lv
            ));
        }
        if let Some((device, now)) = self.grown().filter(|(device, now)| now < device) {
            notes.push(format!(
                "its device has {device} and the volume only {now}: it was made smaller, and what the guest \
                 has beyond that fails; grow it back to {} bytes with `lvextend --lockopt skiplv -L`",
                device.0
            ));
        } else if let Some((device, now)) = self.grown() {
            notes.push(format!(
                "its device has {device} and the volume has {now}: the device keeps its size until \
                 it is detached and attached again"
            ));
        }
        notes
    }
}

impl Views {
    /// Everything attached or quarantined on this node, with what the volumes are now. A pool whose
    /// disks do not answer at once is not waited for.
    pub(crate) fn attachments_seen(&self) -> Vec<SeenAttachment> {
        let stored = self.attachments();
        let (read, present) = self.glance(stored.iter().map(|a| &a.volume));
        let devices = self.ports.devices.list().unwrap_or_default();
        let devices: BTreeMap<DeviceId, DeviceInfo> =
            devices.into_iter().map(|d| (d.id, d)).collect();
        let seen = stored.into_iter().map(|stored| {
            let id = DeviceId::attachment(stored.volume.id, stored.instance);
            let now = present.get(&stored.volume.id).cloned();
            let own = stored.form == DiskForm::Own;
            let device = devices.get(&id).filter(|_| own);
            SeenAttachment {
                vanished: now.is_none() && read.contains(&stored.volume.pool),
                device_size: device.map(|device| device.size.bytes()),
                now,
                stored,
            }
        });
        seen.collect()
    }

    /// The same without a look: with what the pools said when somebody looked last.
    pub(crate) fn attachments_remembered(&self) -> Vec<SeenAttachment> {
        let remembered = self.attachments().into_iter().map(|stored| SeenAttachment {
            now: self.state.present(stored.volume.id),
            ..SeenAttachment::remembered(stored)
        });
        remembered.collect()
    }

    /// Copies on this node, each with the name that its volume has now.
    pub(crate) fn copies_seen(&self) -> Vec<CopyView> {
        let copies = self.state.copies();
        self.glance(copies.iter().map(|copy| &copy.volume));
        self.state.copies()
    }

    /// Which of the pools of these volumes could be read, and what they say of the volumes now. It is
    /// remembered, for whoever answers without a look.
    fn glance<'a>(
        &self,
        volumes: impl Iterator<Item = &'a VolumeRef>,
    ) -> (BTreeSet<PoolName>, BTreeMap<VolumeId, PresentVolume>) {
        let (mut wanted, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for volume in volumes {
            wanted.insert(&volume.pool);
            ids.insert(volume.id);
        }
        let mut read = BTreeSet::new();
        let mut present = BTreeMap::new();
        for pool in wanted {
            let Ok(Some(info)) = self.ports.volumes.glance(pool) else {
                continue;
            };
            read.insert(pool.clone());
            let of_these = info.volumes.iter().filter(|v| ids.contains(&v.volume.id));
            present.extend(of_these.map(|v| {
                let (name, size) = (v.volume.name.clone(), v.size);
                (v.volume.id, PresentVolume { name, size })
            }));
        }
        self.state.note_present(&present);
        (read, present)
    }
}
