//! How much is zeroed or copied in one call. It cannot be interrupted, the lease is looked at between two, and each has a
//! cost of its own: so as much as takes half a second, by the last one.

use std::time::Duration;

use volward_model::Bytes;
use volward_plan::operate::CHUNK;

/// What one call is to take.
const AIM: Duration = Duration::from_millis(500);
/// In one call at most: what is under way when the disks become slow goes on.
const MOST: Bytes = Bytes::mib(512);

/// The amount of the next call.
#[derive(Debug)]
pub(super) struct Stretch(Bytes);

impl Stretch {
    /// Before anything is known of the disks' speed.
    pub(super) fn new() -> Self {
        Self(CHUNK)
    }

    /// Of what is left.
    pub(super) fn of(&self, left: Bytes) -> Bytes {
        left.min(self.0)
    }

    /// A call has taken so long. A disk that has become slow is found out by one call; one that seems fast is believed by
    /// degrees.
    pub(super) fn took(&mut self, amount: Bytes, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let aim = AIM.as_micros() as u64;
        let Some(fits) = (amount.0.saturating_mul(aim)).checked_div(us) else {
            return;
        };
        let most = MOST.0.min(self.0.0.saturating_mul(2));
        // Whole chunks: what is written starts where the disks' own units do.
        let chunks = (fits.min(most) / CHUNK.0).max(1);
        self.0 = Bytes(chunks * CHUNK.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(calls: &[(u64, u64)]) -> u64 {
        let mut stretch = Stretch::new();
        for (mib, ms) in calls {
            stretch.took(Bytes::mib(*mib), Duration::from_millis(*ms));
        }
        stretch.0.0 >> 20
    }

    #[test]
    fn a_call_takes_half_a_second_at_the_speed_of_the_last_one() {
        assert_eq!(after(&[]), 64);
        // 640 MiB a second, believed by degrees.
        assert_eq!(after(&[(64, 100)]), 128);
        assert_eq!(after(&[(64, 100), (128, 200)]), 256);
        let many = [(64, 100), (128, 200), (256, 400), (320, 500), (320, 500)];
        assert_eq!(after(&many), 320);
        // Slow ones get the smallest amount, at once.
        assert_eq!(after(&[(64, 100), (128, 200), (256, 4_000)]), 64);
        assert_eq!(after(&[(64, 60_000)]), 64);
        // An array that zeroes by itself.
        let instant = [(64, 1), (128, 1), (256, 1), (512, 1), (512, 1)];
        assert_eq!(after(&instant), 512);
        assert_eq!(after(&[(64, 0)]), 64, "nothing was measured");
    }

    #[test]
    fn what_is_left_is_not_exceeded() {
        assert_eq!(Stretch::new().of(Bytes::mib(3)), Bytes::mib(3));
        assert_eq!(Stretch::new().of(Bytes::mib(300)), CHUNK);
    }
}
