//! Background work: held until a test runs it, or on real threads.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use volward_control::ports::Tasks;

use super::Death;

type Work = Box<dyn FnOnce() + Send>;

/// Holds background work until [`TaskQueue::run_all`].
#[derive(Default)]
pub struct TaskQueue {
    held: Mutex<VecDeque<(String, Work)>>,
}

impl TaskQueue {
    /// Runs everything that is held, and what it starts, in order. Says how much there was.
    pub fn run_all(&self) -> usize {
        let mut count = 0;
        while let Some((_, work)) = self.pop() {
            count += 1;
            Death::survive(work);
        }
        count
    }

    /// Runs what is held under that name, and leaves the rest. Says how much there was.
    pub fn run_named(&self, name: &str) -> usize {
        let (named, rest): (VecDeque<_>, VecDeque<_>) = {
            let mut held = self.held();
            held.drain(..).partition(|(of, _)| of == name)
        };
        self.held().extend(rest);
        let count = named.len();
        for (_, work) in named {
            Death::survive(work);
        }
        count
    }

    /// Forgets what is held, as a killed daemon does.
    pub fn clear(&self) {
        self.held().clear();
    }

    /// The next piece of work.
    pub fn pop(&self) -> Option<(String, Work)> {
        self.held().pop_front()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Work)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks for TaskQueue {
    fn spawn(&self, name: String, work: Work) {
        self.held().push_back((name, work));
    }
}

/// Background work on threads of its own, each started at once; `join` waits for all.
#[derive(Debug, Default)]
pub struct Threads {
    running: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Threads {
    /// Waits for everything that was started.
    pub fn join(&self) {
        loop {
            let next = self
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(next) = next else { return };
            if let Err(panic) = next.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Tasks for Threads {
    fn spawn(&self, _name: String, work: Work) {
        let thread = std::thread::spawn(move || {
            Death::survive(work);
        });
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
    }
}
