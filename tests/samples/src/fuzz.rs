//! Fuzzing on stable Rust: cases made from a seed, for as long as there is time.
//!
//! | variable | means |
//! |---|---|
//! | `VOLWARD_FUZZ_SECONDS` | how long each target runs; 4 unless it is given. With it, the seed is another one each time |
//! | `VOLWARD_FUZZ_SEED` | the seed to use |
//! | `VOLWARD_FUZZ_CASE` | only this case of the seed: what a failure names |
#![allow(
    clippy::disallowed_methods,
    reason = "fuzzing ends by the clock, and a hang is told by it"
)]

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// For CI's fast tier.
const SECONDS: u64 = 4;
/// No case takes so long: a policy has 2 s, and compiling the largest a few.
const HANG: Duration = Duration::from_secs(120);

/// Runs cases until the time is over, and says how many. A panic in one ends it, with how to run
/// that one again; one that hangs ends the process.
pub fn fuzz(target: &str, mut case: impl FnMut(&mut TestRunner)) {
    let seconds = variable("VOLWARD_FUZZ_SECONDS");
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let seed = variable("VOLWARD_FUZZ_SEED").unwrap_or_else(|| match seconds {
        // The same in every run of CI: what fails there fails here.
        None => 0,
        Some(_) => SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(1, |since| since.as_secs()),
    });
    let only = variable("VOLWARD_FUZZ_CASE");
    let guard = Watched::new(target, seed);
    let mut done = 0;
    for n in only.unwrap_or(0).. {
        if Instant::now() >= end && done > 0 {
            break;
        }
        guard.begin(n);
        case(&mut runner(seed, n));
        done += 1;
        if only.is_some() {
            break;
        }
    }
    println!("{target}: {done} cases of seed {seed}");
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn runner(seed: u64, n: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&n.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), rng)
}

/// Which case runs; told when it panics, or does not end.
struct Watched {
    target: String,
    seed: u64,
    case: Arc<AtomicU64>,
}

impl Watched {
    fn new(target: &str, seed: u64) -> Self {
        let case = Arc::new(AtomicU64::new(0));
        let weak = Arc::downgrade(&case);
        let name = target.to_owned();
        thread::spawn(move || {
            let (mut last, mut since) = (u64::MAX, Instant::now());
            while let Some(case) = weak.upgrade().map(|case| case.load(Ordering::Relaxed)) {
                if case != last {
                    (last, since) = (case, Instant::now());
                } else if since.elapsed() > HANG {
                    eprintln!("{name}: {} hangs", again(seed, case));
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self {
            target: target.to_owned(),
            seed,
            case,
        }
    }

    fn begin(&self, n: u64) {
        self.case.store(n, Ordering::Relaxed);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if thread::panicking() {
            let case = self.case.load(Ordering::Relaxed);
            eprintln!("{}: {} fails", self.target, again(self.seed, case));
        }
    }
}

fn again(seed: u64, case: u64) -> String {
    format!("VOLWARD_FUZZ_SEED={seed} VOLWARD_FUZZ_CASE={case}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    #[test]
    fn a_case_is_the_same_whenever_it_is_made() {
        let made = |seed, n| {
            let mut runner = runner(seed, n);
            any::<u64>()
                .new_tree(&mut runner)
                .map(|tree| tree.current())
        };
        assert_eq!(made(1, 2), made(1, 2));
        assert_ne!(made(1, 2), made(1, 3));
        assert_ne!(made(1, 2), made(2, 2));
    }
}
