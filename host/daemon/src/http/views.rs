//! Listing, marking, explaining.

use axum::Json;
use axum::extract::{ConnectInfo, Query, State};
use serde::Deserialize;
use volward_api::{
    AttachmentView, DoctorReply, ExplainReply, HydrationView, PolicyView, PoolInitRequest,
    PoolMember, PoolView, ProblemCode, StatusReply, VolumeSetRequest, VolumeView,
};
use volward_control::ports::{JournalEntry, JournalQuery, JournalState, StoredAttachment};
use volward_model::{AttachmentState, HomeState, InstanceId, PoolName, RequestId, VolumeInfo};
use volward_plan::DiskForm;
use volward_policy::PluginState;

use super::Peer;
use super::problem::{Failure, plain};
use super::routes::{Shared, blocking};
use crate::config::PoolKind;
use crate::doctor;
use crate::wiring::Daemon;

pub(super) async fn pool_init(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<PoolInitRequest>,
) -> Result<Json<PoolView>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let name: PoolName = parse(&body.name)?;
        let Some(settings) = daemon.pool_settings(&name) else {
            let message = format!(
                "pool {name} is not in /etc/volward/volward.toml; add a [[pool]] section for it and \
                 restart volwardd"
            );
            return Err(plain(ProblemCode::NotFound, "not-found", message).into());
        };
        daemon.lvm.adopt_devices(&settings)?;
        if daemon.node.settings().pools.contains(&name) {
            daemon.node.init_pool(request(), &name)?;
        }
        Ok(pool_view(&daemon, &name))
    })
    .await
}

pub(super) async fn pools(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Vec<PoolView>>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let names = daemon.config.pool.iter().map(|p| p.name.clone());
        Ok(names.map(|name| pool_view(&daemon, &name)).collect())
    })
    .await
}

pub(super) async fn volume_set(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<VolumeSetRequest>,
) -> Result<Json<VolumeView>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let (pool, volume) = (parse(&body.pool)?, parse(&body.volume)?);
        daemon
            .node
            .set_shareable(request(), &pool, &volume, body.shareable)?;
        let info = daemon.node.pool_info(&pool)?;
        info.named(&volume).map(volume_view).ok_or_else(|| {
            let message = format!("{pool}/{volume} vanished while it was marked");
            plain(ProblemCode::NotFound, "not-found", message).into()
        })
    })
    .await
}

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    all: bool,
}

pub(super) async fn attachments(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<AttachmentView>>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let node = daemon.node.settings().node.to_string();
        let mut views: Vec<_> = daemon
            .node
            .attachments()
            .iter()
            .map(|a| own_view(&daemon, &node, a))
            .collect();
        if which.all {
            let (elsewhere, troubles) = daemon.node.attachments_elsewhere();
            for trouble in troubles {
                tracing::warn!(%trouble, "the cluster's attachments are incomplete");
            }
            views.extend(elsewhere.into_iter().map(|found| {
                let a = found.attachment;
                let name = found.volume.as_ref();
                AttachmentView {
                    node: a.node.to_string(),
                    instance: a.instance.to_string(),
                    instance_name: None,
                    pool: name.map(|v| v.pool.to_string()).unwrap_or_default(),
                    volume: name.map_or_else(|| a.volume.lv.to_string(), |v| v.name.to_string()),
                    sharing: a.sharing.to_string(),
                    access: a.access.to_string(),
                    state: a.state.to_string(),
                    device: None,
                    since_ms: a.since_ms,
                    causes: Vec::new(),
                }
            }));
        }
        Ok(views)
    })
    .await
}

fn own_view(daemon: &Daemon, node: &str, a: &StoredAttachment) -> AttachmentView {
    let device = match a.form {
        DiskForm::Own => {
            format!(
                "{}/{}/{}",
                daemon.config.paths.devices.display(),
                a.instance,
                a.volume
            )
        }
        DiskForm::Lv => format!("/dev/{}", a.volume),
    };
    AttachmentView {
        node: node.to_owned(),
        instance: a.instance.to_string(),
        instance_name: Some(a.instance_name.clone()),
        pool: a.volume.pool.to_string(),
        volume: a.volume.name.to_string(),
        sharing: a.sharing.to_string(),
        access: a.access.to_string(),
        state: a.state.to_string(),
        device: Some(device),
        since_ms: a.since_ms,
        causes: a.causes.clone(),
    }
}

pub(super) async fn hydrations(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Vec<HydrationView>>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let views = daemon.node.copies().into_iter().map(|copy| HydrationView {
            pool: copy.volume.pool.to_string(),
            volume: copy.volume.name.to_string(),
            state: copy.state.to_owned(),
            done: copy.done.0,
            total: copy.total.0,
            remaining_ms: copy.remaining_ms,
            stalled_ms: copy.stalled_ms,
            trouble: copy.trouble,
        });
        Ok(views.collect())
    })
    .await
}

pub(super) async fn policies(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Vec<PolicyView>>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let views = daemon.policies.status().into_iter().map(|p| PolicyView {
            name: p.name,
            digest: p.digest,
            interface: p.interface,
            level: p.level.to_string(),
            state: match p.state {
                PluginState::Serving => "serving".to_owned(),
                PluginState::Refused { reason } => format!("refused: {reason}"),
                PluginState::Off => "off".to_owned(),
            },
            hooks: p.hooks,
            granted: p.counters.granted,
            denied: p.counters.denied,
            faulted: p.counters.faulted,
        });
        Ok(views.collect())
    })
    .await
}

#[derive(Debug, Deserialize)]
pub(super) struct What {
    request: Option<String>,
    instance: Option<String>,
    volume: Option<String>,
}

pub(super) async fn explain(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(what): Query<What>,
) -> Result<Json<ExplainReply>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || explained(&daemon, &what)).await
}

fn explained(daemon: &Daemon, what: &What) -> Result<ExplainReply, Failure> {
    let (query, mut request) = match (&what.request, &what.instance, &what.volume) {
        (Some(id), None, None) => {
            let id: RequestId = parse(id)?;
            (JournalQuery::Request(id), Some(id))
        }
        (None, Some(id), None) => {
            let id: InstanceId = parse(id)?;
            (JournalQuery::Instance(id), None)
        }
        (None, None, Some(path)) => (JournalQuery::Volume(volume_at(daemon, path)?), None),
        _ => {
            let message = "name one of request, instance or volume (POOL/NAME)".to_owned();
            return Err(plain(ProblemCode::BadRequest, "bad-request", message).into());
        }
    };
    let entry = daemon.node.history(&query, 1)?.into_iter().next();
    request = request.or(entry.as_ref().map(|e| e.request));
    let Some(request) = request else {
        let message = "nothing is known of it on this node".to_owned();
        return Err(plain(ProblemCode::NotFound, "not-found", message).into());
    };
    let logged = daemon.decisions.find(request).map_err(|error| {
        plain(
            ProblemCode::Internal,
            "log",
            format!("the decision log cannot be read: {error}"),
        )
    })?;
    if entry.is_none() && logged.is_none() {
        let message = format!("request {request} is not known on this node");
        return Err(plain(ProblemCode::NotFound, "not-found", message).into());
    }
    let summary = summary(entry.as_ref(), logged.as_ref());
    let decision = logged
        .map(|l| serde_json::to_value(&l.record))
        .transpose()
        .map_err(|error| {
            plain(
                ProblemCode::Internal,
                "log",
                format!("the decision cannot be shown: {error}"),
            )
        })?;
    let steps = entry
        .iter()
        .flat_map(|e| e.steps.iter().zip(&e.marks))
        .map(|(planned, mark)| (planned.step.to_string(), format!("{mark:?}").to_lowercase()));
    let trouble = entry
        .iter()
        .flat_map(|e| e.causes.clone())
        .chain(daemon.node.inconsistencies());
    Ok(ExplainReply {
        request: request.to_string(),
        summary,
        decision,
        steps: steps.collect(),
        trouble: trouble.collect(),
    })
}

fn summary(entry: Option<&JournalEntry>, logged: Option<&volward_policy::LogEntry>) -> String {
    let volumes = |e: &JournalEntry| {
        e.volumes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (entry, logged) {
        (Some(e), _) => {
            let state = match e.state {
                JournalState::Open => "under way",
                JournalState::Done => "done",
                JournalState::Undone => "taken back",
                JournalState::Quarantined => "quarantined",
            };
            let kind = format!("{:?}", e.kind).to_lowercase();
            format!("{kind} of {}: {state}", volumes(e))
        }
        (None, Some(logged)) => match &logged.outcome {
            volward_policy::Outcome::Done => "done".to_owned(),
            volward_policy::Outcome::DryRun => "a dry run".to_owned(),
            volward_policy::Outcome::Refused { message, .. }
            | volward_policy::Outcome::Failed { message } => format!("refused: {message}"),
        },
        (None, None) => String::new(),
    }
}

fn volume_at(daemon: &Daemon, path: &str) -> Result<volward_model::VolumeRef, Failure> {
    let parts = path.split_once('/').ok_or_else(|| {
        plain(
            ProblemCode::BadRequest,
            "bad-request",
            format!("{path:?} is not POOL/NAME"),
        )
    })?;
    let (pool, name): (PoolName, volward_model::VolumeName) = (parse(parts.0)?, parse(parts.1)?);
    let info = daemon.node.pool_info(&pool)?;
    info.named(&name).map(|v| v.volume.clone()).ok_or_else(|| {
        let message = format!("there is no volume {name} in pool {pool}");
        plain(ProblemCode::NotFound, "not-found", message).into()
    })
}

pub(super) async fn doctor(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<DoctorReply>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        Ok(DoctorReply {
            checks: doctor::examine(&daemon),
        })
    })
    .await
}

pub(super) async fn status(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<StatusReply>, Failure> {
    peer.caller(&daemon.config.api)?;
    blocking(move || {
        let attachments = daemon.node.attachments();
        let quarantined = attachments
            .iter()
            .filter(|a| a.state == AttachmentState::Quarantined)
            .count();
        Ok(StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: daemon.node.settings().node.to_string(),
            quarantined: u64::try_from(quarantined).unwrap_or(u64::MAX),
            pools: daemon
                .config
                .pool
                .iter()
                .map(|p| p.name.to_string())
                .collect(),
        })
    })
    .await
}

fn pool_view(daemon: &Daemon, name: &PoolName) -> PoolView {
    let kind = daemon
        .config
        .pool
        .iter()
        .find(|p| p.name == *name)
        .map(|p| p.kind);
    let mut view = PoolView {
        name: name.to_string(),
        vg_uuid: None,
        kind: if kind == Some(PoolKind::Local) {
            "local"
        } else {
            "shared"
        }
        .to_owned(),
        lock_type: String::new(),
        size: 0,
        free: 0,
        members: Vec::new(),
        volumes: Vec::new(),
        trouble: None,
    };
    let info = match daemon.node.pool_info(name) {
        Ok(info) => info,
        Err(error) => {
            view.trouble = Some(error.to_string());
            return view;
        }
    };
    view.vg_uuid = Some(info.vg.to_string());
    view.lock_type.clone_from(&info.lock_type);
    (view.size, view.free) = (info.size.0, info.free.0);
    view.volumes = info
        .volumes
        .iter()
        .filter(|v| !v.is_internal())
        .map(volume_view)
        .collect();
    if kind == Some(PoolKind::Local) {
        return view;
    }
    match daemon.node.look(name) {
        Ok(sight) => {
            let troubles = sight.slot_troubles();
            let members = sight.members.iter().map(|m| PoolMember {
                host_id: m.host_id,
                node: sight.name_of(m.host_id).map(ToString::to_string),
                state: format!("{:?}", m.state).to_lowercase(),
                own: m.own,
                slot_trouble: troubles
                    .iter()
                    .find(|t| t.host_id == m.host_id)
                    .map(|t| t.trouble.clone()),
            });
            view.members = members.collect();
        }
        Err(error) => view.trouble = Some(error.to_string()),
    }
    view
}

fn volume_view(volume: &VolumeInfo) -> VolumeView {
    let home = match volume.home() {
        Ok(home) => match (&home.state, home.copy()) {
            (HomeState::Pool, _) | (_, None) => "pool".to_owned(),
            (state, Some((node, _))) => format!("{} on {node}", state.word()),
        },
        Err(error) => format!("unreadable: {error}"),
    };
    VolumeView {
        name: volume.volume.name.to_string(),
        id: volume.volume.id.to_string(),
        size: volume.size.0,
        shareable: volume.shareable(),
        home,
    }
}

fn request() -> RequestId {
    RequestId(uuid::Uuid::new_v4())
}

fn parse<T: std::str::FromStr<Err = volward_model::ParseIdError>>(
    text: &str,
) -> Result<T, Failure> {
    text.parse().map_err(|error: volward_model::ParseIdError| {
        plain(ProblemCode::BadRequest, "bad-request", error.to_string()).into()
    })
}
