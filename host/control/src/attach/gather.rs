//! What an attach is decided on: one read of everything it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use volward_model::{
    AttachmentKey, DiskFacts, Facts, NodeFacts, PoolName, Purpose, RequestFacts, VolumeRef,
};
use volward_plan::{DiskOptions, PlanInput, RequestedDisk, Watchdog, home_of};

use super::{Attach, AttachRequest, DiskRequest, refuse, storage};
use crate::error::ControlError;
use crate::observe::PoolSnapshot;
use crate::ports::{PortResult, StoredAttachment};

/// What was being done, for errors.
const GATHERING: &str = "gathering the facts";

/// A snapshot of each pool concerned, by the pool's name.
type Snapshots = BTreeMap<PoolName, Arc<PoolSnapshot>>;

/// Everything that a request is decided on and planned from, read at one moment.
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
        let mut pools = BTreeMap::new();
        let mut volumes = Vec::new();
        for disk in &ask.disks {
            if !pools.contains_key(&disk.pool) {
                let info = self.observer.validated_pool(&disk.pool);
                let info = info.map_err(|e| storage(ask.request, "reading the pool", e))?;
                pools.insert(&disk.pool, info);
            }
            let info = self.observer.find(&pools[&disk.pool], &disk.volume)?;
            volumes.push(info.volume.clone());
        }
        Ok(volumes)
    }

    pub(super) fn attach_context(
        &self,
        ask: &AttachRequest,
    ) -> Result<AttachContext, ControlError> {
        let failed = |error| storage(ask.request, GATHERING, error);
        let mut held = self.attachments_of(ask);
        let snapshots = self.snapshots(ask, &held).map_err(failed)?;
        let disks = self.requested(ask, &snapshots)?;
        let attached = held.iter().map(|a| a.volume.clone()).collect();
        // By identity: the name asked for may be another volume's than it was (I12).
        held.retain(|a| disks.iter().all(|disk| disk.volume().id != a.volume.id));
        let disk_facts = disks.iter().map(|disk| {
            let asked = (disk.sharing, disk.access);
            self.observer
                .disk_facts(&disk.input, disk.home.clone(), ask.instance, asked)
        });
        let disk_facts = disk_facts.collect();
        let held_facts = self.held_facts(ask, &held, &snapshots)?;
        // A node without its local pool serves what does not need it.
        let unread = |why| (None, Some(format!("the local pool cannot be read: {why}")));
        // One that was silent when the disks were looked at may have what a new copy would take.
        let mut silent = disks
            .iter()
            .filter_map(|d| d.input.witnesses.copies.silent());
        let (local, unfit) = match (silent.next(), self.observer.local_pool()) {
            (Some(why), _) => unread(why.to_owned()),
            (None, Ok(local)) => (local, None),
            (None, Err(error)) => unread(error.to_string()),
        };
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
            peer: comes_from(ask, &disks),
            operation: None,
            disks: disk_facts,
            held: held_facts,
            now_ms: self.ports.clock.now_ms(),
            utc_offset_minutes: self.ports.clock.utc_offset_minutes(),
        };
        let input = PlanInput {
            node: self.settings.node.clone(),
            local,
            watchdog: self.watchdog(&snapshots).map_err(failed)?,
            clone_unfit: unfit.or_else(|| self.ports.machine.dm_clone_unfit()),
            incomplete: snapshots
                .values()
                .filter(|s| s.info.partial)
                .map(|s| s.info.name.clone())
                .collect(),
            attached,
            disks,
        };
        let own_host_id = snapshots.values().next().map_or(0, |s| s.own.host_id);
        Ok(AttachContext {
            own_host_id,
            facts,
            input,
        })
    }

    /// What the instance has on this node.
    fn attachments_of(&self, ask: &AttachRequest) -> Vec<StoredAttachment> {
        let attachment_table = self.state.attachment_table();
        attachment_table
            .of_instance(ask.instance)
            .cloned()
            .collect()
    }

    /// A validated read of each pool that has a disk asked for or held.
    fn snapshots(&self, ask: &AttachRequest, held: &[StoredAttachment]) -> PortResult<Snapshots> {
        let mut snapshots = Snapshots::new();
        let asked = ask.disks.iter().map(|d| &d.pool);
        for pool in asked.chain(held.iter().map(|a| &a.volume.pool)) {
            if !snapshots.contains_key(pool) {
                snapshots.insert(pool.clone(), self.observer.validated_snapshot(pool)?);
            }
        }
        Ok(snapshots)
    }

    fn requested(
        &self,
        ask: &AttachRequest,
        snapshots: &Snapshots,
    ) -> Result<Vec<RequestedDisk>, ControlError> {
        let mut disks = Vec::with_capacity(ask.disks.len());
        for disk in &ask.disks {
            let snapshot = &snapshots[&disk.pool];
            let info = self.observer.find(&snapshot.info, &disk.volume)?;
            let input = self.observer.volume_input(snapshot, info);
            let input = input.map_err(|e| storage(ask.request, GATHERING, e))?;
            let requested = RequestedDisk::new(input, options(disk));
            disks.push(requested.map_err(|refusal| refuse(ask.request, refusal))?);
        }
        Ok(disks)
    }

    fn held_facts(
        &self,
        ask: &AttachRequest,
        held: &[StoredAttachment],
        snapshots: &Snapshots,
    ) -> Result<Vec<DiskFacts>, ControlError> {
        let mut facts = Vec::with_capacity(held.len());
        for attachment in held {
            let snapshot = &snapshots[&attachment.volume.pool];
            // A volume that vanished under its attachment is nothing a policy can judge by.
            let Some(info) = snapshot.info.volume(attachment.volume.id) else {
                continue;
            };
            let home = home_of(info).map_err(|refusal| refuse(ask.request, refusal))?;
            let input = self.observer.volume_input(snapshot, info);
            let input = input.map_err(|e| storage(ask.request, GATHERING, e))?;
            let asked = (attachment.sharing, attachment.access);
            facts.push(self.observer.disk_facts(&input, home, ask.instance, asked));
        }
        Ok(facts)
    }

    /// The same sanlock serves all pools: any snapshot tells, and was asked just now.
    fn watchdog(&self, snapshots: &Snapshots) -> PortResult<Watchdog> {
        let armed = match snapshots.values().next() {
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

/// The node that shows the instance's volumes as its own, where it comes by a live migration: its name,
/// for a slot says no more of a node. That it is one node is the plan's to see to.
fn comes_from(ask: &AttachRequest, disks: &[RequestedDisk]) -> Option<NodeFacts> {
    if ask.purpose != Purpose::MigrationIn {
        return None;
    }
    let mut elsewhere = disks.iter().flat_map(|disk| disk.input.settled_elsewhere());
    let theirs = elsewhere.find(|theirs| theirs.attachment.instance == ask.instance)?;
    Some(NodeFacts {
        name: theirs.attachment.node.clone(),
        labels: Vec::new(),
        local: None,
        io_pressure: None,
        attachments: None,
    })
}

fn options(disk: &DiskRequest) -> DiskOptions {
    DiskOptions {
        form: disk.form,
        access: disk.access,
        sharing: disk.sharing,
        accept_narrowing: disk.accept_narrowing,
    }
}
