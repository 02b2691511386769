//! How much of a copy is on its way at once: as much as is granted while the guest is quiet, less as
//! soon as the guest's own I/O takes longer for it.
//!
//! The guest is watched at its own device, so what is measured is what it feels, dm-clone's part in it
//! included. A second's average is compared with the shortest one seen: additive increase, and
//! multiplicative decrease where it is half as long again.
//!
//! Others wait behind it too: what is on its way is no more than what is copied in a quarter of a second, so that sanlock's
//! renewals reach a slow LUN in time (I2).

use std::time::Duration;

use volward_model::{CopyPlan, IoCounters, Sectors};

use crate::geometry::amounts;

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
/// Looks that are closer than this tell nothing of the speed.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);

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
    floor: u32,
    ceiling: Amounts,
    now: u32,
    before: Option<IoCounters>,
    reached: Option<Reached>,
    /// Regions that are copied in [`QUEUE`]; nothing is known of it at first.
    queue: u32,
    /// Microseconds that one of the guest's I/Os took on average, at the best of times.
    shortest_us: Option<u64>,
    /// The guest did nothing since the last look.
    quiet: bool,
}

impl Pace {
    /// Up to what was granted, for a clone with regions of that size.
    #[must_use]
    pub fn new(region: Sectors, grant: &CopyPlan) -> Self {
        let most = amounts(region, grant);
        let floor = most.least();
        Self {
            floor,
            ceiling: Amounts {
                threshold: most.threshold,
                batch: most.batch,
            },
            // As it was loaded.
            now: floor,
            before: None,
            reached: None,
            queue: floor,
            shortest_us: None,
            quiet: true,
        }
    }

    /// What is set from now on, after a second in which the guest's counters came to these, and the clone so far.
    pub fn hear(&mut self, counters: IoCounters, reached: Reached) -> Amounts {
        self.measure(reached);
        let before = self.before.replace(counters);
        let since = before.and_then(|before| counters.since(before));
        // The first look, or one at another device, has nothing to compare with.
        if let Some(since) = since {
            self.now = self.next(since).min(self.queue.max(self.floor));
        }
        self.amounts()
    }

    fn measure(&mut self, reached: Reached) {
        let Some(before) = self.reached else {
            self.reached = Some(reached);
            return;
        };
        let time = reached.at.saturating_sub(before.at);
        if time < SHORTEST_LOOK {
            return;
        }
        let regions = u128::from(reached.regions.saturating_sub(before.regions));
        let queue = regions * QUEUE.as_micros() / time.as_micros();
        self.queue = u32::try_from(queue).unwrap_or(u32::MAX);
        self.reached = Some(reached);
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
    use volward_model::{Bytes, CopyFate, CopyMode};

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

    /// Disks that nothing is too much for.
    impl Pace {
        fn look(&mut self, counters: IoCounters) -> Amounts {
            let before = self.reached.unwrap_or(Reached {
                regions: 0,
                at: Duration::ZERO,
            });
            self.hear(counters, copied(before, 1 << 20))
        }
    }

    /// A second later, with so many regions more.
    fn copied(before: Reached, regions: u64) -> Reached {
        Reached {
            regions: before.regions + regions,
            at: before.at + Duration::from_secs(1),
        }
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
        // As it is loaded.
        assert_eq!((large.amounts().threshold, large.amounts().batch), (16, 16));
    }

    #[test]
    fn a_guest_that_begins_to_work_is_given_way_to_at_once() {
        let (mut pace, mut at) = (pace(None, None), IoCounters::default());
        let ceiling = pace.ceiling.threshold;
        let mut reached = [0; 6].map(|_| pace.look(at).threshold);
        reached.sort_unstable();
        assert_eq!((reached[0], reached[5]), (pace.floor, ceiling));
        assert_eq!(pace.look(second(&mut at, 100, 500)).threshold, pace.floor);
        // It bears it.
        let next = pace.look(second(&mut at, 100, 500)).threshold;
        assert!(next > pace.floor && next < ceiling, "{next}");
    }

    #[test]
    fn i2_no_more_is_on_its_way_than_a_slow_lun_takes_in_a_quarter_of_a_second() {
        let (mut pace, at) = (pace(None, None), IoCounters::default());
        let mut reached = Reached {
            regions: 0,
            at: Duration::ZERO,
        };
        // 4 MiB a second are 64 regions: 16 of them wait a quarter of a second, which is the floor.
        for (regions, most) in [(64, 16), (512, 128), (4096, 256), (200, 50), (0, 16)] {
            for _ in 0..12 {
                reached = copied(reached, regions);
                pace.hear(at, reached);
            }
            assert_eq!(pace.amounts().threshold, most, "{regions} regions a second");
        }
        // Woken at once, it knows no more than before.
        reached.at += Duration::from_millis(1);
        pace.hear(at, reached);
        assert_eq!(pace.amounts().threshold, 16);
    }

    #[test]
    fn io_that_does_not_come_back_is_slower_than_any() {
        let (mut pace, mut at) = (pace(None, None), IoCounters::default());
        for _ in 0..40 {
            pace.look(second(&mut at, 100, 500));
        }
        let before = pace.amounts().threshold;
        at.in_flight = 3;
        assert!(pace.look(at).threshold < before);
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
                let set = pace.look(IoCounters { done, busy_us, in_flight });
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
                pace.look(second(&mut at, done, each));
            }
            // From 1 to 4096 by doublings.
            for _ in 0..13 {
                pace.look(second(&mut at, 0, 0));
            }
            prop_assert_eq!(pace.amounts(), pace.ceiling);
        }

        #[test]
        fn a_guest_that_bears_it_gives_the_ceiling_too(each in 1u64..100_000) {
            let (mut pace, mut at) = (pace(None, None), IoCounters::default());
            for _ in 0..STEPS + 3 {
                pace.look(second(&mut at, 50, each));
            }
            prop_assert_eq!(pace.amounts(), pace.ceiling);
        }

        #[test]
        fn a_guest_whose_io_takes_twice_as_long_brings_it_to_the_floor(each in 2_000u64..100_000) {
            let (mut pace, mut at) = (pace(Some(256 << 20), None), IoCounters::default());
            for _ in 0..STEPS + 3 {
                pace.look(second(&mut at, 50, each));
            }
            prop_assert_eq!(pace.amounts().threshold, pace.ceiling.threshold);
            let mut slow = each;
            for _ in 0..12 {
                slow += slow / 8 + each;
                pace.look(second(&mut at, 50, slow));
            }
            prop_assert_eq!(pace.amounts().threshold, pace.floor);
        }
    }
}
