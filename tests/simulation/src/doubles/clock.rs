//! The cluster's clock, for one daemon.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use volward_control::ports::Clock;
use volward_storage::fake::{FakeClock, FakeNode};

use super::{Death, Idle};

/// Sleeping moves the cluster's time; with `pause` it also takes that much real time, so that
/// other threads get on. A dead daemon's sleepers do not wake.
#[derive(Debug)]
pub struct LabClock {
    pub(crate) clock: FakeClock,
    pub(crate) kernel: FakeNode,
    pub(crate) pause: Duration,
    /// Tries that failed so far, of work that tries for ever.
    pub(crate) tries: AtomicUsize,
}

/// Work that fails is tried again after so long; nothing else sleeps so long at once.
const RETRY: Duration = Duration::from_secs(10);
/// What failed so often fails until somebody mends its cause: the test's turn.
const TRIES: usize = 50;

impl Clock for LabClock {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn utc_offset_minutes(&self) -> i32 {
        self.clock.utc_offset_minutes()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, time: Duration) {
        if self.kernel.crashed() {
            Death::now();
        }
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
        self.clock.sleep(time);
        if time >= RETRY && self.tries.fetch_add(1, Ordering::SeqCst) > TRIES {
            self.tries.store(0, Ordering::SeqCst);
            Idle::now();
        }
        // Whoever sleeps waits for somebody: let him go on.
        self.kernel.give_way();
    }
}
