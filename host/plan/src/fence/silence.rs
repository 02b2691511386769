//! How long other nodes have not renewed their leases on a lockspace, and when sanlock lets go what they hold.
//!
//! It informs: whether a node is dead is sanlock's to say.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use volward_model::{Member, MemberState, Renewal};

/// sanlock's `WATCHDOG_FIRE_TIMEOUT`: how long after the failure of its lease a node's watchdog has reset it, at the latest.
const WATCHDOG_FIRES: Duration = Duration::from_secs(60);
/// I/O timeouts after which a node's lease has failed: sanlock's `calc_id_renewal_fail_seconds`.
const FAILED_AFTER: u32 = 8;
/// I/O timeouts without a renewal after which it is told of: three renewals are missed, and a node cuts its own
/// guests off.
const TOLD_AFTER: u32 = 6;

/// The renewals of a lockspace's members, followed from look to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewals {
    /// By host-id: the renewal, and when it was first seen (monotonic).
    seen: BTreeMap<u64, (Renewal, Duration)>,
}

/// A node that does not renew its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How long, at least: as long as this node has watched it.
    pub quiet: Duration,
    /// sanlock counts the node dead.
    pub dead: bool,
    /// Until sanlock lets go what the node holds, about; zero where it has.
    pub free_in: Duration,
}

impl Renewals {
    /// Takes note of what sanlock said at `now` (monotonic).
    pub fn hear(&mut self, now: Duration, members: &[Member]) {
        self.seen
            .retain(|host_id, _| members.iter().any(|m| m.host_id == *host_id));
        for member in members {
            let Some(renewal) = member.renewal else {
                continue;
            };
            let seen = self.seen.entry(member.host_id).or_insert((renewal, now));
            if seen.0 != renewal {
                *seen = (renewal, now);
            }
        }
    }

    /// How long the member has been silent, where that is worth telling. A member that left in good order is not
    /// silent, and neither is this node.
    #[must_use]
    pub fn silence(&self, now: Duration, member: &Member) -> Option<Silence> {
        if member.own || member.state == MemberState::Free {
            return None;
        }
        let (renewal, since) = self.seen.get(&member.host_id)?;
        let quiet = now.saturating_sub(*since);
        let io_timeout = Duration::from_secs(renewal.io_timeout_s.into());
        let dead = member.state == MemberState::Dead;
        if !dead && (io_timeout.is_zero() || quiet < io_timeout * TOLD_AFTER) {
            return None;
        }
        let lets_go = io_timeout * FAILED_AFTER + WATCHDOG_FIRES;
        let free_in = match dead {
            true => Duration::ZERO,
            false => lets_go.saturating_sub(quiet),
        };
        Some(Silence {
            quiet,
            dead,
            free_in,
        })
    }
}

impl Silence {
    /// How long, in milliseconds.
    #[must_use]
    pub fn quiet_ms(&self) -> u64 {
        u64::try_from(self.quiet.as_millis()).unwrap_or(u64::MAX)
    }

    /// When to ask again for what the node holds, in milliseconds: not at once also where it is due.
    #[must_use]
    pub fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.free_in.as_millis())
            .unwrap_or(u64::MAX)
            .max(2_000)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quiet = self.quiet.as_secs();
        if self.dead {
            return write!(
                f,
                "is dead: it has not renewed its lease for {quiet} s or longer"
            );
        }
        write!(f, "has not renewed its lease for {quiet} s; ")?;
        match self.free_in.as_secs() {
            0 => write!(
                f,
                "unless it comes back, sanlock lets go what it holds any moment"
            ),
            left => write!(
                f,
                "unless it comes back, sanlock lets go what it holds in about {left} s"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(state: MemberState, stamp: u64) -> Member {
        Member {
            host_id: 2,
            generation: 1,
            state,
            own: false,
            renewal: Some(Renewal {
                stamp,
                io_timeout_s: 10,
            }),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_renews_is_not_silent_and_who_stops_is_after_six_timeouts() {
        let mut renewals = Renewals::default();
        for second in 0..200 {
            let renewed = member(MemberState::Live, second / 20);
            renewals.hear(at(second), std::slice::from_ref(&renewed));
            assert_eq!(renewals.silence(at(second), &renewed), None, "{second}");
        }
        let stopped = member(MemberState::Live, 9);
        renewals.hear(at(200), std::slice::from_ref(&stopped));
        assert_eq!(renewals.silence(at(239), &stopped), None);
        let silence = renewals.silence(at(240), &stopped).unwrap();
        assert_eq!(
            silence.to_string(),
            "has not renewed its lease for 60 s; unless it comes back, sanlock lets go what it holds in about 80 s"
        );
        assert_eq!(silence.retry_after_ms(), 80_000);
        let failed = member(MemberState::Fail, 9);
        let silence = renewals.silence(at(400), &failed).unwrap();
        assert!(silence.to_string().ends_with("any moment"), "{silence}");
        assert_eq!(silence.retry_after_ms(), 2_000);
        let dead = member(MemberState::Dead, 9);
        let silence = renewals.silence(at(410), &dead).unwrap();
        assert_eq!(
            silence.to_string(),
            "is dead: it has not renewed its lease for 230 s or longer"
        );
    }

    #[test]
    fn a_node_that_came_back_left_in_order_or_is_this_one_is_not_silent() {
        let mut renewals = Renewals::default();
        let before = member(MemberState::Dead, 9);
        renewals.hear(at(0), std::slice::from_ref(&before));
        let back = member(MemberState::Live, 3);
        renewals.hear(at(300), std::slice::from_ref(&back));
        assert_eq!(renewals.silence(at(310), &back), None);
        let left = member(MemberState::Free, 3);
        assert_eq!(renewals.silence(at(900), &left), None);
        let own = Member { own: true, ..back };
        assert_eq!(renewals.silence(at(900), &own), None);
    }

    #[test]
    fn of_who_was_never_seen_or_does_not_tell_nothing_is_said() {
        let mut renewals = Renewals::default();
        let member = Member {
            renewal: None,
            ..member(MemberState::Dead, 0)
        };
        renewals.hear(at(0), std::slice::from_ref(&member));
        assert_eq!(renewals.silence(at(900), &member), None);
    }
}
