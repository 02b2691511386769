//! Copies that are `split` after a boot, and whose guests do not start again: they come home by themselves where the
//! configuration says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use volward_model::{HomeState, PoolName, RequestId, VolumeInfo, VolumeRef};

use super::Recovery;
use crate::engine::DueWriteBack;
use crate::ports::{Operation, PortResult};

impl Recovery {
    /// From now on its guest has the configured time to start here.
    pub(super) fn note_alone(&self, volume: &VolumeRef) {
        let now = self.ports.clock.monotonic();
        let mut alone = self.state.alone();
        alone.entry(volume.id).or_insert((volume.clone(), now));
    }

    /// Has those written back whose time is over, in the background. To be called again and again.
    pub(crate) fn bring_home_what_is_alone(self: &Arc<Self>) {
        let Some(pause) = self.settings.alone_home_after else {
            return;
        };
        let now = self.ports.clock.monotonic();
        let mut pools: BTreeMap<PoolName, Vec<VolumeRef>> = BTreeMap::new();
        for (volume, since) in self.state.alone().values_mut() {
            if now.saturating_sub(*since) >= pause {
                // Where it does not come about, it is due again after as long.
                *since = now;
                let of_pool = pools.entry(volume.pool.clone()).or_default();
                of_pool.push(volume.clone());
            }
        }
        for (pool, volumes) in pools {
            let this = Arc::clone(self);
            let work = Box::new(move || {
                if let Err(error) = this.bring_home(&pool, &volumes) {
                    let what = format!("bringing copies of {pool} home whose guests did not start");
                    this.trouble(what, &error);
                }
            });
            self.ports.tasks.spawn("left-alone".to_owned(), work);
        }
    }

    /// What has a guest by now is passed over, and what contradicts itself, which doctor names.
    fn bring_home(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let snapshot = self.observer.validated_snapshot(pool)?;
        for volume in volumes {
            let Ok(guard) = self.state.volume_locks.take(&[volume.id], Duration::ZERO) else {
                continue;
            };
            let info = snapshot.info.volume(volume.id);
            if let Some(info) = info.filter(|info| self.goes_on(&snapshot, info, true)) {
                let begun = self.begin_write_back(&info.volume)?;
                self.copies.start_write_backs(begun);
            }
            drop(guard);
            let is_split = |info: &VolumeInfo| {
                let home = info.home();
                home.is_ok_and(|home| matches!(home.state, HomeState::Split { .. }))
            };
            // One that has its guest by now may be without it again only after the next boot.
            if !info.is_some_and(is_split) || self.is_attached(volume) {
                self.state.alone().remove(&volume.id);
            }
        }
        Ok(())
    }

    fn is_attached(&self, volume: &VolumeRef) -> bool {
        let table = self.state.attachment_table();
        table.of_volume(volume.id).next().is_some()
    }

    /// On record first: a daemon that dies with its lease takes it up. `None`: it cannot be put on record, which is told
    /// already.
    fn begin_write_back(&self, volume: &VolumeRef) -> PortResult<Option<DueWriteBack>> {
        let volume = volume.clone();
        let operation = Operation::WriteBack {
            volume: volume.clone(),
        };
        let entry = self.engine.new_entry(RequestId(Uuid::new_v4()), operation);
        let number = self.engine.begin(&entry)?.number;
        Ok(number.map(|number| DueWriteBack {
            entry: Some(number),
            volume,
        }))
    }
}
