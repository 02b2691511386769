//! When I/O that was cut off is given back without anybody asking for it.

use std::time::Duration;

/// When an instance's I/O is given back without anybody asking for it: when the leases have been sound for
/// a pause. Each try doubles the pause, so that a path that comes and goes is not followed for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GiveBack {
    tries: u32,
    last: Option<Duration>,
}

/// The longest pause before I/O is given back by itself, and the time without a try after which the
/// tries are forgotten.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

impl GiveBack {
    /// Whether it is time: `sound_since` is when the leases began to be sound, `None` while they are
    /// not; both are monotonic.
    #[must_use]
    pub fn is_due(&self, now: Duration, sound_since: Option<Duration>, pause: Duration) -> bool {
        let forgotten = self.is_forgotten(now);
        let doubled = 1u32.checked_shl(if forgotten { 0 } else { self.tries });
        let pause = pause.saturating_mul(doubled.unwrap_or(u32::MAX));
        let wait = pause.min(LONGEST_PAUSE);
        let long_ago = |then: Duration| now.saturating_sub(then) >= wait;
        sound_since.is_some_and(long_ago) && self.last.is_none_or(long_ago)
    }

    /// Notes a try at `now`, whatever comes of it.
    pub fn tried(&mut self, now: Duration) {
        if self.is_forgotten(now) {
            self.tries = 0;
        }
        self.tries = self.tries.saturating_add(1);
        self.last = Some(now);
    }

    fn is_forgotten(&self, now: Duration) -> bool {
        let last = self.last.unwrap_or_default();
        now.saturating_sub(last) > LONGEST_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn what_is_given_back_again_and_again_waits_longer_each_time() {
        let pause = Duration::from_secs(30);
        let mut back = GiveBack::default();
        let sound = Some(at(0));
        assert!(!back.is_due(at(29), sound, pause));
        assert!(!back.is_due(at(900), None, pause), "not sound");
        assert!(back.is_due(at(30), sound, pause));
        back.tried(at(30));
        // Lost again, and sound again from 40 on.
        let again = Some(at(40));
        assert!(!back.is_due(at(99), again, pause));
        assert!(back.is_due(at(100), again, pause));
        for n in 0..40 {
            back.tried(at(100 + n));
        }
        assert!(!back.is_due(at(139 + 3599), again, pause));
        assert!(back.is_due(at(139 + 3600), again, pause), "an hour at most");
        // After an hour of quiet it begins anew.
        let later = Some(at(8000));
        assert!(back.is_due(at(8030), later, pause));
        back.tried(at(8030));
        assert!(back.is_due(at(8090), later, pause));
    }
}
