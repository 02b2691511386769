//! What was left in the kernel and on the LUN, beside what the journal tells of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;
use volward_model::{
    AttachmentKey, AttachmentState, CopyMode, DeviceId, DeviceRole, HomeState, InstanceId,
    PoolName, RequestId, VolumeInfo, VolumeRef,
};
use volward_plan::witness::{Verdict, weigh};
use volward_plan::{DiskForm, Step};

use super::Recovery;
use crate::detach::DetachDone;
use crate::engine::{DueWriteBack, StepError, clone_of};
use crate::observe::PoolSnapshot;
use crate::ports::{Event, PortResult, StoredAttachment};
use crate::state::Cancellation;

impl Recovery {
    /// Attachments that are remembered, but whose device is gone: a detach took it, and could not
    /// record that. Nobody can have open what is not there, so the detach is completed.
    pub(super) fn complete_lost(&self) {
        let Ok(devices) = self.ports.devices.list() else {
            return;
        };
        let there: BTreeSet<DeviceId> = devices.into_iter().map(|d| d.id).collect();
        // Whose detach is tried again is not lost.
        let owed = self.state.owed().keys();
        // Bound first: looking at a pool below takes the table's lock too.
        let recorded: Vec<StoredAttachment> = self
            .state
            .attachment_table()
            .attachments()
            .filter(|a| a.state == AttachmentState::Attached && !owed.contains(&a.key()))
            .cloned()
            .collect();
        let mut lost: BTreeMap<InstanceId, Vec<StoredAttachment>> = BTreeMap::new();
        for attachment in recorded {
            let id = DeviceId::attachment(attachment.volume.id, attachment.instance);
            let gone = match attachment.form {
                DiskForm::Own => !there.contains(&id),
                DiskForm::Lv => self.is_given_up(&attachment.volume),
            };
            if gone {
                lost.entry(attachment.instance)
                    .or_default()
                    .push(attachment);
            }
        }
        for (instance, attachments) in lost {
            let volumes = attachments.iter().map(|a| a.volume.clone()).collect();
            let lost = Event::LostDetach { instance, volumes };
            self.ports.events.tell(&lost);
            let request = RequestId(Uuid::new_v4());
            // What cannot be completed is tried again or quarantined, and the engine has told of it.
            let mut done = DetachDone::default();
            drop(
                self.detach
                    .execute_detach(request, instance, &attachments, &mut done),
            );
        }
    }

    /// A volume that was attached as the LV itself has no device of Volward's: it is given up where
    /// this node neither holds its lease nor has it active.
    fn is_given_up(&self, volume: &VolumeRef) -> bool {
        let Ok(snapshot) = self.observer.snapshot(&volume.pool) else {
            return false;
        };
        let active = snapshot.info.volume(volume.id).is_some_and(|v| v.active);
        !active && !snapshot.held.contains_key(&volume.id.lv)
    }

    /// I13: no stale device survives. One that is open is somebody's: it is kept, and said.
    pub(super) fn remove_strays(&self) -> Vec<String> {
        // What is tried again has an owner, whether it is in the table or not.
        let owed = self.state.owed().keys();
        let mut known: BTreeSet<AttachmentKey> = self
            .state
            .attachment_table()
            .attachments()
            .map(StoredAttachment::key)
            .collect();
        known.extend(owed);
        let mut strays = Vec::new();
        let mut kept = Vec::new();
        let is_stray = |key: &AttachmentKey| !known.contains(key);
        // Devices first: a path stays while there is what it leads to.
        for device in self.ports.devices.list().unwrap_or_default() {
            let DeviceRole::Attachment(instance) = device.id.role else {
                continue;
            };
            let key = AttachmentKey {
                volume: device.id.volume,
                instance,
            };
            if !is_stray(&key) {
                continue;
            }
            match self.ports.devices.remove(device.id) {
                Ok(_) => {
                    let what = format!("device {}", device.id);
                    self.ports.events.tell(&Event::StrayRemoved { what });
                    strays.push(device.id.to_string());
                    self.state.note_stray(device.id.volume);
                }
                Err(error) => {
                    self.ports.events.tell(&Event::StrayStays {
                        what: format!("device {}", device.id),
                        reason: error.to_string(),
                    });
                    kept.push(device);
                }
            }
        }
        self.state.keep_unclaimed(kept);
        self.claim();
        strays.extend(self.remove_stray_paths(&known));
        strays
    }

    fn remove_stray_paths(&self, known: &BTreeSet<AttachmentKey>) -> Vec<String> {
        let mut strays = Vec::new();
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
            // Of what is tried again nobody knows the path's name: all of its instance's stay.
            let tabled = self.state.attachment_table().has_any(link.instance);
            let owed = !tabled && known.iter().any(|key| key.instance == link.instance);
            if of_known || owed || self.state.is_unclaimed(link.instance) {
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
        strays
    }

    /// Hydrations that went on in the kernel while the daemon was away.
    ///
    /// # Errors
    /// If the pool cannot be read now.
    pub(super) fn take_up_copies(&self, pool: &PoolName) -> PortResult<()> {
        let unspoken = self.write_back_unspoken(pool);
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
            if self.state.monitors().contains_key(&volume.id) {
                continue;
            }
            let hydrating = self
                .state
                .attachment_table()
                .of_volume(volume.id)
                .filter_map(|a| a.copy)
                .any(|c| c.mode >= CopyMode::Background);
            self.copies.watch(volume, false, hydrating);
            if let Err(error) = self.engine.mark_loaded_copy(volume) {
                self.trouble(
                    format!("noting on the copy of {volume} that it is in use"),
                    &error,
                );
            }
            if let Err(error) = self.allow_discards_if_linear(volume) {
                self.trouble(format!("allowing discards on {volume} again"), &error);
            }
        }
        unspoken
    }

    /// Copies that no attachment and no journal entry speaks of: of a detach that could not be
    /// recorded. One that was on its way home goes on; a split one is written back if this boot
    /// was at work on it. After a reboot a split one waits for its guest to start here again, and
    /// for how long is noted.
    fn write_back_unspoken(&self, pool: &PoolName) -> PortResult<()> {
        let snapshot = self.observer.validated_snapshot(pool)?;
        let mut failed = None;
        for info in &snapshot.info.volumes {
            // Whoever works on the volume now knows what he has made of it.
            let Ok(guard) = self
                .state
                .volume_locks
                .take(&[info.volume.id], Duration::ZERO)
            else {
                continue;
            };
            let begun = snapshot.held.contains_key(&info.volume.id.lv);
            if self.goes_on(&snapshot, info, begun) {
                let due = DueWriteBack {
                    entry: None,
                    volume: info.volume.clone(),
                };
                self.copies.start_write_backs([due]);
            } else if self.goes_on(&snapshot, info, true) {
                self.note_alone(&info.volume);
            } else if let Err(error) = self.explain_lease(&snapshot, info) {
                failed = Some(error);
            }
            drop(guard);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Has what is left of a copy that was discarded removed, unless an attachment goes with it: a detach does it
    /// then.
    pub(crate) fn clear_discarded(&self, volume: &VolumeRef) {
        let table = self.state.attachment_table();
        let attached = table.of_volume(volume.id).next().is_some();
        drop(table);
        if attached || !self.state.owed().touching(&[volume.id]).is_empty() {
            return;
        }
        self.copies.start_write_backs([DueWriteBack {
            entry: None,
            volume: volume.clone(),
        }]);
    }

    /// A lease that is held here says that somebody had the volume, whatever the records say. Where
    /// a device of ours that nobody had open stood on it, it goes with that device; where nothing
    /// explains it, its holder may be a guest on the LV itself.
    ///
    /// # Errors
    /// If it is to be given up, and that fails for now.
    fn explain_lease(&self, snapshot: &PoolSnapshot, info: &VolumeInfo) -> PortResult<()> {
        let volume = &info.volume;
        let held = snapshot.held.get(&volume.id.lv);
        let table = self.state.attachment_table();
        let attached = table.of_volume(volume.id).next().is_some();
        drop(table);
        let owed = !self.state.owed().touching(&[volume.id]).is_empty();
        let explained = attached
            || owed
            || info.is_internal()
            || self.state.uses(volume.id)
            || self.state.is_returning(volume.id)
            || self.state.operations().open_on(volume.id).is_some();
        let here = held.is_some() || snapshot.by_hand.contains(&volume.id.lv);
        if !here || held.is_some_and(|lease| lease.orphan) || explained {
            return Ok(());
        }
        // What the data's own witnesses say of it is named already, and refused.
        if !self.is_at_home(snapshot, info)? {
            return Ok(());
        }
        if self.state.had_stray(volume.id) {
            let (pool, volumes) = (volume.pool.clone(), vec![volume.clone()]);
            let release = Step::Release { pool, volumes };
            match self.engine.step(&release, None, &Cancellation::default()) {
                // It is known whose lease it was: what fails for now is tried again.
                Err(StepError::Port(error)) if !error.needs_a_person() => return Err(error),
                released => {
                    self.state.forget_stray(volume.id);
                    if released.is_ok() {
                        return Ok(());
                    }
                }
            }
        }
        self.ports.events.tell(&Event::StrayStays {
            what: format!("the lease of {volume}"),
            reason: "no record says for whom it is held".to_owned(),
        });
        self.state.cannot_explain(volume.id);
        Ok(())
    }

    /// Whether nothing says that the volume's data may be in a copy here. Where something does, and its home says the pool,
    /// the lease is what keeps the other nodes from older data.
    fn is_at_home(&self, snapshot: &PoolSnapshot, info: &VolumeInfo) -> PortResult<bool> {
        let Some(home) = info.home().ok().filter(|h| h.state == HomeState::Pool) else {
            return Ok(false);
        };
        let seen = self.observer.local_input(&snapshot.traces, info)?;
        let verdict = weigh(&self.settings.node, &home, &seen);
        Ok(matches!(verdict, Verdict::Agree | Verdict::Leftovers))
    }

    /// Whether a write-back of the volume is to be taken up that nothing speaks of; of one that is `split` only where
    /// somebody wants it home.
    pub(super) fn goes_on(
        &self,
        snapshot: &PoolSnapshot,
        info: &VolumeInfo,
        is_wanted: bool,
    ) -> bool {
        let volume = &info.volume;
        let attached = self
            .state
            .attachment_table()
            .of_volume(volume.id)
            .next()
            .is_some();
        let owed = !self.state.owed().touching(&[volume.id]).is_empty();
        let Ok(home) = info.home() else { return false };
        if attached || owed || self.state.is_returning(volume.id) || self.state.uses(volume.id) {
            return false;
        }
        let here = home
            .copy()
            .is_some_and(|(node, _)| *node == self.settings.node);
        let Ok(seen) = self.observer.local_input(&snapshot.traces, info) else {
            return false;
        };
        // What contradicts itself waits for a person: doctor names it.
        match (weigh(&self.settings.node, &home, &seen), &home.state) {
            (Verdict::Leftovers, _) => true,
            (Verdict::Agree, HomeState::Returning { .. }) => here,
            (Verdict::Agree, HomeState::Split { .. }) => here && is_wanted,
            (Verdict::Agree | Verdict::Silent(_) | Verdict::Contradict(_), _) => false,
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
