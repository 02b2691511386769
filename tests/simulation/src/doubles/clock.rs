//! The cluster's clock, for one daemon.

use std::time::Duration;

use volward_control::ports::Clock;
use volward_storage::fake::{FakeClock, FakeNode};

use super::Death;

/// Sleeping moves the cluster's time; with `pause` it also takes that much real time, so that
/// other threads get on. A dead daemon's sleepers do not wake.
#[derive(Debug)]
pub struct LabClock {
    pub(crate) clock: FakeClock,
    pub(crate) kernel: FakeNode,
    pub(crate) pause: Duration,
}

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
        // Whoever sleeps waits for somebody: let him go on.
        self.kernel.give_way();
    }
}
