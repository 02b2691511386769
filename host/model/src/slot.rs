//! What a node writes into its slot of a pool's registry. It informs, it never decides: leases do.

use serde::{Deserialize, Serialize};

use crate::attachment::Attachment;
use crate::ids::{NodeName, VolumeId};

/// A slot's content. Readers of a newer version's slot see the fields they know.
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
    /// Copies of this pool's volumes on the node, with their progress.
    #[serde(default)]
    pub copies: Vec<CopyProgress>,
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

/// What was found in one place of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotReading {
    /// Never written.
    Empty,
    /// Fine. `torn` tells that the newer copy was broken and this is the one before it.
    Good {
        /// The content.
        slot: Slot,
        /// The newer of the two copies could not be used.
        torn: bool,
    },
    /// Neither copy can be used.
    Broken {
        /// Why.
        reason: String,
    },
}

/// One place of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedSlot {
    /// Whose place: sanlock's number of the node.
    pub host_id: u64,
    /// What is there.
    pub reading: SlotReading,
}
