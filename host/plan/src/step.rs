//! What can be done. Each step is idempotent: run twice, it has the effect of once; so a crash
//! between a step and its record is harmless.

use volward_model::{
    Attachment, AttachmentKey, Bytes, InstanceId, LeaseMode, MigrationNonce, NodeName, PoolName,
    Sectors, VolumeRef,
};

use crate::geometry::CloneGeometry;
use crate::recheck::Expectation;

mod text;

/// One thing of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take or convert the leases, and activate; then read back that it is so.
    Lease {
        /// One pool, one command.
        pool: PoolName,
        /// Which.
        volumes: Vec<VolumeRef>,
        /// How.
        mode: LeaseMode,
    },
    /// Deactivate, give the leases up; then read back that it is so.
    Release {
        /// One pool, one command.
        pool: PoolName,
        /// Which.
        volumes: Vec<VolumeRef>,
    },
    /// Take autoactivation off (I4).
    DisableAutoactivation {
        /// One pool, one command.
        pool: PoolName,
        /// Which.
        volumes: Vec<VolumeRef>,
    },
    /// Read under the lease what the decision rested on, and compare; a change undoes the attach
    /// (I1).
    Revalidate {
        /// What was read when it was decided.
        expectations: Vec<Expectation>,
    },
    /// Make the copy's LV in the local pool: room for the data, and behind it for the metadata of
    /// two clones.
    MakeCopy {
        /// Whose copy.
        volume: VolumeRef,
        /// Where.
        local: PoolName,
        /// The copy's size: the volume's.
        size: Bytes,
        /// The clone metadata's size.
        metadata: Bytes,
    },
    /// Zero the clone's metadata, durably (I21). Never planned unless home is `pool`.
    ZeroMetadata {
        /// Whose.
        volume: VolumeRef,
        /// Where.
        local: PoolName,
    },
    /// Remove the copy's LVs, and the devices that show parts of it. What a guest has used stays, whatever was
    /// known when this was planned.
    RemoveCopy {
        /// Whose.
        volume: VolumeRef,
        /// Where.
        local: PoolName,
        /// A copy that does not say how far it is goes too: one of 0.1.0, where the record of its
        /// making or of its write-back says that there is nothing in it.
        unstaged: bool,
    },
    /// Change the home tag, in one metadata commit, under the exclusive lease; read back.
    SetHome {
        /// Whose.
        volume: VolumeRef,
        /// The generation it must have now; it goes up by one. At one more and with the state
        /// `to`, the step was done already.
        from_generation: u64,
        /// What it becomes.
        to: NextHome,
        /// Where the copy is.
        local: PoolName,
    },
    /// Load the node's clone device over shared LV and copy.
    LoadClone {
        /// Whose.
        volume: VolumeRef,
        /// Where the copy is.
        local: PoolName,
        /// Length.
        size: Sectors,
        /// Region and knobs.
        geometry: CloneGeometry,
        /// Copy in the background.
        hydrating: bool,
    },
    /// Unload it, and the device of its metadata.
    UnloadClone {
        /// Whose.
        volume: VolumeRef,
    },
    /// Wait until everything is copied.
    AwaitHydration {
        /// Whose.
        volume: VolumeRef,
    },
    /// Make the attachment's own device.
    CreateDevice {
        /// Of which volume.
        volume: VolumeRef,
        /// For whom.
        instance: InstanceId,
        /// Onto the clone device; else onto the LV.
        on_clone: bool,
        /// Length.
        size: Sectors,
        /// The kernel refuses writes.
        read_only: bool,
        /// Discards are passed on; refused while a copy hydrates (I21).
        discards: bool,
    },
    /// Remove it.
    RemoveDevice {
        /// Of which volume.
        volume: VolumeRef,
        /// For whom.
        instance: InstanceId,
    },
    /// Tell the other nodes.
    Publish {
        /// The pool whose registry.
        pool: PoolName,
        /// What.
        attachments: Vec<Attachment>,
    },
    /// Tell the other nodes that it is over.
    Withdraw {
        /// The pool whose registry.
        pool: PoolName,
        /// What.
        attachments: Vec<AttachmentKey>,
    },
    /// Have the source of a migration share its leases: a call stands in this node's slot until it has
    /// answered, or the time is up.
    AskSource {
        /// The pool whose registry.
        pool: PoolName,
        /// Which.
        volumes: Vec<VolumeRef>,
        /// The instance that migrates.
        instance: InstanceId,
        /// Where it comes from.
        source: NodeName,
        /// That node's number in the pool's lockspace.
        host_id: u64,
        /// Names the call.
        nonce: MigrationNonce,
    },
    /// Take the call back.
    AskNoMore {
        /// The pool whose registry.
        pool: PoolName,
        /// What was asked for.
        attachments: Vec<AttachmentKey>,
    },
    /// Publish the device's path: from here on somebody may open it.
    Link {
        /// Of which volume.
        volume: VolumeRef,
        /// For whom.
        instance: InstanceId,
    },
    /// Withdraw the path.
    Unlink {
        /// Of which volume.
        volume: VolumeRef,
        /// For whom.
        instance: InstanceId,
    },
    /// Zero the reverse clone's metadata, on the copy's LV; of a copy of 0.1.0, make it first. Planned only while home is `split`.
    MakeWriteBackMetadata {
        /// Whose.
        volume: VolumeRef,
        /// Where.
        local: PoolName,
        /// Its size.
        size: Bytes,
    },
    /// Load the reverse clone: from the forward clone device to the shared LV (I24).
    LoadWriteBack {
        /// Whose.
        volume: VolumeRef,
        /// Where its metadata is.
        local: PoolName,
        /// Length.
        size: Sectors,
        /// Region and knobs.
        geometry: CloneGeometry,
    },
    /// Wait until the reverse clone is complete, and flush the shared LV.
    AwaitWriteBack {
        /// Whose.
        volume: VolumeRef,
    },
    /// Turn the node's clone device round under its users: it was the copy, whole, and becomes a clone from the copy to the
    /// shared LV.
    TurnClone {
        /// Whose.
        volume: VolumeRef,
        /// Where the copy is, and the metadata.
        local: PoolName,
        /// Length.
        size: Sectors,
        /// Region and knobs.
        geometry: CloneGeometry,
    },
    /// Flush that, and put the clone device, as long as it is, onto the shared LV: everything is there.
    StandAtHome {
        /// Whose.
        volume: VolumeRef,
    },
    /// Put an attachment's device, as long as it is, onto the shared LV itself.
    Restack {
        /// Of which volume.
        volume: VolumeRef,
        /// For whom.
        instance: InstanceId,
    },
    /// Unload the reverse clone, and the device of its metadata.
    UnloadWriteBack {
        /// Whose.
        volume: VolumeRef,
    },
}

/// What a home becomes; the copy's UUID is looked up when the step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHome {
    /// The shared LV is current.
    Pool,
    /// Shared LV and this node's copy together.
    Split(NodeName),
    /// Being written back by this node.
    Returning(NodeName),
}

/// A step with what takes it back. An undo runs also when its step failed half-way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What is done.
    pub step: Step,
    /// What takes it back, in this order.
    pub undo: Vec<Step>,
}

impl Planned {
    pub(crate) fn new(step: Step, undo: Vec<Step>) -> Self {
        Self { step, undo }
    }

    /// A step that needs no taking back.
    pub(crate) fn only(step: Step) -> Self {
        Self {
            step,
            undo: Vec::new(),
        }
    }
}
