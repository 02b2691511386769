//! Who tries again: one worker for each pool with work, while there is work. What failed for now
//! stands in one list ([`OwedList`](crate::state::OwedList)), whoever began it; here it is tried
//! with a growing pause until it is done, or needs a person. A pool that hangs keeps back no other.

use std::sync::{Arc, Weak};
use std::time::Duration;

use volward_model::PoolName;

use crate::copies::Copies;
use crate::engine::Engine;
use crate::ports::{Clock, Tasks};
use crate::recover::Recovery;
use crate::settings::{Ports, needs};
use crate::start_marks::StartMarks;
use crate::state::{Due, Lane, Need, State, VolumeGuard};

/// An operation whose volumes another request works on is tried again after so long.
const BUSY_PAUSE: Duration = Duration::from_secs(3);

needs!(RetryPorts {
    clock: Clock,
    tasks: Tasks,
});

/// Tries again what failed for now.
pub(crate) struct Retries {
    pub(crate) ports: RetryPorts,
    pub(crate) state: Arc<State>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) start_marks: Arc<StartMarks>,
    /// For the workers, which outlive the request that has them started.
    pub(crate) me: Weak<Self>,
}

/// A worker's place; given back also when the worker breaks off.
struct Place<'a> {
    state: &'a State,
    lane: &'a Lane,
    given_back: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.given_back {
            self.state.owed().leave(self.lane);
        }
    }
}

impl Retries {
    pub(crate) fn new(
        ports: &Ports,
        (state, engine): (&Arc<State>, &Arc<Engine>),
        (copies, recovery, start_marks): (&Arc<Copies>, &Arc<Recovery>, &Arc<StartMarks>),
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            ports: ports.into(),
            state: Arc::clone(state),
            engine: Arc::clone(engine),
            copies: Arc::clone(copies),
            recovery: Arc::clone(recovery),
            start_marks: Arc::clone(start_marks),
            me: me.clone(),
        })
    }

    /// Starts a worker for each pool that has work and no worker. To be called whenever something
    /// may have failed; what fails beside a request is found at the next call.
    pub(crate) fn wake(&self) {
        if self.state.is_stopping() {
            return;
        }
        // Bound first: a task may run at once, and takes the list's lock.
        let idle = self.state.owed().idle_lanes();
        for lane in idle {
            let Some(retries) = self.me.upgrade() else {
                return;
            };
            let work = Box::new(move || retries.work(&lane));
            self.ports.tasks.spawn("retry".into(), work);
        }
    }

    fn work(&self, lane: &Lane) {
        let mut place = Place {
            state: &self.state,
            lane,
            given_back: false,
        };
        while !self.state.is_stopping() {
            let next = self.state.owed().next(lane);
            let Some((due, at)) = next else {
                // With the look that found nothing: another may work there by now.
                place.given_back = true;
                return;
            };
            let now = self.ports.clock.monotonic();
            if at > now {
                self.ports.clock.sleep(at - now);
                continue;
            }
            match (due, lane) {
                (Due::Operation(id), _) => self.try_operation(id),
                (Due::Need(need), Some(pool)) => self.meet(pool, need),
                (Due::Need(_), None) => {}
            }
        }
    }

    /// Under the locks of its volumes, like any request; whoever has them goes first.
    fn try_operation(&self, id: u64) {
        let owed = self.state.owed().get(id);
        let Some(owed) = owed else { return };
        let locked = self
            .state
            .volume_locks
            .take(&owed.volumes(), Duration::ZERO);
        let Ok(guard) = locked else {
            let next = self.ports.clock.monotonic() + BUSY_PAUSE;
            self.state.owed().put_off(id, next);
            return;
        };
        self.settle(id, guard);
        if let Some(instance) = owed.entry.operation.instance() {
            self.start_marks.refresh(instance);
        }
    }

    fn settle(&self, id: u64, guard: VolumeGuard<'_>) {
        self.copies
            .start_write_backs(self.engine.try_again(id).due());
        drop(guard);
    }

    fn meet(&self, pool: &PoolName, need: Need) {
        let met = match need {
            Need::Open => self.recovery.open_pool(pool).map_err(|e| e.to_string()),
            Need::TakeUp => self.recovery.take_up_pool(pool),
            // Noted by the write itself.
            Need::Slot => {
                self.recovery.pools.keep_open([pool]);
                return drop(self.state.write_slot(pool));
            }
        };
        match met {
            Ok(()) => self.state.owed().needed_no_more(pool, need),
            Err(error) => {
                tracing::debug!(%pool, ?need, %error, "not yet");
                let now = self.ports.clock.monotonic();
                self.state.owed().need(pool, need, now);
            }
        }
    }
}
