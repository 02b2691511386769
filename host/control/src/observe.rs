//! Reading pools, leases and slots; making a plan input (for the plan) and facts (for policies)
//! of one and the same snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use volward_model::volume::OWN_TAG_PREFIX;
use volward_model::{
    Access, Attachment, AttachmentKey, CloneStatus, DiskFacts, Home, HydrationFacts, InstanceId,
    LeaseHolder, LeaseMode, Member, NodeFacts, PoolInfo, PoolName, Sharing, Space, VolumeId,
    VolumeInfo, VolumeName, VolumeRef,
};
use volward_plan::fence::{Silence, Standing};
use volward_plan::input::ForeignAttachment;
use volward_plan::{LocalPool, Refusal, VolumeInput};

use crate::error::ControlError;
use crate::ports::{
    Clock, Devices, Journal, Leases, Machine, PortError, PortResult, Registry, Tasks, Volumes,
};
use crate::rounds::Rounds;
use crate::settings::{Ports, Settings, needs};
use crate::state::{State, own_of};

mod alone;
mod correspondence;
mod names;
mod owner;
mod snapshot;
mod traces;

pub(crate) use correspondence::Correspondence;
pub(crate) use names::unexplained;
pub use snapshot::PoolSnapshot;
pub(crate) use traces::Traces;

needs!(ObserverPorts {
    volumes: Volumes,
    leases: Leases,
    devices: Devices,
    registry: Registry,
    journal: Journal,
    machine: Machine,
    clock: Clock,
    tasks: Tasks,
});

/// Looks at one shared pool.
#[derive(Default)]
struct Looks {
    volumes: Rounds<PortResult<Arc<PoolInfo>>>,
    validated: Rounds<PortResult<Arc<PoolSnapshot>>>,
    reported: Rounds<PortResult<Arc<PoolSnapshot>>>,
}

/// Reads the world for use cases; changes nothing.
pub(crate) struct Observer {
    ports: ObserverPorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    /// Looks at each shared pool, each for all who asked before it began.
    looks: BTreeMap<PoolName, Looks>,
    /// When the local pool did not answer in time, and how it failed.
    local_hung: Mutex<Option<(Duration, PortError)>>,
}

impl Observer {
    pub(crate) fn new(settings: &Arc<Settings>, state: &Arc<State>, ports: &Ports) -> Self {
        Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            state: Arc::clone(state),
            looks: settings
                .pools
                .iter()
                .map(|pool| (pool.clone(), Looks::default()))
                .collect(),
            local_hung: Mutex::default(),
        }
    }

    /// A snapshot of a shared pool, with every report made anew.
    ///
    /// # Errors
    /// If LVM, sanlock or the registry do not answer.
    pub(crate) fn snapshot(&self, pool: &PoolName) -> PortResult<Arc<PoolSnapshot>> {
        let look = || {
            let info = Arc::new(self.ports.volumes.pool(pool)?);
            self.complete(pool, info, Self::traces)
        };
        match self.looks.get(pool) {
            Some(looks) => looks.reported.join(self.ports.tasks.as_ref(), look),
            None => look(),
        }
    }

    /// The same for what is only shown: a local pool that does not answer at once is taken for silent.
    /// It must not hold up what is known of this pool.
    pub(crate) fn shown(&self, pool: &PoolName) -> PortResult<Arc<PoolSnapshot>> {
        let info = Arc::new(self.ports.volumes.pool(pool)?);
        self.complete(pool, info, Self::traces_at_once)
    }

    /// The same for an attach, before and under its lease: see
    /// [`validated_pool`](crate::ports::Volumes::validated_pool).
    pub(crate) fn validated_snapshot(&self, pool: &PoolName) -> PortResult<Arc<PoolSnapshot>> {
        let look = || self.complete(pool, self.validated_pool(pool)?, Self::traces);
        match self.looks.get(pool) {
            Some(looks) => looks.validated.join(self.ports.tasks.as_ref(), look),
            None => look(),
        }
    }

    /// A shared pool as LVM has it, its last report where that still holds.
    pub(crate) fn validated_pool(&self, pool: &PoolName) -> PortResult<Arc<PoolInfo>> {
        let look = || self.ports.volumes.validated_pool(pool);
        match self.looks.get(pool) {
            Some(looks) => looks.volumes.join(self.ports.tasks.as_ref(), look),
            None => look(),
        }
    }

    fn complete(
        &self,
        pool: &PoolName,
        info: Arc<PoolInfo>,
        traces: fn(&Self) -> PortResult<Traces>,
    ) -> PortResult<Arc<PoolSnapshot>> {
        let leases = self.ports.leases.status(pool)?;
        let members = self.ports.leases.members(pool)?;
        let own = own_of(pool, &members)?;
        let silences = self.silences(pool, &members);
        let slots = self.ports.registry.read(pool)?;
        Ok(Arc::new(PoolSnapshot {
            info,
            held: leases.held,
            by_hand: leases.by_hand,
            watchdog_armed: leases.watchdog_armed,
            members,
            own,
            silences,
            slots,
            traces: traces(self)?,
        }))
    }

    /// Which members do not renew their leases. Of a node that cannot read the LUN itself all others seem silent:
    /// then nothing is said.
    fn silences(&self, pool: &PoolName, members: &[Member]) -> BTreeMap<u64, Silence> {
        let now = self.ports.clock.monotonic();
        let mut pools = self.state.followed();
        let followed = pools.entry(pool.clone()).or_default();
        followed.renewals.hear(now, members);
        if !matches!(
            followed.watch.standing(now),
            Standing::Sound | Standing::Leaving | Standing::Unknown
        ) {
            return BTreeMap::new();
        }
        let silent = members.iter().filter_map(|member| {
            let silence = followed.renewals.silence(now, member)?;
            Some((member.host_id, silence))
        });
        silent.collect()
    }

    /// The pool, if it is one of this node's shared ones.
    pub(crate) fn managed(&self, pool: &PoolName) -> Result<(), ControlError> {
        if self.settings.pools.contains(pool) {
            return Ok(());
        }
        if self.settings.local.as_ref() == Some(pool) {
            return Err(ControlError::NotFound(format!(
                "pool {pool} is node {}'s local pool: Volward makes copies in it; name a volume of a \
                 shared pool",
                self.settings.node
            )));
        }
        let known: Vec<_> = self
            .settings
            .pools
            .iter()
            .map(ToString::to_string)
            .collect();
        Err(ControlError::NotFound(format!(
            "pool {pool} is not managed on node {} (managed: {}); add a [[pool]] section to \
             /etc/volward/volward.toml",
            self.settings.node,
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )))
    }

    /// Another node's lease that stands in the way, as a refusal that names node and instance as
    /// far as they are known. `None` if there is none, or nobody can tell.
    pub(crate) fn holder_elsewhere(
        &self,
        pool: &PoolName,
        volumes: &[VolumeRef],
        mode: LeaseMode,
    ) -> Option<Refusal> {
        let snapshot = self.snapshot(pool).ok()?;
        let excludes =
            |theirs: LeaseMode| theirs == LeaseMode::Exclusive || mode == LeaseMode::Exclusive;
        for volume in volumes {
            let info = snapshot.info.volume(volume.id)?;
            let holders = self.ports.leases.holders(pool, &info.volume).ok()?;
            let holder = holders
                .iter()
                .find(|h| h.host_id != snapshot.own.host_id && excludes(h.mode));
            let Some(holder) = holder else { continue };
            let slot = snapshot.live_slots().find(|s| s.host_id == holder.host_id);
            let holder = LeaseHolder {
                node: slot.map(|slot| slot.node.clone()),
                ..holder.clone()
            };
            let attachment =
                slot.and_then(|s| s.attachments.iter().find(|a| a.volume == volume.id));
            let instance = attachment.map(|a| a.instance);
            let refusal = Refusal::leased_elsewhere(volume, &holder, instance);
            let silence = snapshot.silences.get(&holder.host_id);
            return Some(match (silence, &holder.node) {
                (Some(silence), Some(node)) => refusal.of_silent(node, *silence),
                _ => refusal,
            });
        }
        None
    }

    /// One volume for the plan.
    pub(crate) fn volume_input(
        &self,
        snapshot: &PoolSnapshot,
        info: &VolumeInfo,
    ) -> PortResult<VolumeInput> {
        let id = info.volume.id;
        let of_volume = snapshot
            .attachments_of_others()
            .filter(|(slot, a)| a.volume == id && !self.state.is_passed_by(slot.host_id, a));
        let elsewhere = of_volume.map(|(slot, a)| ForeignAttachment {
            host_id: slot.host_id,
            attachment: a.clone(),
            silence: snapshot.silences.get(&slot.host_id).copied(),
        });
        let local = self.local_input(&snapshot.traces, info)?;
        Ok(VolumeInput {
            lease: snapshot.held.get(&id.lv).copied(),
            elsewhere: elsewhere.collect(),
            unreadable: [
                snapshot.unreadable(),
                snapshot.impostors(&self.settings.node),
            ]
            .concat(),
            newer: snapshot.newer(Some(id)),
            answers: snapshot.answers(id).collect(),
            progress: local.progress.or_else(|| snapshot.progress(id)),
            ..local
        })
    }

    /// One volume for the policies, with the home that its tag says.
    pub(crate) fn disk_facts(
        &self,
        seen: &VolumeInput,
        home: Home,
        instance: InstanceId,
        asked: (Sharing, Access),
    ) -> DiskFacts {
        let volume = &seen.info.volume;
        let mut attachments: Vec<Attachment> = self
            .state
            .attachment_table()
            .of_volume(volume.id)
            .filter(|a| a.instance != instance)
            .map(|a| a.published(&self.settings.node))
            .collect();
        // Intents are settled among the nodes, not by policies: nothing is granted yet.
        attachments.extend(seen.settled_elsewhere().map(|f| f.attachment.clone()));
        let tags = seen
            .info
            .tags
            .iter()
            .filter(|t| !t.starts_with(OWN_TAG_PREFIX));
        DiskFacts {
            id: volume.id,
            pool: volume.pool.clone(),
            name: volume.name.clone(),
            size: seen.info.size,
            shareable: seen.info.shareable(),
            tags: tags.cloned().collect(),
            home,
            attachments,
            hydration: seen
                .clone
                .as_ref()
                .map(|status| self.hydration_facts(volume.id, status)),
            asked_sharing: asked.0,
            asked_access: asked.1,
        }
    }

    fn hydration_facts(&self, volume: VolumeId, status: &CloneStatus) -> HydrationFacts {
        let stalled = self
            .state
            .monitors()
            .get(&volume)
            .map_or(0, |w| w.stalled_ms);
        HydrationFacts {
            regions_total: status.total,
            regions_hydrated: status.hydrated,
            region_bytes: u32::try_from(status.region.bytes().0).unwrap_or(u32::MAX),
            running: status.hydrating,
            stalled_ms: stalled,
        }
    }

    /// The local pool, if one is configured.
    pub(crate) fn local_pool(&self) -> PortResult<Option<LocalPool>> {
        let Some(name) = &self.settings.local else {
            return Ok(None);
        };
        let info = self.look_at_local(name)?;
        let promised = self.state.promised();
        let space = Space {
            total: info.size,
            free: info.free,
            promised,
        };
        Ok(Some(LocalPool {
            name: name.clone(),
            space,
            extent: info.extent,
            partial: info.partial,
        }))
    }

    /// This node for the policies, asked about `own` attachments.
    pub(crate) fn node_facts(
        &self,
        local: Option<&LocalPool>,
        own: &BTreeSet<AttachmentKey>,
    ) -> NodeFacts {
        let others = self.state.attachment_table().count_without(own);
        NodeFacts {
            name: self.settings.node.clone(),
            labels: self.settings.labels.clone(),
            local: local.map(|l| l.space),
            io_pressure: self.ports.machine.io_pressure(),
            attachments: Some(u32::try_from(others).unwrap_or(u32::MAX)),
        }
    }

    /// The volume of that name, or a sentence; of one that this node attached under that name, how it
    /// is called now.
    pub(crate) fn find<'a>(
        &self,
        info: &'a PoolInfo,
        name: &VolumeName,
    ) -> Result<&'a VolumeInfo, ControlError> {
        if let Some(found) = info.named(name) {
            return Ok(found);
        }
        let table = self.state.attachment_table();
        let had = table
            .attachments()
            .find(|a| a.volume.pool == info.name && a.volume.name == *name);
        let now = had.and_then(|a| info.volume(a.volume.id));
        let instead = match now {
            Some(now) => format!(
                "the volume that this node attached under this name is called {} now",
                now.volume
            ),
            None => "`volward pool ls` shows what there is".to_owned(),
        };
        let message = format!("there is no volume {}/{name}; {instead}", info.name);
        Err(ControlError::NotFound(message))
    }
}
