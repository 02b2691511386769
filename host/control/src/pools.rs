//! Pools: making a shared volume group one, marking volumes, and what there is to see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volward_model::volume::{REGISTRY_VOLUME, SHAREABLE_TAG};
use volward_model::{
    LeaseMode, PoolInfo, PoolName, RegistryLayout, RequestId, VolumeName, VolumeRef,
};
use volward_plan::{Refusal, Unmet};

use crate::engine::Engine;
use crate::error::{ControlError, refuse, storage};
use crate::last_use::LastUseBook;
use crate::observe::Observer;
use crate::ports::{
    Applied, Clock, Event, Events, Leases, NewVolume, PortError, PortResult, REGISTRY_SIZE,
    Registry, Volumes,
};
use crate::settings::{Settings, needs};
use crate::state::State;

mod home;
mod silent;
mod troubles;

pub use home::SaidBy;
pub use troubles::SlotTrouble;

needs!(PoolsPorts {
    clock: Clock,
    events: Events,
    volumes: Volumes,
    leases: Leases,
    registry: Registry,
});

/// Pools: their registries and marks.
pub(crate) struct Pools {
    pub(crate) ports: PoolsPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) last_use: Arc<LastUseBook>,
    /// One change of a pool's registry at a time, by pool: what opens a registry in the
    /// background would give up the exclusive lease under which another thread formats it.
    pub(crate) registries: BTreeMap<PoolName, Mutex<()>>,
}

impl Pools {
    fn alone(&self, pool: &PoolName) -> Option<MutexGuard<'_, ()>> {
        let registry = self.registries.get(pool)?;
        Some(registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a configured volume group a pool: its devices are made known to this node's LVM, and a
    /// shared one gets its registry. Doing it twice is harmless; on a second node it only opens the
    /// registry.
    ///
    /// # Errors
    /// If it is not configured, a shared one is not shared or has no space, or LVM fails.
    pub(crate) fn init_pool(
        &self,
        request: RequestId,
        pool: &PoolName,
    ) -> Result<Applied, ControlError> {
        let shared = self.settings.pools.contains(pool);
        if !shared && self.settings.local.as_ref() != Some(pool) {
            return Err(ControlError::NotFound(format!(
                "pool {pool} is not in /etc/volward/volward.toml; add a [[pool]] section for it and \
                 restart volwardd"
            )));
        }
        let _alone = self.alone(pool);
        let failed = |error| storage(request, &format!("making {pool} a pool"), error);
        let adopted = self.ports.volumes.adopt(pool).map_err(failed)?;
        // A local pool has no registry: its volumes are this node's alone.
        let made = match shared {
            true => self.init_registry(request, pool)?,
            false => Applied::Identity,
        };
        let calmed = match shared {
            true => self.disable_autoactivation(pool).map_err(failed)?,
            false => Applied::Identity,
        };
        let all = [adopted, made, calmed];
        Ok(
            match all.iter().all(|applied| *applied == Applied::Identity) {
                true => Applied::Identity,
                false => Applied::Changed,
            },
        )
    }

    /// Somebody says that a pool whose disks are older than this node left them is to be used so. Of one that is not older
    /// nothing is changed.
    ///
    /// # Errors
    /// If its registry cannot be read here, or that cannot be put on record.
    pub(crate) fn accept_older(
        &self,
        request: RequestId,
        pool: &PoolName,
        uid: u32,
    ) -> Result<Applied, ControlError> {
        let failed = |error| storage(request, &format!("using {pool} as it is"), error);
        let _alone = self.alone(pool);
        self.make_active(pool).map_err(failed)?;
        let first = || self.last_use.data_is_chosen(|one| one.pool == *pool);
        match self.state.accept_older(pool, first).map_err(failed)? {
            None => Ok(Applied::Identity),
            Some(why) => {
                let pool = pool.clone();
                let accepted = Event::OlderAccepted { pool, uid, why };
                self.ports.events.tell(&accepted);
                Ok(Applied::Changed)
            }
        }
    }

    /// Once for the pool: an attach would have to for each of its volumes (I4), by a command of LVM's
    /// after which everything has to be read again.
    fn disable_autoactivation(&self, pool: &PoolName) -> PortResult<Applied> {
        if !self.ports.volumes.pool(pool)?.autoactivation {
            return Ok(Applied::Identity);
        }
        self.ports.volumes.disable_pool_autoactivation(pool)?;
        match self.ports.volumes.pool(pool)?.autoactivation {
            false => Ok(Applied::Changed),
            true => Err(PortError::NotInEffect {
                what: format!("switching autoactivation off in {pool}"),
                expected: "off".to_owned(),
                found: "on".to_owned(),
            }),
        }
    }

    /// The registry of a shared pool: made, converted or opened.
    fn init_registry(&self, request: RequestId, pool: &PoolName) -> Result<Applied, ControlError> {
        let failed = |error| storage(request, &format!("making {pool} a pool"), error);
        let info = self.ports.volumes.pool(pool).map_err(failed)?;
        if !info.is_shared() {
            return Err(refuse(
                request,
                Refusal::not_shared(pool, &info.kind.to_string()),
            ));
        }
        let name = registry_name().map_err(failed)?;
        if info.named(&name).is_some() {
            match self.open(pool) {
                // It is written where something is attached here, and is older all the same.
                Ok(()) => match self.state.older_refusal(pool) {
                    Some(refusal) => return Err(refuse(request, refusal)),
                    None => return self.convert_registry(pool, &name).map_err(failed),
                },
                // Made, but not formatted: an earlier `pool init` broke off in between.
                Err(PortError::Unmet(reason @ Unmet::NoRegistry { .. })) => {
                    tracing::warn!(%pool, %reason, "formatting the registry once more");
                }
                Err(error) => return Err(failed(error)),
            }
        }
        self.make_registry(pool, name).map_err(failed)?;
        self.open(pool).map_err(failed)?;
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
        self.activate_registry(pool, &volumes, LeaseMode::Exclusive)?;
        let formatted = self.ports.registry.format(pool);
        // Whatever came of it: held exclusively it would keep the other nodes out.
        self.activate_registry(pool, &volumes, LeaseMode::Shared)?;
        formatted
    }

    /// The registry is active shared on every node; then our slot says what we have now.
    pub(crate) fn open_registry(&self, pool: &PoolName) -> PortResult<()> {
        let _alone = self.alone(pool);
        self.open(pool)
    }

    /// The same without our slot: what it says is to be known first.
    pub(crate) fn make_registry_active(&self, pool: &PoolName) -> PortResult<()> {
        let _alone = self.alone(pool);
        self.make_active(pool)
    }

    /// Opens a registry that was open, and that somebody has deactivated: `vgchange -an` and
    /// `blkdeactivate` take down whatever is not in use. What cannot be seen at once is left to whoever
    /// needs the registry: he fails, and says how.
    pub(crate) fn keep_open<'a>(&self, pools: impl IntoIterator<Item = &'a PoolName>) {
        let pools: BTreeSet<&PoolName> = pools.into_iter().collect();
        for pool in pools {
            if !self.settings.pools.contains(pool) || !self.is_asleep(pool) {
                continue;
            }
            match self.open_registry(pool) {
                Ok(()) => {
                    let reason = "somebody had deactivated it".to_owned();
                    let what = format!("the registry of {pool} was activated again");
                    self.ports.events.tell(&Event::Trouble { what, reason });
                }
                Err(error) => {
                    tracing::warn!(%pool, %error, "the registry cannot be activated again")
                }
            }
        }
    }

    fn is_asleep(&self, pool: &PoolName) -> bool {
        let Ok(Some(info)) = self.ports.volumes.glance(pool) else {
            return false;
        };
        let registry = registry_name().ok().and_then(|name| {
            let registry = info.named(&name)?;
            Some(registry.active)
        });
        registry == Some(false)
    }

    fn open(&self, pool: &PoolName) -> PortResult<()> {
        self.make_active(pool)?;
        self.state.write_slot(pool)
    }

    fn make_active(&self, pool: &PoolName) -> PortResult<()> {
        let info = self.ports.volumes.validated_pool(pool)?;
        let name = registry_name()?;
        let registry = info.named(&name).ok_or_else(|| PortError::Missing {
            what: format!("{pool}/{name} (`volward pool init {pool}` makes it)"),
        })?;
        let lease = self
            .ports
            .leases
            .held(pool)?
            .get(&registry.volume.id.lv)
            .copied();
        // Exclusive is what a `pool init` that broke off leaves: it keeps the other nodes out.
        if !registry.active || lease.is_some_and(|l| l.mode == LeaseMode::Exclusive) {
            let volumes = [registry.volume.clone()];
            self.activate_registry(pool, &volumes, LeaseMode::Shared)?;
        }
        Ok(())
    }

    /// Leased in that mode and active, read back: a registry left exclusive keeps every other
    /// node out, and one that is not active cannot be written.
    pub(crate) fn activate_registry(
        &self,
        pool: &PoolName,
        registry: &[VolumeRef],
        mode: LeaseMode,
    ) -> PortResult<()> {
        self.engine.take_leases(pool, registry, mode)?;
        self.engine.leases_must_be(pool, registry, mode)?;
        self.engine.must_be_active(pool, registry)
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
        let taken = self
            .engine
            .take_leases(pool, &volumes, LeaseMode::Exclusive);
        // Whether it is held now is for sanlock to say (I29).
        let exclusive = self
            .engine
            .leases_must_be(pool, &volumes, LeaseMode::Exclusive);
        if exclusive.is_err() {
            // Taken after all, and only not seen to be: exclusive it would keep the others out.
            if taken.is_ok() {
                self.activate_registry(pool, &volumes, LeaseMode::Shared)?;
            }
            let why = taken
                .err()
                .map_or_else(String::new, |error| format!(" ({error})"));
            return Err(PortError::from(Unmet::RegistryInUse {
                pool: pool.clone(),
                places: layout.places,
                why,
            }));
        }
        let grown = self.ports.volumes.grow(&registry.volume, REGISTRY_SIZE);
        let converted = grown.and_then(|_| self.ports.registry.convert(pool));
        // Whatever came of it: held exclusively it would keep the other nodes out.
        self.activate_registry(pool, &volumes, LeaseMode::Shared)?;
        converted
    }

    /// How a pool's registry is laid out, for those who look after it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn registry_layout(&self, pool: &PoolName) -> PortResult<RegistryLayout> {
        self.ports.registry.layout(pool)
    }

    /// Marks a volume as shareable, or takes the mark away (I18).
    ///
    /// # Errors
    /// If there is no such volume, or it is in use while the mark is taken away.
    pub(crate) fn set_shareable(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        shareable: bool,
    ) -> Result<Applied, ControlError> {
        let doing = format!("marking {pool}/{name}");
        // Attaches of other nodes are seen by their intents, and see the mark again under their lease.
        let alone = self.observer.alone(request, pool, name, &doing)?;
        let (info, seen) = (&alone.info, &alone.seen);
        if let Some(mark) = info.mark() {
            return Err(refuse(
                request,
                Refusal::under_operation(&info.volume, &mark),
            ));
        }
        if info.shareable() == shareable {
            return Ok(Applied::Identity);
        }
        if !shareable && (!seen.here.is_empty() || !seen.elsewhere.is_empty()) {
            return Err(refuse(request, Refusal::mark_in_use(&info.volume)));
        }
        if let Some(refusal) = Refusal::not_to_be_shared(info).filter(|_| shareable) {
            return Err(refuse(request, refusal));
        }
        let tag = [SHAREABLE_TAG.to_owned()];
        let (add, remove): (&[String], &[String]) =
            if shareable { (&tag, &[]) } else { (&[], &tag) };
        self.ports
            .volumes
            .change_tags(&info.volume, remove, add)
            .map_err(|error| storage(request, &doing, error))?;
        Ok(Applied::Changed)
    }

    /// A pool as LVM has it, for listing.
    ///
    /// # Errors
    /// If LVM does not answer.
    pub(crate) fn pool_info(&self, pool: &PoolName) -> PortResult<PoolInfo> {
        self.ports.volumes.pool(pool)
    }
}

fn registry_name() -> PortResult<VolumeName> {
    REGISTRY_VOLUME
        .parse()
        .map_err(|error: volward_model::ParseIdError| PortError::Invalid {
            what: format!("the registry volume {REGISTRY_VOLUME}"),
            reason: error.to_string(),
        })
}
