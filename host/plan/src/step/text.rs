//! Steps as programs and people read them: a name in fault points, a line of `--dry-run` and `explain`.

use std::fmt;

use volward_model::VolumeRef;

use super::{NextHome, Step};

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
