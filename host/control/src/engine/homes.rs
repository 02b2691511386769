//! Copies and homes: the LVs, the clones over them, and the tag that says where the data is.

use volward_model::copy::COPY_STAGE_TAG_PREFIX;
use volward_model::{
    Bytes, CopyStage, Home, HomeState, LeaseMode, PoolName, Sectors, VolumeInfo, VolumeRef,
};
use volward_plan::home::{CopyNames, copy_names};
use volward_plan::{NextHome, Unmet};

use super::{Engine, StepError};
use crate::ports::{NewVolume, PortError, PortResult};

/// Zeroed at the start of fresh clone metadata: dm-clone makes new metadata where the first
/// 4 KiB are zero; a whole MiB also wipes an older layout's remains.
pub(super) const ZEROED: Bytes = Bytes::mib(1);

/// The LVs of a copy.
#[derive(Clone, Debug)]
pub(crate) struct CopyVolumes {
    pub(crate) copy: VolumeInfo,
    pub(crate) metadata: VolumeInfo,
    pub(crate) return_metadata: VolumeInfo,
}

impl Engine {
    pub(super) fn make_copy(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Bytes,
        metadata: Bytes,
    ) -> Result<(), StepError> {
        let names = names(volume)?;
        // A copy that was ever in use is not taken for a fresh one: its tags differ.
        let copy_tags = vec![names.tag.clone(), CopyStage::Fresh.tag()];
        let lvs = [
            (names.copy, size, copy_tags),
            (names.metadata, metadata, vec![names.tag.clone()]),
            (names.return_metadata, metadata, vec![names.tag]),
        ];
        for (name, size, tags) in lvs {
            let new = NewVolume {
                pool: local.clone(),
                name,
                size,
                tags,
            };
            if let Err(error) = self.ports.volumes.create(&new) {
                return Err(match self.room_for(&new) {
                    // Another attach was quicker: the next decision sees what is left.
                    Ok(Some(free)) => StepError::Changed(format!(
                        "the copy of {volume} needs {} in {local}, and {free} is free now",
                        new.size
                    )),
                    _ => StepError::Port(error),
                });
            }
        }
        // It is in the pool's figures now, also while the rest of a long attach runs.
        self.state.promise_no_more(volume.id);
        Ok(())
    }

    /// What is free in the pool, where that is too little for the LV.
    fn room_for(&self, new: &NewVolume) -> PortResult<Option<Bytes>> {
        let pool = self.ports.volumes.pool(&new.pool)?;
        let wanted = new.size.0.next_multiple_of(pool.extent.0.max(1));
        let missing = pool.named(&new.name).is_none();
        Ok((missing && pool.free.0 < wanted).then_some(pool.free))
    }

    pub(super) fn remove_copy(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        unstaged: bool,
    ) -> PortResult<()> {
        let names = names(volume)?;
        let pool = self.ports.volumes.pool(local)?;
        // Whatever was known when this was planned: what a guest has used and nobody has written
        // back is the only place of its data. Before the metadata goes, without which it is lost.
        if let Some(copy) = pool.named(&names.copy) {
            must_be_of_no_use(copy, unstaged)?;
        }
        for name in [&names.return_metadata, &names.metadata, &names.copy] {
            let Some(info) = pool.named(name) else {
                continue;
            };
            if !info.tags.contains(&names.tag) {
                return Err(not_ours(info, &names.tag));
            }
            self.ports.volumes.remove(&info.volume)?;
        }
        Ok(())
    }

    /// One metadata commit, under the exclusive lease, read back.
    pub(super) fn set_home(
        &self,
        volume: &VolumeRef,
        from_generation: u64,
        to: &NextHome,
        local: &PoolName,
    ) -> PortResult<()> {
        let before = self.home_of(volume)?;
        let state = match to {
            NextHome::Pool => HomeState::Pool,
            NextHome::Split(node) => {
                let copy = self.copy_volumes(volume, local)?.copy.volume.id.lv;
                HomeState::Split {
                    node: node.clone(),
                    copy,
                }
            }
            NextHome::Returning(node) => {
                let copy = self.copy_volumes(volume, local)?.copy.volume.id.lv;
                HomeState::Returning {
                    node: node.clone(),
                    copy,
                }
            }
        };
        let after = Home {
            state,
            generation: from_generation + 1,
        };
        if before == after {
            return Ok(());
        }
        // The first step of an undo may find that the change was never made.
        let never_left = matches!(to, NextHome::Pool) && before.state == HomeState::Pool;
        if never_left {
            return Ok(());
        }
        if before.generation != from_generation {
            return Err(PortError::Identity {
                what: format!("the home of {volume}"),
                expected: format!("generation {from_generation}"),
                found: before.to_string(),
            });
        }
        self.must_hold_exclusive(volume)?;
        if matches!(to, NextHome::Pool) {
            // The copy says so first, for afterwards nothing else could tell it from one whose home
            // tag was lost. Undone before a guest had it, there is nothing in it.
            let stage = match before.state {
                HomeState::Returning { .. } => CopyStage::Returned,
                _ => CopyStage::Fresh,
            };
            let copy = self.copy_volumes(volume, local)?.copy;
            self.set_copy_stage(&copy, stage)?;
        }
        let tags = &self.volume_info(volume)?.tags;
        let old: Vec<String> = tags
            .iter()
            .filter(|t| t.starts_with(volward_model::home::HOME_TAG_PREFIX))
            .cloned()
            .collect();
        self.ports
            .volumes
            .change_tags(volume, &old, &[after.tag()])?;
        let now = self.home_of(volume)?;
        if now == after {
            return Ok(());
        }
        Err(PortError::Identity {
            what: format!("the home of {volume}"),
            expected: after.to_string(),
            found: now.to_string(),
        })
    }

    /// I1, I19: what changes a home re-checks its lease.
    pub(super) fn must_hold_exclusive(&self, volume: &VolumeRef) -> PortResult<()> {
        match self.ports.leases.held(&volume.pool)?.get(&volume.id.lv) {
            Some(lease) if lease.mode == LeaseMode::Exclusive && !lease.orphan => Ok(()),
            _ => Err(PortError::from(Unmet::LeaseLost {
                volume: volume.clone(),
            })),
        }
    }

    fn volume_info(&self, volume: &VolumeRef) -> PortResult<VolumeInfo> {
        let pool = self.ports.volumes.pool(&volume.pool)?;
        let info = pool.volume(volume.id).cloned();
        info.ok_or_else(|| PortError::Missing {
            what: volume.to_string(),
        })
    }

    pub(crate) fn home_of(&self, volume: &VolumeRef) -> PortResult<Home> {
        self.volume_info(volume)?
            .home()
            .map_err(|error| PortError::Unreadable {
                what: format!("the home tag of {volume}"),
                reason: error.to_string(),
            })
    }

    /// The copy's LVs, by name and tag; active.
    pub(crate) fn copy_volumes(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
    ) -> PortResult<CopyVolumes> {
        let names = names(volume)?;
        let pool = self.ports.volumes.pool(local)?;
        let find = |name| {
            let info = pool.named(name).cloned();
            let info = info.ok_or_else(|| PortError::Missing {
                what: format!("{local}/{name}"),
            })?;
            if info.tags.contains(&names.tag) {
                Ok(info)
            } else {
                Err(not_ours(&info, &names.tag))
            }
        };
        Ok(CopyVolumes {
            copy: find(&names.copy)?,
            metadata: find(&names.metadata)?,
            return_metadata: find(&names.return_metadata)?,
        })
    }

    /// From now on the copy says itself that the volume's data is in it, whatever becomes of the
    /// home tag. Durable before a guest can write to it.
    pub(super) fn mark_used(
        &self,
        volume: &VolumeRef,
        copy: &VolumeInfo,
        size: Sectors,
    ) -> PortResult<()> {
        let tags = copy.tags.iter().map(String::as_str);
        match CopyStage::from_tags(tags) {
            Some(CopyStage::Used { .. } | CopyStage::Returned) => return Ok(()),
            Some(CopyStage::Fresh) | None => {}
        }
        let home = self.home_of(volume)?;
        let generation = match home.state {
            HomeState::Returning { .. } => home.generation.saturating_sub(1),
            _ => home.generation,
        };
        let size = size.bytes();
        self.set_copy_stage(copy, CopyStage::Used { generation, size })
    }

    /// A copy that an earlier version has loaded, and that says nothing of itself, says from now on
    /// that it is in use.
    pub(crate) fn mark_loaded_copy(&self, volume: &VolumeRef) -> PortResult<()> {
        let Some(local) = &self.settings.local else {
            return Ok(());
        };
        let copy = self.copy_volumes(volume, local)?.copy;
        let size = self.volume_info(volume)?.size.min(copy.size);
        self.mark_used(volume, &copy, Sectors(size.0 / 512))
    }

    pub(super) fn set_copy_stage(&self, copy: &VolumeInfo, state: CopyStage) -> PortResult<()> {
        let tag = state.tag();
        let is_state = |tag: &&String| tag.starts_with(COPY_STAGE_TAG_PREFIX);
        let old: Vec<String> = copy.tags.iter().filter(is_state).cloned().collect();
        if old == [tag.as_str()] {
            return Ok(());
        }
        self.ports.volumes.change_tags(&copy.volume, &old, &[tag])
    }
}

pub(super) fn names(volume: &VolumeRef) -> PortResult<CopyNames> {
    copy_names(volume.id).map_err(|error| PortError::Unreadable {
        what: format!("the UUID of {volume}"),
        reason: error.to_string(),
    })
}

/// Whether a copy may be removed: what has no stage is an earlier version's, and goes only where the
/// record of that version speaks for it (`unstaged`); what has more than one, or one that is not
/// understood, may be anything.
fn must_be_of_no_use(copy: &VolumeInfo, unstaged: bool) -> PortResult<()> {
    let tags = || copy.tags.iter().map(String::as_str);
    let staged: Vec<&str> = tags()
        .filter(|tag| tag.starts_with(COPY_STAGE_TAG_PREFIX))
        .collect();
    match CopyStage::from_tags(tags()) {
        Some(CopyStage::Fresh | CopyStage::Returned) => Ok(()),
        None if staged.is_empty() && unstaged => Ok(()),
        None | Some(CopyStage::Used { .. }) => Err(PortError::Identity {
            what: copy.volume.to_string(),
            expected: "a copy that nobody has used, or that is written back".to_owned(),
            found: match staged.is_empty() {
                true => "one that does not say how far it is".to_owned(),
                false => format!("one with the tag {}", staged.join(", ")),
            },
        }),
    }
}

fn not_ours(info: &VolumeInfo, tag: &str) -> PortError {
    PortError::Identity {
        what: info.volume.to_string(),
        expected: format!("the tag {tag}"),
        found: info.tags.join(", "),
    }
}
