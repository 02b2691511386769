//! What a policy answered since it was loaded: how often what, how long it took lately, and how it
//! broke.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use volward_model::{Facts, Fault, RequestId, Verdict};

/// Calls whose times are kept: enough for a 99th percentile that is more than the slowest call,
/// and few enough to be about now.
const TIMES: usize = 256;
/// Faults that are kept. The first of a series says most, the log has them all.
const FAULTS: usize = 3;

/// How often it answered what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Agreed, narrowed or advised.
    pub granted: u64,
    /// Refused.
    pub denied: u64,
    /// Broke.
    pub faulted: u64,
}

/// How long its last calls took, 256 at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Of how many calls.
    pub calls: usize,
    /// Half of them took this or less, in microseconds, the wait for a turn included.
    pub p50_micros: u64,
    /// All but one in a hundred did.
    pub p99_micros: u64,
}

/// A fault, and when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenFault {
    /// When the facts were gathered, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The request it was asked about.
    pub request: RequestId,
    /// `attach`, `detach`, `migrate` or `operate`.
    pub hook: String,
    /// How it broke.
    pub fault: Fault,
}

/// Everything that is known of one policy's answers.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    counters: Counters,
    times: VecDeque<u64>,
    faults: VecDeque<SeenFault>,
}

impl Tally {
    /// Counts an answer. Whoever has no such hook was not asked.
    pub(crate) fn count(&self, hook: &str, facts: &Facts, verdict: &Verdict, micros: u64) {
        let mut kept = self.kept();
        let counters = &mut kept.counters;
        match verdict {
            Verdict::Granted(_) | Verdict::Advised(_) => counters.granted += 1,
            Verdict::Denied(_) => counters.denied += 1,
            Verdict::Faulted(fault) => {
                counters.faulted += 1;
                let seen = SeenFault {
                    at_ms: facts.now_ms,
                    request: facts.request.id,
                    hook: hook.to_owned(),
                    fault: fault.clone(),
                };
                push(&mut kept.faults, FAULTS, seen);
            }
            Verdict::Absent => return,
        }
        push(&mut kept.times, TIMES, micros);
    }

    pub(crate) fn counters(&self) -> Counters {
        self.kept().counters
    }

    /// `None` until it was asked.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let mut times: Vec<u64> = self.kept().times.iter().copied().collect();
        times.sort_unstable();
        // Nearest rank.
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1);
        Some(Latency {
            calls: times.len(),
            p50_micros: *at(50)?,
            p99_micros: *at(99)?,
        })
    }

    /// The last ones, the oldest first.
    pub(crate) fn faults(&self) -> Vec<SeenFault> {
        self.kept().faults.iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each number is right by itself, whoever panicked between two of them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(ring: &mut VecDeque<T>, most: usize, one: T) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_model::{Answer, FaultKind};

    fn facts(at_ms: u64) -> Facts {
        Facts {
            now_ms: at_ms,
            ..volward_model::scenario::Scenario::default().facts()
        }
    }

    #[test]
    fn times_are_those_of_the_last_calls() {
        let tally = Tally::default();
        assert_eq!(tally.latency(), None);
        let granted = Verdict::Granted(Answer::default());
        tally.count("attach", &facts(0), &Verdict::Absent, 1);
        assert_eq!(tally.latency(), None);
        // The slow ones are long ago.
        for micros in std::iter::repeat_n(9_000, 300).chain(1..=256) {
            tally.count("attach", &facts(0), &granted, micros);
        }
        let latency = tally.latency().unwrap();
        assert_eq!(
            (latency.calls, latency.p50_micros, latency.p99_micros),
            (256, 128, 254)
        );
        assert_eq!(tally.counters().granted, 556);
    }

    #[test]
    fn the_last_faults_are_kept_with_their_request() {
        let tally = Tally::default();
        for at_ms in 0..10 {
            let fault = Fault::new(FaultKind::Trap, format!("number {at_ms}"));
            tally.count("detach", &facts(at_ms), &Verdict::Faulted(fault), 5);
        }
        let seen: Vec<u64> = tally.faults().iter().map(|fault| fault.at_ms).collect();
        assert_eq!(seen, [7, 8, 9]);
        assert_eq!(tally.faults()[0].hook, "detach");
        assert_eq!(tally.counters().faulted, 10);
    }
}
