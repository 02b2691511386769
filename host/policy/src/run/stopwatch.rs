//! How long something took: by the clock on the wall for the record, and by the processor time of a
//! thread for limits, which a busy node must not shorten.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "measures, and decides nothing: replay leaves times out"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub(crate) fn passed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Microseconds since the start.
    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.passed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Processor time of the thread that started it; only that thread may ask.
pub(crate) struct CpuWatch(Duration);

impl CpuWatch {
    pub(crate) fn start() -> Self {
        Self(Self::now())
    }

    /// Since the start.
    pub(crate) fn passed(&self) -> Duration {
        Self::now().saturating_sub(self.0)
    }

    fn now() -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        // The kernel's clocks are not negative.
        Duration::try_from(now).unwrap_or_default()
    }
}
