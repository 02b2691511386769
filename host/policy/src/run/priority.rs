//! A call that is slow gives way to other threads.

use rustix::process::{geteuid, getpriority_process, setpriority_process};

/// Enough that four such threads on two processors do not hold up a decision by more than
/// a fraction of a millisecond, and still a share for whoever is slow for a good reason.
const NICE: i32 = 10;

/// The calling thread has a lower priority than it had.
pub(crate) struct GaveWay {
    before: i32,
}

impl GaveWay {
    /// Lowers the calling thread's priority; not where it could not be raised again, which only root
    /// may. On Linux a priority is a thread's, and without a number it is the caller's.
    pub(crate) fn begin() -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let before = getpriority_process(None).ok()?;
        setpriority_process(None, before.saturating_add(NICE)).ok()?;
        Some(Self { before })
    }

    /// Gives the thread its priority back.
    pub(crate) fn end(self) {
        if let Err(error) = setpriority_process(None, self.before) {
            tracing::warn!(%error, "a thread that ran a slow policy stays at a lower priority");
        }
    }
}
