//! Runs one call of one policy: a fresh store and instance, under all limits, on the caller's
//! thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use volward_model::{Answer, Facts, Fault, FaultKind};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use crate::run::call::{self, Call};
use crate::run::deadline::{Deadline, Look};
use crate::run::fault::{self, During};
use crate::run::gate::Gate;
use crate::run::limits::Limits;
use crate::run::priority::GaveWay;
use crate::run::stopwatch::{CpuWatch, Stopwatch};
use crate::run::ticker::Ticker;

/// What all policies share.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    ticker: Ticker,
    gate: Gate,
    /// Only where costs are measured: a policy that is asked pays for the counting.
    costs: Option<Mutex<Vec<Cost>>>,
}

/// What a call of a policy took, in units that are the same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cost {
    /// wasmtime's fuel: about one for each instruction.
    pub fuel: u64,
    /// Linear memory of all its memories together, in bytes.
    pub memory: u64,
}

/// What came of a call.
pub(crate) struct Outcome<T> {
    /// What it returned, or how it broke.
    pub(crate) result: Result<T, Fault>,
    /// The answer it made until then.
    pub(crate) answer: Answer,
    /// The lines it logged until then.
    pub(crate) log: Vec<String>,
}

impl<T> Outcome<T> {
    fn broken(fault: Fault) -> Self {
        Self {
            result: Err(fault),
            answer: Answer::default(),
            log: Vec::new(),
        }
    }
}

impl Sandbox {
    /// # Errors
    /// If the kernel gives no thread for the ticker.
    pub(crate) fn new(engine: Engine, limits: Limits, metered: bool) -> std::io::Result<Self> {
        let ticker = Ticker::start(engine.clone(), limits.tick())?;
        let gate = Gate::new(limits.concurrency);
        Ok(Self {
            engine,
            limits,
            ticker,
            gate,
            costs: metered.then(Mutex::default),
        })
    }

    /// What the calls since the last time took, in their order; nothing where nobody measures.
    pub(crate) fn take_costs(&self) -> Vec<Cost> {
        let costs = self.costs.as_ref();
        costs
            .map(|costs| std::mem::take(&mut *costs.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    /// The call ends when the deadline is over, and has a lower priority before, once it is slow: the
    /// threads of a small node's decisions share two processors with it.
    fn set_deadline(&self, store: &mut Store<Call>, deadline_ms: u32) {
        let deadline = Deadline::new(deadline_ms, self.limits.tick());
        let (processor, clock) = (CpuWatch::start(), Stopwatch::start());
        // The first look says when the next one is due.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |mut store| {
            match deadline.look(processor.passed(), clock.passed()) {
                Look::Over => Err(Trap::Interrupt.into()),
                Look::GoesOn { slow, again } => {
                    let call = store.data_mut();
                    if slow && call.gave_way.is_none() {
                        call.gave_way = GaveWay::begin();
                    }
                    Ok(UpdateDeadline::Continue(again))
                }
            }
        });
    }

    /// Instantiates a policy and runs `body` on it. The deadline holds for both together.
    pub(crate) fn run<T>(
        &self,
        policy: &InstancePre<Call>,
        facts: Arc<Facts>,
        config: Arc<BTreeMap<String, String>>,
        deadline_ms: u32,
        body: impl FnOnce(&mut Store<Call>, &Instance) -> wasmtime::Result<T>,
    ) -> Outcome<T> {
        let Some(_place) = self.gate.enter(self.limits.patience()) else {
            let message = format!(
                "it had no turn in {} ms: {} others were running all the while",
                self.limits.patience_ms, self.limits.concurrency
            );
            return Outcome::broken(Fault::new(FaultKind::Runtime, message));
        };
        let _running = self.ticker.begin();
        let mut store = call::store(&self.engine, &self.limits, facts, config);
        self.set_deadline(&mut store, deadline_ms);
        if self.costs.is_some() {
            // As much as there is: it is counted, not limited. It fails only where the engine does
            // not count, and this one does.
            let _ok = store.set_fuel(u64::MAX);
        }
        let result = match policy.instantiate(&mut store) {
            Err(error) => Err(fault::fault(&error, During::Instantiation)),
            Ok(instance) => {
                body(&mut store, &instance).map_err(|error| fault::fault(&error, During::Call))
            }
        };
        if let Some(costs) = &self.costs {
            let fuel = store.get_fuel().map_or(0, |left| u64::MAX - left);
            let memory = store.data().memory();
            let mut costs = costs.lock().unwrap_or_else(PoisonError::into_inner);
            costs.push(Cost { fuel, memory });
        }
        let Call {
            answer,
            log,
            gave_way,
            ..
        } = store.into_data();
        if let Some(gave_way) = gave_way {
            gave_way.end();
        }
        Outcome {
            result,
            answer,
            log,
        }
    }
}
