//! Refusals of the matrix of permitted operations.

use super::{Refusal, RefusalCode};
use crate::permit::{Action, CallerKind, NodeRole, callers};

impl Refusal {
    /// No node does that for this kind of caller.
    pub(crate) fn caller_may_not(action: Action, caller: CallerKind) -> Self {
        let may: Vec<String> = callers(action).iter().map(ToString::to_string).collect();
        let message = format!(
            "{caller} may not {action}, only {} may; `volward doctor` lists who may do what",
            may.join(", ")
        );
        Self::general(RefusalCode::CallerMayNot, message)
    }

    /// This node lacks the role for it.
    pub(crate) fn not_of_role(action: Action, role: NodeRole) -> Self {
        let (code, role) = match role {
            NodeRole::Control => (RefusalCode::NotControl, "control"),
            NodeRole::Compute => (RefusalCode::NotCompute, "compute"),
        };
        let message = format!(
            "this node does not {action}, because `roles` of its /etc/volward/volward.toml does not name \
             {role}; ask a node that is {role}"
        );
        Self::general(code, message)
    }
}
