//! Disks that a guest has given back while it runs on: its operating system ejected one, or somebody ran `virsh
//! detach-disk`. libvirt calls no hook for that, and until the guest's end nobody else would get the volume.
//!
//! A disk counts as given back when somebody had its device open (a look has found it so, or the kernel counts I/O on it),
//! nobody has it any more for a while, and libvirt says that the guest runs and does not have it. A disk that was not
//! open yet is waiting for its guest: whoever plugs one attaches it first. The kernel itself refuses to remove a device
//! that is open all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use volward_model::{AttachmentKey, AttachmentState, DeviceId, InstanceId, RequestId};
use volward_plan::DiskForm;

use crate::ports::{Devices, Event, Events, GuestDisks, Guests, StoredAttachment};
use crate::settings::needs;
use crate::state::State;

/// Looks in a row that find a device closed, before libvirt is asked: it opens a disk for a moment
/// before a guest does.
const CLOSED_LOOKS: u32 = 3;
/// The same where no look has found it open, and the kernel says that it was read or written: whoever has looked into it
/// may still want to give it to a guest.
const UNSEEN_LOOKS: u32 = 12;
/// libvirt is asked again after twice as many looks each time, and so many at most.
const MOST_LOOKS: u32 = 60;

needs!(UnpluggedPorts {
    devices: Devices,
    guests: Guests,
    events: Events,
});

/// Follows which devices were open.
pub(crate) struct Unplugged {
    pub(crate) ports: UnpluggedPorts,
    pub(crate) state: Arc<State>,
    /// Devices that somebody had open.
    pub(crate) opened: Mutex<BTreeMap<AttachmentKey, Opened>>,
}

/// A device that somebody had open.
pub(crate) struct Opened {
    /// The number of the attach request that it is of.
    sequence: u64,
    /// How many looks in a row have found it closed.
    closed_looks: u32,
    /// How many are enough.
    enough: u32,
}

impl Unplugged {
    /// What running guests have given back, by instance.
    pub(crate) fn look(&self) -> BTreeMap<InstanceId, Vec<StoredAttachment>> {
        let mut found = BTreeMap::new();
        for (instance, mut closed) in self.closed() {
            match self.ports.guests.disks(instance) {
                GuestDisks::Running(has) => {
                    closed.retain(|attachment| !may_be_among(attachment, &has));
                    if !closed.is_empty() {
                        found.insert(instance, closed);
                    }
                }
                // At its end the hook releases what it had.
                GuestDisks::NotRunning => {}
                GuestDisks::Unknown(why) => {
                    tracing::debug!(%instance, why, "what the guest has is not known");
                }
            }
        }
        found
    }

    /// Tells of what is released, before it is.
    pub(crate) fn tell(&self, request: RequestId, instance: InstanceId, gone: &[StoredAttachment]) {
        self.ports.events.tell(&Event::Unplugged {
            request,
            instance,
            volumes: gone.iter().map(|a| a.volume.clone()).collect(),
        });
    }

    /// Attachments whose device was open and is closed for a while, by instance.
    fn closed(&self) -> BTreeMap<InstanceId, Vec<StoredAttachment>> {
        let Ok(devices) = self.ports.devices.list() else {
            return BTreeMap::new();
        };
        let open = devices.into_iter().filter(|device| device.open);
        let open: BTreeSet<DeviceId> = open.map(|device| device.id).collect();
        let owed = self.state.owed().keys();
        let table = self.state.attachment_table();
        // What migrates is opened and closed by two nodes' libvirts.
        let settled = table.attachments().filter(|a| {
            a.state == AttachmentState::Attached
                && a.migration.is_none()
                && !owed.contains(&a.key())
        });
        let settled: Vec<StoredAttachment> = settled.cloned().collect();
        drop(table);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        // What was attached anew has not been open yet.
        let there: BTreeMap<AttachmentKey, u64> =
            settled.iter().map(|a| (a.key(), a.sequence)).collect();
        opened.retain(|key, of| there.get(key) == Some(&of.sequence));
        let mut closed: BTreeMap<InstanceId, Vec<StoredAttachment>> = BTreeMap::new();
        for attachment in settled {
            let new = |enough| Opened {
                sequence: attachment.sequence,
                closed_looks: 0,
                enough,
            };
            if self.is_open(&attachment, &open) {
                opened.insert(attachment.key(), new(CLOSED_LOOKS));
            } else if !opened.contains_key(&attachment.key()) && self.was_used(&attachment) {
                opened.insert(attachment.key(), new(UNSEEN_LOOKS));
            } else if let Some(was) = opened.get_mut(&attachment.key()) {
                was.closed_looks += 1;
                if was.closed_looks >= was.enough {
                    (was.closed_looks, was.enough) = (0, (was.enough * 2).min(MOST_LOOKS));
                    let of_instance = closed.entry(attachment.instance).or_default();
                    of_instance.push(attachment);
                }
            }
        }
        closed
    }

    /// Whether somebody has read or written it since it was made. Of the LV's own device that says nothing.
    fn was_used(&self, attachment: &StoredAttachment) -> bool {
        let id = DeviceId::attachment(attachment.volume.id, attachment.instance);
        let counters = match attachment.form {
            DiskForm::Own => self.ports.devices.io(id).unwrap_or(None),
            DiskForm::Lv => None,
        };
        counters.is_some_and(|counters| counters.done > 0)
    }

    /// What nobody can be asked about may be open.
    fn is_open(&self, attachment: &StoredAttachment, open: &BTreeSet<DeviceId>) -> bool {
        let volume = attachment.volume.id;
        match attachment.form {
            DiskForm::Own => open.contains(&DeviceId::attachment(volume, attachment.instance)),
            DiskForm::Lv => self.ports.devices.is_lv_open(volume).unwrap_or(true),
        }
    }
}

/// Whether one of the guest's disks may be that attachment's.
fn may_be_among(attachment: &StoredAttachment, has: &[String]) -> bool {
    let (instance, volume) = (attachment.instance, &attachment.volume);
    match attachment.form {
        DiskForm::Own => {
            let link = format!("/{instance}/{}/{}", volume.pool, volume.name);
            has.iter().any(|path| path.ends_with(&link))
        }
        // An LV has many names below /dev; any of them that is not below an instance's folder may be its.
        DiskForm::Lv => {
            let folder = format!("/{instance}/");
            has.iter()
                .any(|path| path.starts_with("/dev/") && !path.contains(&folder))
        }
    }
}
