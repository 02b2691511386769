//! A bounded fair queue: first come, first served, and a place that is given back on drop.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{ExecError, Invocation};
use crate::deadline::Deadline;

/// More than this waiting means that something hangs; more waiters would not help it.
const MAX_WAITING: usize = 128;

#[derive(Debug)]
pub(super) struct Lane {
    places: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    next_ticket: u64,
    waiting: VecDeque<u64>,
}

/// The right to run one program. Moves to whoever waits for a process that cannot be killed, so
/// that such processes are bounded too.
#[derive(Debug)]
pub(super) struct Place(Arc<Lane>);

impl Lane {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(
        self: Arc<Self>,
        invocation: &Invocation,
        deadline: Deadline,
    ) -> Result<Place, ExecError> {
        let mut state = self.state();
        if state.waiting.len() >= MAX_WAITING {
            return Err(ExecError::QueueFull {
                command: invocation.line(),
                waiting: state.waiting.len(),
            });
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        while state.running >= self.places || state.waiting.front() != Some(&ticket) {
            let left = deadline.left();
            if left.is_zero() {
                state.waiting.retain(|other| *other != ticket);
                self.changed.notify_all();
                return Err(ExecError::Deadline {
                    command: invocation.line(),
                    after: invocation.deadline,
                });
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.waiting.pop_front();
        state.running += 1;
        drop(state);
        // The next in line may have a place too.
        self.changed.notify_all();
        Ok(Place(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.changed.notify_all();
    }
}
