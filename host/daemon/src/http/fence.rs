//! Cutting attachments off, and giving them their I/O back.

use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{FenceReply, FenceRequest, UnfenceRequest};
use volward_control::SeenAttachment;
use volward_control::ports::StoredAttachment;
use volward_model::RequestId;

use super::Peer;
use super::handler::{Shared, blocking};
use super::problem::Failure;
use super::views::own_view;
use crate::wiring::Daemon;

/// Whoever asks is answered when all is cut off, or after so long with what is not: I/O in flight to
/// a path that hangs does not end.
const WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn fence(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<FenceRequest>,
) -> Result<Json<FenceReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    blocking(move || {
        tracing::warn!(
            instance = ?body.instance, volumes = body.volumes.len(), uid = caller.uid,
            origin = ?caller.origin, "fence"
        );
        let fenced = daemon.node.fence(body.instance, &body.volumes);
        for _ in 0..WAIT.as_millis() / LOOK.as_millis() {
            if all_cut(&daemon, &fenced) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(reply(&daemon, &fenced))
    })
    .await
}

pub(super) async fn unfence(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<UnfenceRequest>,
) -> Result<Json<FenceReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    blocking(move || {
        let request = RequestId(uuid::Uuid::new_v4());
        tracing::warn!(
            %request, instance = %body.instance, uid = caller.uid, origin = ?caller.origin, "unfence"
        );
        let given = daemon.node.unfence(request, body.instance);
        let given = given
            .inspect_err(|error| tracing::warn!(%request, %error, "unfence"))
            .map_err(Failure::without_record)?;
        let is_given = |a: &StoredAttachment| {
            a.instance == body.instance && given.iter().any(|volume| volume.id == a.volume.id)
        };
        let attachments = daemon.node.attachments();
        let given: Vec<StoredAttachment> = attachments.into_iter().filter(is_given).collect();
        Ok(reply(&daemon, &given))
    })
    .await
}

fn all_cut(daemon: &Daemon, attachments: &[StoredAttachment]) -> bool {
    let fenced = daemon.node.fenced();
    let is_cut = |a: &StoredAttachment| fenced.get(&a.key()).is_none_or(|fenced| fenced.cut);
    attachments.iter().all(is_cut)
}

fn reply(daemon: &Daemon, attachments: &[StoredAttachment]) -> FenceReply {
    let node = daemon.node.settings().node.to_string();
    let views = attachments
        .iter()
        .map(|a| own_view(daemon, &node, &SeenAttachment::remembered(a.clone())));
    FenceReply {
        attachments: views.collect(),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use volward_simulation::{Say, instance};

    use super::*;
    use crate::doctor::faults::{daemon, stage};

    /// What `explain` would know nothing of is not said to be explained.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_refused_unfence_names_no_request() {
        let stage = stage(Say::AsAsked);
        let folder = tempfile::tempdir().unwrap();
        let daemon = daemon(&stage, folder.path());
        daemon.node.fence(Some(instance(1)), &[]);
        while let Some((_, work)) = stage.n1.tasks.pop() {
            work();
        }
        stage.n1.kernel.set_renewed_ago(Duration::from_secs(70));
        let body = UnfenceRequest {
            instance: instance(1),
        };
        let refused = unfence(State(daemon), ConnectInfo(Peer::root()), Json(body)).await;
        let Err(failure) = refused else {
            panic!("not refused");
        };
        let answer = failure.into_response().into_body();
        let bytes = axum::body::to_bytes(answer, 1 << 16).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(problem["code"], "fenced", "{problem}");
        assert_eq!(problem["request"], serde_json::Value::Null, "{problem}");
    }
}
