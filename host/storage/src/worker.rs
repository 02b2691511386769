//! A thread for one conversation: calls come one after another (I3), and a caller waits no longer
//! than its deadline while the other side, which has none, may block (I27).

use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use volward_ports::{PortError, PortResult};

type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// Calls that wait behind one that blocks; more of them would not be answered either. Twice as many as the
/// requests of one pool that are at work at once.
const QUEUE: usize = 64;

#[derive(Debug)]
pub(crate) struct Worker<C> {
    jobs: SyncSender<Job<C>>,
}

impl<C: Send + 'static> Worker<C> {
    /// The thread owns `context`; it ends when the worker is dropped and its last call is back.
    pub(crate) fn start(mut context: C) -> Self {
        let (jobs, queue) = sync_channel::<Job<C>>(QUEUE);
        std::thread::spawn(move || {
            while let Ok(job) = queue.recv() {
                job(&mut context);
            }
        });
        Self { jobs }
    }

    /// Has `call` made by the thread when what waits before it is done; nobody waits for it. Says whether it can be.
    pub(crate) fn post(&self, call: impl FnOnce(&mut C) + Send + 'static) -> bool {
        self.jobs.try_send(Box::new(call)).is_ok()
    }

    /// Has `call` made by the thread; `what` is for messages.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        what: &str,
        deadline: Duration,
        call: impl FnOnce(&mut C) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let (answer, answered) = sync_channel(1);
        let job: Job<C> = Box::new(move |context| {
            // Nobody waits any more after the deadline: the answer is dropped.
            drop(answer.send(call(context)));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => PortError::Overloaded {
                what: what.to_owned(),
                waiting: QUEUE,
            },
            TrySendError::Disconnected(_) => gone(what),
        })?;
        match answered.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(PortError::Deadline {
                what: what.to_owned(),
                after: deadline,
            }),
            Err(RecvTimeoutError::Disconnected) => Err(gone(what)),
        }
    }
}

fn gone(what: &str) -> PortError {
    PortError::Io {
        what: what.to_owned(),
        reason: "the thread that does it has ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i27_a_caller_does_not_wait_for_what_blocks() {
        let worker = Worker::start(0);
        let (unblock, blocked) = sync_channel::<()>(0);
        let short = Duration::from_millis(50);
        let error = worker.call("reading", short, move |_| {
            blocked.recv().unwrap_err();
            Ok(())
        });
        assert!(matches!(error, Err(PortError::Deadline { .. })));
        let behind = worker.call("reading", short, |_| Ok(()));
        assert!(matches!(behind, Err(PortError::Deadline { .. })));
        drop(unblock);
        let long = Duration::from_secs(10);
        let next = worker.call("reading", long, |count| {
            *count += 1;
            Ok(*count)
        });
        assert_eq!(next.unwrap(), 1);
    }
}
