//! The sandbox in which policies run: WebAssembly components of the interface `wit/policy.wit`,
//! each decision with a fresh instance, under limits of time, memory, stack and data.
//!
//! | room | does | imports |
//! |---|---|---|
//! | `load` | [`Runtime`] loads policies: trust, hash, compile (by [`Compiler`]), link, try out | `run` |
//! | `run` | [`Chain`] asks them all and combines their answers to a [`volward_model::DecisionRecord`] | none |
//! | `log` | [`DecisionLog`] keeps the records | none |
//!
//! The rule test of `xtask` reads each room's imports.
//!
//! A policy's answer becomes a model answer and nothing else: this crate knows neither plans nor
//! storage, and has no compiler in it.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests lay out and inspect files by path"
    )
)]

mod digest;
mod load;
mod log;
mod run;

pub use digest::digest;
pub use load::{
    ArtefactError, CompileError, Compiler, HistoryError, Keeping, LoadError, RollbackError,
    Runtime, RuntimeError, Settings, SettingsError, Sources, TrustError, scenarios,
};
pub use log::{
    BadLine, DecisionLog, LogEntry, LogFolder, LogLimits, LogReader, LogWriter, Outcome, WINDOW,
    Which,
};
pub use run::{
    Chain, Cost, Counters, INTERFACE, Latency, Level, Limits, MOST_STACK_BYTES, Meant, PluginState,
    PluginStatus, SeenFault, Stray, code_config, metered_code_config,
};

/// The name of the built-in policy; no file can have it.
pub const BASELINE: &str = "baseline";
