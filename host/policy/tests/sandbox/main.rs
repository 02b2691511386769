//! The sandbox over real components: what `cargo xtask guests` built, compiled in process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

mod beside;
mod chain;
mod common;
mod corpus;
mod decision_log;
mod folder;
mod fuzz;
mod hostile;
mod reload;
mod versions;
