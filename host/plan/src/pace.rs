//! How much of a copy is on its way at once: as much as is granted while the guest is quiet, less as
//! soon as the guest's own I/O takes longer for it.
//!
//! The guest is watched at its own device, so what is measured is what it feels, dm-clone's part in it
//! included. A second's average is compared with the shortest one seen: additive increase, and
//! multiplicative decrease where it is half as long again.

use volward_model::{Bytes, CopyPlan, IoCounters, Sectors};

use crate::geometry::{CloneGeometry, amounts};

/// Regions on their way, and in one piece; what dm-clone's messages set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Regions being copied at once; at least 1.
    pub threshold: u32,
    /// Regions copied in one piece; at least 1.
    pub batch: u32,
}

/// What is on its way at least, unless less is granted. Beside a guest that always has I/O in flight
/// dm-clone begins to copy once a second, and copies so much: less, and a large volume takes days.
const FLOOR: Bytes = Bytes::mib(1);
/// The ceiling is reached from the floor in so many steps of a second.
const STEPS: u32 = 16;
/// A difference that an idle node's own noise makes, in microseconds.
const NOISE_US: u64 = 1000;
/// The shortest time is forgotten by this part of it with each look: a guest may have begun to
/// do something else, which takes longer.
const FORGOTTEN: u64 = 16;

/// The amounts of one clone, from look to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    floor: u32,
    ceiling: Amounts,
    now: u32,
    before: Option<IoCounters>,
    /// Microseconds that one of the guest's I/Os took on average, at the best of times.
    shortest_us: Option<u64>,
    /// The guest did nothing since the last look.
    quiet: bool,
}

impl Pace {
    /// Up to what was granted, for a clone with regions of that size.
    #[must_use]
    pub fn new(region: Sectors, grant: &CopyPlan) -> Self {
        let CloneGeometry {
            threshold, batch, ..
        } = amounts(region, grant);
        let floor = FLOOR.0 / region.bytes().0.max(1);
        Self {
            floor: u32::try_from(floor).unwrap_or(u32::MAX).clamp(1, threshold),
            ceiling: Amounts { threshold, batch },
            now: threshold,
            before: None,
            shortest_us: None,
            quiet: true,
        }
    }

    /// What is set from now on, after a second in which the guest's counters came to these.
    pub fn hear(&mut self, counters: IoCounters) -> Amounts {
        let before = self.before.replace(counters);
        let since = before.and_then(|before| counters.since(before));
        // The first look, or one at another device, has nothing to compare with.
        if let Some(since) = since {
            self.now = self.next(since);
        }
        self.amounts()
    }

    fn next(&mut self, since: IoCounters) -> u32 {
        if since.done == 0 && since.in_flight == 0 {
            self.quiet = true;
            return self.now.saturating_mul(2).min(self.ceiling.threshold);
        }
        if std::mem::take(&mut self.quiet) {
            // What was reached while the guest did nothing says nothing of what it bears.
            return self.floor;
        }
        let slower = match since.busy_us.checked_div(since.done) {
            Some(took) => self.is_slower(took),
            // Something is on its way, and in a whole second nothing has come of it.
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
            batch: self.ceiling.batch.min(self.now),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use volward_model::{CopyFate, CopyMode};

    use super::*;

    fn pace(in_flight: Option<u64>, batch: Option<u64>) -> Pace {
        let grant = CopyPlan {
            mode: CopyMode::Background,
            in_flight: in_flight.map(Bytes),
            batch: batch.map(Bytes),
            fate: CopyFate::WriteBack,
        };
        Pace::new(Sectors(128), &grant)
    }

    /// A second in which so many I/Os took so long each.
    fn second(at: &mut IoCounters, done: u64, each_us: u64) -> IoCounters {
        at.done += done;
        at.busy_us += done * each_us;
        *at
    }

    #[test]
    fn what_is_granted_is_the_ceiling_and_the_floor_is_no_more_than_that() {
        let tiny = pace(Some(1), None);
        assert_eq!((tiny.floor, tiny.ceiling.threshold), (1, 1));
        let large = pace(Some(64 << 20), Some(2 << 20));
        assert_eq!((large.floor, large.ceiling.threshold), (16, 1024));
        assert_eq!(large.amounts().batch, 32);
    }

    #[test]
    fn a_guest_that_begins_to_work_is_given_way_to_at_once() {
        let (mut pace, mut at) = (pace(None, None), IoCounters::default());
        let ceiling = pace.ceiling.threshold;
        assert_eq!(pace.hear(at).threshold, ceiling);
        assert_eq!(pace.hear(second(&mut at, 0, 0)).threshold, ceiling);
        assert_eq!(pace.hear(second(&mut at, 100, 500)).threshold, pace.floor);
        // It bears it.
        let next = pace.hear(second(&mut at, 100, 500)).threshold;
        assert!(next > pace.floor && next < ceiling, "{next}");
    }

    #[test]
    fn io_that_does_not_come_back_is_slower_than_any() {
        let (mut pace, mut at) = (pace(None, None), IoCounters::default());
        for _ in 0..40 {
            pace.hear(second(&mut at, 100, 500));
        }
        let before = pace.amounts().threshold;
        at.in_flight = 3;
        assert!(pace.hear(at).threshold < before);
    }

    proptest! {
        #[test]
        fn never_outside_floor_and_ceiling(
            granted in (proptest::option::of(1u64..1 << 40), proptest::option::of(1u64..1 << 40)),
            looks in vec((any::<u32>(), any::<u32>(), 0u64..5), 0..60),
        ) {
            let mut pace = pace(granted.0, granted.1);
            let (floor, ceiling) = (pace.floor, pace.ceiling);
            prop_assert!(1 <= floor && floor <= ceiling.threshold);
            for (done, busy_us, in_flight) in looks {
                // Also counters that go back, as those of another device do.
                let (done, busy_us) = (u64::from(done), u64::from(busy_us));
                let set = pace.hear(IoCounters { done, busy_us, in_flight });
                prop_assert!(floor <= set.threshold && set.threshold <= ceiling.threshold);
                prop_assert!(1 <= set.batch && set.batch <= ceiling.batch);
            }
        }

        #[test]
        fn a_quiet_guest_gives_the_ceiling_whatever_was_before(
            granted in proptest::option::of(1u64..1 << 40),
            before in vec((0u64..1000, 0u64..1_000_000), 0..60),
        ) {
            let (mut pace, mut at) = (pace(granted, None), IoCounters::default());
            for (done, each) in before {
                pace.hear(second(&mut at, done, each));
            }
            // From 1 to 4096 by doublings.
            for _ in 0..13 {
                pace.hear(second(&mut at, 0, 0));
            }
            prop_assert_eq!(pace.amounts(), pace.ceiling);
        }

        #[test]
        fn a_guest_that_bears_it_gives_the_ceiling_too(each in 1u64..100_000) {
            let (mut pace, mut at) = (pace(None, None), IoCounters::default());
            for _ in 0..STEPS + 3 {
                pace.hear(second(&mut at, 50, each));
            }
            prop_assert_eq!(pace.amounts(), pace.ceiling);
        }

        #[test]
        fn a_guest_whose_io_takes_twice_as_long_brings_it_to_the_floor(each in 2_000u64..100_000) {
            let (mut pace, mut at) = (pace(Some(256 << 20), None), IoCounters::default());
            for _ in 0..STEPS + 3 {
                pace.hear(second(&mut at, 50, each));
            }
            prop_assert_eq!(pace.amounts().threshold, pace.ceiling.threshold);
            let mut slow = each;
            for _ in 0..12 {
                slow += slow / 8 + each;
                pace.hear(second(&mut at, 50, slow));
            }
            prop_assert_eq!(pace.amounts().threshold, pace.floor);
        }
    }
}
