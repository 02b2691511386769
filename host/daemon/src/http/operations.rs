//! Operations on volumes: asking for one, looking at one, waiting for one.

use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Path, Query, State};
use serde::Deserialize;
use volward_api::{
    Open, OperationCancelRequest, OperationKind, OperationReply, OperationState, OperationView,
    Problem, ProblemCode, VolumeRelocateRequest, VolumeReply, bounds,
};
use volward_control::{ControlError, Operated, OperationRequest};
use volward_model::{
    Course, End, OperationId, PoolName, RequestId, VolumeName, VolumeRef, VolumeTask,
};

use super::Peer;
use super::attach::policies_loading;
use super::handler::{Shared, at_once, blocking};
use super::patience::Patience;
use super::places;
use super::pools::volume_view;
use super::problem::{Failure, plain};
use super::views::{attached_here, other_view, parse, request};
use crate::policies::FIRST_LOAD;
use crate::wiring::Daemon;

mod wishes;

use wishes::{Wanted, Wish};

/// Whoever waits is answered after so long at most, and may ask again: a connection that says nothing for
/// longer looks dead to what is between.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Between two looks for whoever waits: at memory only.
const LOOK: Duration = Duration::from_millis(100);

/// Any of the requests but a relocation, whose disk is to be found first.
pub(super) async fn ask<W: Wish>(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<W>,
) -> Result<Json<OperationReply>, Failure> {
    begin(daemon, peer, patience, body.wanted()?).await
}

pub(super) async fn relocate(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<VolumeRelocateRequest>,
) -> Result<Json<OperationReply>, Failure> {
    let pool: PoolName = parse(&body.pool)?;
    // Which disk it is called here is asked first: on record is what it is called everywhere.
    let (looks, within, named) = (daemon.clone(), pool.clone(), body.disk);
    let found = blocking(move || Ok(looks.node.disk(request(), &within, &named)?));
    let Json(disk) = found.await?;
    let wanted = Wanted {
        id: body.id,
        task: VolumeTask::Relocate {
            pool,
            name: parse(&body.volume)?,
            disk,
        },
        hints: body.hints,
        dry_run: body.dry_run,
    };
    begin(daemon, peer, patience, wanted).await
}

async fn begin(
    daemon: Shared,
    peer: Peer,
    patience: Patience,
    wanted: Wanted,
) -> Result<Json<OperationReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let Wanted {
        id,
        task,
        hints,
        dry_run,
    } = wanted;
    bounds::hints(&hints).map_err(Problem::from)?;
    let request = request();
    let id = match id {
        Some(id) => id,
        None => parse(&request.to_string())?,
    };
    let pools = task.pools().into_iter().cloned().collect();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let (uid, origin) = (caller.uid, &caller.origin);
        tracing::info!(%request, %id, %task, dry_run, uid, ?origin, "operation asked for");
        let asked = OperationRequest {
            request,
            origin: caller.origin.clone(),
            uid,
            hints,
            id,
            task,
            dry_run,
        };
        let is_known = daemon.node.operation(&asked.id).is_some();
        if !is_known && !daemon.policies.ready_within(FIRST_LOAD) {
            return Err(policies_loading());
        }
        let dry_run = asked.dry_run;
        let asked = daemon.node.ask_operation(&asked);
        let asked = asked.map_err(|error| not_begun(request, error, dry_run))?;
        Ok(OperationReply {
            operation: asked.operation.as_ref().map(view),
            plan: asked.plan,
        })
    });
    places::within(place, work).await
}

pub(super) fn not_begun(request: RequestId, error: ControlError, dry_run: bool) -> Failure {
    tracing::warn!(%request, %error, "operation not begun");
    match is_of_policies(&error) && !dry_run {
        true => Failure::from(error),
        false => Failure::without_record(error),
    }
}

/// What policies refuse is in the decision log.
fn is_of_policies(error: &ControlError) -> bool {
    matches!(
        error,
        ControlError::Denied { .. } | ControlError::Faulted { .. }
    )
}

pub(super) async fn list(
    State(daemon): State<Shared>,
) -> Result<Json<Vec<OperationView>>, Failure> {
    at_once(|| daemon.node.operations().iter().map(view).collect())
}

#[derive(Debug, Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

/// Holds no thread while it waits.
pub(super) async fn show(
    State(daemon): State<Shared>,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Json<OperationView>, Failure> {
    let id: OperationId = parse(&id)?;
    let wait = Duration::from_millis(wait.wait_ms).min(LONGEST_WAIT);
    let until = tokio::time::Instant::now() + wait;
    loop {
        let known = daemon.node.operation(&id).ok_or_else(|| unknown(&id))?;
        let view = view(&known);
        if view.has_ended() || tokio::time::Instant::now() >= until || daemon.node.is_stopping() {
            return Ok(Json(view));
        }
        tokio::time::sleep_until(until.min(tokio::time::Instant::now() + LOOK)).await;
    }
}

pub(super) async fn cancel(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<OperationCancelRequest>,
) -> Result<Json<OperationView>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    blocking(move || {
        let (request, id) = (request(), body.id);
        tracing::info!(%request, %id, uid = caller.uid, origin = ?caller.origin, "operation cancelled");
        let cancelled = daemon.node.cancel_operation(request, &id);
        let cancelled = cancelled.map_err(Failure::without_record)?;
        Ok(view(&cancelled))
    })
    .await
}

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    volume: String,
}

pub(super) async fn volume(
    State(daemon): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<VolumeReply>, Failure> {
    let (pool, name) = which.volume.split_once('/').ok_or_else(|| {
        let message = "write the volume as POOL/NAME".to_owned();
        plain(ProblemCode::BadRequest, "bad-request", message)
    })?;
    let (pool, name): (PoolName, VolumeName) = (parse(pool)?, parse(name)?);
    blocking(move || {
        let info = daemon.node.pool_info(&pool)?;
        let Some(found) = info.named(&name) else {
            let message =
                format!("there is no volume {pool}/{name}; `volward pool ls` shows what there is");
            return Err(plain(ProblemCode::NotFound, "not-found", message).into());
        };
        let elsewhere = daemon.node.attachments_elsewhere_in(&pool);
        let mut attachments = attached_here(&daemon, &daemon.node.attachments_seen());
        attachments.extend(elsewhere.attachments.into_iter().map(other_view));
        attachments.retain(|a| a.pool == pool.as_str() && a.volume == name.as_str());
        let about = |one: &Operated| is_about(one, &found.volume);
        let operations = daemon.node.operations().into_iter().filter(about);
        // A local pool has none, and one whose nodes cannot be asked is told of above.
        let snapshot = daemon.node.pool_snapshot(&pool).ok();
        let standings = snapshot.map(|snapshot| daemon.node.standings(&snapshot));
        let standing = standings.and_then(|mut all| all.remove(&found.volume.id));
        Ok(VolumeReply {
            pool: pool.to_string(),
            volume: volume_view(found, standing.as_ref()),
            attachments,
            unreadable: elsewhere.unreadable,
            operations: operations.map(|one| view(&one)).collect(),
        })
    })
    .await
}

fn is_about(one: &Operated, volume: &VolumeRef) -> bool {
    one.operation.is_about(volume)
}

/// Operations of this node on volumes of a pool, those that have ended included.
pub(super) fn operations_in(daemon: &Daemon, pool: &PoolName) -> Vec<OperationView> {
    let all = daemon.node.operations().into_iter();
    let here = all.filter(|one| one.operation.task.pool() == pool);
    here.map(|one| view(&one)).collect()
}

fn unknown(id: &OperationId) -> Failure {
    let message =
        format!("this node knows no operation {id}; `volward op ls` lists those that it knows");
    plain(ProblemCode::NotFound, "not-found", message).into()
}

pub(super) fn view(known: &Operated) -> OperationView {
    let operation = &known.operation;
    let state = match (&operation.course, known.at_work) {
        (Course::Ended(End::Done), _) => OperationState::Done,
        (Course::Ended(End::Cancelled), _) => OperationState::Cancelled,
        (Course::Ended(End::Failed { .. }), _) => OperationState::Failed,
        // Past its commit point it goes on, whatever it was to be taken back for.
        (Course::Back(_), _) if !known.committed => OperationState::TakingBack,
        (Course::Forward | Course::Back(_), true) => OperationState::Running,
        (Course::Forward | Course::Back(_), false) => OperationState::Waiting,
    };
    let why = match &operation.course {
        Course::Back(End::Failed { code, message })
        | Course::Ended(End::Failed { code, message }) => Some((code.clone(), message.clone())),
        _ => None,
    };
    let (code, message) = why.unzip();
    OperationView {
        id: operation.id.to_string(),
        operation: Open::from(OperationKind::from(&operation.task)),
        pool: operation.task.pool().to_string(),
        volume: operation.task.name().to_string(),
        source: operation
            .task
            .source()
            .map(|(pool, name)| format!("{pool}/{name}")),
        to: operation.task.new_name().map(ToString::to_string),
        disk: operation.task.disk().map(|disk| disk.to_string()),
        group: operation.group.as_ref().map(ToString::to_string),
        volume_id: operation
            .volume
            .as_ref()
            .map(|volume| volume.id.to_string()),
        size: operation.task.size().map(|size| size.0),
        state: state.into(),
        done: known.written().0,
        total: known.total.max(known.written()).0,
        code,
        message,
        trouble: known.trouble.clone(),
        note: operation.had_nothing_to_do(),
        started_ms: operation.started_ms,
        changed_ms: operation.changed_ms,
    }
}
