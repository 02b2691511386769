//! How an operation on a volume ended, or why it was not begun: what is not so ends the test.
#![allow(clippy::panic, reason = "a test fails by panicking, its helpers too")]

use volward_control::{ControlError, OperationRequest};
use volward_model::{Course, End};

use crate::lab::Daemon;

/// How an operation of this node ended.
///
/// # Panics
/// If there is none of that id, or it has not ended.
#[must_use]
pub fn ended(daemon: &Daemon, id: &str) -> End {
    let known = id.parse().ok().and_then(|id| daemon.node.operation(&id));
    let Some(known) = known else {
        panic!("no operation {id}");
    };
    match known.operation.course {
        Course::Ended(end) => end,
        course => panic!("{id} has not ended: {course:?}, {:?}", known.trouble),
    }
}

/// The code of one that failed.
///
/// # Panics
/// If it did not fail.
#[must_use]
pub fn code(end: &End) -> &str {
    match end {
        End::Failed { code, .. } => code,
        other => panic!("not failed: {other:?}"),
    }
}

/// Code and sentence of a refusal.
///
/// # Panics
/// If the operation is not refused.
#[must_use]
pub fn refused(daemon: &Daemon, asked: &OperationRequest) -> (String, String) {
    match daemon.node.ask_operation(asked) {
        Err(ControlError::Refused { refusal, .. }) => (refusal.code.to_string(), refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}
