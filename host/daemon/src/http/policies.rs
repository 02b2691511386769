//! The policies: what they are, and how they are exchanged.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{
    FaultView, Open, PolicyLevel, PolicyState, PolicyView, ProblemCode, RollbackRequest, Words,
};
use volward_policy::{Level, PluginState, PluginStatus, RollbackError, SeenFault};

use super::Peer;
use super::handler::{Shared, blocking};
use super::problem::{Failure, plain};

pub(super) async fn list(State(daemon): State<Shared>) -> Result<Json<Vec<PolicyView>>, Failure> {
    blocking(move || Ok(views(daemon.policies.status()))).await
}

pub(super) async fn load(State(daemon): State<Shared>) -> Result<Json<Vec<PolicyView>>, Failure> {
    blocking(move || {
        daemon.policies.load_now();
        Ok(views(daemon.policies.status()))
    })
    .await
}

/// Root's alone: an earlier version may allow what the present one does not.
pub(super) async fn rollback(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<RollbackRequest>,
) -> Result<Json<Vec<PolicyView>>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    blocking(move || {
        tracing::info!(
            policy = body.name, undo = body.undo, uid = caller.uid, origin = ?caller.origin,
            "policy rollback"
        );
        let done = daemon.policies.rollback(&body.name, body.undo);
        done.map_err(refused)?;
        Ok(views(daemon.policies.status()))
    })
    .await
}

fn refused(error: RollbackError) -> Failure {
    let (kind, code) = match &error {
        RollbackError::Unknown { .. } => (ProblemCode::NotFound, "not-found"),
        RollbackError::Baseline => (ProblemCode::BadRequest, "baseline"),
        RollbackError::NotServing { .. } => (ProblemCode::Refused, "not-serving"),
        RollbackError::NothingEarlier { .. } => (ProblemCode::Refused, "nothing-earlier"),
        RollbackError::NothingToUndo { .. } => (ProblemCode::Refused, "nothing-to-undo"),
        RollbackError::NoHistory | RollbackError::History(_) => (ProblemCode::Internal, "history"),
    };
    // With what caused it.
    let message = format!("{:#}", anyhow::Error::from(error));
    plain(kind, code, message).into()
}

fn views(all: Vec<PluginStatus>) -> Vec<PolicyView> {
    all.into_iter().map(view).collect()
}

fn view(policy: PluginStatus) -> PolicyView {
    let (state, reason) = match policy.state {
        PluginState::Serving => (PolicyState::Serving, None),
        PluginState::Kept { reason } => (PolicyState::LastGood, Some(reason)),
        PluginState::RolledBack { from } => (
            PolicyState::RolledBack,
            Some(rolled_back(&policy.name, &policy.digest, &from)),
        ),
        PluginState::Refused { reason } => (PolicyState::Refused, Some(reason)),
        PluginState::Off => (PolicyState::Off, None),
    };
    PolicyView {
        name: policy.name,
        digest: policy.digest,
        interface: policy.interface,
        level: level(policy.level).into(),
        state: state.into(),
        reason,
        hooks: words(&policy.hooks),
        granted: policy.counters.granted,
        denied: policy.counters.denied,
        faulted: policy.counters.faulted,
        p50_micros: policy.latency.map(|latency| latency.p50_micros),
        p99_micros: policy.latency.map(|latency| latency.p99_micros),
        faults: policy.faults.into_iter().map(fault).collect(),
    }
}

fn words<T: Words>(all: &[String]) -> Vec<Open<T>> {
    all.iter().map(|word| Open::of_word(word)).collect()
}

fn level(level: Level) -> PolicyLevel {
    match level {
        Level::Enforce => PolicyLevel::Enforce,
        Level::Monitor => PolicyLevel::Monitor,
        Level::Off => PolicyLevel::Off,
    }
}

/// What to know about the version in the folder: its component is `from`, what serves is `serves`.
pub(crate) fn rolled_back(policy: &str, serves: &str, from: &str) -> String {
    let left = if from == serves {
        "the settings that are in the folder (the component is the same)".to_owned()
    } else {
        let short: String = from.chars().take(12).collect();
        format!("{short}, which is in the folder")
    };
    format!(
        "an operator went back from {left}: change its files, or let that serve again with \
         `volward policy rollback {policy} --undo`"
    )
}

fn fault(seen: SeenFault) -> FaultView {
    FaultView {
        at_ms: seen.at_ms,
        request: seen.request.to_string(),
        hook: Open::of_word(&seen.hook),
        kind: seen.fault.kind.into(),
        message: seen.fault.message,
        backtrace: seen.fault.backtrace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_told_in_the_word_of_its_configuration() {
        for configured in [Level::Enforce, Level::Monitor, Level::Off] {
            assert_eq!(level(configured).word(), configured.to_string());
        }
    }

    #[test]
    fn what_was_left_behind_is_named() {
        let same = rolled_back("names", "0123456789abcdef", "0123456789abcdef");
        assert!(
            same.contains("the settings that are in the folder"),
            "{same}"
        );
        let other = rolled_back("names", "ffff", "0123456789abcdef");
        assert!(other.contains("from 0123456789ab, which"), "{other}");
        assert!(other.contains("rollback names --undo"), "{other}");
    }
}
