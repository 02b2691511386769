//! What copies of each pool have reached, so that the next one need not find it out anew.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{Bytes, PoolName};

/// After so long half of a speed is believed: the disks may have something else to do by now.
const HALVED_AFTER: Duration = Duration::from_secs(60);

/// Speeds of one daemon's copies; they are forgotten with it.
#[derive(Debug, Default)]
pub struct Speeds {
    /// By the shared pool, and by whether its LUN is written to.
    by_pool: BTreeMap<(PoolName, bool), (Bytes, Duration)>,
}

impl Speeds {
    /// A copy from the pool (`returning`: to it) has reached so many bytes a second, at that moment of the
    /// monotonic clock. Where several copy at once it is what one of them had.
    pub fn note(&mut self, pool: &PoolName, returning: bool, speed: Bytes, at: Duration) {
        self.by_pool.insert((pool.clone(), returning), (speed, at));
    }

    /// Bytes a second that are believed now; `None` where nothing is known.
    #[must_use]
    pub fn of(&self, pool: &PoolName, returning: bool, now: Duration) -> Option<Bytes> {
        let (speed, at) = self.by_pool.get(&(pool.clone(), returning))?;
        let halvings = now.saturating_sub(*at).as_secs() / HALVED_AFTER.as_secs();
        let halvings = u32::try_from(halvings).unwrap_or(u32::MAX);
        speed.0.checked_shr(halvings).filter(|b| *b > 0).map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_speed_counts_and_half_of_it_is_forgotten_each_minute() {
        let (mut speeds, pool) = (Speeds::default(), "vg0".parse().unwrap());
        let second = Duration::from_secs;
        assert_eq!(speeds.of(&pool, false, second(0)), None);
        speeds.note(&pool, false, Bytes::mib(100), second(5));
        speeds.note(&pool, false, Bytes::mib(64), second(10));
        for (at, mib) in [(10, 64), (69, 64), (70, 32), (130, 16), (10 + 360, 1)] {
            assert_eq!(speeds.of(&pool, false, second(at)), Some(Bytes::mib(mib)));
        }
        assert_eq!(speeds.of(&pool, false, second(10 + 60 * 100)), None);
        // Writing is another matter, and so is another pool.
        assert_eq!(speeds.of(&pool, true, second(10)), None);
        let other = "vg1".parse().unwrap();
        assert_eq!(speeds.of(&other, false, second(10)), None);
    }
}
