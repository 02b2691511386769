//! One look, or one write, for all who asked before it began.
//!
//! Requests that come together would each read the pool, and each write the slot. What a look finds is as
//! good for everybody who asked before it began; what a write writes has the changes of all who made them
//! before it began. Nobody is given the result of a round that was under way when he came.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::ports::{Tasks, Waiting};

/// Rounds of one kind of work, one at a time.
pub(crate) struct Rounds<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

struct State<T> {
    /// How many have begun.
    begun: u64,
    /// Who works, while one is under way.
    worker: Option<ThreadId>,
    /// The number of the last one that ended, and its result.
    last: Option<(u64, T)>,
    /// The number of the last one that came to no result: its worker panicked.
    failed: u64,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                begun: 0,
                worker: None,
                last: None,
                failed: 0,
            }),
            ended: Condvar::new(),
        }
    }
}

impl<T: Clone> Rounds<T> {
    /// The result of a round that begins after this call: of `work`, or of somebody else's who came meanwhile
    /// and whose work is the same.
    ///
    /// A thread that asks from within a round gets one of its own: it would wait for itself.
    pub(crate) fn join(&self, tasks: &dyn Tasks, work: impl FnOnce() -> T) -> T {
        let me = thread::current().id();
        let mut state = self.lock();
        if state.worker == Some(me) {
            drop(state);
            return work();
        }
        let mine = state.begun + 1;
        let mut waiting = Waiting::LookAgain;
        loop {
            match &state.last {
                Some((number, result)) if *number >= mine => return result.clone(),
                _ => {}
            }
            if state.worker.is_none() && (state.begun < mine || state.failed >= mine) {
                break;
            }
            if waiting == Waiting::Block {
                let ended = self.ended.wait(state);
                state = ended.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            waiting = tasks.waiting();
            if waiting == Waiting::Never {
                return work();
            }
            state = self.lock();
        }
        state.begun += 1;
        state.worker = Some(me);
        let number = state.begun;
        drop(state);
        let under_way = UnderWay {
            rounds: self,
            number,
            result: None,
        };
        under_way.end(work())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round, until it is dropped: by a panic too, after which the next one works.
struct UnderWay<'a, T> {
    rounds: &'a Rounds<T>,
    number: u64,
    result: Option<T>,
}

impl<T: Clone> UnderWay<'_, T> {
    fn end(mut self, result: T) -> T {
        self.result = Some(result.clone());
        result
    }
}

impl<T> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        let mut state = self
            .rounds
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.worker = None;
        match self.result.take() {
            Some(result) => state.last = Some((self.number, result)),
            None => state.failed = self.number,
        }
        drop(state);
        self.rounds.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// Threads that nobody holds up.
    struct Threads;

    impl Tasks for Threads {
        fn spawn(&self, _: String, work: Box<dyn FnOnce() + Send>) {
            thread::spawn(work);
        }
    }

    fn until(what: &str, is: impl Fn() -> bool) {
        for _ in 0..20_000 {
            if is() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{what}");
    }

    #[test]
    fn who_comes_during_a_round_gets_the_next_one_and_all_of_them_the_same() {
        let rounds = Arc::new(Rounds::<u64>::default());
        let worked = Arc::new(AtomicU64::new(0));
        let (go_on, held) = channel::<()>();
        let first = {
            let (rounds, worked) = (Arc::clone(&rounds), Arc::clone(&worked));
            thread::spawn(move || {
                rounds.join(&Threads, || {
                    held.recv().unwrap();
                    worked.fetch_add(1, Ordering::SeqCst) + 1
                })
            })
        };
        until("the first round begins", || rounds.lock().worker.is_some());
        let asked = Arc::new(AtomicU64::new(0));
        let late: Vec<_> = (0..8)
            .map(|_| {
                let (rounds, worked) = (Arc::clone(&rounds), Arc::clone(&worked));
                let asked = Arc::clone(&asked);
                thread::spawn(move || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    rounds.join(&Threads, || worked.fetch_add(1, Ordering::SeqCst) + 1)
                })
            })
            .collect();
        until("all have asked", || asked.load(Ordering::SeqCst) == 8);
        // They count from where they wait.
        thread::sleep(Duration::from_millis(50));
        go_on.send(()).unwrap();
        assert_eq!(first.join().unwrap(), 1);
        for one in late {
            assert_eq!(one.join().unwrap(), 2, "one round for all of them");
        }
        assert_eq!(
            rounds.join(&Threads, || 9),
            9,
            "an ended round is nobody's who comes later"
        );
    }

    #[test]
    fn a_panic_ends_its_round_and_no_other() {
        let rounds = Arc::new(Rounds::<u64>::default());
        let (go_on, held) = channel::<()>();
        let broken = {
            let rounds = Arc::clone(&rounds);
            thread::spawn(move || {
                rounds.join(&Threads, || {
                    held.recv().unwrap();
                    panic!("as it was told")
                })
            })
        };
        until("it begins", || rounds.lock().worker.is_some());
        let next = {
            let rounds = Arc::clone(&rounds);
            thread::spawn(move || rounds.join(&Threads, || 7))
        };
        go_on.send(()).unwrap();
        assert!(broken.join().is_err());
        assert_eq!(next.join().unwrap(), 7);
    }

    #[test]
    fn who_asks_from_within_a_round_does_not_wait_for_himself() {
        let rounds = Rounds::<u64>::default();
        assert_eq!(rounds.join(&Threads, || rounds.join(&Threads, || 1) + 1), 2);
    }
}
