//! The engine: runs the steps of an operation, journalled, and takes them back. Knows steps and
//! journal entries, no use case.

use std::collections::BTreeSet;
use std::sync::Arc;

use volward_model::{AttachmentState, PoolName, RequestId};

use crate::observe::Observer;
use crate::ports::{
    Activation, Clock, Devices, FaultPoints, Finish, Journal, JournalEntry, JournalKind,
    JournalState, Leases, Machine, PortResult, StoredAttachment, Volumes,
};
use crate::settings::{Ports, Settings, needs};
use crate::state::State;

mod homes;
mod hydration;
mod leases;
mod run;

pub(crate) use hydration::NAP;
pub(crate) use run::{Run, StepError, StepFailure, clone_of, return_of};

needs!(EnginePorts {
    volumes: Volumes,
    leases: Leases,
    activation: Activation,
    devices: Devices,
    journal: Journal,
    clock: Clock,
    machine: Machine,
    fault_points: FaultPoints,
});

/// Carries operations out.
pub(crate) struct Engine {
    ports: EnginePorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    observer: Arc<Observer>,
}

impl Engine {
    pub(crate) fn new(
        settings: &Arc<Settings>,
        state: &Arc<State>,
        observer: &Arc<Observer>,
        ports: &Ports,
    ) -> Self {
        Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            state: Arc::clone(state),
            observer: Arc::clone(observer),
        }
    }

    /// A journal entry that begins now, about nothing yet.
    pub(crate) fn new_entry(&self, request: RequestId, kind: JournalKind) -> JournalEntry {
        JournalEntry {
            id: 0,
            request,
            kind,
            boot_id: self.ports.machine.boot_id(),
            started_ms: self.ports.clock.now_ms(),
            instance: None,
            volumes: Vec::new(),
            steps: Vec::new(),
            commit_at: 0,
            puts: Vec::new(),
            removes: Vec::new(),
            write_back: Vec::new(),
            state: JournalState::Open,
            marks: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Ends a journal entry, or what went on without one. What cannot be written is kept, and
    /// written before anything new is begun: else the next start would take up an old request
    /// over a newer one.
    ///
    /// # Errors
    /// If it could not be written now.
    pub(crate) fn end(&self, entry: Option<u64>, end: Finish) -> PortResult<Vec<u64>> {
        let written = match self.record_ends() {
            Ok(()) => self.record(entry, &end),
            Err(error) => Err(error),
        };
        if written.is_err() {
            // What follows goes on without an entry of its own.
            let end = Finish {
                follow: Vec::new(),
                ..end
            };
            self.state.unrecorded().push((entry, end));
        }
        written
    }

    /// Writes the ends that are still missing, oldest first.
    ///
    /// # Errors
    /// If there are some that still cannot be written.
    pub(crate) fn record_ends(&self) -> PortResult<()> {
        let mut unrecorded = self.state.unrecorded();
        while let Some((entry, end)) = unrecorded.first() {
            self.record(*entry, end)?;
            unrecorded.remove(0);
        }
        Ok(())
    }

    fn record(&self, entry: Option<u64>, end: &Finish) -> PortResult<Vec<u64>> {
        let journal = &self.ports.journal;
        match entry {
            Some(entry) => journal.finish(entry, end),
            None => {
                journal.change_attachments(&end.put, &end.remove)?;
                Ok(Vec::new())
            }
        }
    }

    /// Remembers what could neither be finished nor taken back, with its causes.
    pub(crate) fn quarantine(
        &self,
        entry: Option<u64>,
        attachments: &[StoredAttachment],
        causes: &[String],
    ) {
        let kept: Vec<StoredAttachment> = attachments
            .iter()
            .cloned()
            .map(|mut a| {
                a.state = AttachmentState::Quarantined;
                a.causes = causes.to_vec();
                a
            })
            .collect();
        tracing::error!(?causes, "quarantined");
        let end = Finish {
            state: JournalState::Quarantined,
            causes: causes.to_vec(),
            put: kept.clone(),
            remove: Vec::new(),
            follow: Vec::new(),
        };
        if let Err(error) = self.end(entry, end) {
            tracing::error!(%error, "a quarantine is remembered by the daemon alone for now");
        }
        let pools: BTreeSet<PoolName> = kept.iter().map(|a| a.volume.pool.clone()).collect();
        self.state.attachment_table().put(kept);
        for pool in pools {
            if let Err(error) = self.state.write_slot(&pool) {
                tracing::warn!(%pool, %error, "other nodes do not see a quarantine");
            }
        }
    }

    /// Of the attachments of a request, those it was to make: what the instance had before is
    /// whole, whatever becomes of the request.
    pub(crate) fn not_attached_yet(&self, puts: &[StoredAttachment]) -> Vec<StoredAttachment> {
        let attachment_table = self.state.attachment_table();
        let fresh = |put: &&StoredAttachment| !attachment_table.has(put.key());
        puts.iter().filter(fresh).cloned().collect()
    }
}
