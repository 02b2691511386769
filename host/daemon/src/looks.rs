//! Looks that may hang, all at once, and none waited for longer than somebody waits for an answer: a
//! pool that does not answer is said not to, and keeps back what is known of the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use volward_control::ports::{Clock, Tasks};

use crate::system::{SystemClock, Threads};

/// Longer than slow disks take to be read, shorter than somebody waits before he looks elsewhere.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look<T> {
    /// It has ended.
    Seen(T),
    /// It has not, nor has the oldest one at the same thing for so long.
    Silent(Duration),
}

/// A look: at what, in words of its own, and how.
pub(crate) type Work<T> = (String, Box<dyn FnOnce() -> T + Send>);

/// The looks that are under way, by what they look at: what has hung for long is not looked at again,
/// so that no number of questions uses up the threads.
pub(crate) struct Looks {
    clock: SystemClock,
    patience: Duration,
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Debug, Default)]
struct UnderWay {
    last: u64,
    begun: BTreeMap<String, BTreeMap<u64, Duration>>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    pub(crate) fn with_patience(patience: Duration) -> Self {
        Self {
            clock: SystemClock::new(),
            patience,
            under_way: Arc::default(),
        }
    }

    /// Looks at all of them at once; the answers have their order.
    pub(crate) fn at_all<T: Send + 'static>(&self, looks: Vec<Work<T>>) -> Vec<(String, Look<T>)> {
        let now = self.clock.monotonic();
        let deadline = now + self.patience;
        let (tell, told) = mpsc::channel();
        let mut found: Vec<(String, Look<T>)> = Vec::new();
        let mut waited_for = 0;
        for (at, (what, look)) in looks.into_iter().enumerate() {
            let mut under_way = lock(&self.under_way);
            let oldest = under_way
                .oldest(&what)
                .map(|begun| now.saturating_sub(begun));
            found.push((what.clone(), Look::Silent(oldest.unwrap_or(self.patience))));
            if oldest.is_some_and(|hangs| hangs >= self.patience) {
                continue;
            }
            let number = under_way.begin(&what, now);
            drop(under_way);
            let ended = Ended {
                under_way: Arc::clone(&self.under_way),
                what,
                number,
            };
            let tell = tell.clone();
            waited_for += 1;
            let work = move || {
                let seen = look();
                drop(ended);
                // Nobody waits for it any more.
                drop(tell.send((at, seen)));
            };
            Threads.spawn("look".to_owned(), Box::new(work));
        }
        drop(tell);
        for _ in 0..waited_for {
            let left = deadline.saturating_sub(self.clock.monotonic());
            let Ok((at, seen)) = told.recv_timeout(left) else {
                break;
            };
            if let Some((_, look)) = found.get_mut(at) {
                *look = Look::Seen(seen);
            }
        }
        found
    }
}

impl UnderWay {
    fn begin(&mut self, what: &str, now: Duration) -> u64 {
        self.last += 1;
        let of = self.begun.entry(what.to_owned()).or_default();
        of.insert(self.last, now);
        self.last
    }

    fn oldest(&self, what: &str) -> Option<Duration> {
        self.begun.get(what)?.values().min().copied()
    }
}

/// Forgets a look when it has ended, also when it broke off.
struct Ended {
    under_way: Arc<Mutex<UnderWay>>,
    what: String,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if let Some(of) = under_way.begun.get_mut(&self.what) {
            of.remove(&self.number);
        }
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look<T: Send + 'static>(what: &str, how: impl FnOnce() -> T + Send + 'static) -> Work<T> {
        (what.to_owned(), Box::new(how))
    }

    #[test]
    fn one_that_hangs_keeps_back_no_other_and_is_not_begun_again() {
        let looks = Looks::with_patience(Duration::from_millis(100));
        let (end, hang) = mpsc::channel::<()>();
        let found = looks.at_all(vec![
            look("pool a", move || hang.recv().unwrap_or_default()),
            look("pool b", || ()),
        ]);
        assert!(matches!(found[0].1, Look::Silent(_)), "{found:?}");
        assert_eq!(found[1], ("pool b".to_owned(), Look::Seen(())));
        // Not waited for, not even begun.
        let begun = Arc::new(Mutex::new(0));
        let count = Arc::clone(&begun);
        let found = looks.at_all(vec![look("pool a", move || *count.lock().unwrap() += 1)]);
        assert!(
            matches!(found[0].1, Look::Silent(since) if since >= Duration::from_millis(100)),
            "{found:?}"
        );
        assert_eq!(*begun.lock().unwrap(), 0);
        // It answers again.
        drop(end);
        while lock(&looks.under_way).oldest("pool a").is_some() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(looks.at_all(vec![look("pool a", || 7)])[0].1, Look::Seen(7));
    }

    #[test]
    fn a_look_that_breaks_off_is_silent_and_forgotten() {
        let looks = Looks::with_patience(Duration::from_millis(100));
        let breaks_off = || -> () { std::panic::resume_unwind(Box::new("broken")) };
        let found = looks.at_all(vec![look("pool a", breaks_off)]);
        assert!(matches!(found[0].1, Look::Silent(_)), "{found:?}");
        assert_eq!(lock(&looks.under_way).oldest("pool a"), None);
    }
}
