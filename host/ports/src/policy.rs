//! The policy chain, and the log of its decisions.

use volward_model::{CopyFate, DecisionRecord, Facts, Outcome, RequestId, VolumeId};

use super::PortResult;

/// Conversation with the policies. A fault is an outcome, not an error.
pub trait Policy: Send + Sync {
    /// Asks every policy, the baseline first, with a fresh instance each.
    fn attach(&self, facts: &Facts) -> DecisionRecord;

    /// Asks whether an instance may come here by live migration; the answer narrows nothing.
    fn migrate(&self, facts: &Facts) -> DecisionRecord;

    /// Asks whether [`Facts::operation`] may be begun; the answer narrows nothing.
    fn operate(&self, facts: &Facts) -> DecisionRecord;

    /// Asks for the fate of each copy; `granted` is what its grant named. Cannot refuse.
    fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord;
}

/// The decision log.
pub trait Decisions: Send + Sync {
    /// Appends a decision with what came of it; [`Outcome::Begun`] where its steps are to follow.
    /// It is durable when this returns.
    ///
    /// # Errors
    /// If it cannot be written.
    fn record(&self, decision: &DecisionRecord, outcome: &Outcome) -> PortResult<()>;

    /// Appends how the request's latest decision ended, if that was begun and has not ended.
    ///
    /// # Errors
    /// If it cannot be written.
    fn end(&self, request: RequestId, outcome: &Outcome) -> PortResult<()>;
}
