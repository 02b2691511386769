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

use crate::refusal::HostIdTaken;

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
    NotJoined {
        /// Who has its place there, where that is another node.
        taken: Option<HostIdTaken>,
    },
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
    /// Who had its place, at the last of them.
    taken: Option<HostIdTaken>,
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
            Said::NotJoined { taken } => {
                self.not_joined = self.not_joined.saturating_add(1);
                self.taken.clone_from(taken);
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
            let because = match &self.taken {
                Some(taken) => format!(": {taken}"),
                None => String::new(),
            };
            return Standing::Lost {
                reason: format!("this node is not in the pool's lockspace{any_more}{because}"),
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
mod tests;
