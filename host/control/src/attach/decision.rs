//! What policies said of an attach, and how it stands in the decision log.

use volward_model::{DecisionRecord, Outcome, Purpose, RequestId, Sharing};
use volward_plan::{AttachPlan, Grant, VolumeInput};

use super::{Attach, AttachContext, AttachRequest, volumes};
use crate::error::{ControlError, SilentNode, granted};
use crate::ports::{Event, PortError};

impl Attach {
    /// Before the first step: nobody has a volume of which the log does not say why.
    pub(super) fn put_on_record(&self, decision: &DecisionRecord) -> Result<(), ControlError> {
        let recorded = self.ports.decisions.record(decision, &Outcome::Begun);
        recorded.map_err(|error| ControlError::State { error })?;
        self.state.in_flight.on_record(decision.facts.request.id);
        Ok(())
    }

    /// Whether an instance that comes by a live migration may, where anything is to be begun for it. Its own
    /// decision is on record before the attach's, and has no part in how that ends.
    pub(super) fn may_come(
        &self,
        ask: &AttachRequest,
        look: &AttachContext,
        plan: &AttachPlan,
    ) -> Result<(), ControlError> {
        let nothing_new = plan.grants.iter().all(|grant| grant.already);
        if ask.purpose != Purpose::MigrationIn || nothing_new || starts(look, plan) {
            return Ok(());
        }
        let decision = self.ports.policy.migrate(&look.facts);
        if let Err(error) = granted(ask.request, &decision) {
            if !ask.dry_run {
                self.log(&decision, &error.outcome());
            }
            return Err(error);
        }
        if ask.dry_run {
            return Ok(());
        }
        let recorded = self.ports.decisions.record(&decision, &Outcome::Done);
        recorded.map_err(|error| ControlError::State { error })
    }

    /// What ends here began nothing, so it ends so also where the log cannot be written.
    pub(super) fn log(&self, decision: &DecisionRecord, outcome: &Outcome) {
        let request = decision.facts.request.id;
        match self.ports.decisions.record(decision, outcome) {
            Ok(()) => self.state.in_flight.on_record(request),
            Err(error) => self.tell_unrecorded("the decision", request, &error),
        }
    }

    pub(super) fn tell_unrecorded(&self, what: &str, request: RequestId, error: &PortError) {
        self.ports.events.tell(&Event::Unrecorded {
            what: format!("{what} of request {request}"),
            reason: error.to_string(),
        });
    }

    /// The attachments stand on the later decision, which is on record before the attach goes on; the
    /// earlier one ends.
    pub(super) fn replaces_the_decision(
        &self,
        ask: &AttachRequest,
        decision: &DecisionRecord,
    ) -> bool {
        let outcome = Outcome::Failed {
            message: "decided again under the lease".to_owned(),
        };
        if let Err(error) = self.ports.decisions.end(ask.request, &outcome) {
            self.tell_unrecorded("the outcome", ask.request, &error);
        }
        self.put_on_record(decision).is_ok()
    }
}

/// libvirt announces an offline migration like a live one, and its guest may start a moment later. Where no node shows the volumes
/// as this instance's and one of them will be this node's alone, nothing migrates: it is a start like any other.
fn starts(look: &AttachContext, plan: &AttachPlan) -> bool {
    let is_alone = |grant: &Grant| grant.sharing == Sharing::Exclusive;
    look.facts.peer.is_none() && plan.grants.iter().any(is_alone)
}

/// Of those that have a volume of the request, a node that does not renew its lease.
pub(super) fn silent_holder(look: &AttachContext) -> Option<SilentNode> {
    let mut others = volumes(look).flat_map(VolumeInput::settled_elsewhere);
    others.find_map(|other| {
        Some(SilentNode {
            node: other.attachment.node.clone(),
            silence: other.silence?,
        })
    })
}
