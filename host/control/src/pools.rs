//! Pools: making a shared volume group one, marking volumes, and what there is to see.

use volward_model::volume::{REGISTRY_VOLUME, SHAREABLE_TAG};
use volward_model::{
    Bytes, LeaseMode, NumberedSlot, PoolInfo, PoolName, RegistryLayout, RequestId, SlotReading,
    VolumeName, VolumeRef,
};

use crate::attach::storage;
use crate::error::ControlError;
use crate::node::Node;
use crate::observe::PoolSnapshot;
use crate::ports::{Applied, NewVolume, PortError, PortResult};

/// Nodes for which a registry has places.
pub const REGISTRY_NODES: u32 = 512;

/// Places for [`REGISTRY_NODES`] nodes, of two copies of 256 KiB, and their index; also behind a
/// registry of 0.1.0's layout, 12 MiB, that is converted. As much as lvmlockd's own volume takes.
pub const REGISTRY_SIZE: Bytes = Bytes::mib(280);

/// A place of the registry with what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTrouble {
    /// Whose place.
    pub host_id: u64,
    /// A sentence.
    pub trouble: String,
}

impl Node {
    /// Makes a shared volume group a pool: its registry. Doing it twice is harmless; on a second
    /// node it only opens the registry.
    ///
    /// # Errors
    /// If the volume group is not shared, has no space, or LVM fails.
    pub fn init_pool(&self, request: RequestId, pool: &PoolName) -> Result<Applied, ControlError> {
        self.managed(pool)?;
        let failed = |error| storage(request, &format!("making {pool} a pool"), error);
        let info = self.ports.volumes.pool(pool).map_err(failed)?;
        if !info.is_shared() {
            return Err(failed(PortError::Refused(format!(
                "volume group {pool} has lock type {:?}, not sanlock; make it with `vgcreate \
                 --shared {pool} DEVICE`",
                info.lock_type
            ))));
        }
        let name: VolumeName =
            REGISTRY_VOLUME
                .parse()
                .map_err(|error: volward_model::ParseIdError| {
                    failed(PortError::Refused(error.to_string()))
                })?;
        if info.named(&name).is_some() {
            match self.open_registry(pool) {
                Ok(()) => return self.convert_registry(pool, &name).map_err(failed),
                // Made, but not formatted: an earlier `pool init` broke off in between.
                Err(PortError::Refused(reason)) => {
                    tracing::warn!(%pool, %reason, "formatting the registry once more");
                }
                Err(error) => return Err(failed(error)),
            }
        }
        self.make_registry(pool, name).map_err(failed)?;
        self.open_registry(pool).map_err(failed)?;
        Ok(Applied::Changed)
    }

    /// Formatted under the exclusive lease, so that two nodes never do it at once; one that is
    /// formatted already refuses, and stays as it is.
    fn make_registry(&self, pool: &PoolName, name: VolumeName) -> PortResult<()> {
        let new = NewVolume {
            pool: pool.clone(),
            name: name.clone(),
            size: REGISTRY_SIZE,
            tags: vec![],
        };
        let (id, _) = self.ports.volumes.create(&new)?;
        let volume = VolumeRef {
            id,
            pool: pool.clone(),
            name,
        };
        let volumes = [volume];
        let lease = |mode| self.ports.volumes.activate(pool, &volumes, mode);
        lease(LeaseMode::Exclusive)?;
        let formatted = self.ports.registry.format(pool);
        // Whatever came of it: held exclusively it would keep the other nodes out.
        lease(LeaseMode::Shared)?;
        formatted
    }

    /// Converts a registry of 0.1.0's layout. Nodes of 0.1.0 cannot read it afterwards, so none
    /// may have it active: that is what the exclusive lease proves. Their slots stay, the guests
    /// they tell of may be running.
    fn convert_registry(&self, pool: &PoolName, name: &VolumeName) -> PortResult<Applied> {
        let layout = self.ports.registry.layout(pool)?;
        if layout.format != 1 {
            return Ok(Applied::Identity);
        }
        let info = self.ports.volumes.pool(pool)?;
        let registry = info.named(name).ok_or_else(|| PortError::Missing {
            what: format!("{pool}/{name}"),
        })?;
        let volumes = [registry.volume.clone()];
        let lease = |mode| self.ports.volumes.activate(pool, &volumes, mode);
        let taken = lease(LeaseMode::Exclusive);
        // Whether it is held now is for sanlock to say (I29).
        let held = self.ports.leases.held(pool)?;
        let held = held.get(&registry.volume.id.lv);
        if held.is_none_or(|held| held.mode != LeaseMode::Exclusive) {
            let why = taken
                .err()
                .map_or_else(String::new, |error| format!(" ({error})"));
            return Err(PortError::Refused(format!(
                "pool {pool} is open on this node, but its registry still has the layout of 0.1.0 \
                 (host-ids 1 to {}), and other nodes have it active{why}. To convert it, first \
                 upgrade every node; then run `systemctl stop volwardd volward-registry` on the \
                 others, whose guests go on, `volward pool init {pool}` here, and start both units \
                 there again. Until then the pool works as before",
                layout.places
            )));
        }
        let grown = self.ports.volumes.grow(&registry.volume, REGISTRY_SIZE);
        let converted = grown.and_then(|_| self.ports.registry.convert(pool));
        // Whatever came of it: held exclusively it would keep the other nodes out.
        lease(LeaseMode::Shared)?;
        converted
    }

    /// How a pool's registry is laid out, for those who look after it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn registry_layout(&self, pool: &PoolName) -> PortResult<RegistryLayout> {
        self.ports.registry.layout(pool)
    }

    /// Marks a volume as shareable, or takes the mark away (I18).
    ///
    /// # Errors
    /// If there is no such volume, or it is in use while the mark is taken away.
    pub fn set_shareable(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        shareable: bool,
    ) -> Result<Applied, ControlError> {
        self.managed(pool)?;
        let failed = |error| storage(request, &format!("marking {pool}/{name}"), error);
        let sight = self.look(pool).map_err(failed)?;
        let volume = crate::observe::find(&sight, name)?.volume.clone();
        // An attach under way on this node has looked already, and is in no attachment table yet. Other
        // nodes' are seen by their intents, and see the mark again under their lease.
        let wait = self.settings.lock_wait;
        let turn = self.volume_locks.take(&[volume.id], wait);
        let _turn = turn.map_err(|_| ControlError::Waiting {
            volume: volume.to_string(),
            seconds: wait.as_secs(),
        })?;
        let sight = self.look(pool).map_err(failed)?;
        let info = crate::observe::find(&sight, name)?;
        if info.shareable() == shareable {
            return Ok(Applied::Identity);
        }
        let seen = self.volume_input(&sight, info).map_err(failed)?;
        if !shareable && (!seen.here.is_empty() || !seen.elsewhere.is_empty()) {
            return Err(failed(PortError::Refused(format!(
                "{pool}/{name} is attached; detach it before the mark is taken away"
            ))));
        }
        let tag = [SHAREABLE_TAG.to_owned()];
        let (add, remove): (&[String], &[String]) =
            if shareable { (&tag, &[]) } else { (&[], &tag) };
        self.ports
            .volumes
            .change_tags(&info.volume, remove, add)
            .map_err(failed)?;
        Ok(Applied::Changed)
    }

    /// A pool as LVM has it, for listing.
    ///
    /// # Errors
    /// If LVM does not answer.
    pub fn pool_info(&self, pool: &PoolName) -> PortResult<PoolInfo> {
        self.ports.volumes.pool(pool)
    }
}

impl PoolSnapshot {
    /// What is wrong with the slots: broken, torn, newer than this version, or of an earlier life
    /// of their node.
    #[must_use]
    pub fn slot_troubles(&self) -> Vec<SlotTrouble> {
        let trouble = |place: &NumberedSlot| {
            let member = self.members.iter().find(|m| m.host_id == place.host_id);
            let trouble = match &place.reading {
                SlotReading::Empty => return None,
                SlotReading::Broken { reason } => format!("cannot be read: {reason}"),
                SlotReading::Newer(newer) => format!(
                    "is a newer Volward's ({}): what it names counts as held; upgrade this node",
                    newer.reason
                ),
                SlotReading::Good { torn: true, .. } => {
                    "its newer copy is torn; the one before it is used".to_owned()
                }
                SlotReading::Good { slot, .. } => match member {
                    Some(m) if m.state.may_be_alive() && m.generation != slot.generation => {
                        format!(
                            "stale: written in lockspace generation {}, the node is in {}",
                            slot.generation, m.generation
                        )
                    }
                    _ if slot.unknown > 0 => format!(
                        "tells of {} attachment(s) in words of a newer Volward: they count as \
                         attached, exclusive and read-write; upgrade this node",
                        slot.unknown
                    ),
                    _ => return None,
                },
            };
            Some(SlotTrouble {
                host_id: place.host_id,
                trouble,
            })
        };
        self.slots.iter().filter_map(trouble).collect()
    }

    /// The name a member gives itself.
    #[must_use]
    pub fn name_of(&self, host_id: u64) -> Option<&volward_model::NodeName> {
        self.slots.iter().find_map(|place| match &place.reading {
            SlotReading::Good { slot, .. } if place.host_id == host_id => Some(&slot.node),
            SlotReading::Newer(newer) if place.host_id == host_id => newer.node.as_ref(),
            _ => None,
        })
    }
}
