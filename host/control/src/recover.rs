//! After a crash, or a reboot: every attachment is whole, gone, or quarantined with its causes
//! (I30). No plugin is asked (I32).

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{
    AttachmentKey, AttachmentState, DeviceInfo, DeviceRole, HomeState, LeaseMode, PoolName,
    RequestId, Sharing, VolumeRef,
};
use volward_plan::{DiskForm, Step};

use crate::execute::Run;
use crate::node::Node;
use crate::ports::{
    Finish, JournalEntry, JournalKind, JournalState, PortError, PortResult, StepMark,
    StoredAttachment,
};

/// What recovery did, for the log and for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Requests completed.
    pub completed: Vec<RequestId>,
    /// Requests taken back.
    pub undone: Vec<RequestId>,
    /// Requests that are neither.
    pub quarantined: Vec<RequestId>,
    /// Attachments of an earlier boot, forgotten: their devices and leases went with it.
    pub forgotten: Vec<AttachmentKey>,
    /// Devices nobody knew of, removed (I13).
    pub strays: Vec<String>,
}

impl Node {
    /// Looks at what was left, and makes it whole. Runs once, before the first request.
    ///
    /// # Errors
    /// If the state cannot be read at all; trouble with one pool or request is logged and kept
    /// with it instead.
    pub fn recover(&self) -> PortResult<Recovered> {
        let mut recovered = Recovered::default();
        self.resume_suspended();
        let boot_id = self.ports.machine.boot_id();
        let (ours, gone): (Vec<_>, Vec<_>) = self
            .ports
            .journal
            .attachments()?
            .into_iter()
            .partition(|a| a.boot_id == boot_id);
        recovered.forgotten = gone.iter().map(StoredAttachment::key).collect();
        if !recovered.forgotten.is_empty() {
            self.ports
                .journal
                .change_attachments(&[], &recovered.forgotten)?;
        }
        self.roster().put(ours);
        for pool in &self.settings.pools {
            if let Err(error) = self.open_registry(pool) {
                tracing::error!(%pool, %error, "this pool cannot be used yet");
            }
        }
        let entries = self.ports.journal.open_entries()?;
        for entry in entries {
            self.recover_entry(&entry, &boot_id, &mut recovered);
        }
        recovered.strays = self.remove_strays();
        self.take_up_copies();
        Ok(recovered)
    }

    /// A crash between suspend and resume leaves a guest's I/O waiting: first of all, resume.
    fn resume_suspended(&self) {
        let devices = self.ports.devices.list().unwrap_or_else(|error| {
            tracing::error!(%error, "device-mapper does not answer");
            Vec::new()
        });
        for device in devices.iter().filter(|d| d.suspended && d.target.is_some()) {
            match self.ports.devices.resume(device.id) {
                Ok(_) => tracing::warn!(device = %device.id, "was left suspended; resumed"),
                Err(error) => tracing::error!(device = %device.id, %error, "cannot be resumed"),
            }
        }
    }

    /// The registry is active shared on every node; then our slot says what we have now.
    pub fn open_registry(&self, pool: &PoolName) -> PortResult<()> {
        let info = self.ports.volumes.pool(pool)?;
        let name = registry_name()?;
        let registry = info.named(&name).ok_or_else(|| PortError::Missing {
            what: format!("{pool}/{name} (`volward pool init {pool}` makes it)"),
        })?;
        if !registry.active {
            let volumes = [registry.volume.clone()];
            self.ports
                .volumes
                .activate(pool, &volumes, LeaseMode::Shared)?;
        }
        self.write_slot(pool)
    }

    fn recover_entry(&self, entry: &JournalEntry, boot_id: &str, recovered: &mut Recovered) {
        let same_boot = entry.boot_id == boot_id;
        let request = entry.request;
        tracing::warn!(%request, kind = ?entry.kind, same_boot, "taking up an interrupted request");
        let outcome = match entry.kind {
            JournalKind::WriteBack => {
                self.start_write_back(Some(entry.id), entry);
                return;
            }
            JournalKind::Detach => self.complete_detach(entry).map(|()| true),
            JournalKind::Attach if !same_boot => self.clear_attach(entry).map(|()| false),
            JournalKind::Attach if entry.committed() => self.complete_attach(entry).map(|()| true),
            JournalKind::Attach => self.undo_attach(entry).map(|()| false),
        };
        match outcome {
            Ok(true) => recovered.completed.push(request),
            Ok(false) => recovered.undone.push(request),
            Err(causes) => {
                self.quarantine(Some(entry.id), &self.attachments_of(entry), &causes);
                recovered.quarantined.push(request);
            }
        }
    }

    fn attachments_of(&self, entry: &JournalEntry) -> Vec<StoredAttachment> {
        match entry.kind {
            JournalKind::Attach => entry.puts.clone(),
            JournalKind::Detach | JournalKind::WriteBack => {
                let wanted = |a: &&StoredAttachment| entry.removes.contains(&a.key());
                self.roster()
                    .attachments()
                    .filter(wanted)
                    .cloned()
                    .collect()
            }
        }
    }

    fn complete_attach(&self, entry: &JournalEntry) -> Result<(), Vec<String>> {
        let run = Run {
            entry: Some(entry.id),
            kind: JournalKind::Attach,
        };
        self.run(
            run,
            entry.steps.iter().map(|p| &p.step),
            entry.first_not_done(),
        )
        .map_err(|b| vec![format!("{}: {:?}", b.what, b.error)])?;
        let end = finish(JournalState::Done, entry.puts.clone());
        self.ports
            .journal
            .finish(entry.id, &end)
            .map_err(|e| vec![e.to_string()])?;
        self.roster().put(entry.puts.clone());
        Ok(())
    }

    fn undo_attach(&self, entry: &JournalEntry) -> Result<(), Vec<String>> {
        let run = Run {
            entry: Some(entry.id),
            kind: JournalKind::Attach,
        };
        let begun = entry
            .marks
            .iter()
            .take_while(|m| **m != StepMark::Waiting)
            .count();
        self.undo(run, &entry.steps[..begun.min(entry.steps.len())])
            .map_err(|(what, error)| vec![format!("{what}: {error}")])?;
        self.end_undone(entry, "the daemon died before it was done")
    }

    fn end_undone(&self, entry: &JournalEntry, why: &str) -> Result<(), Vec<String>> {
        let mut end = finish(JournalState::Undone, Vec::new());
        end.causes = vec![why.to_owned()];
        self.ports
            .journal
            .finish(entry.id, &end)
            .map_err(|e| vec![e.to_string()])?;
        Ok(())
    }

    /// An attach of an earlier boot: its devices and leases went with it. What is left is a
    /// copy's LVs; they go if home is still `pool`, else the data may be in them.
    fn clear_attach(&self, entry: &JournalEntry) -> Result<(), Vec<String>> {
        for planned in &entry.steps {
            let Step::MakeCopy { volume, local, .. } = &planned.step else {
                continue;
            };
            let home = self.home_of(volume).map_err(|e| vec![e.to_string()])?;
            if home.state == HomeState::Pool {
                let step = Step::RemoveCopy {
                    volume: volume.clone(),
                    local: local.clone(),
                };
                self.step(&step)
                    .map_err(|e| vec![format!("{step}: {e:?}")])?;
            }
        }
        self.end_undone(entry, "the node was restarted before it was done")
    }

    fn complete_detach(&self, entry: &JournalEntry) -> Result<(), Vec<String>> {
        let leaving = self.attachments_of(entry);
        let run = Run {
            entry: Some(entry.id),
            kind: JournalKind::Detach,
        };
        self.run(
            run,
            entry.steps.iter().map(|p| &p.step),
            entry.first_not_done(),
        )
        .map_err(|b| vec![format!("{}: {:?}", b.what, b.error)])?;
        self.finish_detach(Some(entry.id), entry, &leaving);
        Ok(())
    }

    /// I13: no stale device survives. One that is open is somebody's: it is kept, and said.
    fn remove_strays(&self) -> Vec<String> {
        let known: BTreeSet<AttachmentKey> = self
            .roster()
            .attachments()
            .map(StoredAttachment::key)
            .collect();
        let mut strays = Vec::new();
        let is_stray = |key: &AttachmentKey| !known.contains(key);
        for link in self.ports.devices.links().unwrap_or_default() {
            let of_known = self.roster().of_instance(link.instance).any(|a| {
                a.volume.pool == link.pool
                    && a.volume.name == link.volume
                    && a.form == DiskForm::Own
            });
            if of_known {
                continue;
            }
            match self.ports.devices.unlink(&link) {
                Ok(_) => strays.push(format!("{}/{}", link.pool, link.volume)),
                Err(error) => tracing::error!(%error, "a stray path cannot be withdrawn"),
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
                tracing::warn!(device = %device.id, "removed a device nobody knew of");
                Some(device.id.to_string())
            }
            Err(error) => {
                tracing::error!(
                    device = %device.id, %error,
                    "a device that no attachment belongs to is in use; stop its user and restart \
                     volwardd"
                );
                None
            }
        }
    }

    /// Hydrations that went on in the kernel while the daemon was away.
    fn take_up_copies(&self) {
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
            .roster()
            .attachments()
            .map(|a| (a.volume.id, a.volume.clone()))
            .collect();
        for volume in clones.keys() {
            let Some(volume) = attached.get(volume) else {
                continue;
            };
            if self.is_returning(volume.id) {
                continue;
            }
            let hydrating = self
                .roster()
                .of_volume(volume.id)
                .filter_map(|a| a.copy)
                .any(|c| c.mode >= volward_model::CopyMode::Background);
            self.watch(volume, false, hydrating);
            if let Err(error) = self.allow_discards_if_linear(volume) {
                tracing::warn!(%volume, %error, "discards stay refused");
            }
        }
    }

    fn allow_discards_if_linear(&self, volume: &VolumeRef) -> PortResult<()> {
        let id = crate::execute::clone_of(volume);
        if self.ports.devices.clone_status(id)?.is_none() {
            self.allow_discards(volume)?;
        }
        Ok(())
    }

    /// Attachments, leases and sharing of this node that cannot all be true at once; empty when
    /// all is well. For `doctor`.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut found = Vec::new();
        for pool in &self.settings.pools {
            let Ok(held) = self.ports.leases.held(pool) else {
                continue;
            };
            for attachment in self
                .roster()
                .attachments()
                .filter(|a| a.volume.pool == *pool)
            {
                let volume = &attachment.volume;
                let needed = match attachment.sharing {
                    Sharing::Exclusive => LeaseMode::Exclusive,
                    Sharing::Shared => LeaseMode::Shared,
                };
                let quarantined = attachment.state == AttachmentState::Quarantined;
                match held.get(&volume.id.lv) {
                    _ if quarantined => found.push(format!(
                        "{volume} is quarantined for instance {}: {}",
                        attachment.instance,
                        attachment.causes.join("; then: ")
                    )),
                    Some(lease) if lease.orphan => {
                        found.push(format!("the lease of {volume} is an orphan"));
                    }
                    Some(lease) if lease.mode >= needed => {}
                    _ => found.push(format!(
                        "{volume} is attached {} to instance {}, but its lease is not held so",
                        attachment.sharing, attachment.instance
                    )),
                }
            }
        }
        found
    }
}

impl JournalEntry {
    /// Somebody may have opened a device already.
    #[must_use]
    pub fn committed(&self) -> bool {
        let from = self.commit_at.min(self.marks.len());
        self.marks[from..]
            .iter()
            .any(|m| matches!(m, StepMark::Started | StepMark::Done))
            || (!self.marks.is_empty() && self.marks.iter().all(|m| *m == StepMark::Done))
    }

    fn first_not_done(&self) -> usize {
        self.marks
            .iter()
            .take_while(|m| **m == StepMark::Done)
            .count()
    }
}

fn finish(state: JournalState, put: Vec<StoredAttachment>) -> Finish {
    Finish {
        state,
        causes: Vec::new(),
        put,
        remove: Vec::new(),
        follow: Vec::new(),
    }
}

fn registry_name() -> PortResult<volward_model::VolumeName> {
    volward_model::volume::REGISTRY_VOLUME
        .parse()
        .map_err(|error: volward_model::ParseIdError| PortError::Refused(error.to_string()))
}
