//! The policies: what they are, and how they are exchanged.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{
    FaultView, Open, PolicyLevel, PolicyState, PolicyView, ProblemCode, RollbackRequest, Words,
};
use volward_policy::{Level, Meant, PluginState, PluginStatus, RollbackError, SeenFault};

use super::Peer;
use super::handler::{Shared, blocking};
use super::problem::{Failure, plain};
use crate::policies::LoadUnderWay;

pub(super) async fn list(State(daemon): State<Shared>) -> Result<Json<Vec<PolicyView>>, Failure> {
    blocking(move || Ok(views(daemon.policies.status()))).await
}

pub(super) async fn load(State(daemon): State<Shared>) -> Result<Json<Vec<PolicyView>>, Failure> {
    blocking(move || {
        let loaded = daemon.policies.load_now();
        loaded.map_err(|LoadUnderWay| {
            let message = LoadUnderWay::MESSAGE.to_owned();
            plain(ProblemCode::Faulted, "load-under-way", message)
        })?;
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
            Some(rolled_back(
                &policy.name,
                &policy.digest,
                &from,
                &differing(&policy.meant),
            )),
        ),
        PluginState::Refused { reason } => (PolicyState::Refused, Some(reason)),
        PluginState::Waiting { reason, .. } => (PolicyState::Waiting, Some(reason)),
        PluginState::Off => (PolicyState::Off, None),
    };
    let (folder_digest, folder_differs) = policy
        .meant
        .map(|meant| (meant.digest, meant.differs))
        .unzip();
    PolicyView {
        folder_digest,
        folder_differs: folder_differs.unwrap_or_default(),
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

/// Keys of the configuration in the folder whose values are not those that serve.
pub(crate) fn differing(meant: &Option<Meant>) -> String {
    let keys = meant.as_ref().map(|meant| meant.differs.join(", "));
    keys.unwrap_or_default()
}

/// What to know about the version in the folder: its component is `from`, what serves is `serves`,
/// and the values of the keys in `differs` are others.
pub(crate) fn rolled_back(policy: &str, serves: &str, from: &str, differs: &str) -> String {
    let short = |digest: &str| digest.chars().take(12).collect::<String>();
    let settings = if differs.is_empty() {
        String::new()
    } else {
        format!(" with other settings ({differs})")
    };
    let left = if from == serves {
        format!("the settings that are in the folder ({differs}; the component is the same)")
    } else {
        format!("{}, which is in the folder", short(from))
    };
    let serves = short(serves);
    format!(
        "an operator went back from {left}, to {serves}{settings}, at the level that the folder \
         names: change its files, or let that serve again with \
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
        let same = rolled_back("names", "0123456789abcdef", "0123456789abcdef", "prefix");
        assert!(
            same.contains("the settings that are in the folder (prefix;"),
            "{same}"
        );
        let other = rolled_back("names", "ffff", "0123456789abcdef", "");
        assert!(other.contains("from 0123456789ab, which"), "{other}");
        assert!(other.contains("to ffff, at the level"), "{other}");
        assert!(other.contains("rollback names --undo"), "{other}");
    }
}
