//! The daemon and its node in a few words: what one pastes into a ticket. Nothing is looked at that may hang.

use axum::Json;
use axum::extract::State;
use volward_api::StatusReply;
use volward_model::AttachmentState;

use super::handler::{Shared, at_once};
use super::problem::Failure;
use crate::doctor::known;
use crate::wiring::Daemon;

pub(super) async fn status(State(daemon): State<Shared>) -> Result<Json<StatusReply>, Failure> {
    at_once(|| of(&daemon))
}

/// As it is at this moment.
pub(crate) fn of(daemon: &Daemon) -> StatusReply {
    let attachments = daemon.node.attachments();
    let quarantined = attachments
        .iter()
        .filter(|a| a.state == AttachmentState::Quarantined)
        .count();
    let pools = daemon.config.pool.iter();
    let with_reason = |(of, why): (String, String)| format!("{of}: {why}");
    let sentence = |(_, sentence): (String, String)| sentence;
    StatusReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: daemon.node.settings().node.to_string(),
        quarantined: u64::try_from(quarantined).unwrap_or(u64::MAX),
        pools: pools.map(|p| p.name.to_string()).collect(),
        cut_off: known::cut_off(daemon)
            .into_iter()
            .map(with_reason)
            .collect(),
        unfinished: known::unfinished(daemon)
            .into_iter()
            .map(sentence)
            .collect(),
        leases: known::leases(daemon),
    }
}
