//! Bringing a copy home while its guest runs on.
//!
//! ```text
//!           asked for                    all of it is there
//!   split -------------> returning -----------------------------> pool
//! ```
//!
//! The node's clone device, on which the guest's device stands, is turned round: it was the copy, and becomes a clone
//! whose source is the copy and whose destination is the shared volume. What the guest writes from then on
//! goes to the shared volume; the rest follows in the background. Its metadata says what is there, so a crash
//! loses nothing of that: without its guest it is a write-back like any other, and goes on as one.

use volward_model::{
    AttachmentState, CopyFate, CopyMode, CopyPlan, CopyStage, DeviceRole, HomeState, LeaseMode,
    NodeName, PoolName,
};

use crate::geometry::{geometry_of, metadata_size, sectors_of};
use crate::input::{LocalAttachment, VolumeInput};
use crate::refusal::{Refusal, home_of};
use crate::step::{NextHome, Step};
use crate::witness::{agree, copied_size, is_written_back};

/// What is to be done to bring a copy home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComingHome {
    /// The data is at home, and no attachment says otherwise.
    IsHome,
    /// It is to come home: these steps begin it. Afterwards it is [`ComingHome::OnTheWay`].
    Begins(Vec<Step>),
    /// The home says `returning`.
    OnTheWay {
        /// Have the clone device write home, if it does not yet.
        turn: Vec<Step>,
        /// Once it has written everything: have its users stand on the shared volume, and the home say so.
        arrive: Vec<Step>,
        /// Then, when it is on record that the attachments have no copy any more: remove it.
        clear: Vec<Step>,
    },
}

/// How a copy comes home under its guest, from wherever it is now.
///
/// # Errors
/// If nobody has the volume here, it is not hydrated whole, or home, records, devices and copies do not say the same.
pub fn come_home(
    node: &NodeName,
    local: &PoolName,
    seen: &VolumeInput,
) -> Result<ComingHome, Refusal> {
    let volume = seen.info.volume.clone();
    let home = home_of(&seen.info)?;
    if home.copy().is_some_and(|(owner, _)| owner != node) {
        return Err(Refusal::comes_home_there(&volume, &home));
    }
    agree(node, &home, seen)?;
    let is_told =
        seen.here.iter().any(|a| a.copy.is_some()) || seen.witnesses.write_back && is_left(seen);
    if home.state == HomeState::Pool && !is_told {
        return Ok(ComingHome::IsHome);
    }
    if let Some(kept) = kept_back(seen) {
        return Err(kept);
    }
    let copied = copied_size(&home, seen);
    let size = sectors_of(&seen.info, copied)?;
    let whole = CopyPlan {
        mode: CopyMode::Background,
        in_flight: None,
        batch: None,
        fate: CopyFate::WriteBack,
    };
    let geometry = geometry_of(&seen.info, copied, &whole)?;
    let lease = Step::Lease {
        pool: volume.pool.clone(),
        volumes: vec![volume.clone()],
        mode: LeaseMode::Exclusive,
    };
    let set = |to| Step::SetHome {
        volume: volume.clone(),
        from_generation: home.generation,
        to,
        local: local.clone(),
    };
    match home.state {
        HomeState::Split { .. } => {
            if !seen.clone_is_linear() {
                return Err(Refusal::not_hydrated(seen));
            }
            // Made and zeroed before the tag says `returning`: afterwards nothing is zeroed (I21).
            let zero = Step::MakeWriteBackMetadata {
                volume: volume.clone(),
                local: local.clone(),
                size: metadata_size(copied, geometry.region),
            };
            let begin = set(NextHome::Returning(node.clone()));
            Ok(ComingHome::Begins(vec![lease, zero, begin]))
        }
        HomeState::Returning { .. } | HomeState::Pool => {
            let is_back = home.state == HomeState::Pool || is_written_back(&home, seen);
            let turn = Step::TurnClone {
                volume: volume.clone(),
                local: local.clone(),
                size,
                geometry,
            };
            let mut arrive = Vec::new();
            if seen.clone_loaded {
                arrive.push(Step::StandAtHome {
                    volume: volume.clone(),
                });
            }
            if home.state != HomeState::Pool {
                arrive.push(set(NextHome::Pool));
            }
            arrive.extend(restacked(seen));
            arrive.push(Step::UnloadClone {
                volume: volume.clone(),
            });
            arrive.push(Step::UnloadWriteBack {
                volume: volume.clone(),
            });
            let clear = vec![Step::RemoveCopy {
                volume: volume.clone(),
                local: local.clone(),
                unstaged: false,
            }];
            Ok(ComingHome::OnTheWay {
                turn: match is_back {
                    true => Vec::new(),
                    false => vec![lease, turn],
                },
                arrive,
                clear,
            })
        }
        HomeState::Node { .. } => Err(Refusal::copy_is_kept(&volume)),
    }
}

/// The copy is home, and not removed yet.
fn is_left(seen: &VolumeInput) -> bool {
    let mut copies = seen.witnesses.copies.found().iter();
    copies.any(|copy| copy.stage == Some(CopyStage::Returned))
}

/// Why it cannot come home now, whoever asks.
fn kept_back(seen: &VolumeInput) -> Option<Refusal> {
    let volume = &seen.info.volume;
    if seen.here.is_empty() {
        return Some(Refusal::comes_home_by_itself(volume));
    }
    let unfit = |a: &&LocalAttachment| a.state != AttachmentState::Attached;
    let unfit = seen.here.iter().find(unfit)?;
    Some(Refusal::quarantined_beside(volume, unfit.instance))
}

/// The devices of everybody who has the volume here, put onto the volume itself.
fn restacked(seen: &VolumeInput) -> impl Iterator<Item = Step> + '_ {
    let devices = seen.witnesses.devices.iter();
    devices.filter_map(|device| match device.id.role {
        DeviceRole::Attachment(instance) => Some(Step::Restack {
            volume: seen.info.volume.clone(),
            instance,
        }),
        _ => None,
    })
}
