//! When a call gives way to others, and when it is over. Both are told by the processor time of its
//! thread: a node that is busy makes a policy late, and that is not the policy's fault. A bound by the
//! clock on the wall is behind that, for a thread that hardly gets a processor at all.

use std::time::Duration;

/// A decision takes some 30 us of processor time, so whoever has had this much is slow or hangs.
pub(crate) const SLOW: Duration = Duration::from_millis(15);
/// The wall bound is so many deadlines: a thread that has a twentieth of a processor is in time. With
/// nice 10 beside three other threads on its processor it has a thirtieth, after [`SLOW`] only.
const WALL_DEADLINES: u32 = 20;
/// And no less than this, whatever the deadline: a tenth of what libvirt's hook waits for an attach,
/// rounded.
const LEAST_WALL: Duration = Duration::from_secs(5);

/// The limits of one call in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    processor: Duration,
    wall: Duration,
    tick: Duration,
}

/// What a look at a call that still runs comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It ends now.
    Over,
    /// It goes on; it is looked at again after so many ticks.
    GoesOn { slow: bool, again: u64 },
}

impl Deadline {
    /// So many milliseconds of processor time, looked at once a tick at most.
    pub(crate) fn new(deadline_ms: u32, tick: Duration) -> Self {
        let processor = Duration::from_millis(deadline_ms.into());
        Self {
            processor,
            wall: (processor * WALL_DEADLINES).max(LEAST_WALL),
            tick,
        }
    }

    /// Looks at a call that has had this much of a processor, this long after its begin.
    pub(crate) fn look(&self, processor: Duration, wall: Duration) -> Look {
        let left = self.processor.saturating_sub(processor);
        let left = left.min(self.wall.saturating_sub(wall));
        if left.is_zero() {
            return Look::Over;
        }
        let slow = processor >= SLOW;
        // Processor time never passes faster than the clock, so nothing is due before.
        let next = if slow {
            left
        } else {
            left.min(SLOW - processor)
        };
        let again = next.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        Look::GoesOn {
            slow,
            again: u64::try_from(again).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn goes_on(slow: bool, again: u64) -> Look {
        Look::GoesOn { slow, again }
    }

    #[test]
    fn a_deadline_is_of_processor_time() {
        let deadline = Deadline::new(250, ms(5));
        assert_eq!(deadline.look(ms(0), ms(0)), goes_on(false, 3));
        // It waited for a processor for two seconds.
        assert_eq!(deadline.look(ms(14), ms(2_000)), goes_on(false, 1));
        assert_eq!(deadline.look(ms(15), ms(2_000)), goes_on(true, 47));
        assert_eq!(deadline.look(ms(249), ms(4_000)), goes_on(true, 1));
        assert_eq!(deadline.look(ms(250), ms(250)), Look::Over);
    }

    #[test]
    fn what_gets_no_processor_ends_by_the_clock() {
        let deadline = Deadline::new(250, ms(5));
        assert_eq!(deadline.look(ms(1), ms(4_996)), goes_on(false, 1));
        assert_eq!(deadline.look(ms(1), ms(5_000)), Look::Over);
        // A short deadline has its seconds too, a long one more of them.
        assert_ne!(Deadline::new(1, ms(5)).look(ms(0), ms(4_999)), Look::Over);
        assert_ne!(
            Deadline::new(2_000, ms(5)).look(ms(0), ms(39_999)),
            Look::Over
        );
    }

    #[test]
    fn a_deadline_of_nothing_is_over_and_a_tick_of_nothing_is_no_division_by_it() {
        assert_eq!(Deadline::new(0, ms(5)).look(ms(0), ms(0)), Look::Over);
        let deadline = Deadline::new(1, Duration::ZERO);
        assert_eq!(deadline.look(ms(0), ms(0)), goes_on(false, 1_000_000));
    }
}
