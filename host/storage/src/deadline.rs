//! Deadlines of things outside: a program or a kernel event does not wait for a simulated clock.

use std::time::{Duration, Instant};

/// A moment after which waiting ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounds a wait for a process or the kernel; decides nothing"
    )]
    pub(crate) fn after(time: Duration) -> Self {
        let now = Instant::now();
        // A deadline too far away to express is as good as a year.
        Self(
            now.checked_add(time)
                .unwrap_or_else(|| now + Duration::from_secs(365 * 86_400)),
        )
    }

    /// What is left of it; zero once it has passed.
    #[expect(
        clippy::disallowed_methods,
        reason = "bounds a wait for a process or the kernel; decides nothing"
    )]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(self) -> bool {
        self.left().is_zero()
    }
}
