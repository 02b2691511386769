//! Operations on volumes: asked for under an id of the caller's, on record before anything is begun, carried
//! out in the background, found again by whoever asks with the same id, and taken up after a restart.
//!
//! What comes next is `plan::operate`'s to say, each time anew from what is found. Here is how it is asked
//! for and told of; `checks` says whether it may be, `work` carries it out, `look` says what is found, `act` takes one step, `orders` has another node
//! take them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use volward_model::{
    Course, DecisionRecord, End, NodeName, OperationId, Origin, PoolName, RequestId, VolumeName,
    VolumeOperation, VolumeTask,
};
use volward_plan::Refusal;
use volward_plan::operate::{Sight, SourceSeen, Writer, dry_run, may_begin, may_hold, who_is_told};

use crate::engine::{Engine, StepError};
use crate::error::{ControlError, refuse, storage};
use crate::observe::Observer;
use crate::ports::{
    Clock, Decisions, Devices, Event, Events, FaultPoints, Leases, Operations, Policy, PortError,
    PortResult, Tasks, Volumes,
};
use crate::settings::{Ports, Settings, needs};
use crate::state::{Operated, State};

mod act;
mod checks;
mod copies;
mod group;
mod look;
mod mirror;
mod orders;
mod review;
mod stretch;
mod work;

use group::members_of;
use look::Look;

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

/// An operation that may be begun.
struct Prepared {
    operation: VolumeOperation,
    look: Look,
    /// The node that does it.
    told: Option<NodeName>,
    decision: Option<DecisionRecord>,
}

/// The use case.
pub(crate) struct Operate {
    ports: OperatePorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    observer: Arc<Observer>,
    engine: Arc<Engine>,
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
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            state: Arc::clone(state),
            observer: Arc::clone(observer),
            engine: Arc::clone(engine),
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

    fn consider(
        &self,
        asked: &OperationRequest,
        decided: Decided,
    ) -> Result<OperationAsked, ControlError> {
        if let Some(found) = self.found(asked)? {
            return Ok(found);
        }
        let prepared = self.prepare(asked, decided)?;
        if asked.dry_run {
            return self.tried(asked, &prepared);
        }
        let begun = self.begin_all(std::slice::from_ref(asked), vec![prepared])?;
        begun
            .into_iter()
            .next()
            .ok_or_else(|| ControlError::NotFound(no_operation(&asked.id)))
    }

    fn prepare(
        &self,
        asked: &OperationRequest,
        decided: Decided,
    ) -> Result<Prepared, ControlError> {
        let doing = format!("looking at what is to be done ({})", asked.task);
        for pool in asked.task.pools() {
            self.observer.managed(pool)?;
        }
        self.leases_must_be_sound(asked)?;
        let operation = self.about(asked, &doing)?;
        self.must_have_a_watchdog(asked)?;
        let look = self
            .look(&operation)
            .map_err(|error| self.told(asked, &doing, error))?;
        let told = self
            .who_does_it(&operation, &look)
            .map_err(|error| storage(asked.request, &doing, error))?
            .cloned();
        let may = match told {
            Some(_) => self.may_be_told(&operation, &look),
            None => self.may(&operation, &look),
        };
        may.and_then(|()| self.must_not_be_cut_off(&look))
            .map_err(|refusal| refuse(asked.request, refusal))?;
        let decision = match decided {
            Decided::Here => self.review(asked, &operation, &look)?,
            Decided::Elsewhere => None,
        };
        Ok(Prepared {
            operation,
            look,
            told,
            decision,
        })
    }

    /// What would be done.
    fn tried(
        &self,
        asked: &OperationRequest,
        prepared: &Prepared,
    ) -> Result<OperationAsked, ControlError> {
        let Prepared {
            operation,
            look,
            told,
            ..
        } = prepared;
        if let Some(nothing) = operation.had_nothing_to_do() {
            return Ok(OperationAsked {
                operation: None,
                plan: vec![nothing],
            });
        }
        let wipe = self.settings.wipe(asked.task.pool());
        let sight = match told {
            Some(_) => seen_there(&look.sight),
            None => look.sight.clone(),
        };
        let (steps, _) =
            dry_run(operation, wipe, &sight).map_err(|refusal| refuse(asked.request, refusal))?;
        let told = told
            .as_ref()
            .map(|node| format!("have node {node}, where it is attached, do the rest"));
        let steps = steps.iter().map(ToString::to_string);
        Ok(OperationAsked {
            operation: None,
            plan: told.into_iter().chain(steps).collect(),
        })
    }

    /// The other node that is to do it, if this one cannot. Registries of 0.1.0's layout have no words for that.
    fn who_does_it<'a>(
        &self,
        operation: &VolumeOperation,
        look: &'a Look,
    ) -> PortResult<Option<&'a NodeName>> {
        let Some(other) = look
            .subject()
            .and_then(|seen| who_is_told(&operation.task, seen))
        else {
            return Ok(None);
        };
        let can_speak = self
            .observer
            .can_speak_of_migrations(operation.task.pool())?;
        Ok(can_speak.then_some(&other.attachment.node))
    }

    /// The operation, with the volumes that it is about as the pools list them now.
    fn about(
        &self,
        asked: &OperationRequest,
        doing: &str,
    ) -> Result<VolumeOperation, ControlError> {
        let failed = |error| storage(asked.request, doing, error);
        let refused = |refusal| refuse(asked.request, refusal);
        let (id, task) = (asked.id.clone(), asked.task.clone());
        let now_ms = self.ports.clock.now_ms();
        let mut operation = VolumeOperation::new(id, task, (asked.request, asked.uid), now_ms);
        let pool = self.ports.volumes.pool(asked.task.pool()).map_err(failed)?;
        let there = pool.named(asked.task.name());
        may_begin(&asked.id, &asked.task, &pool).map_err(refused)?;
        if let Some((from_pool, from)) = asked.task.source() {
            let other = match from_pool == asked.task.pool() {
                true => pool.clone(),
                false => self.ports.volumes.pool(from_pool).map_err(failed)?,
            };
            let source = other.named(from);
            let source =
                source.ok_or_else(|| ControlError::NotFound(no_volume(from_pool, from)))?;
            may_hold(&asked.task, source, &pool).map_err(refused)?;
            operation.source = Some(source.volume.clone());
            return Ok(operation);
        }
        match (&asked.task, there) {
            (VolumeTask::Delete { .. }, None) => operation.course = Course::Ended(End::Done),
            (
                VolumeTask::Extend { pool, name, .. } | VolumeTask::Rename { pool, name, .. },
                None,
            ) => {
                return Err(ControlError::NotFound(no_volume(pool, name)));
            }
            (task, Some(there)) if !task.makes() => operation.volume = Some(there.volume.clone()),
            _ => {}
        }
        Ok(operation)
    }

    /// The operation of that id, if it is the same.
    fn found(&self, asked: &OperationRequest) -> Result<Option<OperationAsked>, ControlError> {
        let book = self.state.operations();
        let Some(known) = book.get(&asked.id) else {
            return Ok(None);
        };
        if known.operation.task != asked.task {
            let differs = Refusal::operation_differs(&asked.id, &known.operation.task);
            return Err(refuse(asked.request, differs));
        }
        Ok(Some(OperationAsked {
            operation: Some(known.clone()),
            plan: Vec::new(),
        }))
    }

    /// All of them, or none.
    fn begin_all(
        &self,
        asked: &[OperationRequest],
        prepared: Vec<Prepared>,
    ) -> Result<Vec<OperationAsked>, ControlError> {
        let writer = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut begun = Vec::new();
        for (one, prepared) in asked.iter().zip(prepared) {
            // Two may have asked at once.
            if self.found(one)?.is_some() {
                continue;
            }
            let other = self
                .state
                .operations()
                .open_like(&prepared.operation)
                .cloned();
            if let Some(other) = other {
                let open = Refusal::operation_open(&one.task, &other);
                return Err(refuse(one.request, open));
            }
            begun.push((prepared.operation, prepared.decision));
        }
        self.put_on_record(&begun)?;
        let mut book = self.state.operations();
        for (operation, _) in &begun {
            book.put(operation.clone());
        }
        let known: Vec<OperationAsked> = asked
            .iter()
            .map(|one| OperationAsked {
                operation: book.get(&one.id).cloned(),
                plan: Vec::new(),
            })
            .collect();
        drop(book);
        drop(writer);
        for (operation, _) in begun {
            self.ports.events.tell(&Event::OperationBegun { operation });
        }
        self.wake();
        Ok(known)
    }

    fn told(&self, asked: &OperationRequest, doing: &str, error: StepError) -> ControlError {
        match error {
            StepError::Held(refusal) | StepError::Refused(refusal) => {
                refuse(asked.request, refusal)
            }
            StepError::Port(error) => storage(asked.request, doing, error),
            other => storage(
                asked.request,
                doing,
                PortError::Busy {
                    what: other.cause("it"),
                },
            ),
        }
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
        let cancelled = {
            let mut book = self.state.operations();
            let cancelled = book.cancel(id, now_ms);
            if cancelled.is_ok() {
                // All of a group or none; one that has ended has its own end.
                for other in members_of(&book, id) {
                    let _its_own_end = book.cancel(&other, now_ms);
                }
            }
            cancelled.map(|()| members_of(&book, id))
        };
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

fn no_volume(pool: &PoolName, name: &VolumeName) -> String {
    format!("there is no volume {pool}/{name}; `volward pool ls` shows what there is")
}

/// As the node that has the volume attached sees it.
fn seen_there(sight: &Sight) -> Sight {
    let writer = Some(Writer::Apart);
    Sight {
        attached: true,
        source: sight
            .source
            .clone()
            .map(|source| SourceSeen { writer, ..source }),
        ..sight.clone()
    }
}
