//! Reading pools, leases and slots; making a plan input (for the plan) and facts (for policies)
//! of one and the same snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use volward_model::volume::OWN_TAG_PREFIX;
use volward_model::{
    Access, Attachment, AttachmentKey, AttachmentState, Bytes, CloneStatus, CopyProgress,
    DiskFacts, HeldLease, Home, HydrationFacts, InstanceId, LeaseHolder, LeaseMode, LvUuid, Member,
    NodeFacts, NumberedSlot, PoolInfo, PoolName, Sharing, Slot, SlotReading, Space, VolumeId,
    VolumeInfo, VolumeRef,
};
use volward_plan::input::ForeignAttachment;
use volward_plan::{LocalPool, Refusal, VolumeInput};

use crate::error::ControlError;
use crate::ports::{Clock, Devices, Leases, Machine, PortError, PortResult, Registry, Volumes};
use crate::settings::{Ports, Settings, needs};
use crate::state::{State, own_of};

mod names;
mod traces;

pub(crate) use names::unexplained;
pub(crate) use traces::Traces;

/// A shared pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    /// As LVM has it.
    pub info: PoolInfo,
    /// Leases this node holds.
    pub held: BTreeMap<LvUuid, HeldLease>,
    /// Whether sanlock runs under a watchdog.
    pub watchdog_armed: bool,
    /// Members of its lockspace.
    pub members: Vec<Member>,
    /// This node among them.
    pub own: Member,
    /// The registry.
    pub slots: Vec<NumberedSlot>,
    /// What this node itself has of the pool's volumes.
    pub(crate) traces: Traces,
}

impl PoolSnapshot {
    /// Good slots of other nodes that may be alive. One written under another lockspace generation
    /// counts too, until its node has written it anew: a node whose sanlock was restarted may have
    /// guests that still write. One of a later generation than sanlock has seen is of a node that has
    /// just joined again: it is alive. A slot of a dead node holds nothing.
    pub fn live_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter_map(|place| {
            let SlotReading::Good { slot, .. } = &place.reading else {
                return None;
            };
            let members = &mut self.members.iter();
            let member = members.find(|m| m.host_id == place.host_id && !m.own)?;
            let alive = member.state.may_be_alive() || slot.generation > member.generation;
            alive.then_some(slot.as_ref())
        })
    }

    /// What the live slots say is attached or asked for. An intent of another lockspace generation is
    /// nobody's any more: who announced it lost what it was about to take.
    pub fn attachments_of_others(&self) -> impl Iterator<Item = (&Slot, &Attachment)> {
        let of_slot = |slot| {
            let present = self.is_present(slot);
            let counts = move |a: &&Attachment| present || a.state != AttachmentState::Intent;
            let attachments = slot.attachments.iter().filter(counts);
            attachments.map(move |attachment| (slot, attachment))
        };
        self.live_slots().flat_map(of_slot)
    }

    /// Whether the slot was written under the generation that sanlock sees.
    fn is_present(&self, slot: &Slot) -> bool {
        let member = self.members.iter().find(|m| m.host_id == slot.host_id);
        member.is_some_and(|member| slot.generation >= member.generation)
    }

    /// Sentences: whose slot cannot be read although the node may be alive.
    #[must_use]
    pub fn unreadable(&self) -> Vec<String> {
        let broken = self.slots.iter().filter_map(|place| {
            let SlotReading::Broken { reason } = &place.reading else { return None };
            self.live_member(place.host_id)?;
            Some(format!(
                "the registry slot of host-id {} in pool {} cannot be read ({reason}), and that node \
                 may be alive; restart volwardd there",
                place.host_id, self.info.name
            ))
        });
        broken.collect()
    }

    /// Sentences: which nodes that may be alive may hold the volume, by slots that only a newer
    /// version understands; of `None`, which such nodes there are. The
    /// generation does not matter, as in [`PoolSnapshot::live_slots`].
    #[must_use]
    pub fn newer(&self, volume: Option<VolumeId>) -> Vec<String> {
        let newer = self.slots.iter().filter_map(|place| {
            let SlotReading::Newer(slot) = &place.reading else { return None };
            self.live_member(place.host_id)?;
            if volume.is_some_and(|volume| !slot.may_hold(volume)) {
                return None;
            }
            let node = slot.node.as_ref().map_or_else(
                || format!("the node with host-id {}", place.host_id),
                |node| format!("node {node}"),
            );
            let names = match &slot.held {
                Some(held) if volume.is_none() => format!("names {} volume(s)", held.len()),
                Some(_) => "names this volume".to_owned(),
                None => "does not tell this version which volumes it has".to_owned(),
            };
            Some(format!(
                "{node} runs a newer Volward, whose slot in pool {} {names} ({}); upgrade this node",
                self.info.name, slot.reason
            ))
        });
        newer.collect()
    }

    fn live_member(&self, host_id: u64) -> Option<&Member> {
        self.members
            .iter()
            .find(|m| m.host_id == host_id && !m.own && m.state.may_be_alive())
    }

    /// How far the copy of a volume is, by the node that has it.
    fn progress(&self, volume: VolumeId) -> Option<CopyProgress> {
        self.live_slots()
            .flat_map(|s| &s.copies)
            .find(|c| c.volume == volume)
            .copied()
    }
}

needs!(ObserverPorts {
    volumes: Volumes,
    leases: Leases,
    devices: Devices,
    registry: Registry,
    machine: Machine,
    clock: Clock,
});

/// Reads the world for use cases; changes nothing.
pub(crate) struct Observer {
    ports: ObserverPorts,
    settings: Arc<Settings>,
    state: Arc<State>,
    /// When the local pool did not answer in time, and how it failed.
    local_hung: Mutex<Option<(Duration, PortError)>>,
}

impl Observer {
    pub(crate) fn new(settings: &Arc<Settings>, state: &Arc<State>, ports: &Ports) -> Self {
        Self {
            ports: ports.into(),
            settings: Arc::clone(settings),
            state: Arc::clone(state),
            local_hung: Mutex::default(),
        }
    }

    /// A snapshot of a shared pool, with every report made anew.
    ///
    /// # Errors
    /// If LVM, sanlock or the registry do not answer.
    pub(crate) fn snapshot(&self, pool: &PoolName) -> PortResult<PoolSnapshot> {
        self.complete(pool, self.ports.volumes.pool(pool)?)
    }

    /// The same for an attach, before and under its lease: see
    /// [`validated_pool`](crate::ports::Volumes::validated_pool).
    pub(crate) fn validated_snapshot(&self, pool: &PoolName) -> PortResult<PoolSnapshot> {
        self.complete(pool, self.ports.volumes.validated_pool(pool)?)
    }

    fn complete(&self, pool: &PoolName, info: PoolInfo) -> PortResult<PoolSnapshot> {
        let leases = self.ports.leases.status(pool)?;
        let members = self.ports.leases.members(pool)?;
        let own = own_of(pool, &members)?;
        let slots = self.ports.registry.read(pool)?;
        Ok(PoolSnapshot {
            info,
            held: leases.held,
            watchdog_armed: leases.watchdog_armed,
            members,
            own,
            slots,
            traces: self.traces()?,
        })
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
            return Some(Refusal::leased_elsewhere(volume, &holder, instance));
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
        let promised = Bytes(
            self.state
                .promised
                .load(std::sync::atomic::Ordering::SeqCst),
        );
        let space = Space {
            total: info.size,
            free: info.free,
            promised,
        };
        Ok(Some(LocalPool {
            name: name.clone(),
            space,
            extent: info.extent,
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
}

impl Observer {
    /// The volume of that name, or a sentence; of one that this node attached under that name, how it
    /// is called now.
    pub(crate) fn find<'a>(
        &self,
        info: &'a PoolInfo,
        name: &volward_model::VolumeName,
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
