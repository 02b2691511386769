//! One thread at a time, chosen by a seed: requests run on real threads, but each waits before
//! every call of a port until it is given the baton. So a run is decided by the seed alone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use volward_control::ports::{Tasks, Waiting};
use volward_storage::fake::{FakeCluster, FakeNode};

use crate::doubles::Death;

thread_local! {
    /// The worker that this thread is; none for the test's own thread, which is never held up.
    static ME: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Who may run.
#[derive(Debug, Default)]
pub struct Baton {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    turn: Option<usize>,
    /// Workers that have not ended, with their node.
    alive: BTreeMap<usize, String>,
    next: usize,
}

impl Baton {
    /// A baton that every call of the cluster's ports waits for.
    #[must_use]
    pub fn over(cluster: &FakeCluster) -> Arc<Self> {
        let baton = Arc::new(Self::default());
        let pace = baton.clone();
        cluster.set_pace(move |kernel, call| pace.before(kernel, call));
        baton
    }

    fn before(&self, kernel: &FakeNode, call: &str) {
        // A slot and the record of an operation are written under a lock of the daemon's: whoever waits
        // for that would keep the baton.
        let Some(me) = ME.get() else { return };
        if !["write-registry", "journal-operation"].contains(&call) {
            self.give_back();
            self.await_turn(me);
        }
        if kernel.crashed() {
            Death::now();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        self.inner().turn = None;
        self.changed.notify_all();
    }

    /// Lets others run. The test's own thread is never held up, and nobody would give the others a turn.
    fn pass(&self) -> Waiting {
        let Some(me) = ME.get() else {
            return Waiting::Never;
        };
        self.give_back();
        self.await_turn(me);
        Waiting::LookAgain
    }

    fn await_turn(&self, me: usize) {
        let waiting = |inner: &mut Inner| inner.turn != Some(me);
        drop(
            self.changed
                .wait_while(self.inner(), waiting)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Starts work of a node; it runs when it is given the baton.
    pub fn start(self: &Arc<Self>, node: &str, work: impl FnOnce() + Send + 'static) {
        let me = {
            let mut inner = self.inner();
            inner.next += 1;
            let me = inner.next;
            inner.alive.insert(me, node.to_owned());
            me
        };
        let baton = self.clone();
        std::thread::spawn(move || {
            ME.set(Some(me));
            baton.await_turn(me);
            // Ends also when the work panics: the test would wait for ever otherwise.
            let ends = Ends { baton, me };
            Death::survive(work);
            drop(ends);
        });
    }

    /// Workers that have not ended, of that node or of all.
    #[must_use]
    pub fn alive(&self, node: Option<&str>) -> Vec<usize> {
        let inner = self.inner();
        let of_node = |(_, n): &(&usize, &String)| node.is_none_or(|node| node == n.as_str());
        let alive = inner.alive.iter().filter(of_node);
        alive.map(|(id, _)| *id).collect()
    }

    /// Lets a worker go on to its next call, or to its end.
    pub fn step(&self, worker: usize) {
        let mut inner = self.inner();
        if !inner.alive.contains_key(&worker) {
            return;
        }
        inner.turn = Some(worker);
        self.changed.notify_all();
        let running = |inner: &mut Inner| inner.turn.is_some();
        drop(
            self.changed
                .wait_while(inner, running)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

struct Ends {
    baton: Arc<Baton>,
    me: usize,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.baton.inner().alive.remove(&self.me);
        self.baton.give_back();
    }
}

/// Background work of a node, as workers.
#[derive(Debug)]
pub struct Workers {
    /// Who may run.
    pub baton: Arc<Baton>,
    /// Name of the node whose background work it is.
    pub node: String,
}

impl Tasks for Workers {
    fn spawn(&self, _name: String, work: Box<dyn FnOnce() + Send>) {
        self.baton.start(&self.node, work);
    }

    fn waiting(&self) -> Waiting {
        self.baton.pass()
    }
}
