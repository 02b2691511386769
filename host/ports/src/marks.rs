//! What is left for libvirt's hook to find while the daemon is down.

use std::collections::BTreeMap;

use volward_model::InstanceId;
use volward_model::handover::StartPoint;

use super::PortResult;

/// The start marks of instances: what a release may take away.
pub trait Marks: Send + Sync {
    /// Before the first step of an attach: from here on a release of `instance` concerns
    /// attachments up to `sequence`. A mark that cannot be written is logged by the adapter: it
    /// matters only if the daemon dies before the instance is released.
    fn announce(&self, instance: InstanceId, sequence: u64);

    /// Makes the mark of an instance say that start; `None` removes the mark.
    ///
    /// # Errors
    /// If it cannot be changed, or a later version of Volward wrote it: then it stays.
    fn set(&self, instance: InstanceId, start: Option<&StartPoint>) -> PortResult<()>;

    /// Makes the marks these and no others, those of a later version excepted.
    ///
    /// # Errors
    /// If they cannot be listed, or one cannot be changed.
    fn set_all(&self, starts: &BTreeMap<InstanceId, StartPoint>) -> PortResult<()>;
}

/// For where no hook runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmarked;

impl Marks for Unmarked {
    fn announce(&self, _instance: InstanceId, _sequence: u64) {}

    fn set(&self, _instance: InstanceId, _start: Option<&StartPoint>) -> PortResult<()> {
        Ok(())
    }

    fn set_all(&self, _starts: &BTreeMap<InstanceId, StartPoint>) -> PortResult<()> {
        Ok(())
    }
}
