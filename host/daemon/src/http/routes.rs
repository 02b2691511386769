//! What is served where: one table, for the router and for the OpenAPI document.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, middleware};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use volward_api::{
    AttachReply, AttachRequest, AttachmentView, ClusterReply, ConfirmReply, ConfirmRequest,
    DecisionReply, DecisionsReply, DetachReply, DetachRequest, DoctorReply, ExplainReply,
    FenceReply, FenceRequest, HydrationView, PolicyView, PoolInitRequest, PoolView, ProblemCode,
    RecoverReply, RollbackRequest, Said, SetHomeRequest, StatusReply, UnfenceRequest,
    VolumeSetRequest, VolumeView,
};

use super::Peer;
use super::handler::Shared;
use super::patience::Patience;
use super::places::{self, Place};
use super::problem::{Failure, plain};
use super::rights::Right;
use super::{attach, decisions, explain, fence, policies, recover, views};

/// One entry of the table.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    pub(super) right: Right,
    waits: Waits,
    pub(super) query: &'static [Parameter],
    pub(super) body: Option<MakeSchema>,
    pub(super) reply: MakeSchema,
    handler: MethodRouter<Shared>,
}

/// What a request may have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing but memory.
    Never,
    /// A look at pools, files or logs: it has one of its role's places.
    ToLook,
    /// Changes in pools: its handler takes a place in each.
    InPools,
}

type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// A query parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) is_required: bool,
    pub(super) meaning: &'static str,
    pub(super) takes: MakeSchema,
}

const fn parameter<T: JsonSchema>(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        name,
        is_required: false,
        meaning,
        takes: schema::<T>,
    }
}

const fn required<T: JsonSchema>(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        is_required: true,
        ..parameter::<T>(name, meaning)
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A route that is asked for; whoever may look may ask.
fn reads<T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
    handler: MethodRouter<Shared>,
) -> Route {
    Route {
        path,
        method: "get",
        summary,
        right: Right::Look,
        waits: Waits::ToLook,
        query,
        body: None,
        reply: schema::<T>,
        handler,
    }
}

/// A route that is told something, by whoever may administer.
fn does<B: JsonSchema, T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    handler: MethodRouter<Shared>,
) -> Route {
    let body: MakeSchema = schema::<B>;
    Route {
        path,
        method: "post",
        summary,
        right: Right::Administer,
        waits: Waits::ToLook,
        query: &[],
        body: Some(body),
        reply: schema::<T>,
        handler,
    }
}

impl Route {
    /// The same for whoever has another right.
    fn for_whoever_may(self, right: Right) -> Self {
        Self { right, ..self }
    }

    /// The same, where all is said by the path; a body is not looked at.
    fn without_body(self) -> Self {
        Self { body: None, ..self }
    }

    /// The same, where it waits for something else.
    fn waiting(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    /// What a request with that query may have to wait for.
    fn waits_for(&self, query: Option<&str>) -> Waits {
        // The whole cluster's attachments are read from the registry.
        match query.is_some_and(|query| query.contains("all=true")) {
            true => Waits::ToLook,
            false => self.waits,
        }
    }
}

/// Everything that is served but the document itself.
pub(super) fn table() -> Vec<Route> {
    vec![
        does::<AttachRequest, AttachReply>(
            "/v1/attach",
            "Attach all disks of an instance, or none",
            post(attach::attach),
        )
        .for_whoever_may(Right::Serve)
        .waiting(Waits::InPools),
        does::<DetachRequest, DetachReply>(
            "/v1/detach",
            "Detach an instance's disks; what is not attached is no error",
            post(attach::detach),
        )
        .for_whoever_may(Right::Serve)
        .waiting(Waits::InPools),
        does::<ConfirmRequest, ConfirmReply>(
            "/v1/confirm",
            "Tell what became of an instance; nothing is changed",
            post(attach::confirm),
        )
        .for_whoever_may(Right::Serve)
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
            post(views::pool_init),
        )
        .waiting(Waits::InPools),
        reads::<Vec<PoolView>>("/v1/pools", "The pools", &[], get(views::pools)),
        does::<VolumeSetRequest, VolumeView>(
            "/v1/volumes/set",
            "Mark a volume as shareable, or take the mark away",
            post(views::volume_set),
        )
        .waiting(Waits::InPools),
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
        .for_whoever_may(Right::Serve),
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
        .for_whoever_may(Right::Administer),
        reads::<Vec<DecisionReply>>(
            "/v1/decisions/record",
            "Every decision of a request, whole",
            const { &[required::<String>("request", "a request id")] },
            get(decisions::records),
        )
        .for_whoever_may(Right::Administer),
        reads::<DoctorReply>(
            "/v1/doctor",
            "What is missing here",
            &[],
            get(views::doctor),
        ),
        reads::<StatusReply>("/v1/status", "The daemon itself", &[], get(views::status))
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
    let (method, path) = (request.method().as_str(), request.uri().path());
    // The router answers HEAD by what serves GET.
    let method = if method == "HEAD" { "GET" } else { method };
    let asked = |route: &&Route| route.path == path && route.method.eq_ignore_ascii_case(method);
    // What is not in the table is refused by the router, with what is.
    let mut place = Place::default();
    if let Some(route) = table().iter().find(asked) {
        let refused = caller.must(route.right);
        refused.inspect_err(
            |_| tracing::warn!(uid = caller.uid, role = %caller.role, method, path, "refused"),
        )?;
        if route.waits_for(request.uri().query()) == Waits::ToLook {
            place = daemon.places.to_look(caller.role, patience).await?;
        }
    }
    Ok(places::within(place, next.run(request)).await)
}

async fn other_method(method: Method) -> Response {
    let message = format!("{method} is not served at this path; GET /openapi.json lists what is");
    let problem = plain(ProblemCode::BadRequest, "bad-request", message);
    (StatusCode::METHOD_NOT_ALLOWED, Json(problem)).into_response()
}

/// axum's own refusals (a body that is no JSON, say) are text; ours are problems.
async fn plain_rejections(response: Response) -> Response {
    let json = response
        .headers()
        .get("content-type")
        .is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if !response.status().is_client_error() || json {
        return response;
    }
    let status = response.status();
    let (_, body) = response.into_parts();
    let text = axum::body::to_bytes(body, 64 << 10)
        .await
        .unwrap_or_default();
    let message = match String::from_utf8_lossy(&text) {
        _ if status == StatusCode::PAYLOAD_TOO_LARGE => {
            "the request's body is larger than 2 MiB, and more is not read".to_owned()
        }
        text if text.is_empty() => status.to_string(),
        text => not_understood(&text),
    };
    let kind = match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        _ => ProblemCode::BadRequest,
    };
    (status, Json(plain(kind, "bad-request", message))).into_response()
}

/// What is wrong with a body or a query, in words for the caller: axum's begin with its own types.
fn not_understood(text: &str) -> String {
    let beginnings = [
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to parse the request body as JSON: ",
        "Failed to deserialize query string: ",
    ];
    let what = beginnings.iter().find_map(|b| text.strip_prefix(b));
    let Some(what) = what else {
        return text.to_owned();
    };
    // All that serde says of a byte order mark, or of UTF-16.
    let encoding = match what.ends_with("expected value at line 1 column 1") {
        true => "; a body is JSON in UTF-8, without a byte order mark",
        false => "",
    };
    format!("the request is not understood: {what}{encoding}")
}

#[cfg(test)]
mod tests;
