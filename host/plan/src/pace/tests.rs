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
    Pace::new(Sectors(128), &grant, None)
}

/// Disks that nothing is too much for.
impl Pace {
    fn look(&mut self, counters: IoCounters) -> Amounts {
        let before = self.reached.map(|(reached, _)| reached);
        let before = before.unwrap_or(Reached {
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
    assert_eq!((large.amounts().threshold, large.amounts().batch), (16, 4));
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
        let now = pace.amounts().threshold;
        // A piece that was nearly copied before is not counted.
        assert!(
            now <= most && now + 1 >= most - most / 16,
            "{now} at {regions} regions a second"
        );
    }
    // Woken at once, it knows no more than before.
    reached.at += Duration::from_millis(1);
    pace.hear(at, reached);
    assert_eq!(pace.amounts().threshold, 16);
}

/// Whole regions that a guest writes come from no LUN.
#[test]
fn i2_what_the_guest_writes_itself_does_not_count_as_the_luns_speed() {
    let (mut pace, mut at) = (pace(None, None), IoCounters::default());
    let mut reached = Reached {
        regions: 0,
        at: Duration::ZERO,
    };
    for _ in 0..40 {
        reached = copied(reached, 2048);
        // All but 64 regions of 64 KiB.
        at.written.0 += (2048 - 64) * 128;
        pace.hear(second(&mut at, 2048, 100), reached);
        assert_eq!(pace.amounts().threshold, pace.floor);
    }
}

#[test]
fn looks_are_short_while_more_is_tried_and_nobody_works() {
    let (mut pace, mut at) = (pace(None, None), IoCounters::default());
    let mut looks: Vec<_> = (0..5)
        .map(|_| {
            pace.look(at);
            pace.next_look()
        })
        .collect();
    assert_eq!(looks.pop(), Some(LOOK), "at the ceiling");
    assert!(looks.iter().all(|look| *look == RAMP_LOOK), "{looks:?}");
    for _ in 0..3 {
        pace.look(second(&mut at, 100, 500));
        assert_eq!(pace.next_look(), LOOK);
    }
    // Woken before the second is over, it judges nothing.
    let before = pace.clone();
    let (reached, _) = pace.reached.unwrap();
    let at_once = Reached {
        at: reached.at + RAMP_LOOK / 2,
        ..reached
    };
    at.in_flight = 3;
    pace.hear(at, at_once);
    assert_eq!(pace, before);
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
            let written = Sectors(busy_us);
            let set = pace.look(IoCounters { done, busy_us, in_flight, written });
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
        prop_assert_eq!(pace.amounts().threshold, pace.ceiling.threshold);
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
