//! What an attach is decided on: one look at everything it needs.

use std::collections::BTreeMap;

use volward_model::{AttachmentKey, Facts, PoolName, RequestFacts, VolumeRef};
use volward_plan::{DiskOptions, PlanInput, RequestedDisk, Watchdog, home_of};

use super::{Attach, AttachRequest, DiskRequest, refuse, storage};
use crate::error::ControlError;
use crate::observe::{PoolSnapshot, find};
use crate::ports::{PortError, StoredAttachment};

/// One look at everything a request needs.
pub(super) struct AttachContext {
    pub(super) own_host_id: u64,
    /// For the policies.
    pub(super) facts: Facts,
    /// For the plan; has the same disks.
    pub(super) input: PlanInput,
}

impl Attach {
    /// The volumes asked for, by name, as they are now.
    pub(super) fn resolve(&self, ask: &AttachRequest) -> Result<Vec<VolumeRef>, ControlError> {
        let mut pools: BTreeMap<&PoolName, volward_model::PoolInfo> = BTreeMap::new();
        let mut volumes = Vec::new();
        for disk in &ask.disks {
            if !pools.contains_key(&disk.pool) {
                let info = self.ports.volumes.validated_pool(&disk.pool);
                let info = info.map_err(|e| storage(ask.request, "reading the pool", e))?;
                pools.insert(&disk.pool, info);
            }
            let info = pools[&disk.pool].named(&disk.volume).ok_or_else(|| {
                ControlError::NotFound(format!(
                    "there is no volume {}/{}; `volward pool ls` shows what there is",
                    disk.pool, disk.volume
                ))
            })?;
            volumes.push(info.volume.clone());
        }
        Ok(volumes)
    }

    pub(super) fn attach_context(
        &self,
        ask: &AttachRequest,
    ) -> Result<AttachContext, ControlError> {
        let failed = |error| storage(ask.request, "gathering the facts", error);
        let refused = |refusal| refuse(ask.request, refusal);
        let mut sights: BTreeMap<PoolName, PoolSnapshot> = BTreeMap::new();
        let held: Vec<StoredAttachment> = self
            .state
            .attachment_table()
            .of_instance(ask.instance)
            .filter(|a| {
                !ask.disks
                    .iter()
                    .any(|d| d.pool == a.volume.pool && d.volume == a.volume.name)
            })
            .cloned()
            .collect();
        let wanted = ask
            .disks
            .iter()
            .map(|d| &d.pool)
            .chain(held.iter().map(|a| &a.volume.pool));
        for pool in wanted {
            if !sights.contains_key(pool) {
                sights.insert(
                    pool.clone(),
                    self.observer.validated_snapshot(pool).map_err(failed)?,
                );
            }
        }
        let mut disks = Vec::new();
        for disk in &ask.disks {
            let sight = &sights[&disk.pool];
            let info = find(sight, &disk.volume)?;
            let input = self.observer.volume_input(sight, info).map_err(failed)?;
            disks.push(RequestedDisk::new(input, options(disk)).map_err(refused)?);
        }
        let disk_facts = disks.iter().map(|disk| {
            let asked = (disk.sharing, disk.access);
            self.observer
                .disk_facts(&disk.input, disk.home.clone(), ask.instance, asked)
        });
        let disk_facts = disk_facts.collect();
        let mut held_facts = Vec::new();
        for attachment in &held {
            let sight = &sights[&attachment.volume.pool];
            // A volume that vanished under its attachment is nothing a policy can judge by.
            let Some(info) = sight.info.volume(attachment.volume.id) else {
                continue;
            };
            let home = home_of(info).map_err(refused)?;
            let seen = self.observer.volume_input(sight, info).map_err(failed)?;
            let asked = (attachment.sharing, attachment.access);
            held_facts.push(self.observer.disk_facts(&seen, home, ask.instance, asked));
        }
        let local = self.observer.local_pool().map_err(failed)?;
        let own = disks.iter().map(|disk| AttachmentKey {
            volume: disk.volume().id,
            instance: ask.instance,
        });
        let own = own.collect();
        let facts = Facts {
            request: RequestFacts {
                id: ask.request,
                origin: ask.origin.clone(),
                caller_uid: ask.caller_uid,
                purpose: ask.purpose.clone(),
                instance: ask.instance,
                instance_name: ask.instance_name.clone(),
                hints: ask.hints.clone(),
            },
            node: self.observer.node_facts(local.as_ref(), &own),
            peer: None,
            disks: disk_facts,
            held: held_facts,
            now_ms: self.ports.clock.now_ms(),
            utc_offset_minutes: self.ports.clock.utc_offset_minutes(),
        };
        let input = PlanInput {
            node: self.settings.node.clone(),
            local,
            watchdog: self.watchdog(&sights).map_err(failed)?,
            clone_unfit: self.ports.machine.dm_clone_unfit(),
            disks,
        };
        let own_host_id = sights.values().next().map_or(0, |s| s.own.host_id);
        Ok(AttachContext {
            own_host_id,
            facts,
            input,
        })
    }

    /// The same sanlock serves all pools: any sight tells, and was asked just now.
    fn watchdog(&self, sights: &BTreeMap<PoolName, PoolSnapshot>) -> Result<Watchdog, PortError> {
        let armed = match sights.values().next() {
            Some(sight) => sight.watchdog_armed,
            None => self.ports.leases.watchdog_armed()?,
        };
        Ok(match (armed, self.settings.lab_without_watchdog) {
            (true, _) => Watchdog::Armed,
            (false, true) => Watchdog::MissingInLab,
            (false, false) => Watchdog::Missing,
        })
    }
}

fn options(disk: &DiskRequest) -> DiskOptions {
    DiskOptions {
        form: disk.form,
        access: disk.access,
        sharing: disk.sharing,
        accept_narrowing: disk.accept_narrowing,
    }
}
