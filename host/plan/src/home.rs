//! Where the data goes: writing a copy back, and the switch to linear.
//!
//! The state machine of a volume's home on the node that has the copy:
//!
//! ```text
//!            attach with a copy                 detach
//!   pool ---------------------------> split ------------> returning
//!     ^                                                       |
//!     +------- reverse clone complete and flushed ------------+
//! ```
//!
//! Where a guest has it meanwhile, see [`come_home`].
//!
//! A write-back is planned from the home as it is found, so it can be begun anew at any time: after
//! a crash it is simply planned again.

use volward_model::{
    CloneStatus, CopyFate, CopyMode, CopyPlan, DeviceInfo, DeviceRole, Home, HomeState, LeaseMode,
    NodeName, ParseIdError, PoolName, VolumeId, VolumeName, volume::COPY_OF_TAG_PREFIX,
};

use crate::geometry::{geometry_of, metadata_size, sectors_of};
use crate::input::VolumeInput;
use crate::refusal::{Refusal, home_of};
use crate::step::{NextHome, Step};
use crate::witness::{agree, copied_size, is_written_back};

mod coming;

pub use coming::{ComingHome, come_home};

/// The steps that bring a volume's data home to the pool, from wherever it is now. Empty if
/// there is nothing to do.
///
/// # Errors
/// If the home cannot be read, the copy is another node's, or the witnesses contradict each other.
pub fn write_back(
    node: &NodeName,
    local: &PoolName,
    seen: &VolumeInput,
    release: bool,
) -> Result<Vec<Step>, Refusal> {
    let volume = seen.info.volume.clone();
    let home = home_of(&seen.info)?;
    if home.copy().is_some_and(|(owner, _)| owner != node) {
        return Err(Refusal::comes_home_there(&volume, &home));
    }
    // A copy of 0.1.0 does not say that it is home; the record of its write-back does.
    let unstaged = seen.witnesses.write_back && home.generation > 0;
    let clean_up = || {
        let mut steps = vec![
            Step::UnloadWriteBack {
                volume: volume.clone(),
            },
            Step::UnloadClone {
                volume: volume.clone(),
            },
        ];
        // Before the copy goes: the data is home, and a local pool that has died keeps nobody from it.
        if release {
            steps.push(Step::Release {
                pool: volume.pool.clone(),
                volumes: vec![volume.clone()],
            });
        }
        steps.push(Step::RemoveCopy {
            volume: volume.clone(),
            local: local.clone(),
            unstaged,
        });
        steps
    };
    agree(node, &home, seen)?;
    may_be_over(&home, seen)?;
    let generation = match home.state {
        HomeState::Pool => return Ok(clean_up()),
        HomeState::Node { .. } => return Err(Refusal::copy_is_kept(&volume)),
        HomeState::Split { .. } | HomeState::Returning { .. } => home.generation,
    };
    let whole = CopyPlan {
        mode: CopyMode::Background,
        in_flight: None,
        batch: None,
        fate: CopyFate::WriteBack,
    };
    if is_written_back(&home, seen) {
        // Broken off between the copy's word and the home's.
        let mut steps = vec![
            Step::Lease {
                pool: volume.pool.clone(),
                volumes: vec![volume.clone()],
                mode: LeaseMode::Exclusive,
            },
            Step::SetHome {
                volume: volume.clone(),
                from_generation: generation,
                to: NextHome::Pool,
                local: local.clone(),
            },
        ];
        steps.extend(clean_up());
        return Ok(steps);
    }
    // A volume that was grown since keeps its new end: nothing of it is in the copy.
    let copied = copied_size(&home, seen);
    let geometry = geometry_of(&seen.info, copied, &whole)?;
    let size = sectors_of(&seen.info, copied)?;
    let (pool, mode) = (volume.pool.clone(), LeaseMode::Exclusive);
    let mut steps = Vec::new();
    if came_home(&home, seen) {
        // Its guest is gone, and its clone was turned round: the two of a write-back take its place, over the same
        // metadata.
        steps.push(Step::UnloadClone {
            volume: volume.clone(),
        });
    }
    steps.extend([
        Step::Lease {
            pool,
            volumes: vec![volume.clone()],
            mode,
        },
        // Only what is in the metadata counts; nothing more is copied from the shared LV into
        // the copy than reads of the write-back need.
        Step::LoadClone {
            volume: volume.clone(),
            local: local.clone(),
            size,
            geometry,
            hydrating: false,
        },
    ]);
    let set = |from_generation, to| Step::SetHome {
        volume: volume.clone(),
        from_generation,
        to,
        local: local.clone(),
    };
    let mut at = generation;
    if matches!(home.state, HomeState::Split { .. }) {
        // Made and zeroed before the tag says `returning`: afterwards nothing is zeroed (I21).
        steps.push(Step::MakeWriteBackMetadata {
            volume: volume.clone(),
            local: local.clone(),
            size: metadata_size(copied, geometry.region),
        });
        steps.push(set(at, NextHome::Returning(node.clone())));
        at += 1;
    }
    let v = volume.clone();
    steps.push(Step::LoadWriteBack {
        volume: v,
        local: local.clone(),
        size,
        geometry,
    });
    steps.push(Step::AwaitWriteBack {
        volume: volume.clone(),
    });
    steps.push(set(at, NextHome::Pool));
    steps.extend(clean_up());
    Ok(steps)
}

/// Whether it was coming home under a guest, as far as this node shows: one clone is loaded, and none that writes back.
fn came_home(home: &Home, seen: &VolumeInput) -> bool {
    let writes_back = |d: &DeviceInfo| d.id.role == DeviceRole::Return && d.target.is_some();
    matches!(home.state, HomeState::Returning { .. })
        && seen.clone_loaded
        && !seen.witnesses.devices.iter().any(writes_back)
}

/// Whether a write-back that finds the home in the pool may take it that it is over. Where the local
/// pool cannot be asked, a tag that counts no change at all says nothing: it may have been lost.
fn may_be_over(home: &Home, seen: &VolumeInput) -> Result<(), Refusal> {
    let known = home.generation > 0 || seen.witnesses.split_at.is_some();
    match seen.witnesses.copies.silent() {
        Some(why) if home.state == HomeState::Pool && !known => {
            Err(Refusal::local_pool_unreadable(&seen.info.volume, why))
        }
        _ => Ok(()),
    }
}

/// Whether the node's clone device may be switched to linear on the copy now (I22).
#[must_use]
pub fn may_switch(status: Option<&CloneStatus>) -> bool {
    status.is_some_and(CloneStatus::complete)
}

/// The names of a volume's LVs in the local pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyNames {
    /// The copy itself.
    pub copy: VolumeName,
    /// Of a copy of 0.1.0, the forward clone's metadata.
    pub metadata: VolumeName,
    /// Of a copy of 0.1.0, the reverse clone's metadata.
    pub return_metadata: VolumeName,
    /// The tag they all carry.
    pub tag: String,
}

/// The names of the LVs that belong to a volume's copy: they follow from its identity.
///
/// # Errors
/// Never in practice: an LV UUID has only letters that LVM names may have, but for `!` and `#`.
pub fn copy_names(volume: VolumeId) -> Result<CopyNames, ParseIdError> {
    let lv = volume.lv;
    Ok(CopyNames {
        copy: format!("volward-copy-{lv}").parse()?,
        metadata: format!("volward-meta-{lv}").parse()?,
        return_metadata: format!("volward-back-{lv}").parse()?,
        tag: format!("{COPY_OF_TAG_PREFIX}{volume}"),
    })
}

#[cfg(test)]
mod tests;
