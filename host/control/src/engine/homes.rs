//! Homes: the tag that says where a volume's data is, and what the copy says of itself.

use volward_model::copy::COPY_STAGE_TAG_PREFIX;
use volward_model::{
    Copied, CopyStage, Home, HomeState, LeaseMode, PoolName, Sectors, VolumeInfo, VolumeRef,
};
use volward_plan::{NextHome, Unmet};

use super::Engine;
use crate::ports::{PortError, PortResult};

impl Engine {
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
        let info = self.volume_info(volume)?;
        let copy = after.copy().map(|(_, copy)| *copy);
        let old = info.tags_of_home(copy);
        let mut new = vec![after.tag()];
        if let HomeState::Split { copy, .. } = after.state {
            // One that the home named before, too, was made then.
            let tags = info.tags.iter().map(String::as_str);
            if Copied::of_tags(tags, copy).is_none() {
                let at = self.ports.clock.now_ms() / 1_000;
                new.push(Copied { copy, at }.tag());
            }
        }
        self.ports.volumes.change_tags(volume, &old, &new)?;
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
        let pool = self.ports.volumes.validated_pool(&volume.pool)?;
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
        let lvs = self.copy_volumes(volume, local)?;
        let size = self.volume_info(volume)?.size.min(lvs.data());
        self.mark_used(volume, &lvs.copy, Sectors(size.0 / 512))
    }

    pub(crate) fn set_copy_stage(&self, copy: &VolumeInfo, state: CopyStage) -> PortResult<()> {
        let tag = state.tag();
        let is_state = |tag: &&String| tag.starts_with(COPY_STAGE_TAG_PREFIX);
        let old: Vec<String> = copy.tags.iter().filter(is_state).cloned().collect();
        if old == [tag.as_str()] {
            return Ok(());
        }
        self.ports.volumes.change_tags(&copy.volume, &old, &[tag])
    }
}
