//! A deadline for calls that have none, because the kernel cannot be interrupted in them. What takes too long goes on in
//! a thread of its own, and what it is about is left alone until it is back.

use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_ports::{PortError, PortResult};

/// Which calls are late, by what they are about.
#[derive(Debug)]
pub(crate) struct LateCalls<K> {
    late: Arc<Mutex<BTreeSet<K>>>,
    deadline: Duration,
    /// The threads' name.
    name: &'static str,
}

impl<K: Ord + Clone + Send + 'static> LateCalls<K> {
    pub(crate) fn new(name: &'static str, deadline: Duration) -> Self {
        Self {
            late: Arc::default(),
            deadline,
            name,
        }
    }

    /// Waits for the call until the deadline.
    ///
    /// # Errors
    /// As the call; [`PortError::Deadline`] when it takes longer, and [`PortError::Overloaded`] while an earlier one about the
    /// same has not come back.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        about: &K,
        what: String,
        call: impl FnOnce() -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        self.call_all(std::slice::from_ref(about), what, call)
    }

    /// The same of a call that is about several.
    pub(crate) fn call_all<T: Send + 'static>(
        &self,
        about: &[K],
        what: String,
        call: impl FnOnce() -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        {
            let late = lock(&self.late);
            if about.iter().any(|one| late.contains(one)) {
                return Err(PortError::Overloaded { what, waiting: 1 });
            }
        }
        let (answer, answered) = sync_channel(1);
        let (set, keys) = (Arc::clone(&self.late), about.to_vec());
        let work = move || {
            // Nobody waits any more after the deadline: the answer is dropped.
            drop(answer.send(call()));
            let mut late = lock(&set);
            for key in &keys {
                late.remove(key);
            }
        };
        let thread = std::thread::Builder::new().name(self.name.into());
        thread.spawn(work).map_err(|error| PortError::Io {
            what: what.clone(),
            reason: error.to_string(),
        })?;
        if let Ok(done) = answered.recv_timeout(self.deadline) {
            return done;
        }
        let mut set = lock(&self.late);
        // Under the lock that the thread takes last: either the answer is there, or it is late.
        if let Ok(done) = answered.try_recv() {
            return done;
        }
        set.extend(about.iter().cloned());
        Err(PortError::Deadline {
            what,
            after: self.deadline,
        })
    }
}

fn lock<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I27: what hangs keeps back what it is about, until it is back, and nothing else.
    #[test]
    fn i27_a_call_that_takes_too_long_is_left_and_what_it_is_about_with_it() {
        let calls = LateCalls::new("a-test", Duration::from_millis(30));
        let call = |about| calls.call(&about, "calling".to_owned(), || Ok(()));
        let (unblock, blocked) = sync_channel::<()>(0);
        let hangs = move || {
            blocked.recv().unwrap_err();
            Ok(())
        };
        let first = calls.call(&1, "hanging".to_owned(), hangs);
        assert!(
            matches!(first, Err(PortError::Deadline { .. })),
            "{first:?}"
        );
        let second = call(1);
        assert!(
            matches!(second, Err(PortError::Overloaded { .. })),
            "{second:?}"
        );
        call(2).unwrap();
        drop(unblock);
        for _ in 0..500 {
            if call(1).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        unreachable!("what was late is back, and what it is about is still left alone");
    }
}
