//! What an attach is decided on: one look at everything it needs.

use std::collections::BTreeMap;

use volward_model::{
    Access, AttachmentKey, DiskFacts, Facts, InstanceId, PoolName, RequestFacts, Sharing, VolumeRef,
};
use volward_plan::{PlanInput, Refusal, RefusalCode, VolumeInput, Watchdog, Wish};

use super::{AttachRequest, DiskRequest, storage};
use crate::error::ControlError;
use crate::node::Node;
use crate::observe::{PoolSnapshot, find};
use crate::ports::{PortError, StoredAttachment};

/// One look at everything a request needs.
pub(super) struct AttachContext {
    pub(super) volumes: Vec<VolumeInput>,
    pub(super) own_host_id: u64,
    pub(super) facts: Facts,
    pub(super) input: PlanInput,
    pub(super) wishes: Vec<Wish>,
}

impl Node {
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
        let mut sights: BTreeMap<PoolName, PoolSnapshot> = BTreeMap::new();
        let held: Vec<StoredAttachment> = self
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
                sights.insert(pool.clone(), self.validated_pool(pool).map_err(failed)?);
            }
        }
        let (mut volumes, mut disks, mut wishes) = (Vec::new(), Vec::new(), Vec::new());
        for disk in &ask.disks {
            let sight = &sights[&disk.pool];
            let info = find(sight, &disk.volume)?;
            let seen = self.volume_input(sight, info).map_err(failed)?;
            let wish = resolve_wish(disk, &seen);
            disks.push(self.facts_or_refusal(ask, &seen, &wish)?);
            volumes.push(seen);
            wishes.push(wish);
        }
        let held = self
            .held_facts(ask.instance, &held, &sights)
            .map_err(failed)?;
        let local = self.local_pool().map_err(failed)?;
        let own = wishes.iter().map(|wish| AttachmentKey {
            volume: wish.volume,
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
            node: self.node_facts(local.as_ref(), &own),
            peer: None,
            disks,
            held,
            now_ms: self.ports.clock.now_ms(),
            utc_offset_minutes: self.ports.clock.utc_offset_minutes(),
        };
        let input = PlanInput {
            node: self.settings.node.clone(),
            local,
            watchdog: self.watchdog(&sights).map_err(failed)?,
            clone_unfit: self.ports.machine.dm_clone_unfit(),
            volumes: volumes.clone(),
        };
        let own_host_id = sights.values().next().map_or(0, |s| s.own.host_id);
        Ok(AttachContext {
            volumes,
            own_host_id,
            facts,
            input,
            wishes,
        })
    }

    /// A home nobody can read has no facts: that is a refusal with a code of its own.
    fn facts_or_refusal(
        &self,
        ask: &AttachRequest,
        seen: &VolumeInput,
        wish: &Wish,
    ) -> Result<DiskFacts, ControlError> {
        let asked = (wish.sharing, wish.access);
        self.disk_facts(seen, ask.instance, asked).map_err(|error| {
            let refusal = Refusal {
                code: RefusalCode::HomeUnreadable,
                volume: Some(wish.volume),
                message: format!("{error}; nobody knows where its data is: mend the tag by hand"),
                retry_after_ms: None,
            };
            ControlError::Refused {
                request: ask.request,
                refusal,
            }
        })
    }

    fn held_facts(
        &self,
        instance: InstanceId,
        held: &[StoredAttachment],
        sights: &BTreeMap<PoolName, PoolSnapshot>,
    ) -> Result<Vec<DiskFacts>, PortError> {
        let mut facts = Vec::new();
        for attachment in held {
            let sight = &sights[&attachment.volume.pool];
            // A volume that vanished under its attachment is nothing a policy can judge by.
            let Some(info) = sight.info.volume(attachment.volume.id) else {
                continue;
            };
            let seen = self.volume_input(sight, info)?;
            let asked = (attachment.sharing, attachment.access);
            facts.push(self.disk_facts(&seen, instance, asked)?);
        }
        Ok(facts)
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

/// Read-only access to a shareable volume is shared unless somebody says otherwise; everything
/// else exclusive.
fn resolve_wish(disk: &DiskRequest, seen: &VolumeInput) -> Wish {
    let shared = disk.access == Access::ReadOnly && seen.info.shareable();
    let default = if shared {
        Sharing::Shared
    } else {
        Sharing::Exclusive
    };
    Wish {
        volume: seen.info.volume.id,
        form: disk.form,
        sharing: disk.sharing.unwrap_or(default),
        access: disk.access,
        accept_narrowing: disk.accept_narrowing,
    }
}
