//! A pool whose leases are followed.

use std::time::Duration;

use volward_plan::fence::{LeaseWatch, Renewals};

/// What is known of a pool's lockspace from look to look.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    pub watch: LeaseWatch,
    /// The members' renewals.
    pub renewals: Renewals,
    /// When the members were last asked for, monotonic.
    pub members_at: Option<Duration>,
    /// A question is under way: one that hangs is not asked beside it.
    pub asking: bool,
    /// The lockspace generation under which other nodes were shown, after a loss, what this one still has.
    pub shown: Option<u64>,
    /// Since when all was sound at each look, monotonic; `None` while it is not.
    pub sound_since: Option<Duration>,
    /// What was told last, so that each change is told once.
    pub told: Option<&'static str>,
}
