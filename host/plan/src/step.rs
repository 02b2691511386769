//! What can be done. Each step is idempotent: run twice, it has the effect of once; so a crash
//! between a step and its record is harmless.

use std::fmt;

use volward_model::{
    Attachment, AttachmentKey, Bytes, InstanceId, LeaseMode, MigrationNonce, NodeName, PoolName,
    Sectors, VolumeRef,
};

use crate::geometry::CloneGeometry;
use crate::recheck::Expectation;

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

impl Step {
    /// The step's name: names crash points, and says where something is stuck.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lease { .. } => "lease",
            Self::Release { .. } => "release",
            Self::DisableAutoactivation { .. } => "disable-autoactivation",
            Self::Revalidate { .. } => "revalidate",
            Self::MakeCopy { .. } => "make-copy",
            Self::ZeroMetadata { .. } => "zero-metadata",
            Self::RemoveCopy { .. } => "remove-copy",
            Self::SetHome { .. } => "set-home",
            Self::LoadClone { .. } => "load-clone",
            Self::UnloadClone { .. } => "unload-clone",
            Self::AwaitHydration { .. } => "await-hydration",
            Self::CreateDevice { .. } => "create-device",
            Self::RemoveDevice { .. } => "remove-device",
            Self::Publish { .. } => "publish",
            Self::Withdraw { .. } => "withdraw",
            Self::AskSource { .. } => "ask-source",
            Self::AskNoMore { .. } => "ask-no-more",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::MakeWriteBackMetadata { .. } => "make-write-back-metadata",
            Self::LoadWriteBack { .. } => "load-write-back",
            Self::AwaitWriteBack { .. } => "await-write-back",
            Self::UnloadWriteBack { .. } => "unload-write-back",
            Self::TurnClone { .. } => "turn-clone",
            Self::StandAtHome { .. } => "stand-at-home",
            Self::Restack { .. } => "restack",
        }
    }
}

fn names(volumes: &[VolumeRef]) -> String {
    volumes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl fmt::Display for Step {
    /// One line for `--dry-run` and `explain`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { volumes, mode, .. } => {
                write!(f, "lease {mode} and activate {}", names(volumes))
            }
            Self::Release { volumes, .. } => {
                write!(f, "deactivate and release {}", names(volumes))
            }
            Self::DisableAutoactivation { volumes, .. } => {
                write!(f, "switch autoactivation off for {}", names(volumes))
            }
            Self::Revalidate { expectations } => {
                let all: Vec<_> = expectations.iter().map(|e| e.volume.clone()).collect();
                write!(f, "revalidate {} under the lease", names(&all))
            }
            Self::MakeCopy {
                volume,
                local,
                size,
                ..
            } => {
                write!(f, "make a copy of {volume} ({size}) in {local}")
            }
            Self::ZeroMetadata { volume, .. } => write!(f, "zero the clone metadata of {volume}"),
            Self::RemoveCopy { volume, local, .. } => {
                write!(f, "remove the copy of {volume} in {local}")
            }
            Self::SetHome { volume, to, .. } => match to {
                NextHome::Pool => write!(f, "set the home of {volume} to pool"),
                NextHome::Split(node) => write!(f, "set the home of {volume} to split on {node}"),
                NextHome::Returning(node) => {
                    write!(f, "set the home of {volume} to returning from {node}")
                }
            },
            Self::LoadClone {
                volume, hydrating, ..
            } => {
                let how = if *hydrating {
                    "hydrating"
                } else {
                    "writes only"
                };
                write!(f, "load the clone of {volume}, {how}")
            }
            Self::UnloadClone { volume } => write!(f, "unload the clone of {volume}"),
            Self::AwaitHydration { volume } => write!(f, "wait until {volume} is hydrated"),
            Self::CreateDevice {
                volume,
                instance,
                read_only,
                on_clone,
                ..
            } => {
                let access = if *read_only {
                    "read-only"
                } else {
                    "read-write"
                };
                let onto = if *on_clone { ", on the clone" } else { "" };
                write!(f, "make a {access} device of {volume} for {instance}{onto}")
            }
            Self::RemoveDevice { volume, instance } => {
                write!(f, "remove the device of {volume} for {instance}")
            }
            Self::Publish { pool, attachments } => {
                write!(
                    f,
                    "publish {} attachment(s) in the registry of {pool}",
                    attachments.len()
                )
            }
            Self::Withdraw { pool, attachments } => {
                write!(
                    f,
                    "withdraw {} attachment(s) from the registry of {pool}",
                    attachments.len()
                )
            }
            Self::AskSource {
                volumes, source, ..
            } => write!(f, "ask node {source} to share {}", names(volumes)),
            Self::AskNoMore { pool, attachments } => write!(
                f,
                "withdraw {} call(s) from the registry of {pool}",
                attachments.len()
            ),
            Self::Link { volume, instance } => {
                write!(f, "publish /dev/volward/{instance}/{volume}")
            }
            Self::Unlink { volume, instance } => {
                write!(f, "withdraw /dev/volward/{instance}/{volume}")
            }
            Self::MakeWriteBackMetadata { volume, .. } => {
                write!(f, "make the metadata for writing {volume} back")
            }
            Self::LoadWriteBack { volume, .. } => write!(f, "start writing {volume} back"),
            Self::AwaitWriteBack { volume } => {
                write!(f, "wait until {volume} is written back, and flush")
            }
            Self::UnloadWriteBack { volume } => write!(f, "end writing {volume} back"),
            Self::TurnClone { volume, .. } => {
                write!(f, "have the clone of {volume} write to the shared volume")
            }
            Self::StandAtHome { volume } => {
                write!(
                    f,
                    "flush {volume}, and put its clone onto the shared volume"
                )
            }
            Self::Restack { volume, instance } => write!(
                f,
                "put the device of {volume} for {instance} onto the shared volume"
            ),
        }
    }
}
