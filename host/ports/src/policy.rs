//! The policy chain, and the log of its decisions.

use volward_model::{CopyFate, DecisionRecord, Facts, Outcome, VolumeId};

use super::PortResult;

/// Conversation with the policies. A fault is an outcome, not an error.
pub trait Policy: Send + Sync {
    /// Asks every policy, the baseline first, with a fresh instance each.
    fn attach(&self, facts: &Facts) -> DecisionRecord;

    /// Asks for the fate of each copy; `granted` is what its grant named. Cannot refuse.
    fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord;
}

/// The decision log.
pub trait Decisions: Send + Sync {
    /// Appends a decision with what came of it.
    ///
    /// # Errors
    /// If it cannot be written.
    fn record(&self, decision: &DecisionRecord, outcome: &Outcome) -> PortResult<()>;
}
