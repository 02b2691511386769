//! How many requests run at once: so many of each pool, and so many that only look for each kind of caller.
//! A pool that hangs has its own places full, and nobody else's. What needs only memory takes no
//! place and no thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use volward_api::ProblemCode;
use volward_model::PoolName;
use volward_plan::CallerKind;

use super::patience::Patience;
use super::problem::{Failure, plain};

/// Attaches, detaches and changes of one pool at once. They share their looks and what they write, and each may wait for
/// another node or a guest; but what is at work shares the node's processors too, and the more there are the
/// later the first one is done, and the less is known of how long the next one takes. 64 guests that start at once on an
/// emulated node all have their disks in time with 16, and had with 32.
const EACH_POOL: usize = 16;
/// Requests of one kind of caller at once that look at pools, files or the logs.
const EACH_KIND: usize = 8;
/// What a request counts for at most in how long the next ones may take: one that waits for a guest to
/// close its disk says nothing of them.
const LONGEST_COUNTED: Duration = Duration::from_secs(10);

/// Threads that are made when all places are taken, and for background work. A node with more than
/// some 14 pools has fewer for each.
pub(crate) const MOST_THREADS: usize = 512;

/// A place, until it is dropped. It goes with the work: a caller that has gone does not free it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    _taken: Arc<Vec<Taken>>,
}

/// Places of one kind, given in the order in which they were asked for.
#[derive(Debug)]
struct Room {
    /// For people: "pool vg0".
    of: String,
    size: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// How long a place was taken, smoothed; zero until one came back.
    usual: Mutex<Duration>,
    /// How long the one was taken that came back last: when many come at once, what is usual is not yet known.
    latest: Mutex<Duration>,
}

/// One place of a room.
#[derive(Debug)]
struct Taken {
    room: Arc<Room>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        *self
            .room
            .latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = took;
        let took = took.min(LONGEST_COUNTED);
        let mut usual = self
            .room
            .usual
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *usual = match usual.is_zero() {
            true => took,
            false => (*usual * 7 + took) / 8,
        };
    }
}

/// Counts among those who wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Room {
    fn new(of: String, size: usize) -> Arc<Self> {
        Arc::new(Self {
            of,
            size,
            free: Arc::new(Semaphore::new(size)),
            waiting: AtomicUsize::new(0),
            usual: Mutex::default(),
            latest: Mutex::default(),
        })
    }

    /// How long it will take until a request that comes now is answered, as far as the last ones tell.
    fn expected(&self, ahead: usize) -> Duration {
        let usual = *self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = ahead / self.size + 2;
        usual * u32::try_from(rounds).unwrap_or(u32::MAX)
    }

    fn latest(&self) -> Duration {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request that begins now may take: where many are at work, half of it more or less is nothing out of
    /// the ordinary.
    fn at_worst(&self) -> Duration {
        self.latest() * 3 / 2
    }

    async fn take(self: &Arc<Self>, patience: Patience) -> Result<Taken, Failure> {
        let taken = |permit| Taken {
            room: Arc::clone(self),
            since: Instant::now(),
            _permit: permit,
        };
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(taken(permit));
        }
        let ahead = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        let expected = self.expected(ahead);
        if expected > patience.0 {
            let why = format!(
                "{ahead} others wait before this request, which would be answered in some {} s and not \
                 in the {} s that whoever asks waits",
                expected.as_secs(),
                patience.0.as_secs()
            );
            return Err(self.busy(&why, expected));
        }
        let began = Instant::now();
        let permit = Arc::clone(&self.free).acquire_owned();
        // Closed it never is.
        match tokio::time::timeout(patience.0, permit).await {
            Ok(Ok(permit)) => {
                let (waited, latest) = (began.elapsed(), self.latest());
                if waited + self.at_worst() <= patience.0 {
                    return Ok(taken(permit));
                }
                // Begun now, it would be given up by whoever asks before it ends.
                let why = format!(
                    "a place came free after {} s, and requests take {} s now, where whoever asks waits for {} s",
                    waited.as_secs(),
                    latest.as_secs(),
                    patience.0.as_secs()
                );
                Err(self.busy(&why, latest))
            }
            _ => {
                let why = format!("none came free within {} s", patience.0.as_secs());
                Err(self.busy(&why, expected))
            }
        }
    }

    /// Refused, with a time to come again.
    fn busy(&self, why: &str, again: Duration) -> Failure {
        let message = format!(
            "all places for requests of {} are taken: {why}; ask again",
            self.of
        );
        let mut problem = plain(ProblemCode::Refused, "busy", message);
        let again = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
        problem.retry_after_ms = Some(again.max(2_000));
        problem.into()
    }
}

/// The places of this node.
#[derive(Debug)]
pub(crate) struct Places {
    pools: BTreeMap<PoolName, Arc<Room>>,
    kinds: BTreeMap<CallerKind, Arc<Room>>,
    seeing: Arc<Semaphore>,
}

tokio::task_local! {
    /// The place of the request that runs here, taken before its handler.
    static TAKEN: Place;
}

impl Places {
    /// For these pools.
    pub(crate) fn new(pools: impl IntoIterator<Item = PoolName>) -> Self {
        let pools = pools.into_iter().map(|pool| {
            let room = Room::new(format!("pool {pool}"), EACH_POOL);
            (pool, room)
        });
        let kinds = CallerKind::ALL.into_iter().map(|kind| {
            let of = format!("{kind}, which look at something");
            (kind, Room::new(of, EACH_KIND))
        });
        Self {
            pools: pools.collect(),
            kinds: kinds.collect(),
            seeing: Arc::new(Semaphore::new(1)),
        }
    }

    /// The one place of a look that goes along with an answer from memory; `None` while it is taken.
    pub(super) fn to_see(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seeing).try_acquire_owned().ok()
    }

    /// A place in each of these pools. One that is not configured has none: its request is refused
    /// without a look at storage.
    pub(super) async fn in_pools(
        &self,
        pools: &BTreeSet<PoolName>,
        patience: Patience,
    ) -> Result<Place, Failure> {
        let mut taken = Vec::new();
        // In one order, whoever asks: two that wait for each other's places would wait in vain.
        for pool in pools {
            if let Some(room) = self.pools.get(pool) {
                taken.push(room.take(patience).await?);
            }
        }
        Ok(Place {
            _taken: Arc::new(taken),
        })
    }

    /// A place among those who only look.
    pub(super) async fn to_look(
        &self,
        kind: CallerKind,
        patience: Patience,
    ) -> Result<Place, Failure> {
        let mut taken = Vec::new();
        if let Some(room) = self.kinds.get(&kind) {
            taken.push(room.take(patience).await?);
        }
        Ok(Place {
            _taken: Arc::new(taken),
        })
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
mod tests;
