//! What libvirt says of a guest.

use volward_model::InstanceId;
use volward_plan::migrate::Job;

/// Conversation with this node's libvirt. Never from within a hook of its own: libvirt waits for
/// that.
pub trait Guests: Send + Sync {
    /// Whether the instance migrates away from this node now. Bounded in time; that libvirt does not
    /// answer is an answer too.
    fn job(&self, instance: InstanceId) -> Job;

    /// The disks that the instance has on this node now. Bounded in time as well.
    fn disks(&self, instance: InstanceId) -> GuestDisks;
}

/// The disks of an instance, as libvirt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestDisks {
    /// It runs, or is paused, and has these, by their paths.
    Running(Vec<String>),
    /// It does not run here.
    NotRunning,
    /// libvirt has not said; why, in a sentence.
    Unknown(String),
}
