//! Copies and homes: the LVs, the clones over them, and the tag that says where the data is.

use volward_model::copy::COPY_STAGE_TAG_PREFIX;
use volward_model::{
    Backing, Bytes, CloneTable, CopyStage, DeviceId, Home, HomeState, LeaseMode, PoolName, Sectors,
    Table, VolumeInfo, VolumeRef,
};
use volward_plan::home::{CopyNames, copy_names};
use volward_plan::{CloneGeometry, NextHome, Unmet};

use super::{Engine, StepError, clone_of, return_of};
use crate::ports::{Event, NewVolume, PortError, PortResult};

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
        Ok(())
    }

    /// What is free in the pool, where that is too little for the LV.
    fn room_for(&self, new: &NewVolume) -> PortResult<Option<Bytes>> {
        let pool = self.ports.volumes.pool(&new.pool)?;
        let wanted = new.size.0.next_multiple_of(pool.extent.0.max(1));
        let missing = pool.named(&new.name).is_none();
        Ok((missing && pool.free.0 < wanted).then_some(pool.free))
    }

    pub(super) fn remove_copy(&self, volume: &VolumeRef, local: &PoolName) -> PortResult<()> {
        let names = names(volume)?;
        let pool = self.ports.volumes.pool(local)?;
        // Whatever was known when this was planned: what a guest has used and nobody has written
        // back is the only place of its data. Before the metadata goes, without which it is lost.
        if let Some(copy) = pool.named(&names.copy) {
            let stage = CopyStage::from_tags(copy.tags.iter().map(String::as_str));
            if let Some(stage @ CopyStage::Used { .. }) = stage {
                return Err(PortError::Identity {
                    what: copy.volume.to_string(),
                    expected: "a copy that nobody has used, or that is written back".to_owned(),
                    found: format!("one with the tag {}", stage.tag()),
                });
            }
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
    fn must_hold_exclusive(&self, volume: &VolumeRef) -> PortResult<()> {
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

    pub(super) fn load_clone(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Sectors,
        geometry: CloneGeometry,
        hydrating: bool,
    ) -> PortResult<()> {
        let id = clone_of(volume);
        let loaded = self.is_loaded(id)?;
        let lvs = self.current_copy(volume, local)?;
        if loaded.as_deref() == Some("linear") {
            // Everything is in the copy: it must be the one that the home names.
            let on = Backing::Volume(lvs.copy.volume.id);
            self.must_stand_on(id, &Table::Linear { on, size })?;
            return self.mark_used(volume, &lvs.copy, size);
        }
        self.activate_copy(local, &lvs)?;
        let table = CloneTable {
            metadata: Backing::Volume(lvs.metadata.volume.id),
            destination: Backing::Volume(lvs.copy.volume.id),
            source: Backing::Volume(volume.id),
            size,
            region: geometry.region,
            hydrating,
            threshold: geometry.threshold,
            batch: geometry.batch,
        };
        if loaded.is_none() {
            self.mark_used(volume, &lvs.copy, size)?;
            return self.make_clone(id, table);
        }
        self.must_stand_on(id, &Table::Clone(table))?;
        self.mark_used(volume, &lvs.copy, size)?;
        match self.ports.devices.clone_status(id)? {
            Some(status) if status.hydrating != hydrating => {
                self.ports.devices.set_hydration(id, hydrating)
            }
            _ => Ok(()),
        }
    }

    /// A device that is loaded already is taken only with the very table that would be loaded now:
    /// one that outlived an earlier copy shows that copy's data.
    fn must_stand_on(&self, id: DeviceId, table: &Table) -> PortResult<()> {
        self.ports.devices.create(id, table, false, true).map(drop)
    }

    /// From now on the copy says itself that the volume's data is in it, whatever becomes of the
    /// home tag. Durable before a guest can write to it.
    fn mark_used(&self, volume: &VolumeRef, copy: &VolumeInfo, size: Sectors) -> PortResult<()> {
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

    fn set_copy_stage(&self, copy: &VolumeInfo, state: CopyStage) -> PortResult<()> {
        let tag = state.tag();
        let is_state = |tag: &&String| tag.starts_with(COPY_STAGE_TAG_PREFIX);
        let old: Vec<String> = copy.tags.iter().filter(is_state).cloned().collect();
        if old == [tag.as_str()] {
            return Ok(());
        }
        self.ports.volumes.change_tags(&copy.volume, &old, &[tag])
    }

    pub(super) fn load_return(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Sectors,
        geometry: CloneGeometry,
    ) -> PortResult<()> {
        let id = return_of(volume);
        let loaded = self.is_loaded(id)?;
        let lvs = self.current_copy(volume, local)?;
        self.activate_copy(local, &lvs)?;
        let table = CloneTable {
            metadata: Backing::Volume(lvs.return_metadata.volume.id),
            destination: Backing::Volume(volume.id),
            // Never the copy itself: what is not in it is read through the forward clone (I24).
            source: Backing::Device(clone_of(volume)),
            size,
            region: geometry.region,
            hydrating: true,
            threshold: geometry.threshold,
            batch: geometry.batch,
        };
        match loaded {
            None => self.make_clone(id, table),
            Some(_) => self.must_stand_on(id, &Table::Clone(table)),
        }
    }

    /// Writable; discards are kept from it by the attachments' devices above.
    fn make_clone(&self, id: DeviceId, table: CloneTable) -> PortResult<()> {
        let applied = self
            .ports
            .devices
            .create(id, &Table::Clone(table), false, true)?;
        tracing::debug!(device = %id, ?applied, "clone loaded");
        Ok(())
    }

    /// The copy's LVs, of which the copy must be the one that the home names (I12): an LV of an
    /// earlier copy is not current, and is never a source (I19).
    fn current_copy(&self, volume: &VolumeRef, local: &PoolName) -> PortResult<CopyVolumes> {
        let lvs = self.copy_volumes(volume, local)?;
        let home = self.home_of(volume)?;
        match home.copy() {
            Some((node, copy)) if *node == self.settings.node && *copy == lvs.copy.volume.id.lv => {
                Ok(lvs)
            }
            _ => Err(PortError::Identity {
                what: format!("the copy {}", lvs.copy.volume),
                expected: home.to_string(),
                found: lvs.copy.volume.id.lv.to_string(),
            }),
        }
    }

    fn activate_copy(&self, local: &PoolName, lvs: &CopyVolumes) -> PortResult<()> {
        let all = [&lvs.copy, &lvs.metadata, &lvs.return_metadata];
        let asleep: Vec<VolumeRef> = all
            .iter()
            .filter(|i| !i.active)
            .map(|i| i.volume.clone())
            .collect();
        if asleep.is_empty() {
            return Ok(());
        }
        self.ports.activation.activate(local, &asleep)?;
        self.must_be_active(local, &asleep)
    }

    /// The target of a device of ours that is there already; a suspended one is resumed.
    fn is_loaded(&self, id: DeviceId) -> PortResult<Option<String>> {
        let Some(info) = self.ports.devices.get(id)? else {
            return Ok(None);
        };
        if info.suspended {
            self.ports.devices.resume(id)?;
            let device = id;
            self.ports.events.tell(&Event::Resumed { device });
        }
        // A crash between making the device and loading its table leaves it empty.
        Ok(info.target)
    }
}

pub(super) fn names(volume: &VolumeRef) -> PortResult<CopyNames> {
    copy_names(volume.id).map_err(|error| PortError::Unreadable {
        what: format!("the UUID of {volume}"),
        reason: error.to_string(),
    })
}

fn not_ours(info: &VolumeInfo, tag: &str) -> PortError {
    PortError::Identity {
        what: info.volume.to_string(),
        expected: format!("the tag {tag}"),
        found: info.tags.join(", "),
    }
}
