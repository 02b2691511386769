//! Runs one call of one policy: a fresh store and instance, under all limits, on the caller's
//! thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use volward_model::{Answer, Facts, Fault, FaultKind};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};

use crate::Limits;
use crate::call::{self, Call};
use crate::fault::{self, During};
use crate::gate::Gate;
use crate::ticker::Ticker;

/// What all policies share.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    ticker: Ticker,
    gate: Gate,
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
    pub(crate) fn new(engine: Engine, limits: Limits) -> std::io::Result<Self> {
        let ticker = Ticker::start(engine.clone(), limits.tick())?;
        let gate = Gate::new(limits.concurrency);
        Ok(Self {
            engine,
            limits,
            ticker,
            gate,
        })
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
            return Outcome::broken(Fault {
                kind: FaultKind::Runtime,
                message,
            });
        };
        let _running = self.ticker.begin();
        let mut store = call::store(&self.engine, &self.limits, facts, config);
        store.set_epoch_deadline(self.limits.ticks(deadline_ms));
        let result = match policy.instantiate(&mut store) {
            Err(error) => Err(fault::fault(&error, During::Instantiation)),
            Ok(instance) => {
                body(&mut store, &instance).map_err(|error| fault::fault(&error, During::Call))
            }
        };
        let Call { answer, log, .. } = store.into_data();
        Outcome {
            result,
            answer,
            log,
        }
    }
}
