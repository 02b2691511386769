//! What authors do with policies: test, explain, measure, capture, replay.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

mod commands;
mod fuzz;
mod replay;
mod support;
