//! How a use case fails.

use volward_model::{Denial, Fault, Outcome, RequestId};
use volward_plan::Refusal;

use crate::ports::PortError;

/// What the caller is told. Whatever was begun has been taken back, unless it says quarantined.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// No such pool or volume.
    #[error("{0}")]
    NotFound(String),
    /// A policy refused; all denials are there, the first leads.
    #[error("{}", denials.first().map_or("denied", |(_, d)| d.message.as_str()))]
    Denied {
        /// For `explain`.
        request: RequestId,
        /// Plugin and denial.
        denials: Vec<(String, Denial)>,
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
    /// Storage failed, and so did undoing.
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

impl ControlError {
    /// What a decision came to that ended so.
    pub(crate) fn outcome(&self) -> Outcome {
        let message = self.to_string();
        let code = match self {
            Self::Storage { .. } | Self::Quarantined { .. } | Self::State { .. } => {
                return Outcome::Failed { message };
            }
            Self::NotFound(_) => "not-found",
            Self::Denied { denials, .. } => denials
                .first()
                .map_or("denied", |(_, denial)| denial.code.as_str()),
            Self::Faulted { .. } => "policy-fault",
            Self::Refused { refusal, .. } => refusal.code.as_str(),
            Self::Cancelled { .. } => "called-off",
            Self::Waiting { .. } => "busy",
        };
        Outcome::Refused {
            code: code.to_owned(),
            message,
        }
    }
}
