//! How a use case fails.

use volward_model::{
    Answer, Combined, DecisionRecord, Denial, Fault, NodeName, Outcome, RequestId,
};
use volward_plan::fence::Silence;
use volward_plan::{Refusal, RefusalCode};

use crate::ports::PortError;
use crate::state::Owed;

/// What the caller is told. Whatever was begun has been taken back, unless it says quarantined.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// No such pool or volume.
    #[error("{0}")]
    NotFound(String),
    /// A policy refused; all denials are there, the first leads.
    #[error("{}{}", denials.first().map_or("denied", |(_, d)| d.message.as_str()), of_silent(silent.as_ref()))]
    Denied {
        /// For `explain`.
        request: RequestId,
        /// Plugin and denial.
        denials: Vec<(String, Denial)>,
        /// A node that has a volume of the request and does not renew its lease.
        silent: Option<SilentNode>,
    },
    /// A policy broke, and none refused: nobody can say it is allowed.
    #[error("policy {} failed: {}", faults.first().map_or("?", |(p, _)| p.as_str()),
            faults.first().map_or("?", |(_, f)| f.message.as_str()))]
    Faulted {
        /// For `explain`.
        request: RequestId,
        /// Plugin and fault.
        faults: Vec<(String, Fault)>,
    },
    /// An invariant refused.
    #[error("{refusal}")]
    Refused {
        /// For `explain`.
        request: RequestId,
        /// Which.
        refusal: Refusal,
    },
    /// Storage failed; what was begun has been undone.
    #[error("{what}: {error}")]
    Storage {
        /// For `explain`.
        request: RequestId,
        /// What was being done.
        what: String,
        /// How it failed.
        #[source]
        error: PortError,
    },
    /// Storage failed, and so did undoing; that is tried again until it is done.
    #[error("{}; what was begun is being taken back, and that is tried again", causes.join("; then: "))]
    Owed {
        /// For `explain`.
        request: RequestId,
        /// The failure first, then the undo's.
        causes: Vec<String>,
    },
    /// An earlier request on the volume failed for now and is tried again; this one has tried it
    /// too, in vain.
    #[error("the {what} is not finished and is tried again ({cause}); ask again")]
    Unfinished {
        /// What is not finished: `detach of POOL/NAME from instance UUID`.
        what: String,
        /// The latest failure, a sentence.
        cause: String,
    },
    /// Storage failed, and undoing needs a person.
    #[error("{}", causes.join("; then: "))]
    Quarantined {
        /// For `explain`.
        request: RequestId,
        /// The failure first, then the undo's.
        causes: Vec<String>,
    },
    /// The node's own state cannot be written: nothing was begun.
    #[error("the state under /var/lib/volward cannot be written ({error}); free space there")]
    State {
        /// How.
        #[source]
        error: PortError,
    },
    /// Nobody waited any more; what was begun has been undone.
    #[error("called off: whoever asked for it has gone")]
    Cancelled {
        /// For `explain`.
        request: RequestId,
    },
    /// Another request on the same volume took too long.
    #[error("another request on {volume} has not ended after {seconds} s; ask again")]
    Waiting {
        /// Which.
        volume: String,
        /// How long this one waited.
        seconds: u64,
    },
}

/// With this code the baseline policy denies what somebody else has.
const IN_USE: &str = "in-use";

/// A node that does not renew its lease on a pool's lockspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentNode {
    /// Its name.
    pub node: NodeName,
    /// How long, and when what it holds is free.
    pub silence: Silence,
}

/// `; node n2 has not renewed ...`, or nothing.
fn of_silent(silent: Option<&SilentNode>) -> String {
    silent.map_or_else(String::new, |SilentNode { node, silence }| {
        format!("; node {node} {silence}")
    })
}

impl ControlError {
    /// With what is to be known of the node that stands in the way, and when to ask again.
    pub(crate) fn because_of(self, node: Option<SilentNode>) -> Self {
        let Some(node) = node else { return self };
        match self {
            // Of what is denied for another reason the node is no cause, and its end no way out.
            Self::Denied {
                request, denials, ..
            } if denials.first().is_some_and(|(_, d)| d.code == IN_USE) => Self::Denied {
                request,
                denials,
                silent: Some(node),
            },
            Self::Refused { request, refusal } if refusal.code == RefusalCode::HeldElsewhere => {
                let refusal = refusal.of_silent(&node.node, node.silence);
                Self::Refused { request, refusal }
            }
            other => other,
        }
    }

    /// What a decision came to that ended so.
    pub(crate) fn outcome(&self) -> Outcome {
        let message = self.to_string();
        let code = match self {
            Self::Storage { .. }
            | Self::Owed { .. }
            | Self::Quarantined { .. }
            | Self::State { .. } => {
                return Outcome::Failed { message };
            }
            Self::NotFound(_) => "not-found",
            Self::Denied { denials, .. } => denials
                .first()
                .map_or("denied", |(_, denial)| denial.code.as_str()),
            Self::Faulted { .. } => "policy-fault",
            Self::Refused { refusal, .. } => refusal.code.as_str(),
            Self::Cancelled { .. } => "called-off",
            Self::Waiting { .. } | Self::Unfinished { .. } => "busy",
        };
        Outcome::Refused {
            code: code.to_owned(),
            message,
        }
    }
}

/// What the policies grant together; of a hook that narrows nothing that they do.
pub(crate) fn granted(
    request: RequestId,
    decision: &DecisionRecord,
) -> Result<Answer, ControlError> {
    match &decision.combined {
        Combined::Granted(answer) => Ok(answer.clone()),
        Combined::Denied(denials) => Err(ControlError::Denied {
            request,
            denials: denials.clone(),
            silent: None,
        }),
        Combined::Faulted(faults) => Err(ControlError::Faulted {
            request,
            faults: faults.clone(),
        }),
        Combined::Advised(_) => Err(refuse(request, Refusal::no_attach_answer())),
    }
}

pub(crate) fn refuse(request: RequestId, refusal: Refusal) -> ControlError {
    ControlError::Refused { request, refusal }
}

/// Where an earlier request is not finished and tried again.
pub(crate) fn unfinished(owed: &Owed) -> ControlError {
    let operation = &owed.entry.operation;
    let of = operation
        .instance()
        .map_or_else(String::new, |instance| format!(", instance {instance}"));
    ControlError::Unfinished {
        what: format!("{} of {}{of}", operation.name(), owed.names()),
        cause: owed.causes.last().cloned().unwrap_or_default(),
    }
}

/// What a port said: a refusal if an operator has to put something right, else a failure.
pub(crate) fn storage(request: RequestId, what: &str, error: PortError) -> ControlError {
    match error {
        PortError::Unmet(unmet) => refuse(request, unmet.into()),
        error => ControlError::Storage {
            request,
            what: what.to_owned(),
            error,
        },
    }
}
