//! When a lease counts as lost: what the lease provider says of a pool's lockspace on this node, and
//! since when it says nothing.
//!
//! A lockspace that is listed as joined need not be alive: a node whose LUN hung long enough never
//! renews again and goes on listing its lockspace and its leases. What tells is the last renewal that
//! succeeded. The other nodes may take this node's leases when it lies `expires_after` back, so its
//! attachments are to be cut off before that (I2).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volward_model::{HeldLease, LeaseMode, LvUuid};

mod give_back;
mod silence;

pub use give_back::GiveBack;
pub use silence::{Renewals, Silence};

/// What the lease provider said of one pool, when it was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This node is in the lockspace.
    Joined {
        /// Time since the last renewal that succeeded.
        renewed_ago: Duration,
        /// After so long without one the other nodes may take this node's leases.
        expires_after: Duration,
        /// The lockspace generation: another one means that this node left and joined again. `None`
        /// where the provider does not tell.
        generation: Option<u64>,
        /// The LV leases this node holds.
        held: BTreeMap<LvUuid, HeldLease>,
        /// The provider was told to leave the lockspace, and does so once nothing is held in it.
        leaving: bool,
    },
    /// This node is not in the lockspace.
    NotJoined,
    /// The provider has given the lockspace up on this node, and does not leave it yet.
    GivenUp,
    /// The provider did not answer; the reason is a sentence.
    Silent {
        /// Why.
        reason: String,
    },
}

/// What it means for the leases of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// Renewed as it should be.
    Sound,
    /// Renewed, and to be left: what is held stays held, and nothing else can be had.
    Leaving,
    /// A renewal is overdue; attachments are cut off in `cut_in`, unless it comes.
    Late {
        /// Time since the last renewal that succeeded.
        ago: Duration,
        /// Time until attachments are cut off.
        cut_in: Duration,
    },
    /// All leases of the pool may be had by other nodes, now or before long.
    Lost {
        /// A sentence.
        reason: String,
        /// The same leases may be sound again: this node has not left the lockspace.
        regainable: bool,
    },
}

/// One pool's lockspace, followed from look to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseWatch {
    /// On the monotonic clock; `None` as long as no answer named one.
    renewed_at: Option<Duration>,
    expires_after: Duration,
    generation: Option<u64>,
    /// At the last look at which all was sound.
    held: BTreeMap<LvUuid, HeldLease>,
    /// On the monotonic clock: the first look without an answer, where none came before it either.
    unheard_since: Option<Duration>,
    /// The provider has given the lockspace up.
    given_up: bool,
    /// The provider was told to leave the lockspace.
    leaving: bool,
    /// Looks in a row at which the node was not in the lockspace.
    not_joined: u8,
    /// LVs whose lease the look before missed too.
    missed: BTreeSet<LvUuid>,
    why_silent: Option<String>,
}

/// Looks in a row that have to agree: a lease on its way from one mode to the other is in neither
/// list for a moment.
const LOOKS: u8 = 2;
/// After what time other nodes may take the leases, where nobody has said so: 8 of the 10 s that sanlock has as its I/O
/// timeout unless it is told otherwise.
const UNTOLD: Duration = Duration::from_secs(80);

impl LeaseWatch {
    /// Takes note of an answer that came at `now` (monotonic), and says what it means.
    pub fn hear(&mut self, now: Duration, said: &Said) -> Standing {
        match said {
            Said::Joined {
                renewed_ago,
                expires_after,
                generation,
                held,
                leaving,
            } => {
                self.not_joined = 0;
                self.given_up = false;
                self.leaving = *leaving;
                self.why_silent = None;
                self.unheard_since = None;
                self.expires_after = *expires_after;
                self.renewed_at = Some(now.saturating_sub(*renewed_ago));
                let before = self.generation;
                self.generation = *generation;
                if let (Some(before), Some(after)) = (before, *generation)
                    && before != after
                {
                    self.held.clone_from(held);
                    return Standing::Lost {
                        reason: format!(
                            "this node left the lockspace and joined it again (generation {before}, \
                             now {after}): its leases were given up"
                        ),
                        regainable: false,
                    };
                }
                let standing = self.standing(now);
                if matches!(standing, Standing::Sound | Standing::Leaving) {
                    self.held.clone_from(held);
                }
                standing
            }
            Said::GivenUp => {
                self.given_up = true;
                self.standing(now)
            }
            Said::NotJoined => {
                self.not_joined = self.not_joined.saturating_add(1);
                self.standing(now)
            }
            Said::Silent { reason } => {
                self.why_silent = Some(reason.clone());
                self.unheard_since.get_or_insert(now);
                self.standing(now)
            }
        }
    }

    /// What is known means this at `now`, if no answer came since.
    #[must_use]
    pub fn standing(&self, now: Duration) -> Standing {
        if self.given_up && self.not_joined < LOOKS {
            return Standing::Lost {
                reason:
                    "sanlock has given up the pool's lockspace on this node, whose leases were lost"
                        .to_owned(),
                regainable: false,
            };
        }
        // Also of a daemon that was started a moment ago: what earlier ones attached has no lease then.
        if self.not_joined >= LOOKS {
            let any_more = match self.renewed_at {
                Some(_) => " any more",
                None => "",
            };
            return Standing::Lost {
                reason: format!("this node is not in the pool's lockspace{any_more}"),
                regainable: false,
            };
        }
        let Some(renewed_at) = self.renewed_at else {
            return self.unheard(now);
        };
        let ago = now.saturating_sub(renewed_at);
        let cut_after = cut_after(self.expires_after);
        if ago >= cut_after {
            let why = self.why_silent.as_ref();
            return Standing::Lost {
                reason: format!(
                    "the lockspace was last renewed {} s ago{}; {} s after a renewal other nodes may \
                     take its leases",
                    ago.as_secs(),
                    why.map_or(String::new(), |why| format!(" ({why})")),
                    self.expires_after.as_secs()
                ),
                regainable: true,
            };
        }
        if ago >= self.expires_after / 2 {
            return Standing::Late {
                ago,
                cut_in: cut_after.saturating_sub(ago),
            };
        }
        match self.leaving {
            true => Standing::Leaving,
            false => Standing::Sound,
        }
    }

    /// Nothing was ever heard of the lockspace: by a daemon that was started after sanlock had died, above all. When
    /// the last renewal was nobody knows; it is taken to be when the daemon looked first.
    fn unheard(&self, now: Duration) -> Standing {
        let Some(since) = self.unheard_since else {
            return Standing::Unknown;
        };
        let ago = now.saturating_sub(since);
        if ago < cut_after(UNTOLD) {
            return Standing::Unknown;
        }
        let why = self.why_silent.as_ref();
        Standing::Lost {
            reason: format!(
                "nothing is known of the lockspace for {} s{}, and other nodes may take its leases",
                ago.as_secs(),
                why.map_or(String::new(), |why| format!(" ({why})"))
            ),
            regainable: true,
        }
    }

    /// Of these LVs and the modes that their attachments need, the ones whose lease is missing from
    /// `held` now and was at the look before.
    pub fn missing(
        &mut self,
        held: &BTreeMap<LvUuid, HeldLease>,
        needed: impl IntoIterator<Item = (LvUuid, LeaseMode)>,
    ) -> BTreeSet<LvUuid> {
        let is_held = |lv: &LvUuid, mode: LeaseMode| held.get(lv).is_some_and(|l| l.mode >= mode);
        let missing: BTreeSet<LvUuid> = needed
            .into_iter()
            .filter(|(lv, mode)| !is_held(lv, *mode))
            .map(|(lv, _)| lv)
            .collect();
        let twice = missing.intersection(&self.missed).copied().collect();
        self.missed = missing;
        twice
    }

    /// The lease of that LV at the last look at which all was sound.
    #[must_use]
    pub fn lease(&self, lv: LvUuid) -> Option<HeldLease> {
        self.held.get(&lv).copied()
    }
}

/// How long after the last renewal attachments are cut off: three quarters of the time after which
/// others may take the leases. With sanlock's 8 I/O timeouts that is 6, when sanlock itself begins
/// to warn; it renews every 2, so two renewals in a row have failed.
fn cut_after(expires_after: Duration) -> Duration {
    expires_after * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRES: Duration = Duration::from_secs(80);

    fn lv(letter: &str) -> LvUuid {
        letter.repeat(32).parse().unwrap()
    }

    fn lease(mode: LeaseMode) -> HeldLease {
        HeldLease {
            mode,
            version: 1,
            orphan: false,
        }
    }

    fn joined(renewed_ago: u64, generation: u64) -> Said {
        Said::Joined {
            renewed_ago: Duration::from_secs(renewed_ago),
            expires_after: EXPIRES,
            generation: Some(generation),
            held: BTreeMap::from([(lv("a"), lease(LeaseMode::Exclusive))]),
            leaving: false,
        }
    }

    /// Somebody has typed `sanlock client rem_lockspace`.
    fn to_be_left(renewed_ago: u64) -> Said {
        let mut said = joined(renewed_ago, 1);
        if let Said::Joined { leaving, .. } = &mut said {
            *leaving = true;
        }
        said
    }

    fn silent() -> Said {
        Said::Silent {
            reason: "no sanlock".to_owned(),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn lost(standing: &Standing) -> Option<bool> {
        match standing {
            Standing::Lost { regainable, .. } => Some(*regainable),
            _ => None,
        }
    }

    #[test]
    fn i2_an_overdue_renewal_is_late_and_then_lost_before_others_may_take_the_leases() {
        let mut watch = LeaseWatch::default();
        assert_eq!(watch.standing(at(0)), Standing::Unknown);
        assert_eq!(watch.hear(at(0), &joined(20, 1)), Standing::Sound);
        let late = Standing::Late {
            ago: Duration::from_secs(45),
            cut_in: Duration::from_secs(15),
        };
        assert_eq!(watch.hear(at(25), &joined(45, 1)), late);
        assert_eq!(lost(&watch.hear(at(40), &joined(60, 1))), Some(true));
        assert!(cut_after(EXPIRES) < EXPIRES);
        // It is renewed again.
        assert_eq!(watch.hear(at(50), &joined(1, 1)), Standing::Sound);
    }

    #[test]
    fn i2_a_provider_that_is_silent_does_not_stop_the_clock() {
        let mut watch = LeaseWatch::default();
        assert_eq!(watch.hear(at(0), &silent()), Standing::Unknown);
        assert_eq!(watch.hear(at(59), &silent()), Standing::Unknown);
        assert_eq!(lost(&watch.hear(at(60), &silent())), Some(true));
        watch.hear(at(0), &joined(0, 1));
        assert_eq!(watch.hear(at(39), &silent()), Standing::Sound);
        assert_eq!(lost(&watch.hear(at(60), &silent())), Some(true));
        let Standing::Lost { reason, .. } = watch.standing(at(61)) else {
            panic!("not lost");
        };
        assert!(
            reason.contains("61 s ago") && reason.contains("no sanlock"),
            "{reason}"
        );
    }

    /// Nobody else can have a lease before this node has let go of it.
    #[test]
    fn i2_a_lockspace_that_is_to_be_left_is_lost_only_when_it_is_not_renewed() {
        let mut watch = LeaseWatch::default();
        watch.hear(at(0), &joined(0, 1));
        assert_eq!(watch.hear(at(1), &to_be_left(0)), Standing::Leaving);
        assert_eq!(watch.standing(at(2)), Standing::Leaving);
        let needed = [(lv("a"), LeaseMode::Exclusive)];
        let Said::Joined { held, .. } = to_be_left(0) else {
            unreachable!()
        };
        assert!(watch.missing(&held, needed).is_empty());
        assert_eq!(lost(&watch.hear(at(70), &to_be_left(69))), Some(true));
        assert_eq!(watch.hear(at(71), &joined(0, 1)), Standing::Sound);
    }

    /// As long as some process has a lease, sanlock renews what it has given up.
    #[test]
    fn i2_a_lockspace_that_was_given_up_is_lost_however_fresh_it_is() {
        let mut watch = LeaseWatch::default();
        watch.hear(at(0), &joined(0, 1));
        assert_eq!(lost(&watch.hear(at(1), &Said::GivenUp)), Some(false));
        assert_eq!(lost(&watch.standing(at(2))), Some(false));
        watch.hear(at(3), &Said::NotJoined);
        assert_eq!(lost(&watch.hear(at(4), &Said::NotJoined)), Some(false));
        // Another join of it.
        assert_eq!(lost(&watch.hear(at(9), &joined(0, 2))), Some(false));
        assert_eq!(watch.hear(at(10), &joined(0, 2)), Standing::Sound);
    }

    #[test]
    fn i2_a_new_generation_and_a_lockspace_that_was_left_are_lost_for_good() {
        let mut watch = LeaseWatch::default();
        watch.hear(at(0), &joined(0, 1));
        assert_eq!(lost(&watch.hear(at(1), &joined(0, 2))), Some(false));
        // What is attached from then on is so under the new one.
        assert_eq!(watch.hear(at(2), &joined(0, 2)), Standing::Sound);
        assert_eq!(watch.hear(at(3), &Said::NotJoined), Standing::Sound);
        assert_eq!(lost(&watch.hear(at(4), &Said::NotJoined)), Some(false));
        // Joined again, and never seen apart: the generation tells.
        assert_eq!(lost(&watch.hear(at(5), &joined(0, 3))), Some(false));
    }

    #[test]
    fn i2_a_daemon_that_finds_no_lockspace_at_its_start_takes_the_leases_for_lost() {
        let mut watch = LeaseWatch::default();
        assert_eq!(watch.hear(at(0), &Said::NotJoined), Standing::Unknown);
        assert_eq!(lost(&watch.hear(at(1), &Said::NotJoined)), Some(false));
        // As after a boot.
        assert_eq!(watch.hear(at(2), &joined(0, 1)), Standing::Sound);
    }

    #[test]
    fn i2_a_lease_that_is_missing_twice_is_lost() {
        let mut watch = LeaseWatch::default();
        let needed = [
            (lv("a"), LeaseMode::Exclusive),
            (lv("b"), LeaseMode::Shared),
        ];
        let held = BTreeMap::from([(lv("a"), lease(LeaseMode::Shared))]);
        assert!(watch.missing(&held, needed).is_empty());
        assert_eq!(watch.missing(&held, needed), [lv("a"), lv("b")].into());
        let held = BTreeMap::from([
            (lv("a"), lease(LeaseMode::Exclusive)),
            (lv("b"), lease(LeaseMode::Exclusive)),
        ]);
        assert!(watch.missing(&held, needed).is_empty());
        assert!(watch.missing(&BTreeMap::new(), needed).is_empty());
    }
}
