//! The sandbox in which policies run: WebAssembly components of the interface `wit/policy.wit`,
//! each decision with a fresh instance, under limits of time, memory, stack and data.
//!
//! | part | does |
//! |---|---|
//! | [`Runtime`] | loads policies: trust, hash, compile (by [`Compiler`]), link, try out |
//! | [`Chain`] | asks them all and combines their answers to a [`volward_model::DecisionRecord`] |
//! | [`DecisionLog`] | keeps the records |
//!
//! A policy's answer becomes a model answer and nothing else: this crate knows neither plans nor
//! storage, and has no compiler in it.

mod artefact;
mod bindings;
mod call;
mod chain;
mod compiler;
mod convert;
mod decision_log;
mod digest;
mod engine;
mod fault;
mod gate;
mod handles;
mod history;
mod interface;
mod limits;
mod plugin;
mod priority;
mod refused;
mod runtime;
mod sandbox;
pub mod scenarios;
mod source;
mod stopwatch;
mod tally;
mod ticker;
mod trusted;
mod view;

pub use artefact::ArtefactError;
pub use chain::{Chain, PluginState, PluginStatus};
pub use compiler::{CompileError, Compiler};
pub use decision_log::{
    BadLine, DecisionLog, LogEntry, LogFolder, LogLimits, LogReader, LogWriter, Outcome, WINDOW,
    Which,
};
pub use digest::digest;
pub use engine::{code_config, metered_code_config};
pub use history::HistoryError;
pub use interface::INTERFACE;
pub use limits::{Limits, MOST_STACK_BYTES};
pub use refused::{LoadError, RollbackError, RuntimeError};
pub use runtime::{Runtime, Sources};
pub use sandbox::Cost;
pub use source::{Level, Settings, SettingsError};
pub use tally::{Counters, Latency, SeenFault};
pub use trusted::TrustError;

/// The name of the built-in policy; no file can have it.
pub const BASELINE: &str = "baseline";
