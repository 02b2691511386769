//! Moves the engine's epoch on while policies run, so that a call that does not end is
//! interrupted. When nothing has run for a while it sleeps: an idle daemon does not wake up two
//! hundred times a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Ticks without a call before it sleeps: waking it costs a call some microseconds.
const QUIET_TICKS: u32 = 200;

/// The thread; it ends when this is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicU64,
    started: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// A call that runs; the epoch moves at least as long as this lives.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the kernel gives no thread.
    pub(crate) fn start(engine: Engine, tick: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("policy-ticker".to_owned())
            .spawn(move || theirs.run(&engine, tick))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Marks the beginning of a call.
    pub(crate) fn begin(&self) -> Running<'_> {
        self.shared.started.fetch_add(1, SeqCst);
        self.shared.running.fetch_add(1, SeqCst);
        // Either this sees it asleep, or it sees the call that runs before it sleeps.
        if self.shared.asleep.swap(false, SeqCst) {
            self.thread().inspect(|thread| thread.unpark());
        }
        Running(&self.shared)
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(JoinHandle::thread)
    }
}

impl Shared {
    fn run(&self, engine: &Engine, tick: Duration) {
        let (mut quiet, mut last) = (0, 0);
        while !self.stop.load(SeqCst) {
            thread::park_timeout(tick);
            engine.increment_epoch();
            let started = self.started.load(SeqCst);
            let idle = started == last && self.running.load(SeqCst) == 0;
            quiet = if idle { quiet + 1 } else { 0 };
            last = started;
            if quiet > QUIET_TICKS {
                self.sleep();
                quiet = 0;
            }
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, SeqCst);
        while self.running.load(SeqCst) == 0 && self.asleep.load(SeqCst) && !self.stop.load(SeqCst)
        {
            thread::park();
        }
        self.asleep.store(false, SeqCst);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot panic; and if it did, there would be nothing to do about it here.
            drop(thread.join());
        }
    }
}
