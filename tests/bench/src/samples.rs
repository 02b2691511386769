//! What a measurement answers.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Two things measured in turn, in seconds; the same place in both lists is one pair.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Pairs {
    /// Seconds that Volward took, one entry a round.
    pub(crate) ours: Vec<f64>,
    /// What it is compared with.
    pub(crate) base: Vec<f64>,
}

impl Pairs {
    /// Measures `rounds` pairs. Who goes first changes each time: whatever the first of a pair
    /// leaves behind (caches, a disk's queue) must not always meet the same one.
    ///
    /// # Errors
    /// The first of either.
    pub(crate) fn measure(
        rounds: usize,
        mut ours: impl FnMut() -> anyhow::Result<Duration>,
        mut base: impl FnMut() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Self> {
        let mut pairs = Self::default();
        for round in 0..rounds {
            let (one, other) = if round % 2 == 0 {
                let one = ours()?;
                (one, base()?)
            } else {
                let other = base()?;
                (ours()?, other)
            };
            pairs.ours.push(one.as_secs_f64());
            pairs.base.push(other.as_secs_f64());
        }
        Ok(pairs)
    }
}

/// How long something took; what it answers is dropped within that time.
pub(crate) fn time<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    work().map(drop)?;
    Ok(begun.elapsed())
}

/// What something answers, and how long it took; to drop it is not part of that time.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let answer = work();
    (answer, begun.elapsed())
}
