//! What a node writes into its slot of a pool's registry. It informs, it never decides: leases do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attachment::{Access, Attachment, AttachmentKey};
use crate::claim::Claim;
use crate::ids::{InstanceId, LvmUuid, NodeName, VolumeId, VolumeName};
use crate::operation_id::OperationId;
use crate::units::Bytes;
use crate::volume::VolumeRef;
use crate::volume_operation::{End, VolumeTask};

/// A slot's content, as far as this version knows what there is to say. How it is written down is
/// the registry's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The node's name.
    pub node: NodeName,
    /// The kernel's boot id: a slot of an earlier boot is stale.
    pub boot_id: String,
    /// sanlock's number of the node; the slot's place must agree.
    pub host_id: u64,
    /// The lockspace generation under which it was written; an older one is stale.
    pub generation: u64,
    /// When it was written, milliseconds since the Unix epoch by that node's clock.
    pub written_ms: u64,
    /// The node's attachments of volumes of this pool, intents included.
    pub attachments: Vec<Attachment>,
    /// Who has asked for what is attached, and for what. Informs only: a writer leaves it out where it would not fit,
    /// and a reader finds none of a version that does not write it.
    #[serde(default)]
    pub asked: Vec<AskedFor>,
    /// Copies of this pool's volumes on the node, with their progress. Informs only: a writer
    /// leaves out what would not fit.
    #[serde(default)]
    pub copies: Vec<CopyProgress>,
    /// What it says to other nodes about live migrations.
    #[serde(default)]
    pub messages: Messages,
    /// Attachments with a sharing, an access or a state that this version does not know. Each
    /// stands above as attached, exclusive and read-write, as far as it is unknown.
    #[serde(default)]
    pub unknown: u32,
}

/// Who has asked for an attachment, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedFor {
    /// Which attachment of the node.
    pub of: AttachmentKey,
    /// The access asked for, where a policy has granted less.
    pub access: Option<Access>,
    /// Who has asked for it.
    pub claims: BTreeSet<Claim>,
}

/// What a node says to others. What is not understood grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// What it asks of nodes that instances come from.
    pub calls: Vec<MigrationCall>,
    /// What it answers to nodes that instances go to.
    pub answers: Vec<MigrationAnswer>,
    /// What it has nodes do with volumes that they have attached.
    #[serde(default)]
    pub orders: Vec<VolumeOrder>,
    /// What becomes of what it was told to do.
    #[serde(default)]
    pub reports: Vec<OrderReport>,
}

/// Has the node that a volume is attached on do what only that node can: there are the devices of its guest. It is an
/// operation of that node under the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeOrder {
    /// The id of the operation.
    pub id: OperationId,
    /// Which volume.
    pub volume: VolumeId,
    /// What is to be done with it.
    pub what: Ordered,
    /// sanlock's number of the node that is told.
    pub to: u64,
    /// It is taken back: what was not begun is not, and what can be cancelled is.
    pub back: bool,
    /// Of a snapshot that holds the same moment as others, to the same node: begun when all of their orders are there.
    #[serde(default)]
    pub group: Option<OrderGroup>,
}

/// Snapshots that are ordered together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderGroup {
    /// What all of them are called.
    pub id: OperationId,
    /// How many there are.
    pub members: u32,
}

/// What a node is told to do with a volume that it has attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordered {
    /// It is to grow.
    Grow {
        /// Its size afterwards in bytes.
        size: Bytes,
    },
    /// Its content is to be in a new volume of the same pool.
    Copy {
        /// The new one's name.
        name: VolumeName,
        /// At least this size in bytes; `None`: as large as the volume.
        size: Option<Bytes>,
    },
    /// The same, to keep the moment.
    Snapshot {
        /// The new one's name.
        name: VolumeName,
    },
    /// All of it is to go to one disk of its pool.
    Relocate {
        /// LVM's UUID of the disk.
        disk: LvmUuid,
    },
}

impl Ordered {
    /// What a node is told of a task; `None`: no node is told such a thing.
    #[must_use]
    pub fn of(task: &VolumeTask) -> Option<Self> {
        match task {
            VolumeTask::Extend { size, .. } => Some(Self::Grow { size: *size }),
            VolumeTask::Copy { name, size, .. } => Some(Self::Copy {
                name: name.clone(),
                size: *size,
            }),
            VolumeTask::Snapshot { name, .. } => Some(Self::Snapshot { name: name.clone() }),
            VolumeTask::Relocate { disk, .. } => Some(Self::Relocate { disk: *disk }),
            VolumeTask::Create { .. }
            | VolumeTask::Delete { .. }
            | VolumeTask::Move { .. }
            | VolumeTask::Rename { .. } => None,
        }
    }

    /// The task of the node that is told, about a volume of that name.
    #[must_use]
    pub fn task(&self, volume: &VolumeRef) -> VolumeTask {
        let pool = volume.pool.clone();
        match self {
            Self::Grow { size } => VolumeTask::Extend {
                pool,
                name: volume.name.clone(),
                size: *size,
            },
            Self::Copy { name, size } => VolumeTask::Copy {
                from_pool: pool.clone(),
                from: volume.name.clone(),
                pool,
                name: name.clone(),
                size: *size,
            },
            Self::Snapshot { name } => VolumeTask::Snapshot {
                pool,
                from: volume.name.clone(),
                name: name.clone(),
            },
            Self::Relocate { disk } => VolumeTask::Relocate {
                pool,
                name: volume.name.clone(),
                disk: *disk,
            },
        }
    }
}

/// How an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReport {
    /// The id of the operation.
    pub id: OperationId,
    /// sanlock's number of the node that gave it.
    pub to: u64,
    /// Bytes copied and zeroed, of `total`.
    pub zeroed: Bytes,
    /// Bytes to be copied and zeroed in all; 0 until that is known.
    pub total: Bytes,
    /// How it has ended.
    pub end: Option<End>,
}

/// Names one call: a new one for each attempt to attach, so that it is good once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MigrationNonce(pub uuid::Uuid);

/// The destination of a live migration asks the source to share a volume with it. Who asks, and
/// under which generation, its slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationCall {
    /// Which volume.
    pub volume: VolumeId,
    /// The instance that migrates.
    pub instance: InstanceId,
    /// Names the call.
    pub nonce: MigrationNonce,
    /// sanlock's number of the node that is asked.
    pub source: u64,
}

/// What the source of a live migration answers to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationAnswer {
    /// Which volume.
    pub volume: VolumeId,
    /// The instance that migrates.
    pub instance: InstanceId,
    /// The call that it answers.
    pub nonce: MigrationNonce,
    /// sanlock's number of the node that asked: the only one that the answer is for.
    pub to: u64,
    /// The lockspace generation under which that node asked.
    pub generation: u64,
    /// Yes or no.
    pub verdict: MigrationVerdict,
}

/// Yes or no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MigrationVerdict {
    /// The volume is about to be shared with that node and no other: not yet.
    Leaving,
    /// The source's lease is shared: that node may take it.
    Shared,
    /// It is not shared.
    Refused {
        /// The source's code for it.
        code: String,
        /// A sentence.
        reason: String,
    },
}

/// What can be told of a slot that is whole and that this version does not understand: a newer
/// Volward wrote it. Each part is `None` where not even that could be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewerSlot {
    /// The node's name.
    pub node: Option<NodeName>,
    /// The lockspace generation under which it was written.
    pub generation: Option<u64>,
    /// The volumes that the node has attached, intends to attach, or has a copy of. `None`: any
    /// volume of the pool may be among them.
    pub held: Option<Vec<VolumeId>>,
    /// What this version does not understand, in words: a format number, or where reading failed.
    pub reason: String,
}

impl NewerSlot {
    /// Whether the node may hold the volume.
    #[must_use]
    pub fn may_hold(&self, volume: VolumeId) -> bool {
        self.held.as_ref().is_none_or(|held| held.contains(&volume))
    }
}

/// How far a copy is, for those who are refused elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Of which volume.
    pub volume: VolumeId,
    /// Being written back (else: being hydrated).
    pub returning: bool,
    /// Regions done.
    pub done: u64,
    /// Regions of the volume.
    pub total: u64,
    /// Estimated milliseconds to the end, where the rate allows an estimate.
    pub remaining_ms: Option<u64>,
}

/// How a copy goes, as people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyState {
    /// Copied in the background.
    Hydrating,
    /// Everything is copied, and the clone has become linear.
    Complete,
    /// Only what the guest writes lands in it; it never completes by itself.
    WritesOnly,
    /// Being written back to the shared volume.
    Returning,
    /// Without progress while there should be some.
    Stalled,
    /// Its metadata failed, and nothing is copied.
    Failed,
}

impl fmt::Display for CopyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hydrating => "hydrating",
            Self::Complete => "complete",
            Self::WritesOnly => "writes-only",
            Self::Returning => "returning",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
        })
    }
}

/// What was found in one place of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotReading {
    /// Never written.
    Empty,
    /// Fine. `torn` tells that the newer copy was broken and this is the one before it.
    Good {
        /// The content; shared, because a pool's readers keep what has not changed.
        slot: Arc<Slot>,
        /// The newer of the two copies could not be used.
        torn: bool,
    },
    /// The newest copy is whole and this version does not understand it. The copy before it says
    /// what was, so it is not used.
    Newer(NewerSlot),
    /// Neither copy can be used.
    Broken {
        /// Why.
        reason: String,
    },
}

/// How a pool's registry is laid out on the LUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLayout {
    /// 1: as 0.1.0 makes it. 2: what `pool init` makes now, and converts 1 to.
    pub format: u32,
    /// Places, so the highest host-id that can be used.
    pub places: u32,
    /// Room for one copy of a node's slot.
    pub place_size: Bytes,
}

/// One place of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedSlot {
    /// Whose place: sanlock's number of the node.
    pub host_id: u64,
    /// What is there.
    pub reading: SlotReading,
}
