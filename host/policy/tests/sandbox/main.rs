//! The sandbox over real components: what `cargo xtask guests` built, compiled in process.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests; they lay out folders by path"
)]

mod beside;
mod chain;
mod common;
mod corpus;
mod decision_log;
mod ends;
mod folder;
mod fuzz;
mod hostile;
mod log_folder;
mod reload;
mod review;
mod rotation;
mod turns;
mod versions;
