//! What is left for libvirt's hook to find while the daemon is down.

use volward_model::InstanceId;

/// The start marks of instances: what a release may take away.
pub trait Marks: Send + Sync {
    /// Before the first step of an attach: from here on a release of `instance` concerns
    /// attachments up to `sequence`. A mark that cannot be written is logged by the adapter: it
    /// matters only if the daemon dies before the instance is released.
    fn announce(&self, instance: InstanceId, sequence: u64);
}

/// For where no hook runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmarked;

impl Marks for Unmarked {
    fn announce(&self, _instance: InstanceId, _sequence: u64) {}
}
