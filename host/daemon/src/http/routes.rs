//! What is served where: one table, for the router and for the OpenAPI document.

use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, middleware};
use volward_api::{
    AttachReply, AttachRequest, AttachmentView, BringHomeReply, BringHomeRequest, ClusterReply,
    ConfirmReply, ConfirmRequest, DecisionReply, DecisionsReply, DetachReply, DetachRequest,
    DiscardCopyRequest, DoctorReply, ExplainReply, FenceReply, FenceRequest, HydrationView,
    OperationCancelRequest, OperationReply, OperationView, OperationsReply, PolicyView,
    PoolInitRequest, PoolReply, PoolView, ProblemCode, RecoverReply, RollbackRequest, Said,
    SetHomeRequest, StatusReply, UnfenceRequest, VolumeCopyRequest, VolumeCreateRequest,
    VolumeDeleteRequest, VolumeExtendRequest, VolumeMoveRequest, VolumeRelocateRequest,
    VolumeRenameRequest, VolumeReply, VolumeSetRequest, VolumeSnapshotRequest,
    VolumeSnapshotsRequest, VolumeView,
};
use volward_plan::Action;

use super::Peer;
use super::handler::Shared;
use super::patience::Patience;
use super::places::{self, Place};
use super::problem::{Failure, plain};
use super::{
    attach, decisions, detach, explain, fence, inventory, operations, policies, pools, recover,
    snapshots, status, views,
};

mod rejections;
mod route;

use rejections::{other_method, plain_rejections};
pub(super) use route::{Parameter, Route};
use route::{Waits, does, in_path, parameter, reads, required};

/// Everything that is served but the document itself.
pub(super) fn table() -> Vec<Route> {
    vec![
        does::<AttachRequest, AttachReply>(
            "/v1/attach",
            "Attach all disks of an instance, or none",
            post(attach::attach),
        )
        .for_whoever_may(Action::Attach)
        .waiting(Waits::InPools),
        does::<DetachRequest, DetachReply>(
            "/v1/detach",
            "Detach an instance's disks; what is not attached is no error",
            post(detach::detach),
        )
        .for_whoever_may(Action::Detach)
        .waiting(Waits::InPools),
        does::<ConfirmRequest, ConfirmReply>(
            "/v1/confirm",
            "Tell what became of an instance; nothing is changed",
            post(attach::confirm),
        )
        .for_whoever_may(Action::Detach)
        .waiting(Waits::Never),
        does::<FenceRequest, FenceReply>(
            "/v1/fence",
            "Cut off the I/O of what is attached here",
            post(fence::fence),
        )
        .waiting(Waits::Never),
        does::<UnfenceRequest, FenceReply>(
            "/v1/unfence",
            "Give an instance its I/O back, if nobody can have had its volumes meanwhile",
            post(fence::unfence),
        )
        .waiting(Waits::ToLook),
        does::<PoolInitRequest, PoolView>(
            "/v1/pools",
            "Make a volume group a pool",
            post(pools::pool_init),
        )
        .waiting(Waits::InPools),
        reads::<Vec<PoolView>>("/v1/pools", "The pools", &[], get(pools::pools)),
        reads::<PoolReply>(
            "/v1/pools/{pool}",
            "One pool, with its disks and every lease in it",
            const { &[in_path::<String>("pool", "its name")] },
            get(inventory::pool),
        ),
        does::<VolumeSetRequest, VolumeView>(
            "/v1/volumes/set",
            "Mark a volume as shareable, or take the mark away",
            post(pools::volume_set),
        )
        .for_whoever_may(Action::Mark)
        .waiting(Waits::InPools),
        reads::<VolumeReply>(
            "/v1/volumes",
            "One volume, with all that is known of it",
            const { &[required::<String>("volume", "POOL/NAME")] },
            get(operations::volume),
        ),
        does::<VolumeCreateRequest, OperationReply>(
            "/v1/volumes/create",
            "Make a volume that reads as zeroes; it is on record when this is answered, and goes on by itself",
            post(operations::ask::<VolumeCreateRequest>),
        )
        .for_whoever_may(Action::Create)
        .waiting(Waits::InPools),
        does::<VolumeDeleteRequest, OperationReply>(
            "/v1/volumes/delete",
            "Delete a volume that nobody has; one that is gone is no error",
            post(operations::ask::<VolumeDeleteRequest>),
        )
        .for_whoever_may(Action::Delete)
        .waiting(Waits::InPools),
        does::<VolumeExtendRequest, OperationReply>(
            "/v1/volumes/extend",
            "Give a volume at least this size, also while one node has it attached",
            post(operations::ask::<VolumeExtendRequest>),
        )
        .for_whoever_may(Action::Extend)
        .waiting(Waits::InPools),
        does::<VolumeCopyRequest, OperationReply>(
            "/v1/volumes/copy",
            "Make a volume with the content of another one, in the same pool or another shared one",
            post(operations::ask::<VolumeCopyRequest>),
        )
        .for_whoever_may(Action::Copy)
        .waiting(Waits::InPools),
        does::<VolumeSnapshotRequest, OperationReply>(
            "/v1/volumes/snapshot",
            "Keep what a volume holds now in a volume of its own",
            post(operations::ask::<VolumeSnapshotRequest>),
        )
        .for_whoever_may(Action::Copy)
        .waiting(Waits::InPools),
        does::<VolumeSnapshotsRequest, OperationsReply>(
            "/v1/volumes/snapshots",
            "Keep what several volumes hold at one moment, each in a volume of its own; all or none",
            post(snapshots::ask),
        )
        .for_whoever_may(Action::Copy)
        .waiting(Waits::InPools),
        does::<VolumeMoveRequest, OperationReply>(
            "/v1/volumes/move",
            "Have a volume that nobody has go to another shared pool",
            post(operations::ask::<VolumeMoveRequest>),
        )
        .for_whoever_may(Action::Move)
        .waiting(Waits::InPools),
        does::<VolumeRelocateRequest, OperationReply>(
            "/v1/volumes/relocate",
            "Have all of a volume go to one disk of its pool, beneath whoever has it",
            post(operations::relocate),
        )
        .for_whoever_may(Action::Move)
        .waiting(Waits::InPools),
        does::<VolumeRenameRequest, OperationReply>(
            "/v1/volumes/rename",
            "Give a volume that nobody has another name",
            post(operations::ask::<VolumeRenameRequest>),
        )
        .for_whoever_may(Action::Rename)
        .waiting(Waits::InPools),
        reads::<Vec<OperationView>>(
            "/v1/operations",
            "Operations on volumes: those that have not ended, and the latest that have",
            &[],
            get(operations::list),
        )
        .waiting(Waits::Never),
        reads::<OperationView>(
            "/v1/operations/{id}",
            "An operation on a volume, as it stands now or when it has ended",
            const {
                &[
                    in_path::<String>("id", "what its caller calls it"),
                    parameter::<u64>(
                        "wait_ms",
                        "answer when it has ended, or after so many milliseconds; 60000 at most",
                    ),
                ]
            },
            get(operations::show),
        )
        .waiting(Waits::Never),
        does::<OperationCancelRequest, OperationView>(
            "/v1/operations/cancel",
            "Have an operation on a volume taken back, before its commit point",
            post(operations::cancel),
        )
        .for_whoever_may(Action::Delete),
        reads::<Vec<AttachmentView>>(
            "/v1/attachments",
            "Attachments on this node",
            const {
                &[parameter::<bool>(
                    "all",
                    "true: of the whole cluster, from the registry",
                )]
            },
            get(views::attachments),
        )
        .waiting(Waits::Never),
        reads::<ClusterReply>(
            "/v1/cluster",
            "Attachments of the whole cluster, and what of it cannot be read",
            &[],
            get(views::cluster),
        ),
        reads::<Vec<HydrationView>>(
            "/v1/hydrations",
            "Copies on this node",
            &[],
            get(views::hydrations),
        )
        .waiting(Waits::Never),
        does::<(), Vec<HydrationView>>(
            "/v1/hydrations/put-down",
            "Have write-backs end where they are until the daemon is started again, and none begin: before the node goes down",
            post(views::put_copies_down),
        )
        .without_body()
        .waiting(Waits::Never),
        does::<BringHomeRequest, BringHomeReply>(
            "/v1/hydrations/home",
            "Bring a volume's copy home while its guest runs on",
            post(recover::bring_home),
        )
        // A detach does it too, once the guest is gone.
        .for_whoever_may(Action::Detach)
        .waiting(Waits::InPools),
        reads::<Vec<PolicyView>>("/v1/policies", "The policies", &[], get(policies::list)),
        does::<(), Vec<PolicyView>>(
            "/v1/policies/load",
            "Load what is in the policies folder now; what is refused does not replace what serves",
            post(policies::load),
        )
        .without_body(),
        does::<RollbackRequest, Vec<PolicyView>>(
            "/v1/policies/rollback",
            "Go back to the version of a policy that was good before the one that serves, or undo that",
            post(policies::rollback),
        ),
        reads::<ExplainReply>(
            "/v1/explain",
            "Why something was granted, refused, or where it is stuck",
            const {
                &[
                    parameter::<String>("request", "a request id"),
                    parameter::<String>("instance", "an instance UUID: its latest request"),
                    parameter::<String>("volume", "POOL/NAME: the latest request that touched it"),
                ]
            },
            get(explain::explain),
        )
        .for_whoever_may(Action::Explain),
        reads::<RecoverReply>(
            "/v1/recover",
            "Where a volume's data is, told by every witness this node has; nothing is changed",
            const { &[required::<String>("volume", "POOL/NAME")] },
            get(recover::recover),
        ),
        does::<SetHomeRequest, RecoverReply>(
            "/v1/recover/home",
            "Replace a volume's home tag by another one, if the witnesses still leave that choice",
            post(recover::set_home),
        )
        .waiting(Waits::InPools),
        does::<DiscardCopyRequest, RecoverReply>(
            "/v1/recover/discard",
            "Remove a copy on this node that was given up while the node was away",
            post(recover::discard),
        )
        .waiting(Waits::InPools),
        reads::<DecisionsReply>(
            "/v1/decisions",
            "Decisions of this node's log, the oldest first",
            const {
                &[
                    parameter::<u64>(
                        "limit",
                        "at most so many, the latest; 100 unless it is given, 1000 at most",
                    ),
                    parameter::<u64>("after", "those with a greater number"),
                    parameter::<String>("instance", "those of this instance"),
                    parameter::<String>("volume", "POOL/NAME: those about a volume of this name"),
                    parameter::<Said>("said", "those that the policies came to this with"),
                ]
            },
            get(decisions::list),
        )
        .for_whoever_may(Action::Administer),
        reads::<Vec<DecisionReply>>(
            "/v1/decisions/record",
            "Every decision of a request, whole",
            const { &[required::<String>("request", "a request id")] },
            get(decisions::records),
        )
        .for_whoever_may(Action::Administer),
        reads::<DoctorReply>(
            "/v1/doctor",
            "What is missing here",
            &[],
            get(views::doctor),
        ),
        reads::<StatusReply>("/v1/status", "The daemon itself", &[], get(status::status))
            .waiting(Waits::Never),
    ]
}

/// The router over the table, and over what is added to it.
pub(super) fn router(daemon: Shared, more: Router<Shared>) -> Router {
    let mut router = Router::new();
    for route in table() {
        router = router.route(route.path, route.handler);
    }
    router
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&daemon),
            who_may_ask,
        ))
        .merge(more)
        .fallback(|| async {
            let message = "there is nothing here; GET /openapi.json lists what is".to_owned();
            Failure(plain(ProblemCode::NotFound, "no-such-path", message))
        })
        .method_not_allowed_fallback(other_method)
        .layer(middleware::map_response(plain_rejections))
        .with_state(daemon)
}

/// Before anything of a request is looked at, and for every route of the table: none can forget it.
async fn who_may_ask(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let method = request.method().as_str();
    // As the table has it: what stands for a parameter included.
    let matched = request.extensions().get::<MatchedPath>();
    let path = matched.map_or_else(|| request.uri().path(), MatchedPath::as_str);
    // The router answers HEAD by what serves GET.
    let method = if method == "HEAD" { "GET" } else { method };
    let asked = |route: &&Route| route.path == path && route.method.eq_ignore_ascii_case(method);
    // What is not in the table is refused by the router, with what is.
    let mut place = Place::default();
    if let Some(route) = table().iter().find(asked) {
        let refused = caller.must(route.action, daemon.node.settings().roles);
        refused.inspect_err(
            |_| tracing::warn!(uid = caller.uid, kind = %caller.kind, method, path, "refused"),
        )?;
        if route.waits_for(request.uri().query()) == Waits::ToLook {
            place = daemon.places.to_look(caller.kind, patience).await?;
        }
    }
    Ok(places::within(place, next.run(request)).await)
}

#[cfg(test)]
mod tests;
