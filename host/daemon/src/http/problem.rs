//! From `control`'s errors to what travels.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use volward_api::{Problem, ProblemCode};
use volward_control::ControlError;
use volward_control::ports::PortError;
use volward_model::{Denial, RequestId};
use volward_plan::Refusal;

/// A problem as an axum reply.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        Self(problem(&error))
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let message = error.to_string();
        Self(match error {
            PortError::Unmet(unmet) => {
                let code = Refusal::from(unmet).code;
                plain(ProblemCode::Refused, code.as_str(), message)
            }
            _ => plain(ProblemCode::Storage, "storage", message),
        })
    }
}

impl Failure {
    /// Of what no record is kept: `explain` would know nothing of it.
    pub(super) fn without_record(error: ControlError) -> Self {
        Self(Problem {
            request: None,
            ..problem(&error)
        })
    }
}

/// A problem of one sentence.
pub(crate) fn plain(kind: ProblemCode, code: &str, message: String) -> Problem {
    Problem {
        kind: kind.into(),
        code: code.to_owned(),
        message,
        details: Vec::new(),
        retry_after_ms: None,
        request: None,
    }
}

fn problem(error: &ControlError) -> Problem {
    let message = error.to_string();
    let about = |kind, code: &str, request: &RequestId| Problem {
        request: Some(request.to_string()),
        ..plain(kind, code, message.clone())
    };
    match error {
        ControlError::NotFound(_) => plain(ProblemCode::NotFound, "not-found", message),
        ControlError::Denied {
            request,
            denials,
            silent,
        } => {
            let first = denials.first().map(|(_, d)| d);
            let code = first.map_or("denied", |d| d.code.as_str());
            let asked_for = first.and_then(|d| d.retry_after_ms).map(u64::from);
            let free_in = silent.as_ref().map(|s| s.silence.retry_after_ms());
            Problem {
                details: who_denied(denials),
                retry_after_ms: asked_for.or(free_in),
                ..about(ProblemCode::Denied, code, request)
            }
        }
        ControlError::Faulted { request, faults } => Problem {
            details: faults
                .iter()
                .map(|(p, f)| format!("policy {p}: {}: {}", f.kind, f.message))
                .collect(),
            ..about(ProblemCode::Faulted, "policy-fault", request)
        },
        ControlError::Refused { request, refusal } => Problem {
            retry_after_ms: refusal.retry_after_ms,
            ..about(ProblemCode::Refused, refusal.code.as_str(), request)
        },
        ControlError::Storage { request, error, .. } => Problem {
            details: command_output(error),
            ..about(ProblemCode::Storage, "storage", request)
        },
        ControlError::Owed { request, causes } => Problem {
            details: causes.clone(),
            ..about(ProblemCode::Storage, "trying-again", request)
        },
        ControlError::Unfinished { .. } => Problem {
            retry_after_ms: Some(5_000),
            ..plain(ProblemCode::Refused, "busy", message)
        },
        ControlError::Quarantined { request, causes } => Problem {
            details: causes.clone(),
            ..about(ProblemCode::Quarantined, "quarantined", request)
        },
        ControlError::State { .. } => plain(ProblemCode::Internal, "state", message),
        ControlError::Cancelled { request } => about(ProblemCode::Refused, "called-off", request),
        ControlError::Waiting { .. } => Problem {
            retry_after_ms: Some(2_000),
            ..plain(ProblemCode::Refused, "busy", message)
        },
    }
}

/// The first one's sentence is the problem's message already.
fn who_denied(denials: &[(String, Denial)]) -> Vec<String> {
    let mut denials = denials.iter();
    let first = denials.next().map(|(p, _)| format!("says policy {p}"));
    let others = denials.map(|(p, d)| format!("policy {p}: {d}"));
    first.into_iter().chain(others).collect()
}

/// What a failed command printed: for whoever is on call.
fn command_output(error: &PortError) -> Vec<String> {
    match error {
        PortError::Command { stdout, stderr, .. } => stderr
            .lines()
            .chain(stdout.lines())
            .map(str::to_owned)
            .take(20)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_control::ports::Unmet;

    #[test]
    fn what_an_operator_has_to_put_right_is_refused_with_its_code_and_sentence() {
        let pool = "vg0".parse().unwrap();
        let Failure(said) = PortError::Unmet(Unmet::NotJoined { pool, taken: None }).into();
        assert_eq!(
            (said.kind.known(), said.code.as_str()),
            (Some(ProblemCode::Refused), "not-joined")
        );
        assert!(
            said.message.contains("vgchange --lock-start vg0"),
            "{said:?}"
        );
    }

    #[test]
    fn of_several_denials_each_is_said_once_and_with_its_policy() {
        let denial = |code: &str, message: &str| Denial {
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        };
        let said = problem(&ControlError::Denied {
            request: RequestId(uuid::Uuid::nil()),
            denials: vec![
                ("names".into(), denial("name-refused", "not this name")),
                ("hours".into(), denial("too-late", "not at night")),
            ],
            silent: None,
        });
        assert_eq!(said.code, "name-refused");
        assert_eq!(said.message, "not this name");
        let details = ["says policy names", "policy hours: not at night (too-late)"];
        assert_eq!(said.details, details);
    }
}
