//! What is known of the node and the volumes when a plan is made. Gathered by `control`, plain
//! data here.

use volward_model::{
    Access, Attachment, AttachmentState, CloneStatus, CopyProgress, HeldLease, InstanceId,
    NodeName, PoolName, Sharing, Space, VolumeInfo,
};

/// The node and the volumes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanInput {
    /// This node.
    pub node: NodeName,
    /// Its local pool, if it has one.
    pub local: Option<LocalPool>,
    /// Whether losing leases resets the node.
    pub watchdog: Watchdog,
    /// Why dm-clone cannot be used here; `None` if it can.
    pub clone_unfit: Option<String>,
    /// The volumes, in the request's order.
    pub volumes: Vec<VolumeInput>,
}

/// The local pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPool {
    /// Its name.
    pub name: PoolName,
    /// What is in it.
    pub space: Space,
}

/// Whether losing leases resets the node (I26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// Yes.
    Armed,
    /// No: read-write is refused.
    Missing,
    /// No, and the configuration says that this is a lab.
    MissingInLab,
}

/// One volume, as seen from this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInput {
    /// As LVM has it.
    pub info: VolumeInfo,
    /// The lease this node holds.
    pub lease: Option<HeldLease>,
    /// Attachments on this node, by any instance.
    pub here: Vec<LocalAttachment>,
    /// Attachments of nodes that may be alive, intents included.
    pub elsewhere: Vec<ForeignAttachment>,
    /// Sentences: whose slot cannot be read although the node may be alive.
    pub unreadable: Vec<String>,
    /// How far the copy is, wherever it is.
    pub progress: Option<CopyProgress>,
    /// This node's clone device, if it is loaded and still a clone.
    pub clone: Option<CloneStatus>,
    /// This node's clone device is loaded, as a clone or switched to linear.
    pub clone_loaded: bool,
}

/// An attachment on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAttachment {
    /// sanlock's number of the node.
    pub host_id: u64,
    /// What its slot says.
    pub attachment: Attachment,
}

/// An attachment on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAttachment {
    /// The virtual machine.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Which device it opens.
    pub form: DiskForm,
    /// Granted.
    pub sharing: Sharing,
    /// Granted.
    pub access: Access,
    /// Attached or quarantined.
    pub state: AttachmentState,
}

/// Which device a guest opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskForm {
    /// A device of its own, `/dev/volward/...`.
    Own,
    /// The LV itself: lease and activation only.
    Lv,
}

impl VolumeInput {
    /// Attachments elsewhere that are more than an intent.
    pub fn settled_elsewhere(&self) -> impl Iterator<Item = &ForeignAttachment> {
        self.elsewhere
            .iter()
            .filter(|f| f.attachment.state != AttachmentState::Intent)
    }
}
