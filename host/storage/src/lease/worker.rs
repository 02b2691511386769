//! One thread per conversation with sanlock: calls come one after another (I3), and a caller
//! waits no longer than its deadline while the library, which has none, may block (I27).

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use volward_control::ports::{PortError, PortResult};

use super::ffi::Library;

type Job = Box<dyn FnOnce(&Library) + Send>;

/// Calls that wait behind one that blocks; more of them would not be answered either.
const QUEUE: usize = 16;

#[derive(Debug)]
pub(super) struct Worker {
    jobs: SyncSender<Job>,
}

impl Worker {
    /// The thread ends when the worker is dropped and its last call is back.
    pub(super) fn start(library: Arc<Library>) -> Self {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        std::thread::spawn(move || {
            while let Ok(job) = queue.recv() {
                job(&library);
            }
        });
        Self { jobs }
    }

    pub(super) fn call<T: Send + 'static>(
        &self,
        what: &str,
        deadline: Duration,
        call: impl FnOnce(&Library) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let (answer, answered) = sync_channel(1);
        let job: Job = Box::new(move |library| {
            // Nobody waits any more after the deadline: the answer is dropped.
            drop(answer.send(call(library)));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => PortError::Refused(format!(
                "{what}: sanlock does not answer, and {QUEUE} questions wait already"
            )),
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
        reason: "the thread that speaks to sanlock has ended".to_owned(),
    }
}
