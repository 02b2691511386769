//! Where a daemon is killed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use volward_control::ports::FaultPoints;
use volward_storage::fake::FakeNode;

/// What unwinds the threads of a killed daemon; not a panic, so nothing is printed.
#[derive(Clone, Copy, Debug)]
pub struct Death;

/// Ends background work that waits for what will not come by itself: a copy that only a guest's
/// writes fill is watched for as long as the guest runs.
#[derive(Clone, Copy, Debug)]
pub struct Idle;

impl Idle {
    /// Ends this thread's work.
    pub fn now() -> ! {
        std::panic::resume_unwind(Box::new(Self))
    }
}

impl Death {
    /// Ends this thread's work.
    pub fn now() -> ! {
        std::panic::resume_unwind(Box::new(Self))
    }

    /// Runs `work`; `None` if the daemon died in it, or nothing more would ever happen. Real
    /// panics go on.
    pub fn survive<T>(work: impl FnOnce() -> T) -> Option<T> {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Self>() || cause.is::<Idle>() => None,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Records the points a daemon passes, and kills it at one of them.
#[derive(Debug)]
pub struct Points {
    kernel: FakeNode,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    passed: Vec<String>,
    die_at: Option<usize>,
}

impl Points {
    /// Of the daemon on that node.
    #[must_use]
    pub fn new(kernel: FakeNode) -> Self {
        Self {
            kernel,
            inner: Mutex::default(),
        }
    }

    /// The points passed so far.
    #[must_use]
    pub fn passed(&self) -> Vec<String> {
        self.inner().passed.clone()
    }

    /// The daemon dies at the `n`th point from now on (from 0).
    pub fn die_at(&self, n: usize) {
        let mut inner = self.inner();
        inner.die_at = Some(inner.passed.len() + n);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultPoints for Points {
    fn at(&self, point: &str) {
        if self.kernel.crashed() {
            Death::now();
        }
        let mut inner = self.inner();
        inner.passed.push(point.to_owned());
        let dies = inner.die_at == Some(inner.passed.len() - 1);
        drop(inner);
        if dies {
            self.kernel.crash();
            Death::now();
        }
    }
}
