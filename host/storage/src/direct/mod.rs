//! The direct provider: LV leases taken by this process itself, on the very leases that lvmlockd uses, and
//! LVs' devices made by ioctl of what the metadata on the disks says ([ADR 38]).
//!
//! To plain LVM on any node, this one included, a volume that is held so is held by somebody else. LVM's VG
//! and global leases stay lvmlockd's, and so does the registry's, which keeps `vgchange --lock-stop` from
//! taking the lockspace away. What no table of ours serves is taken and activated through LVM.
//!
//! | module | has |
//! |---|---|
//! | here | the ports, a pool at a time |
//! | `space` | one pool's conversation: the order of leases, metadata and devices |
//! | `adoption` | waiting for an lvmlockd that takes back its own |
//! | `world` | what it needs of a node |
//! | `device` | an LV's device, with LVM's table |
//!
//! [ADR 38]: https://github.com/volward/volward/blob/main/docs/adr/0038-leases-in-our-own-hands.md

mod adoption;
mod device;
#[cfg(test)]
mod fake;
mod space;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use volward_model::{LeaseHolder, LeaseMode, Member, PoolName, VolumeId, VolumeRef};
use volward_ports::{Activation, LeaseStatus, LeaseStyle, Leases, PortResult};

use crate::late::LateCalls;
use crate::lease::claims::Claims;
use crate::lease::{LeftByUs, Sanlock};
use crate::lvm::Lvm;
use crate::lvmlockd::Lvmlockd;
use crate::sanlock::Line;
use crate::worker::Worker;
use adoption::Adoption;
use space::Space;
use world::{Here, World};

/// For udev to make an LV's path; on a busy node it is behind by seconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);
/// For what speaks to sanlock, disks and device-mapper. A lease takes 20 ms, also a hundred of them one
/// after the other take two seconds; a LUN that hangs for longer than io_timeout (10 s) makes sanlock give
/// the attempt up. Activation through LVM has a deadline of its own, which is longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Leases and activation for all pools: directly for those that are configured so, through lvmlockd for
/// the others.
pub struct Direct {
    lvmlockd: Arc<Lvmlockd>,
    sanlock: Arc<Sanlock>,
    pools: BTreeMap<PoolName, Served>,
    /// LVs that udev is told of: it may never answer, and what is in flight may never end.
    shown: LateCalls<VolumeId>,
}

/// A pool that is served directly.
struct Served {
    world: Arc<dyn World>,
    claims: Arc<Mutex<Claims>>,
    /// Whether this daemon has spoken to sanlock about the pool.
    begun: AtomicBool,
    worker: Worker<Space>,
    line: Arc<Mutex<Option<Box<dyn Line>>>>,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pools: Vec<&PoolName> = self.pools.keys().collect();
        f.debug_struct("Direct").field("pools", &pools).finish()
    }
}

impl Direct {
    /// Serves `pools` directly. Nothing is asked or taken before the first call.
    #[must_use]
    pub fn new(
        lvm: &Arc<Lvm>,
        lvmlockd: Arc<Lvmlockd>,
        sanlock: Arc<Sanlock>,
        pools: &[PoolName],
        left: &LeftByUs,
    ) -> Self {
        let here = Here {
            lvm: Arc::clone(lvm),
            sanlock: Arc::clone(&sanlock),
            adoption: Adoption::default(),
        };
        let here: Arc<dyn World> = Arc::new(here);
        let served = pools.iter().map(|pool| {
            let served = Served::start(pool, Arc::clone(&here), left);
            (pool.clone(), served)
        });
        Self {
            lvmlockd,
            sanlock,
            pools: served.collect(),
            shown: LateCalls::new("udev", SHOWN_WITHIN),
        }
    }

    /// Whether the pool is served directly.
    #[must_use]
    pub fn serves(&self, pool: &PoolName) -> bool {
        self.pools.contains_key(pool)
    }
}

impl Served {
    fn start(pool: &PoolName, world: Arc<dyn World>, left: &LeftByUs) -> Self {
        let claims = Arc::new(Mutex::new(Claims {
            own: left.leased.iter().map(|volume| volume.lv).collect(),
            through_lvm: left.attached.iter().map(|volume| volume.lv).collect(),
        }));
        let line = Arc::default();
        let space = Space {
            pool: pool.clone(),
            world: Arc::clone(&world),
            claims: Arc::clone(&claims),
            conversation: None,
            leaving: false,
            line: Arc::clone(&line),
            reading: None,
        };
        Self {
            world,
            claims,
            begun: AtomicBool::new(false),
            worker: Worker::start(space),
            line,
        }
    }

    fn call(
        &self,
        what: &str,
        pool: &PoolName,
        call: impl FnOnce(&mut Space) -> PortResult<()> + Send + 'static,
    ) -> PortResult<()> {
        let what = format!("{what} in pool {pool}");
        self.worker.call(&what, DEADLINE, call)
    }

    fn claims(&self) -> Claims {
        let claims = self.claims.lock();
        claims.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pool's thread is asked at the first look, and where there is something to adopt: any other
    /// look must not wait for what it is doing.
    fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus> {
        let mut account = self.world.account(pool)?;
        if account.freshness.is_failing() {
            self.let_go(pool);
            return Ok(account.as_status(&self.claims(), self.world.pid()));
        }
        let orphans = !self.claims().orphans(&account.entries).is_empty();
        if orphans || !self.begun.load(Ordering::SeqCst) {
            self.call("adopting leases", pool, |space| space.join().map(drop))?;
            self.begun.store(true, Ordering::SeqCst);
            account = self.world.account(pool)?;
        }
        Ok(account.as_status(&self.claims(), self.world.pid()))
    }

    /// sanlock tells every process with leases in a lockspace that has failed to end, and this one serves other
    /// pools too. Once nobody speaks to it for the pool, its leases are orphans: other nodes stay out as before,
    /// sanlock does not give the lockspace up, and where it is renewed after all they are adopted.
    fn let_go(&self, pool: &PoolName) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = line.take() {
            tracing::warn!(%pool, "the lockspace is not renewed: letting go of sanlock for this pool");
            line.hang_up();
        }
    }
}

impl Leases for Direct {
    fn style(&self, pool: &PoolName) -> LeaseStyle {
        match self.serves(pool) {
            true => LeaseStyle::Separate,
            false => self.lvmlockd.style(pool),
        }
    }

    fn take(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        let Some(served) = self.pools.get(pool) else {
            return self.lvmlockd.take(pool, volumes, mode);
        };
        let volumes = volumes.to_vec();
        served.call("taking leases", pool, move |space| {
            space.take(&volumes, mode)
        })
    }

    fn convert(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        let Some(served) = self.pools.get(pool) else {
            return self.lvmlockd.convert(pool, volumes, mode);
        };
        let volumes = volumes.to_vec();
        served.call("converting leases", pool, move |space| {
            space.convert(&volumes, mode)
        })
    }

    fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let Some(served) = self.pools.get(pool) else {
            return self.lvmlockd.release(pool, volumes);
        };
        let volumes = volumes.to_vec();
        served.call("giving leases up", pool, move |space| {
            space.release(&volumes)
        })
    }

    fn status(&self, pool: &PoolName) -> PortResult<LeaseStatus> {
        match self.pools.get(pool) {
            Some(served) => served.status(pool),
            None => self.lvmlockd.status(pool),
        }
    }

    fn members(&self, pool: &PoolName) -> PortResult<Vec<Member>> {
        self.sanlock.members(pool)
    }

    fn holders(&self, pool: &PoolName, volume: &VolumeRef) -> PortResult<Vec<LeaseHolder>> {
        self.lvmlockd.holders(pool, volume)
    }

    fn watchdog_armed(&self) -> PortResult<bool> {
        self.sanlock.watchdog_armed()
    }
}

impl Activation for Direct {
    fn activate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let Some(served) = self.pools.get(pool) else {
            return self.lvmlockd.activate(pool, volumes);
        };
        let volumes = volumes.to_vec();
        served.call("activating", pool, move |space| space.activate(&volumes))
    }

    fn await_paths(&self, volumes: &[VolumeRef]) -> PortResult<()> {
        let mut served = volumes.iter().filter(|volume| self.serves(&volume.pool));
        served.try_for_each(|volume| {
            let (what, shown) = (format!("showing {volume} to udev"), volume.clone());
            self.shown
                .call(&volume.id, what, move || device::await_path(&shown))
        })
    }

    fn deactivate(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        let Some(served) = self.pools.get(pool) else {
            return self.lvmlockd.deactivate(pool, volumes);
        };
        let volumes = volumes.to_vec();
        served.call("deactivating", pool, move |space| {
            space.deactivate(&volumes)
        })
    }
}
