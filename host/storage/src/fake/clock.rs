//! Time that passes when somebody sleeps or a test says so.

use std::time::Duration;

use volward_ports::Clock;

use super::FakeCluster;

/// The cluster's clock. `sleep` returns at once and moves it.
#[derive(Clone, Debug)]
pub struct FakeClock {
    cluster: FakeCluster,
}

impl FakeClock {
    pub(super) fn new(cluster: FakeCluster) -> Self {
        Self { cluster }
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut world = self.cluster.world();
        world.now_ms = world.now_ms.saturating_add(ms);
    }
}

impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.cluster.world().now_ms
    }

    fn utc_offset_minutes(&self) -> i32 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.cluster.world().now_ms)
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}
