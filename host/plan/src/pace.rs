//! How much of a copy is on its way at once: as much as is granted while the guest is quiet, less as
//! soon as the guest's own I/O takes longer for it.
//!
//! The guest is watched at its own device, so what is measured is what it feels, dm-clone's part in it
//! included. A second's average is compared with the shortest one seen: additive increase, and
//! multiplicative decrease where it is half as long again.
//!
//! Others wait behind it too: what is on its way is no more than what is copied in a quarter of a second, so that sanlock's
//! renewals reach a slow LUN in time (I2). How fast the disks are is measured from the first twentieth of a second on;
//! each doubling waits for a measurement made with the amount before.

use std::time::Duration;

use volward_model::{Bytes, CopyPlan, IoCounters, Sectors};

use crate::geometry::{amounts, batch};

mod speeds;

pub use speeds::Speeds;

/// Regions on their way, and in one piece; what dm-clone's messages set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Regions being copied at once; at least 1.
    pub threshold: u32,
    /// Regions copied in one piece; at least 1.
    pub batch: u32,
}

/// The ceiling is reached from the floor in so many steps of a second.
const STEPS: u32 = 16;
/// A difference that an idle node's own noise makes, in microseconds.
const NOISE_US: u64 = 1000;
/// The shortest time is forgotten by this part of it with each look: a guest may have begun to
/// do something else, which takes longer.
const FORGOTTEN: u64 = 16;

/// What may stand in front of the disks, in time: a quarter of the shortest I/O timeout that sanlock can have.
const QUEUE: Duration = Duration::from_millis(250);
/// Between two looks.
pub const LOOK: Duration = Duration::from_secs(1);
/// Between two looks while more and more is on its way. From the floor to the default ceiling it takes four measurements.
const RAMP_LOOK: Duration = Duration::from_millis(50);
/// Looks that are closer than this tell nothing of how long the guest's I/O takes, nor, where little was copied, of the speed.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);
/// So many pieces are enough to tell the speed in a short time. Regions are counted a piece at a time.
const PIECES: u64 = 4;
/// The speed of an earlier copy is believed by this part of it: others may copy now, or the disks have more to do.
const BELIEVED: u64 = 4;

/// How far a clone is, at a moment of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Regions copied, and those that the guest has written itself.
    pub regions: u64,
    /// When.
    pub at: Duration,
}

/// The amounts of one clone, from look to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    region: Sectors,
    floor: u32,
    ceiling: Amounts,
    now: u32,
    /// The guest's counters when it was judged last, and when that was.
    judged: Option<(IoCounters, Duration)>,
    /// Since when the speed is measured, and what the guest had written by then.
    reached: Option<(Reached, Sectors)>,
    /// Regions that are copied in [`QUEUE`] at least; at first what it begins with.
    queue: u32,
    /// Bytes a second at the last measurement beside a quiet guest.
    speed: Option<Bytes>,
    /// Microseconds that one of the guest's I/Os took on average, at the best of times.
    shortest_us: Option<u64>,
    /// The guest did nothing since the last look.
    quiet: bool,
    /// More is tried as soon as it is known how fast this much is.
    growing: bool,
}

impl Pace {
    /// Up to what was granted, for a clone with regions of that size. `speed` is what earlier copies
    /// of the pool have reached, in bytes a second ([`Speeds`]): it begins with a quarter of what that allows.
    #[must_use]
    pub fn new(region: Sectors, grant: &CopyPlan, speed: Option<Bytes>) -> Self {
        let most = amounts(region, grant);
        let floor = most.least();
        let known = speed.map_or(0, |speed| in_queue(speed.0 / region.bytes().0.max(1)));
        let known = u32::try_from(known / BELIEVED).unwrap_or(u32::MAX);
        let now = known.clamp(floor, most.threshold);
        Self {
            region,
            floor,
            ceiling: Amounts {
                threshold: most.threshold,
                batch: most.batch,
            },
            now,
            judged: None,
            reached: None,
            queue: now,
            speed: None,
            shortest_us: None,
            quiet: true,
            growing: true,
        }
    }

    /// What is set from now on, after a time in which the guest's counters came to these, and the clone so far.
    pub fn hear(&mut self, counters: IoCounters, reached: Reached) -> Amounts {
        let measured = self.measure(counters.written, reached);
        let Some((before, at)) = self.judged else {
            // There is nothing to compare with.
            self.judged = Some((counters, reached.at));
            return self.amounts();
        };
        if !self.quiet && reached.at.saturating_sub(at) < SHORTEST_LOOK {
            return self.amounts();
        }
        self.judged = Some((counters, reached.at));
        // Else these are another device's.
        if let Some(since) = counters.since(before) {
            let most = self.queue.max(self.floor);
            self.now = self.next(since, measured).min(most);
            if measured {
                self.growing = self.now < most.min(self.ceiling.threshold);
                self.remember_speed();
            }
            self.growing &= self.quiet;
        }
        self.amounts()
    }

    /// Says whether the speed is known anew. It is rather too low than too high: a piece that was nearly copied when
    /// the measurement began is not counted, nor is what the guest may have written itself.
    fn measure(&mut self, written: Sectors, reached: Reached) -> bool {
        let Some((before, written_before)) = self.reached else {
            self.reached = Some((reached, written));
            return false;
        };
        let time = reached.at.saturating_sub(before.at);
        let by_guest = written.0.saturating_sub(written_before.0) / self.region.0.max(1);
        let regions = reached.regions.saturating_sub(before.regions);
        let regions = regions.saturating_sub(by_guest);
        let piece = u64::from(self.amounts().batch);
        if time < RAMP_LOOK || (time < SHORTEST_LOOK && regions < PIECES * piece) {
            return false;
        }
        let regions = u128::from(regions.saturating_sub(piece));
        let queue = regions * QUEUE.as_micros() / time.as_micros();
        self.queue = u32::try_from(queue).unwrap_or(u32::MAX);
        self.reached = Some((reached, written));
        true
    }

    /// Beside a guest that works, dm-clone copies once a second: that is not how fast the disks are.
    fn remember_speed(&mut self) {
        if self.quiet {
            let queue = u128::from(self.queue) * u128::from(self.region.bytes().0);
            let second = queue * LOOK.as_millis() / QUEUE.as_millis();
            self.speed = u64::try_from(second).ok().map(Bytes);
        }
    }

    fn next(&mut self, since: IoCounters, measured: bool) -> u32 {
        if since.done == 0 && since.in_flight == 0 {
            self.quiet = true;
            return match measured {
                true => self.now.saturating_mul(2).min(self.ceiling.threshold),
                false => self.now,
            };
        }
        if std::mem::take(&mut self.quiet) {
            // What was reached while the guest did nothing says nothing of what it bears.
            return self.floor;
        }
        let slower = match since.busy_us.checked_div(since.done) {
            Some(took) => self.is_slower(took),
            // Something is on its way, and in all that time nothing has come of it.
            None => true,
        };
        match slower {
            true => (self.now / 2).max(self.floor),
            false => {
                let step = (self.ceiling.threshold / STEPS).max(1);
                self.now.saturating_add(step).min(self.ceiling.threshold)
            }
        }
    }

    fn is_slower(&mut self, took_us: u64) -> bool {
        let shortest = match self.shortest_us {
            None => took_us,
            Some(shortest) => took_us.min(shortest + shortest / FORGOTTEN + 1),
        };
        self.shortest_us = Some(shortest);
        took_us > (shortest + shortest / 2).max(shortest + NOISE_US)
    }

    /// What is set now.
    #[must_use]
    pub fn amounts(&self) -> Amounts {
        Amounts {
            threshold: self.now,
            batch: batch(self.now, self.ceiling.batch),
        }
    }

    /// When to look again: soon, while more and more is on its way.
    #[must_use]
    pub fn next_look(&self) -> Duration {
        match self.growing {
            true => RAMP_LOOK,
            false => LOOK,
        }
    }

    /// Bytes a second at the last measurement beside a guest that did nothing; `None` before there was one.
    #[must_use]
    pub fn speed(&self) -> Option<Bytes> {
        self.speed
    }
}

/// What comes in [`QUEUE`] of what comes in a second.
fn in_queue(second: u64) -> u64 {
    let queue = u128::from(second) * QUEUE.as_millis() / LOOK.as_millis();
    u64::try_from(queue).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
