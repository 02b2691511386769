//! The state of one policy during one decision, and its limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use volward_model::{Answer, Facts};
use wasmtime::{Engine, ResourceLimiter, Result, Store};

use crate::run::fault::Misuse;
use crate::run::limits::Limits;
use crate::run::priority::GaveWay;

/// Everything a policy can reach. A store holds one, is made for one decision, and goes with it.
pub(crate) struct Call {
    /// What it is told.
    pub(crate) facts: Arc<Facts>,
    /// Its configuration.
    pub(crate) config: Arc<BTreeMap<String, String>>,
    /// Its answer so far.
    pub(crate) answer: Answer,
    /// Lines it logged.
    pub(crate) log: Vec<String>,
    /// What it may still log.
    pub(crate) budget: Budget,
    /// Whether its thread gave way to others.
    pub(crate) gave_way: Option<GaveWay>,
    meter: Meter,
}

impl Call {
    /// Linear memory it came to have, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.meter.used
    }
}

/// Lines and notes: the limit on a call's data is for each call, so somebody must add up.
pub(crate) struct Budget {
    lines: u32,
    bytes: u32,
    line_limit: u32,
    byte_limit: u32,
}

impl Budget {
    /// Counts a line or note of some bytes.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Misuse> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.lines = self.lines.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.lines > self.line_limit {
            return Err(Misuse::Lines {
                limit: self.line_limit,
            });
        }
        if self.bytes > self.byte_limit {
            return Err(Misuse::LogBytes {
                limit: self.byte_limit,
            });
        }
        Ok(())
    }
}

/// Memory of all of a policy's memories together. A refused growth ends the call: left to go on,
/// most languages would end it too, with a trap that does not say why.
struct Meter {
    used: u64,
    memory_limit: u64,
    table_limit: u32,
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> Result<bool> {
        let growth = u64::try_from(wanted.saturating_sub(now)).unwrap_or(u64::MAX);
        self.used = self.used.saturating_add(growth);
        if self.used > self.memory_limit {
            return Err(Misuse::Memory {
                limit: self.memory_limit,
            }
            .into());
        }
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        if u32::try_from(desired).is_ok_and(|desired| desired <= self.table_limit) {
            return Ok(true);
        }
        Err(Misuse::Table {
            desired,
            limit: self.table_limit,
        }
        .into())
    }
}

/// A store for one decision of one policy. The caller sets its deadline.
pub(crate) fn store(
    engine: &Engine,
    limits: &Limits,
    facts: Arc<Facts>,
    config: Arc<BTreeMap<String, String>>,
) -> Store<Call> {
    let call = Call {
        answer: Answer::as_asked(&facts),
        facts,
        config,
        log: Vec::new(),
        budget: Budget {
            lines: 0,
            bytes: 0,
            line_limit: limits.log_lines,
            byte_limit: limits.log_bytes,
        },
        gave_way: None,
        meter: Meter {
            used: 0,
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
        },
    };
    let mut store = Store::new(engine, call);
    store.limiter(|call| &mut call.meter);
    store.set_hostcall_fuel(usize::try_from(limits.hostcall_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
    store
}
