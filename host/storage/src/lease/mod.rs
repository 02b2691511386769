//! sanlock: who holds what.
//!
//! Members and owners come from libsanlock. What this node holds comes from sanlock's status
//! message (in `status.rs`), because libsanlock has no call for it: `sanlock_inquire` wants the
//! process that holds the leases, and an orphan has none. It is also the only place that shows a
//! shared lease's version and whether the running daemon uses the watchdog.

pub(crate) mod claims;
mod ffi;
mod status;
mod taken;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use volward_model::{HeldLease, LeaseHolder, LvUuid, Member, PoolName, VolumeRef};
use volward_ports::{Freshness, LeaseStatus, PortError, PortResult, Unmet};

use crate::worker::Worker;
use claims::Claims;
pub use claims::LeftByUs;
use taken::Takers;

/// sanlock answers from memory; a daemon that takes longer does not answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Conversation with the node's sanlock.
#[derive(Debug)]
pub struct Sanlock {
    library: Arc<ffi::Library>,
    /// A conversation per pool (I3): reading a lease area of a hanging LUN blocks, and must not
    /// block another pool's.
    workers: Mutex<HashMap<PoolName, Arc<Worker<Arc<ffi::Library>>>>>,
    takers: Takers,
}

impl Sanlock {
    /// Loads libsanlock. `host_id` says which place this node is given in lockspaces; it is asked while the node is not in
    /// one.
    ///
    /// # Errors
    /// If the library is not installed; the sentence names the package.
    pub fn new(host_id: impl Fn() -> Option<u64> + Send + Sync + 'static) -> PortResult<Self> {
        Ok(Self {
            library: Arc::new(ffi::Library::load()?),
            workers: Mutex::default(),
            takers: Takers::new(host_id),
        })
    }

    /// Has the library called in the pool's thread.
    fn call<T: Send + 'static>(
        &self,
        pool: &PoolName,
        what: &str,
        call: impl FnOnce(&ffi::Library) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let worker = self.worker(pool);
        worker.call(what, DEADLINE, move |library| call(library))
    }

    fn worker(&self, pool: &PoolName) -> Arc<Worker<Arc<ffi::Library>>> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = workers
            .entry(pool.clone())
            .or_insert_with(|| Arc::new(Worker::start(Arc::clone(&self.library))));
        Arc::clone(worker)
    }

    /// Who has this node's place is what was seen last: it is on the LUN, and whoever follows the leases does not wait
    /// for that.
    fn not_joined(&self, pool: &PoolName, our_name: &str) -> PortError {
        if let Some(look) = self.takers.look(pool, our_name) {
            let posted = self.worker(pool).post(move |_| look.take());
            self.takers.is_looked_at(pool, posted);
        }
        let taken = self.takers.taker(pool);
        PortError::from(Unmet::NotJoined {
            pool: pool.clone(),
            taken,
        })
    }
}

/// A lease of this node, with the process that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose lease it is.
    pub(crate) lv: LvUuid,
    /// Mode, version, and whether it is an orphan.
    pub(crate) lease: HeldLease,
    /// The process; of an orphan the one that died.
    pub(crate) pid: u32,
    /// The device that the lease is on.
    pub(crate) disk: String,
    /// Bytes from that device's beginning.
    pub(crate) offset: u64,
}

/// What sanlock tells of a pool's lockspace, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// One for each process that has a lease.
    pub(crate) entries: Vec<Entry>,
    /// As [`LeaseStatus::watchdog_armed`].
    pub(crate) watchdog_armed: bool,
    /// As [`LeaseStatus::freshness`].
    pub(crate) freshness: Freshness,
    /// As [`LeaseStatus::generation`].
    pub(crate) generation: Option<u64>,
}

impl Account {
    /// What it is to the use cases: the leases that are Volward's, and what somebody else has.
    pub(crate) fn as_status(&self, claims: &Claims, pid: u32) -> LeaseStatus {
        LeaseStatus {
            held: claims.leases(&self.entries, pid),
            by_hand: claims.foreign(&self.entries, pid),
            watchdog_armed: self.watchdog_armed,
            freshness: self.freshness,
            generation: self.generation,
        }
    }
}

/// lvmlockd's name of a VG's lockspace.
pub(crate) fn lockspace(pool: &PoolName) -> String {
    format!("lvm_{pool}")
}

/// The device of the LV in which lvmlockd keeps a VG's leases: dm doubles the dashes of names.
pub(crate) fn lease_device(pool: &PoolName) -> String {
    format!("/dev/mapper/{}-lvmlock", pool.as_str().replace('-', "--"))
}

/// Where in the lease LV a volume's lease is: `1.0.0:70254592`.
pub(crate) fn lease_offset(volume: &VolumeRef, args: &str) -> PortResult<u64> {
    let offset = args
        .split_once(':')
        .and_then(|(_, offset)| offset.parse().ok());
    offset.ok_or_else(|| PortError::Unreadable {
        what: format!("the lease address of {volume}"),
        reason: format!("{args:?}"),
    })
}

impl Sanlock {
    /// Leases on this node with who has each, watchdog and freshness of the pool's lockspace, in one
    /// question.
    ///
    /// # Errors
    /// If sanlock does not answer, or the lockspace is not joined.
    pub(crate) fn account(&self, pool: &PoolName) -> PortResult<Account> {
        let status = status::ask(Path::new(status::SOCKET), DEADLINE)?;
        let lockspace = lockspace(pool);
        let Some(joined) = status.lockspaces.iter().find(|l| l.name == lockspace) else {
            return Err(self.not_joined(pool, &status.our_name));
        };
        let freshness = joined.freshness(status.monotime);
        let generation = joined.generation;
        let entries = entries(status.resources, &lockspace);
        Ok(Account {
            entries,
            watchdog_armed: status.use_watchdog,
            freshness,
            generation: Some(generation),
        })
    }

    /// Leases of processes that have died, also where the lockspace is not joined.
    ///
    /// # Errors
    /// If sanlock does not answer.
    pub(crate) fn orphans(&self, pool: &PoolName) -> PortResult<Vec<Entry>> {
        let status = status::ask(Path::new(status::SOCKET), DEADLINE)?;
        let mut entries = entries(status.resources, &lockspace(pool));
        entries.retain(|entry| entry.lease.orphan);
        Ok(entries)
    }

    /// The members of the pool's lockspace; this node is marked.
    ///
    /// # Errors
    /// If sanlock does not answer, or not as is understood.
    pub fn members(&self, pool: &PoolName) -> PortResult<Vec<Member>> {
        let lockspace = lockspace(pool);
        let found = self.call(pool, "asking sanlock for its members", move |library| {
            library.members(&lockspace)
        })?;
        found.ok_or_else(|| {
            PortError::from(Unmet::NotJoined {
                pool: pool.clone(),
                taken: self.takers.taker(pool),
            })
        })
    }

    /// Who holds a volume's lease, read from the LUN; `address` is where LVM says it is.
    ///
    /// # Errors
    /// If the lease area cannot be read.
    pub fn holders(&self, volume: &VolumeRef, address: &str) -> PortResult<Vec<LeaseHolder>> {
        let pool = &volume.pool;
        let (lockspace, device) = (lockspace(pool), lease_device(pool));
        let (name, offset) = (volume.id.lv.to_string(), lease_offset(volume, address)?);
        self.call(pool, "reading a lease's owners", move |library| {
            library.owners(&lockspace, &name, &device, offset)
        })
    }

    /// Whether sanlock runs under a watchdog that resets the node when leases are lost.
    ///
    /// # Errors
    /// If sanlock does not answer.
    pub fn watchdog_armed(&self) -> PortResult<bool> {
        Ok(status::ask(Path::new(status::SOCKET), DEADLINE)?.use_watchdog)
    }
}

/// A lockspace's leases of LVs; lvmlockd's others are named VGLK and GLLK.
fn entries(resources: Vec<status::Resource>, lockspace: &str) -> Vec<Entry> {
    let of_the_pool = resources.into_iter();
    let of_the_pool = of_the_pool.filter(|resource| resource.lockspace == lockspace);
    of_the_pool
        .filter_map(|resource| {
            Some(Entry {
                lv: resource.name.parse().ok()?,
                lease: resource.lease,
                pid: resource.pid,
                disk: resource.disk,
                offset: resource.offset,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_device_is_named_as_device_mapper_does() {
        let pool = "a-b".parse().unwrap();
        assert_eq!(lease_device(&pool), "/dev/mapper/a--b-lvmlock");
    }
}
