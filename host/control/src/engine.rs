//! The engine: runs the steps of an operation, journalled, and undoes them; quarantines what can
//! be neither completed nor undone; takes up what was interrupted. Knows operations and steps, no
//! use case.

use std::sync::{Arc, Mutex, PoisonError};

use volward_plan::Speeds;

use crate::observe::Observer;
use crate::ports::{
    Activation, Clock, Devices, Events, FaultPoints, Finish, Journal, JournalEntry, Leases,
    Machine, PortResult, Volumes,
};
use crate::settings::{Ports, Settings, needs};
use crate::state::State;

mod asking;
mod clones;
mod coming_home;
mod copy_lv;
mod execute;
mod homes;
mod hydration;
mod in_use;
mod leases;
mod owed;
mod pacing;
mod part;
mod quarantine;
mod run;
mod take_up;

pub(crate) use execute::{DueWriteBack, ExecuteError};
pub(crate) use hydration::NAP;
pub(crate) use owed::Settled;
pub(crate) use pacing::Pacer;
pub(crate) use run::{Run, StepError, StepFailure, StillGranted, UNASKED, clone_of, return_of};

needs!(EnginePorts {
    volumes: Volumes,
    leases: Leases,
    activation: Activation,
    devices: Devices,
    journal: Journal,
    clock: Clock,
    machine: Machine,
    fault_points: FaultPoints,
    events: Events,
});

/// Carries operations out.
pub(crate) struct Engine {
    ports: EnginePorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    observer: Arc<Observer>,
    /// What copies have reached while this daemon runs.
    speeds: Mutex<Speeds>,
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
            speeds: Mutex::default(),
        }
    }

    fn speeds(&self) -> std::sync::MutexGuard<'_, Speeds> {
        self.speeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a journal entry, or what went on without one, and says which entries follow. What
    /// cannot be written is kept, and written before anything new is begun: else the next start
    /// would take up an old request over a newer one.
    ///
    /// # Errors
    /// If it could not be written now.
    pub(crate) fn end(&self, entry: Option<u64>, end: Finish) -> PortResult<Vec<JournalEntry>> {
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

    fn record(&self, entry: Option<u64>, end: &Finish) -> PortResult<Vec<JournalEntry>> {
        let journal = &self.ports.journal;
        match entry {
            Some(entry) => journal.finish(entry, end),
            None => {
                journal.change_attachments(&end.put, &end.remove)?;
                Ok(Vec::new())
            }
        }
    }
}
