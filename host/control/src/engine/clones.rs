//! Clones over copies: the one that a guest reads and writes through, and the one that writes back.

use std::ops::Range;
use std::time::Duration;

use volward_model::{Backing, CloneTable, DeviceId, PoolName, Sectors, Table, VolumeRef};
use volward_plan::{CloneGeometry, untouched};

use super::copy_lv::{CopyVolumes, MetadataPlace};
use super::{Engine, clone_of, return_of};
use crate::ports::{Event, PortError, PortResult};

/// Between two looks at whether a clone has come to rest.
const QUIET_PAUSE: Duration = Duration::from_millis(100);
/// So many looks, ten seconds: what is on its way is a quarter of a second's copying.
const QUIET_TRIES: u32 = 100;

impl Engine {
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
        let (metadata, geometry) = self.begun_with(&lvs, &lvs.metadata, geometry)?;
        let table = CloneTable {
            metadata,
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
    pub(super) fn must_stand_on(&self, id: DeviceId, table: &Table) -> PortResult<()> {
        self.ports.devices.create(id, table, false, true).map(drop)
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
        let (metadata, geometry) = self.begun_with(&lvs, &lvs.return_metadata, geometry)?;
        let table = CloneTable {
            metadata,
            destination: Backing::Volume(volume.id),
            // Never the copy itself: what is not in it is read through the forward clone (I24).
            source: Backing::Device(clone_of(volume)),
            size,
            region: geometry.region,
            // Not before it is known what need not be copied.
            hydrating: false,
            threshold: geometry.threshold,
            batch: geometry.batch,
        };
        match loaded {
            None => self.make_clone(id, table)?,
            Some(_) => self.must_stand_on(id, &Table::Clone(table))?,
        }
        self.pass_over_untouched(volume, &lvs);
        self.ports.devices.set_hydration(id, true)
    }

    /// Where a clone's metadata is, and the geometry that it was begun with; where nothing is begun there, that of the copy, whose
    /// size its room for metadata was made for.
    pub(super) fn begun_with(
        &self,
        lvs: &CopyVolumes,
        place: &MetadataPlace,
        geometry: CloneGeometry,
    ) -> PortResult<(Backing, CloneGeometry)> {
        let region = |place: &MetadataPlace| {
            let (on, at) = place.begins();
            self.ports.devices.region(on, at)
        };
        let begun = match region(place)? {
            Some(region) => Some(region),
            None => region(&lvs.metadata)?,
        };
        let geometry = begun.map_or(geometry, |region| geometry.with_region(region));
        Ok((self.metadata_backing(place)?, geometry))
    }

    /// What is not in the copy is not written back: it is what the shared volume has. Where nobody can tell what is in it,
    /// everything is.
    fn pass_over_untouched(&self, volume: &VolumeRef, lvs: &CopyVolumes) {
        let passed = self.untouched(volume, lvs).and_then(|(region, runs)| {
            if !runs.is_empty() {
                let devices = &self.ports.devices;
                devices.pass_over(return_of(volume), region, &runs)?;
            }
            Ok(runs.iter().map(|run| run.end - run.start).sum::<u64>())
        });
        match passed {
            Ok(regions) => {
                tracing::debug!(%volume, regions, "not in the copy, and not written back");
            }
            Err(error) => tracing::debug!(%volume, %error, "everything is written back"),
        }
    }

    /// Regions that the forward clone reads from the shared volume, and their size. The status is asked for after the
    /// metadata was read: only then does it prove that nothing has been added since ([`fn@untouched`]).
    fn untouched(
        &self,
        volume: &VolumeRef,
        lvs: &CopyVolumes,
    ) -> PortResult<(Sectors, Vec<Range<u64>>)> {
        let id = clone_of(volume);
        let devices = &self.ports.devices;
        // Hydration was switched off; what was on its way by then comes to its end.
        let mut tries = 0;
        while devices
            .clone_status(id)?
            .is_some_and(|status| status.in_flight > 0)
        {
            tries += 1;
            if tries > QUIET_TRIES {
                break;
            }
            self.ports.clock.sleep(QUIET_PAUSE);
        }
        if devices.clone_status(id)?.is_none() {
            // Linear: all of it is in the copy.
            return Ok((Sectors(0), Vec::new()));
        }
        let map = devices.regions(id, self.metadata_backing(&lvs.metadata)?)?;
        let unknown = |reason: String| PortError::Unreadable {
            what: format!("what is in the copy of {volume}"),
            reason,
        };
        let status = devices.clone_status(id)?;
        let status = status.ok_or_else(|| unknown("its clone is gone".to_owned()))?;
        let runs = untouched(&status, &map).map_err(|untold| unknown(untold.to_string()))?;
        Ok((status.region, runs))
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
    pub(super) fn current_copy(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
    ) -> PortResult<CopyVolumes> {
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
        let asleep: Vec<VolumeRef> = lvs
            .lvs()
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
    pub(super) fn is_loaded(&self, id: DeviceId) -> PortResult<Option<String>> {
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
