//! After a crash, or a reboot: every attachment is whole, gone, or quarantined with its causes
//! (I30). No plugin is asked (I32).

use std::sync::Arc;

use volward_model::{AttachmentKey, PoolName, RequestId};
use volward_plan::Step;

use crate::copies::Copies;
use crate::detach::Detach;
use crate::engine::{Engine, Run};
use crate::observe::Observer;
use crate::pools::Pools;
use crate::ports::{
    Clock, Devices, Finish, Journal, JournalEntry, JournalKind, JournalState, Machine, PortResult,
    StepMark, StoredAttachment,
};
use crate::settings::{Settings, needs};
use crate::state::State;

mod left_over;

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

needs!(RecoveryPorts {
    journal: Journal,
    devices: Devices,
    machine: Machine,
    clock: Clock,
});

/// Recovery, once at the start.
pub(crate) struct Recovery {
    pub(crate) ports: RecoveryPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) detach: Arc<Detach>,
}

impl Recovery {
    /// Looks at what was left, and makes it whole. Runs once, before the first request.
    ///
    /// # Errors
    /// If the state cannot be read at all; trouble with one pool or request is logged and kept
    /// with it instead.
    pub(crate) fn recover(&self) -> PortResult<Recovered> {
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
            let mut end = finish(JournalState::Done, Vec::new());
            end.remove.clone_from(&recovered.forgotten);
            if let Err(error) = self.engine.end(None, end) {
                tracing::warn!(%error, "attachments of an earlier boot are still remembered");
            }
        }
        self.state.attachment_table().put(ours);
        let entries = self.ports.journal.open_entries()?;
        // What an interrupted attach has told the others stays told until it is taken back.
        for entry in entries.iter().filter(|e| e.boot_id == boot_id) {
            self.tell_again(entry);
        }
        for pool in &self.settings.pools {
            if let Err(error) = self.pools.open_registry(pool) {
                tracing::error!(%pool, %error, "this pool cannot be used yet");
            }
        }
        // Write-backs last: until every attachment is known, a guest may be using the copy.
        let (write_backs, requests): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|e| e.kind == JournalKind::WriteBack);
        for entry in requests {
            self.recover_entry(&entry, &boot_id, &mut recovered);
        }
        self.complete_lost();
        recovered.strays = self.remove_strays();
        for entry in write_backs {
            self.copies.start_write_back(Some(entry.id), &entry);
        }
        self.take_up_copies(&self.settings.pools);
        for pool in &self.settings.pools {
            if let Err(error) = self.state.write_slot(pool) {
                tracing::error!(%pool, %error, "other nodes do not see what this node has");
            }
        }
        Ok(recovered)
    }

    /// What recovery could not look at because the pool could not be read then. Harmless to repeat.
    pub(crate) fn take_up_pool(&self, pool: &PoolName) {
        self.claim();
        self.take_up_copies(std::slice::from_ref(pool));
        if let Err(error) = self.state.write_slot(pool) {
            tracing::error!(%pool, %error, "other nodes do not see what this node has");
        }
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

    fn recover_entry(&self, entry: &JournalEntry, boot_id: &str, recovered: &mut Recovered) {
        let same_boot = entry.boot_id == boot_id;
        let request = entry.request;
        tracing::warn!(%request, kind = ?entry.kind, same_boot, "taking up an interrupted request");
        let outcome = match entry.kind {
            // Never here: they are started when all else is done.
            JournalKind::WriteBack => return,
            JournalKind::Detach if !same_boot => {
                // The node's restart has done its steps; the pool need not be there yet.
                self.detach.finish_detach(Some(entry.id), entry, &[]);
                Ok(true)
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
                self.engine
                    .quarantine(Some(entry.id), &self.attachments_of(entry), &causes);
                recovered.quarantined.push(request);
            }
        }
    }

    fn tell_again(&self, entry: &JournalEntry) {
        for (planned, mark) in entry.steps.iter().zip(&entry.marks) {
            if let (Step::Publish { pool, attachments }, StepMark::Started | StepMark::Done) =
                (&planned.step, mark)
            {
                self.state.attachment_table().publish(pool, attachments);
            }
        }
    }

    fn attachments_of(&self, entry: &JournalEntry) -> Vec<StoredAttachment> {
        match entry.kind {
            JournalKind::Attach => self.engine.not_attached_yet(&entry.puts),
            JournalKind::Detach | JournalKind::WriteBack => {
                let wanted = |a: &&StoredAttachment| entry.removes.contains(&a.key());
                self.state
                    .attachment_table()
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
        self.engine
            .run(
                run,
                entry.steps.iter().map(|p| &p.step),
                entry.first_not_done(),
            )
            .map_err(|b| vec![b.error.cause(&b.what)])?;
        let end = finish(JournalState::Done, entry.puts.clone());
        self.engine
            .end(Some(entry.id), end)
            .map_err(|e| vec![e.to_string()])?;
        self.state.attachment_table().put(entry.puts.clone());
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
        self.engine
            .undo(run, &entry.steps[..begun.min(entry.steps.len())])
            .map_err(|cause| vec![cause])?;
        self.end_undone(entry, "the daemon died before it was done", Vec::new())
    }

    fn end_undone(
        &self,
        entry: &JournalEntry,
        why: &str,
        follow: Vec<JournalEntry>,
    ) -> Result<(), Vec<String>> {
        let mut end = finish(JournalState::Undone, Vec::new());
        end.causes = vec![why.to_owned()];
        end.follow.clone_from(&follow);
        let numbers = self
            .engine
            .end(Some(entry.id), end)
            .map_err(|e| vec![e.to_string()])?;
        for (number, write_back) in numbers.into_iter().zip(&follow) {
            self.copies.start_write_back(Some(number), write_back);
        }
        Ok(())
    }

    /// An attach of an earlier boot: its devices and leases went with it. What is left is a
    /// copy's LVs. They become a write-back: it is planned from the home, so it removes them where
    /// home is still `pool` and saves what is in them where it is not; and it is tried again
    /// until the pool, which may not be there yet, can be read. Nobody was told of the
    /// attachment, so nobody will detach it.
    fn clear_attach(&self, entry: &JournalEntry) -> Result<(), Vec<String>> {
        let follow = entry
            .steps
            .iter()
            .filter_map(|planned| match &planned.step {
                Step::MakeCopy { volume, .. } => {
                    Some(self.copies.write_back_entry(entry.request, volume))
                }
                _ => None,
            });
        let why = "the node was restarted before it was done";
        self.end_undone(entry, why, follow.collect())
    }

    fn complete_detach(&self, entry: &JournalEntry) -> Result<(), Vec<String>> {
        let leaving = self.attachments_of(entry);
        let run = Run {
            entry: Some(entry.id),
            kind: JournalKind::Detach,
        };
        self.engine
            .run(
                run,
                entry.steps.iter().map(|p| &p.step),
                entry.first_not_done(),
            )
            .map_err(|b| vec![b.error.cause(&b.what)])?;
        self.detach.finish_detach(Some(entry.id), entry, &leaving);
        Ok(())
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
