//! What libvirt says of a guest.

use volward_model::InstanceId;
use volward_plan::migrate::Job;

/// Conversation with this node's libvirt. Never from within a hook of its own: libvirt waits for
/// that.
pub trait Guests: Send + Sync {
    /// Whether the instance migrates away from this node now. Bounded in time; that libvirt does not
    /// answer is an answer too.
    fn job(&self, instance: InstanceId) -> Job;
}
