//! Pools and their volumes: listing, making and marking.

use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{
    LockType, Open, PoolInitRequest, PoolMember, PoolView, ProblemCode, VolumeHome, VolumeMark,
    VolumeSetRequest, VolumeStatusView, VolumeView,
};
use volward_control::VolumeStanding;
use volward_control::ports::Unmet;
use volward_model::{PoolName, VolumeInfo, VolumeName};

use super::Peer;
use super::handler::{Shared, blocking};
use super::patience::Patience;
use super::places;
use super::problem::{Failure, plain};
use super::views::{parse, request};
use crate::config::PoolKind;
use crate::looks::{Look, Work};
use crate::wiring::Daemon;

pub(super) async fn pool_init(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<PoolInitRequest>,
) -> Result<Json<PoolView>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let name: PoolName = parse(&body.name)?;
    let pools = [name.clone()].into();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let request = request();
        tracing::info!(
            %request, pool = %name, uid = caller.uid, origin = ?caller.origin, body.accept_older,
            "pool init"
        );
        if body.accept_older && kind_of(&daemon, &name) == PoolKind::Shared {
            let accepted = daemon.node.accept_older(request, &name, caller.uid);
            accepted
                .inspect_err(|error| tracing::warn!(%request, %error, "accepting an older pool"))
                .map_err(Failure::without_record)?;
        }
        let made = daemon.node.init_pool(request, &name);
        made.inspect_err(|error| tracing::warn!(%request, %error, "pool init"))
            .map_err(Failure::without_record)?;
        Ok(pool_view(&daemon, &name))
    });
    places::within(place, work).await
}

pub(super) async fn pools(State(daemon): State<Shared>) -> Result<Json<Vec<PoolView>>, Failure> {
    blocking(move || {
        let names: Vec<PoolName> = daemon.config.pool.iter().map(|p| p.name.clone()).collect();
        let look = |name: &PoolName| -> Work<PoolView> {
            let (of, pool) = (Shared::clone(&daemon), name.clone());
            let what = format!("the list of pool {name}");
            (what, Box::new(move || pool_view(&of, &pool)))
        };
        let found = daemon.looks.at_all(names.iter().map(look).collect());
        let views = names.iter().zip(found).map(|(name, (_, look))| match look {
            Look::Seen(view) => view,
            Look::Silent(time) => PoolView {
                trouble: Some(silent(time)),
                ..unseen_pool(&daemon, name)
            },
        });
        Ok(views.collect())
    })
    .await
}

pub(super) fn silent(time: Duration) -> String {
    format!("has not answered for {} s", time.as_secs())
}

pub(super) async fn volume_set(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<VolumeSetRequest>,
) -> Result<Json<VolumeView>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let (pool, volume): (PoolName, VolumeName) = (parse(&body.pool)?, parse(&body.volume)?);
    let pools = [pool.clone()].into();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let (request, shareable) = (request(), body.shareable);
        tracing::info!(
            %request, %pool, %volume, shareable, uid = caller.uid, origin = ?caller.origin,
            "volume set"
        );
        let set = daemon
            .node
            .set_shareable(request, &pool, &volume, shareable);
        set.inspect_err(|error| tracing::warn!(%request, %error, "volume set"))
            .map_err(Failure::without_record)?;
        let info = daemon.node.pool_info(&pool)?;
        let found = info.named(&volume).map(|info| volume_view(info, None));
        found.ok_or_else(|| {
            let message = format!("{pool}/{volume} vanished while it was marked");
            plain(ProblemCode::NotFound, "not-found", message).into()
        })
    });
    places::within(place, work).await
}

fn kind_of(daemon: &Daemon, name: &PoolName) -> PoolKind {
    let pools = &daemon.config.pool;
    let configured = pools.iter().find(|p| p.name == *name).map(|p| p.kind);
    configured.unwrap_or(PoolKind::Shared)
}

/// What is known of it without a look.
fn unseen_pool(daemon: &Daemon, name: &PoolName) -> PoolView {
    let kind = kind_of(daemon, name);
    PoolView {
        name: name.to_string(),
        vg_uuid: None,
        kind: kind.into(),
        lock_type: Open::Other(String::new()),
        size: 0,
        free: 0,
        members: Vec::new(),
        volumes: Vec::new(),
        trouble: None,
        incomplete: false,
    }
}

pub(super) fn pool_view(daemon: &Daemon, name: &PoolName) -> PoolView {
    let kind = kind_of(daemon, name);
    let mut view = unseen_pool(daemon, name);
    let info = match daemon.node.pool_info(name) {
        Ok(info) => info,
        Err(error) => {
            view.trouble = Some(error.to_string());
            return view;
        }
    };
    view.vg_uuid = Some(info.vg.to_string());
    view.lock_type = lock_type(&info.kind);
    (view.size, view.free) = (info.size.0, info.free.0);
    view.incomplete = info.partial;
    let volumes = info.volumes.iter().filter(|v| !v.is_internal());
    if kind == PoolKind::Local {
        view.volumes = volumes.map(|info| volume_view(info, None)).collect();
        return view;
    }
    let snapshot = daemon.node.pool_snapshot(name);
    let standings = snapshot.as_ref().ok();
    let standings = standings.map(|snapshot| daemon.node.standings(snapshot));
    let standing = |volume: &VolumeInfo| standings.as_ref()?.get(&volume.volume.id);
    view.volumes = volumes
        .map(|info| volume_view(info, standing(info)))
        .collect();
    match snapshot {
        Ok(snapshot) => {
            let troubles = snapshot.slot_troubles();
            let members = snapshot.members.iter().map(|m| PoolMember {
                host_id: m.host_id,
                node: snapshot.name_of(m.host_id).map(ToString::to_string),
                state: m.state.into(),
                own: m.own,
                silent_ms: snapshot.silences.get(&m.host_id).map(|s| s.quiet_ms()),
                slot_trouble: troubles
                    .iter()
                    .find(|t| t.host_id == m.host_id)
                    .map(|t| t.trouble.clone()),
            });
            view.members = members.collect();
            let impostors = snapshot.impostors(&daemon.node.settings().node);
            view.trouble = daemon.node.older(name).map(|why| older(name, why));
            view.trouble = view.trouble.or_else(|| impostors.into_iter().next());
        }
        Err(error) => view.trouble = Some(error.to_string()),
    }
    view
}

fn older(pool: &PoolName, why: String) -> String {
    let pool = pool.clone();
    Unmet::PoolOlder { pool, why }.to_string()
}

/// The lock type in LVM's word; a foreign one is passed on as LVM reports it.
fn lock_type(kind: &volward_model::PoolKind) -> Open<LockType> {
    match kind {
        volward_model::PoolKind::Shared => LockType::Sanlock.into(),
        volward_model::PoolKind::Local => LockType::None.into(),
        volward_model::PoolKind::Foreign { lock_type } => Open::of_word(lock_type),
    }
}

pub(super) fn volume_view(volume: &VolumeInfo, standing: Option<&VolumeStanding>) -> VolumeView {
    let found = volume.home();
    let home = match &found {
        Ok(home) => match home.copy() {
            None => home.state.word().to_owned(),
            Some((node, _)) => format!("{} on {node}", home.state.word()),
        },
        Err(error) => format!("unreadable: {error}"),
    };
    let found = found.ok();
    let copy = found.as_ref().and_then(volward_model::Home::copy);
    VolumeView {
        name: volume.volume.name.to_string(),
        id: volume.volume.id.to_string(),
        size: volume.size.0,
        shareable: volume.shareable(),
        home,
        home_node: copy.map(|(node, _)| node.to_string()),
        home_state: found.map(|home| VolumeHome::from(&home.state).into()),
        mark: volume.mark().map(|mark| VolumeMark::from(&mark).into()),
        status: standing.map(status_view),
    }
}

fn status_view(standing: &VolumeStanding) -> VolumeStatusView {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    VolumeStatusView {
        word: standing.status.into(),
        attached: count(standing.counts.attached),
        attaching: count(standing.counts.attaching),
        detaching: count(standing.counts.detaching),
        fault: count(standing.counts.fault),
        why: standing.troubles.clone(),
    }
}
