//! What is known of the node and the volumes when a plan is made. Gathered by `control`, plain
//! data here.

use volward_model::{
    Access, Attachment, AttachmentState, Bytes, CloneStatus, CopyLv, CopyMode, CopyProgress,
    DeviceInfo, DeviceRole, HeldLease, InstanceId, MigrationAnswer, MigrationNonce,
    MigrationVerdict, NodeName, PoolName, Sharing, Space, VolumeInfo, VolumeRef,
};

use crate::fence::Silence;
use crate::requested::RequestedDisk;

/// The node and the disks of one attach request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanInput {
    /// The name of this node.
    pub node: NodeName,
    /// Its local pool, if it has one.
    pub local: Option<LocalPool>,
    /// Whether this node is reset when it loses its leases.
    pub watchdog: Watchdog,
    /// Why dm-clone cannot be used here; `None` if it can.
    pub clone_unfit: Option<String>,
    /// Pools of which LVM misses a physical volume on this node: nothing of them can be changed.
    pub incomplete: Vec<PoolName>,
    /// Volumes that the instance has on this node, each with the name that its path has: the one it
    /// had when it was attached.
    pub attached: Vec<VolumeRef>,
    /// The disks asked for, in the request's order.
    pub disks: Vec<RequestedDisk>,
}

/// The pool on this node's own disks, in which copies are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPool {
    /// The volume group's name.
    pub name: PoolName,
    /// Its size, what is free, and what running attaches will take; in bytes.
    pub space: Space,
    /// What the volume group allocates at once, in bytes: an LV takes whole extents.
    pub extent: Bytes,
    /// LVM misses a physical volume of it, and makes nothing in it until that is back.
    pub partial: bool,
}

impl LocalPool {
    /// What an LV of this size takes, in bytes.
    #[must_use]
    pub fn taken_by(&self, size: Bytes) -> Bytes {
        let extent = self.extent.0.max(1);
        Bytes(size.0.checked_next_multiple_of(extent).unwrap_or(u64::MAX))
    }
}

/// Whether this node is reset when it loses its leases (I26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// sanlock runs under a watchdog, which resets the node.
    Armed,
    /// sanlock runs without a watchdog: read-write is refused.
    Missing,
    /// sanlock runs without one, and the configuration says that this is a lab: nothing is refused.
    MissingInLab,
}

/// One volume, as seen from this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInput {
    /// What LVM reports of it.
    pub info: VolumeInfo,
    /// The lease that this node holds; `None` if it holds none.
    pub lease: Option<HeldLease>,
    /// Attachments on this node, by any instance.
    pub here: Vec<LocalAttachment>,
    /// Attachments of nodes that may be alive, intents included.
    pub elsewhere: Vec<ForeignAttachment>,
    /// A sentence for each node whose slot cannot be read although the node may be alive.
    pub unreadable: Vec<String>,
    /// A sentence for each node that may be alive and may hold this volume by a slot of a newer
    /// version.
    pub newer: Vec<String>,
    /// Answers to calls of this node about the volume, of nodes that may be alive.
    pub answers: Vec<ForeignAnswer>,
    /// How far the volume's copy is, by the node that has it; `None` if no node reports one.
    pub progress: Option<CopyProgress>,
    /// This node's clone device, if it is loaded and still a clone.
    pub clone: Option<CloneStatus>,
    /// This node's clone device is loaded, as a clone or switched to linear.
    pub clone_loaded: bool,
    /// What kernel, local pool and records of this node say, to be compared with the home.
    pub witnesses: Witnesses,
}

/// What this node itself knows of a volume, beside the home tag on the LUN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// Volward's devices of the volume that the kernel has, whatever the home and the records say.
    pub devices: Vec<DeviceInfo>,
    /// What the local pool says of copies of the volume.
    pub copies: LocalCopies,
    /// The generation with which the home became `split` on this node the last time, by the journal;
    /// asked for only where the local pool is silent. A home in the pool is a later one, or its tag
    /// was lost.
    pub split_at: Option<u64>,
    /// A write-back of the volume is on record in the journal: begun, and not ended.
    pub write_back: bool,
}

/// What the local pool says of copies of a volume. A pool that cannot be read has not said that
/// there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalCopies {
    /// This node has no local pool.
    #[default]
    NoPool,
    /// It cannot be asked; the reason, a sentence.
    Silent(String),
    /// Its LVs that say they are a copy of the volume.
    Found(Vec<CopyLv>),
}

impl LocalCopies {
    /// Why it cannot be asked, where it cannot.
    #[must_use]
    pub fn silent(&self) -> Option<&str> {
        match self {
            Self::Silent(reason) => Some(reason),
            Self::NoPool | Self::Found(_) => None,
        }
    }

    /// The copies that were found.
    #[must_use]
    pub fn found(&self) -> &[CopyLv] {
        match self {
            Self::Found(copies) => copies,
            Self::NoPool | Self::Silent(_) => &[],
        }
    }
}

/// An attachment on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAttachment {
    /// The node's number in the lockspace.
    pub host_id: u64,
    /// The attachment as the node's slot in the registry has it.
    pub attachment: Attachment,
    /// The node does not renew its lease.
    pub silence: Option<Silence>,
}

/// Another node's answer to a call of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// The node's number in the lockspace.
    pub host_id: u64,
    /// The answer as the node's slot in the registry has it.
    pub answer: MigrationAnswer,
}

/// An attachment on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAttachment {
    /// The virtual machine that has the volume.
    pub instance: InstanceId,
    /// The virtual machine's name, for messages.
    pub instance_name: String,
    /// The device that the virtual machine opens.
    pub form: DiskForm,
    /// The sharing granted.
    pub sharing: Sharing,
    /// The access granted.
    pub access: Access,
    /// [`AttachmentState::Attached`] or [`AttachmentState::Quarantined`].
    pub state: AttachmentState,
    /// The attachment was granted with a local copy, hydrated so.
    pub copy: Option<CopyMode>,
    /// The node from which the instance is arriving, by a migration that has not ended.
    pub arriving: Option<NodeName>,
    /// The instance is leaving for another node, by one that has not ended.
    pub leaving: bool,
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
    /// This node's clone device was switched to its copy: everything is in that.
    #[must_use]
    pub fn clone_is_linear(&self) -> bool {
        self.witnesses.devices.iter().any(|device| {
            device.id.role == DeviceRole::Clone && device.target.as_deref() == Some("linear")
        })
    }

    /// Whether the node that a call names shares the volume with this one.
    #[must_use]
    pub fn is_shared_with_us(&self, nonce: MigrationNonce) -> bool {
        let mut answers = self.answers.iter().map(|f| &f.answer);
        answers.any(|a| a.nonce == nonce && a.verdict == MigrationVerdict::Shared)
    }

    /// Attachments elsewhere that are more than an intent.
    pub fn settled_elsewhere(&self) -> impl Iterator<Item = &ForeignAttachment> {
        self.elsewhere
            .iter()
            .filter(|f| f.attachment.state != AttachmentState::Intent)
    }
}
