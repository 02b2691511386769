//! Time, and what the node knows of itself.

use std::time::Duration;

/// Time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Local time minus UTC.
    fn utc_offset_minutes(&self) -> i32;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The node itself.
pub trait Machine: Send + Sync {
    /// The kernel's boot id: tells this boot from the one before.
    fn boot_id(&self) -> String;

    /// Hundredths of a percent: `some avg60` of /proc/pressure/io.
    fn io_pressure(&self) -> Option<u32>;

    /// Why dm-clone cannot be used on this kernel, or `None` if it can (I25).
    fn dm_clone_unfit(&self) -> Option<String>;
}
