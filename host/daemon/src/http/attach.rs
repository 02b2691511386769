//! Attach and confirm: from the protocol to `control` and back.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{
    AttachReply, AttachRequest, Attached, ConfirmReply, ConfirmRequest, DiskPath, DomainEvent,
    Problem, ProblemCode,
};
use volward_control::{AttachDone, Cancellation};
use volward_model::{InstanceId, RequestId};
use volward_plan::{DiskForm, Grant};

use super::Peer;
use super::handler::{Shared, at_once, blocking};
use super::patience::Patience;
use super::peer::Caller;
use super::places;
use super::problem::{Failure, plain};
use crate::policies::FIRST_LOAD;
use crate::wiring::Daemon;

pub(super) async fn attach(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<AttachRequest>,
) -> Result<Json<AttachReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    // Before it is anybody's facts, or in a log.
    body.check().map_err(Problem::from)?;
    let only_while_waiting = body.only_while_waiting;
    let ask = attach_ask(caller, body);
    // This future is dropped when the connection is closed; the work in its thread goes on.
    let waiting = only_while_waiting.then(|| Waiting(ask.cancellation.clone()));
    let pools = ask.disks.iter().map(|disk| disk.pool.clone()).collect();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        tracing::info!(
            request = %ask.request, instance = %ask.instance, name = %ask.instance_name,
            uid = ask.caller_uid, origin = ?ask.origin, disks = ask.disks.len(), "attach"
        );
        if !daemon.policies.ready_within(FIRST_LOAD) {
            return Err(policies_loading());
        }
        let done = daemon.node.attach(&ask).map_err(|error| {
            tracing::warn!(request = %ask.request, %error, "attach");
            match ask.dry_run {
                true => Failure::without_record(error),
                false => Failure::from(error),
            }
        })?;
        Ok(attach_reply(&daemon, ask.request, ask.instance, done))
    });
    let done = places::within(place, work).await;
    drop(waiting);
    done
}

/// Nobody can say yet whether it is allowed.
pub(super) fn policies_loading() -> Failure {
    let message = "the policies are still being loaded, and nobody else can allow this: ask again \
                   in a minute; `volward policy ls` shows which one it is";
    plain(ProblemCode::Faulted, "policies-loading", message.to_owned()).into()
}

/// Somebody waits for the answer, as long as this lives.
struct Waiting(Cancellation);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn attach_ask(caller: Caller, body: AttachRequest) -> volward_control::AttachRequest {
    let disks = body
        .disks
        .into_iter()
        .map(|disk| volward_control::DiskRequest {
            pool: disk.pool,
            volume: disk.volume,
            form: match disk.path {
                DiskPath::Own => DiskForm::Own,
                DiskPath::Lv => DiskForm::Lv,
            },
            access: disk.access,
            sharing: disk.sharing,
            accept_narrowing: disk.accept_narrowing,
        });
    volward_control::AttachRequest {
        request: RequestId(uuid::Uuid::new_v4()),
        origin: caller.origin,
        caller_uid: caller.uid,
        purpose: body.purpose,
        instance: body.instance,
        instance_name: body.instance_name,
        hints: body.hints,
        disks: disks.collect(),
        dry_run: body.dry_run,
        cancellation: Cancellation::default(),
    }
}

fn attach_reply(
    daemon: &Daemon,
    request: RequestId,
    instance: InstanceId,
    done: AttachDone,
) -> AttachReply {
    let attached = done.grants.into_iter().map(|grant| Attached {
        device: device_path(daemon, instance, &grant),
        pool: grant.volume.pool,
        volume: grant.volume.name,
        access: grant.access.into(),
        sharing: grant.sharing.into(),
        copy: grant.copy.map(Into::into),
        already: grant.already,
    });
    AttachReply {
        request,
        attached: attached.collect(),
        plan: done.plan,
        notes: done.notes,
    }
}

fn device_path(daemon: &Daemon, instance: InstanceId, grant: &Grant) -> String {
    match grant.form {
        DiskForm::Own => {
            format!(
                "{}/{instance}/{}",
                daemon.config.paths.devices.display(),
                grant.volume
            )
        }
        DiskForm::Lv => format!("/dev/{}", grant.volume),
    }
}

pub(super) async fn confirm(
    State(daemon): State<Shared>,
    Json(body): Json<ConfirmRequest>,
) -> Result<Json<ConfirmReply>, Failure> {
    at_once(|| {
        let missing = daemon.node.missing(body.instance, &body.volumes);
        if !missing.is_empty() && body.event != DomainEvent::Stopped {
            tracing::error!(
                instance = %body.instance, event = %body.event, ?missing,
                "an instance uses disks that are not attached"
            );
        }
        ConfirmReply { missing }
    })
}
