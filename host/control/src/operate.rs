//! Operations on volumes: asked for under an id of the caller's, on record before anything is begun, carried
//! out in the background, found again by whoever asks with the same id, and taken up after a restart.
//!
//! What comes next is `plan::operate`'s to say, each time anew from what is found. Here is how it is asked
//! for and told of; `begin` begins one, `checks` says whether it may be, `work` carries it out, `look` says what is found, `act` takes one step, `orders` has another node
//! take them, and `told` is that node's side of it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use volward_model::{NodeName, OperationId, Origin, RequestId, VolumeTask};
use volward_plan::Refusal;

use crate::copies::Copies;
use crate::engine::Engine;
use crate::error::{ControlError, refuse};
use crate::observe::Observer;
use crate::ports::{
    Clock, Decisions, Devices, Events, FaultPoints, Leases, Operations, Policy, PortResult, Tasks,
    Volumes,
};
use crate::settings::{Ports, Settings, needs};
use crate::state::{Operated, State};

mod act;
mod begin;
mod checks;
mod copies;
mod group;
mod home;
mod look;
mod mirror;
mod orders;
mod relocate;
mod review;
mod stretch;
mod told;
mod work;

pub use group::GroupRequest;

/// An operation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRequest {
    /// For the log.
    pub request: RequestId,
    /// Who asks, derived from the socket's peer credentials.
    pub origin: Origin,
    /// The caller's user id, from there too.
    pub uid: u32,
    /// What the caller says beside it, for policies.
    pub hints: Vec<(String, String)>,
    /// What the caller calls it.
    pub id: OperationId,
    /// What is to be done.
    pub task: VolumeTask,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What became of the asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationAsked {
    /// How it stands; `None` after a dry run of one that is not known.
    pub operation: Option<Operated>,
    /// Of a dry run the steps, a line each.
    pub plan: Vec<String>,
}

needs!(OperatePorts {
    volumes: Volumes,
    leases: Leases,
    devices: Devices,
    operations: Operations,
    policy: Policy,
    decisions: Decisions,
    clock: Clock,
    tasks: Tasks,
    fault_points: FaultPoints,
    events: Events,
});

/// Whose policies are asked: those of the node that is asked for the operation, once.
#[derive(Clone, Copy)]
enum Decided {
    Here,
    /// The order of another node: its policies have agreed.
    Elsewhere,
}

/// The use case.
pub(crate) struct Operate {
    ports: OperatePorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    observer: Arc<Observer>,
    engine: Arc<Engine>,
    copies: Arc<Copies>,
    /// One writer of records at a time, so that an older state never replaces a newer one.
    records: Mutex<()>,
    /// For the workers, which outlive the request that has them started.
    me: Weak<Self>,
}

impl Operate {
    pub(crate) fn new(
        ports: &Ports,
        settings: &Arc<Settings>,
        (state, observer, engine): (&Arc<State>, &Arc<Observer>, &Arc<Engine>),
        copies: &Arc<Copies>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            state: Arc::clone(state),
            observer: Arc::clone(observer),
            engine: Arc::clone(engine),
            copies: Arc::clone(copies),
            records: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Reads the records: before anything looks at volumes, for what is on record is nobody's stray.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn load(&self) -> PortResult<()> {
        let operations = self.ports.operations.operations()?;
        self.state.operations().load(operations);
        Ok(())
    }

    /// Begins an operation, or finds the one of that id. What is refused is not on record.
    ///
    /// # Errors
    /// If the id was given to something else, if the operation breaks a rule, if a policy refuses it, or if
    /// it cannot be put on record.
    pub(crate) fn ask(&self, asked: &OperationRequest) -> Result<OperationAsked, ControlError> {
        self.consider(asked, Decided::Here)
    }

    fn node(&self) -> &NodeName {
        &self.settings.node
    }

    /// Has an operation taken back.
    ///
    /// # Errors
    /// If there is none of that id, it has ended or can only be completed, or that cannot be put on record.
    pub(crate) fn cancel(
        &self,
        request: RequestId,
        id: &OperationId,
    ) -> Result<Operated, ControlError> {
        if self.operation(id).is_none() {
            return Err(ControlError::NotFound(no_operation(id)));
        }
        let now_ms = self.ports.clock.now_ms();
        let cancelled = self.state.operations().cancel(id, now_ms);
        let cancelled = cancelled.map_err(|how| refuse(request, Refusal::too_late(id, how)))?;
        for one in &cancelled {
            let kept = self.keep(one);
            kept.map_err(|error| ControlError::State { error })?;
        }
        self.wake();
        self.operation(id)
            .ok_or_else(|| ControlError::NotFound(no_operation(id)))
    }

    /// Writes an operation's record as it is now.
    fn keep(&self, id: &OperationId) -> PortResult<()> {
        let _writer = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.state.operations().get(id).cloned();
        known.map_or(Ok(()), |known| self.ports.operations.put(&known.operation))
    }

    /// One operation.
    pub(crate) fn operation(&self, id: &OperationId) -> Option<Operated> {
        self.state.operations().get(id).cloned()
    }

    /// All that are known, the oldest first.
    pub(crate) fn operations(&self) -> Vec<Operated> {
        self.state.operations().all()
    }
}

/// For people.
pub(crate) fn no_operation(id: &OperationId) -> String {
    format!("this node knows no operation {id}; `volward op ls` lists those that it knows")
}
