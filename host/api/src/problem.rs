//! How the daemon says no.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::words::Open;

/// The body of every reply that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct Problem {
    /// The kind of failure, for programs: each has one HTTP status and one exit code.
    pub kind: Open<ProblemCode>,
    /// The exact reason, for programs: a refusal's code (`home-elsewhere`) or a policy's own.
    pub code: String,
    /// One sentence for people: what is wrong, where, what to do.
    pub message: String,
    /// More of it, a line each: the other reasons, what a command printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Asking again makes sense after so many milliseconds; absent: not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The request, for `volward explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Problem {
    /// The HTTP status it travels under; 500 for a kind that this version does not know.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.kind.known().map_or(500, ProblemCode::http_status)
    }
}

/// Kinds of failures; each has one HTTP status and one exit code of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The request itself makes no sense (400).
    BadRequest,
    /// The caller may not ask this (403).
    Forbidden,
    /// No such pool, volume, instance or request (404).
    NotFound,
    /// At least one policy refused the request (403).
    Denied,
    /// An invariant refused: held elsewhere, data elsewhere, no watchdog (409).
    Refused,
    /// A policy broke, so nobody can say it is allowed (503).
    Faulted,
    /// Storage failed or was too slow; what was begun has been undone (502).
    Storage,
    /// Storage failed and could not be undone: somebody has to look (500).
    Quarantined,
    /// The daemon itself failed, its disk full for instance (500).
    Internal,
}

impl ProblemCode {
    /// The HTTP status it travels under.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden | Self::Denied => 403,
            Self::NotFound => 404,
            Self::Refused => 409,
            Self::Quarantined | Self::Internal => 500,
            Self::Storage => 502,
            Self::Faulted => 503,
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BadRequest => "bad request",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Faulted => "policy fault",
            Self::Storage => "storage failure",
            Self::Quarantined => "quarantined",
            Self::Internal => "internal failure",
        })
    }
}
