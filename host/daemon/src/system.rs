//! Small adapters that belong to nobody else: clock, threads, and the seams where tests
//! interrupt.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use volward_control::ports::{Clock, FaultPoints, Tasks};

/// The machine's clock.
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock port's adapter"
    )]
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock port's adapter"
    )]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn utc_offset_minutes(&self) -> i32 {
        jiff::Zoned::now().offset().seconds() / 60
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Background work on threads: there are few of them, one a copy.
pub(crate) struct Threads;

impl Tasks for Threads {
    fn spawn(&self, name: String, work: Box<dyn FnOnce() + Send>) {
        if let Err(error) = std::thread::Builder::new().name(name.clone()).spawn(work) {
            tracing::error!(%name, %error, "cannot start a thread");
        }
    }
}

/// What the system tests ask for, by environment variables that only root can set:
/// `VOLWARD_TEST_CRASH=<point>` or `<point>#<n>` dies there, the n-th time, as if killed;
/// `VOLWARD_TEST_PAUSE=<point>=<file>` makes the file and waits until it is gone;
/// `VOLWARD_TEST_TRACE=<file>` lists the points.
pub(crate) struct TestSeams {
    /// The point, and how often it is to be passed yet, this time included.
    crash: Option<(String, AtomicU32)>,
    pause: Option<(String, PathBuf)>,
    trace: Option<PathBuf>,
}

impl TestSeams {
    pub(crate) fn from_environment() -> Self {
        let var = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        let seams = Self {
            crash: var("VOLWARD_TEST_CRASH").map(|text| match text.split_once('#') {
                Some((point, n)) => (point.to_owned(), AtomicU32::new(n.parse().unwrap_or(1))),
                None => (text, AtomicU32::new(1)),
            }),
            pause: var("VOLWARD_TEST_PAUSE").and_then(|text| {
                text.split_once('=')
                    .map(|(point, file)| (point.to_owned(), file.into()))
            }),
            trace: var("VOLWARD_TEST_TRACE").map(PathBuf::from),
        };
        if seams.crash.is_some() || seams.pause.is_some() || seams.trace.is_some() {
            tracing::warn!("test seams are active: VOLWARD_TEST_* is set");
        }
        seams
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test says where the file is (ADR 11)"
    )]
    fn trace(&self, point: &str) {
        let Some(path) = &self.trace else { return };
        let line = format!("{point}\n");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        let written = file.and_then(|mut f| std::io::Write::write_all(&mut f, line.as_bytes()));
        if let Err(error) = written {
            tracing::error!(%error, "a test's trace cannot be written");
        }
    }
}

impl FaultPoints for TestSeams {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test says where the file is (ADR 11)"
    )]
    fn at(&self, point: &str) {
        self.trace(point);
        let dies = |(at, left): &(String, AtomicU32)| {
            at == point && left.fetch_sub(1, Ordering::SeqCst) == 1
        };
        if self.crash.as_ref().is_some_and(dies) {
            // What `kill -9` does: no destructor, no flush, no answer.
            let killed = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            tracing::error!(?killed, "a test's crash did not happen");
        }
        let Some((at, file)) = &self.pause else {
            return;
        };
        if at != point {
            return;
        }
        if let Err(error) = std::fs::write(file, point) {
            tracing::error!(%error, "a test's pause cannot be announced");
            return;
        }
        while file.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
