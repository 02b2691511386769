//! Snapshots that hold the same moment.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{OperationsReply, Problem, ProblemCode, VolumeSnapshotsRequest, bounds};
use volward_control::GroupRequest;
use volward_model::{OperationId, VolumeTask};

use super::Peer;
use super::attach::policies_loading;
use super::handler::{Shared, blocking};
use super::operations::{not_begun, view};
use super::patience::Patience;
use super::places;
use super::problem::{Failure, plain};
use super::views::{parse, request};
use crate::policies::FIRST_LOAD;

/// More disks than a guest has.
const LARGEST_GROUP: usize = 64;

pub(super) async fn ask(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<VolumeSnapshotsRequest>,
) -> Result<Json<OperationsReply>, Failure> {
    if !(1..=LARGEST_GROUP).contains(&body.snapshots.len()) {
        let message = format!("name 1 to {LARGEST_GROUP} volumes in snapshots");
        return Err(plain(ProblemCode::BadRequest, "bad-request", message).into());
    }
    let caller = peer.caller(&daemon.config.api)?;
    bounds::hints(&body.hints).map_err(Problem::from)?;
    let request = request();
    let id = match body.id {
        Some(id) => id,
        None => parse(&request.to_string())?,
    };
    let mut members = Vec::new();
    for (n, one) in (1..).zip(&body.snapshots) {
        let task = VolumeTask::Snapshot {
            pool: parse(&one.pool)?,
            from: parse(&one.volume)?,
            name: parse(&one.snapshot)?,
        };
        let id = id.member(n).map_err(|_| {
            let message = format!("the id {id} is too long for the snapshots {id}:1 and so on");
            plain(ProblemCode::BadRequest, "bad-request", message)
        })?;
        members.push((id, task));
    }
    let pools = members
        .iter()
        .map(|(_, task)| task.pool().clone())
        .collect();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let asked = GroupRequest {
            request,
            origin: caller.origin.clone(),
            uid: caller.uid,
            hints: body.hints,
            id,
            members,
            dry_run: body.dry_run,
        };
        let (count, dry_run, uid) = (asked.members.len(), asked.dry_run, asked.uid);
        tracing::info!(%request, id = %asked.id, count, dry_run, uid, "snapshots of one moment asked for");
        let known = |(id, _): &(OperationId, VolumeTask)| daemon.node.operation(id).is_some();
        if !asked.members.iter().all(known) && !daemon.policies.ready_within(FIRST_LOAD) {
            return Err(policies_loading());
        }
        let all = daemon
            .node
            .ask_group(&asked)
            .map_err(|error| not_begun(request, error, dry_run))?;
        let plan = asked.members.iter().zip(&all).flat_map(|((_, task), one)| {
            let steps = one.plan.iter();
            steps.map(move |step| format!("{}/{}: {step}", task.pool(), task.name()))
        });
        Ok(OperationsReply {
            plan: plan.collect(),
            operations: all
                .iter()
                .filter_map(|one| one.operation.as_ref().map(view))
                .collect(),
        })
    });
    places::within(place, work).await
}
