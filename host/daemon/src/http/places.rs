//! How many requests run at once: so many of each pool, and so many that only look for each role.
//! A pool that hangs has its own places full, and nobody else's. What needs only memory takes no
//! place and no thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use volward_api::ProblemCode;
use volward_model::PoolName;

use super::problem::{Failure, plain};
use super::rights::Role;

/// Attaches, detaches and changes of one pool at once. Each may wait for LVM, whose lane takes 64.
const EACH_POOL: usize = 16;
/// Requests of one role at once that look at pools, files or the logs.
const EACH_ROLE: usize = 8;
/// For a place; less than libvirt's hook waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Threads that are made when all places are taken, and for background work. A node with more than
/// some 28 pools has fewer for each.
pub(crate) const MOST_THREADS: usize = 512;

/// A place, until it is dropped. It goes with the work: a caller that has gone does not free it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    _taken: Arc<Vec<OwnedSemaphorePermit>>,
}

/// The places of this node.
#[derive(Debug)]
pub(crate) struct Places {
    pools: BTreeMap<PoolName, Arc<Semaphore>>,
    roles: BTreeMap<Role, Arc<Semaphore>>,
    seeing: Arc<Semaphore>,
    patience: Duration,
}

tokio::task_local! {
    /// The place of the request that runs here, taken before its handler.
    static TAKEN: Place;
}

impl Places {
    /// For these pools.
    pub(crate) fn new(pools: impl IntoIterator<Item = PoolName>) -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self {
            pools: pools
                .into_iter()
                .map(|pool| (pool, of(EACH_POOL)))
                .collect(),
            roles: Role::ALL
                .into_iter()
                .map(|role| (role, of(EACH_ROLE)))
                .collect(),
            seeing: of(1),
            patience: PATIENCE,
        }
    }

    /// The one place of a look that goes along with an answer from memory; `None` while it is taken.
    pub(super) fn to_see(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seeing).try_acquire_owned().ok()
    }

    /// A place in each of these pools. One that is not configured has none: its request is refused
    /// without a look at storage.
    pub(super) async fn in_pools(&self, pools: &BTreeSet<PoolName>) -> Result<Place, Failure> {
        let mut taken = Vec::new();
        // In one order, whoever asks: two that wait for each other's places would wait in vain.
        for pool in pools {
            if let Some(places) = self.pools.get(pool) {
                let what = format!("pool {pool}");
                taken.push(self.take(places, &what).await?);
            }
        }
        Ok(Place {
            _taken: Arc::new(taken),
        })
    }

    /// A place among those who only look.
    pub(super) async fn to_look(&self, role: Role) -> Result<Place, Failure> {
        let mut taken = Vec::new();
        if let Some(places) = self.roles.get(&role) {
            let what = format!("role {role}, which look at something");
            taken.push(self.take(places, &what).await?);
        }
        Ok(Place {
            _taken: Arc::new(taken),
        })
    }

    async fn take(
        &self,
        places: &Arc<Semaphore>,
        what: &str,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(places).acquire_owned();
        // Closed it never is.
        if let Ok(Ok(place)) = tokio::time::timeout(self.patience, place).await {
            return Ok(place);
        }
        let message = format!(
            "all places for requests of {what} are taken, and none came free within {} s; ask again",
            self.patience.as_secs()
        );
        let mut problem = plain(ProblemCode::Refused, "busy", message);
        problem.retry_after_ms = Some(2_000);
        Err(problem.into())
    }
}

/// Runs a handler in a place, which its work in another thread takes over.
pub(super) async fn within<T>(place: Place, handler: impl Future<Output = T>) -> T {
    TAKEN.scope(place, handler).await
}

/// The place that was taken for the request that runs here.
pub(super) fn taken() -> Place {
    TAKEN.try_with(Place::clone).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(names: &[&str]) -> BTreeSet<PoolName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn one_pools_full_places_keep_back_that_pool_and_no_other() {
        let mut places = Places::new(pools(&["a", "b"]));
        places.patience = Duration::from_millis(50);
        let mut hang = Vec::new();
        for _ in 0..EACH_POOL {
            hang.push(places.in_pools(&pools(&["a"])).await.unwrap());
        }
        let Failure(problem) = places.in_pools(&pools(&["a", "b"])).await.unwrap_err();
        assert_eq!(problem.code, "busy");
        assert!(problem.message.contains("pool a"), "{problem:?}");
        // Nothing of b is kept by who waited for a in vain.
        for _ in 0..EACH_POOL {
            hang.push(places.in_pools(&pools(&["b"])).await.unwrap());
        }
        hang.clear();
        places.in_pools(&pools(&["a", "b"])).await.unwrap();
    }

    #[tokio::test]
    async fn readers_of_one_role_keep_back_no_other_role() {
        let mut places = Places::new(pools(&["a"]));
        places.patience = Duration::from_millis(50);
        let mut readers = Vec::new();
        for _ in 0..EACH_ROLE {
            readers.push(places.to_look(Role::Monitoring).await.unwrap());
        }
        assert!(places.to_look(Role::Monitoring).await.is_err());
        places.to_look(Role::Root).await.unwrap();
        places.in_pools(&pools(&["a"])).await.unwrap();
    }

    /// The caller is gone; its work in a thread is not.
    #[tokio::test]
    async fn a_place_goes_with_the_work_and_not_with_the_caller() {
        let places = Arc::new(Places::new(pools(&["a"])));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let place = places.to_look(Role::Root).await.unwrap();
        let work = within(place, async {
            let place = taken();
            drop(tokio::task::spawn_blocking(move || {
                let _until_the_end = ended.recv();
                drop(place);
            }));
        });
        work.await;
        let free = || places.roles[&Role::Root].available_permits();
        assert_eq!(free(), EACH_ROLE - 1);
        drop(end);
        while free() < EACH_ROLE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
