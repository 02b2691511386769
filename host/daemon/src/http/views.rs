//! What is attached, here and elsewhere, and copies that are made and written back.

use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Query, State};
use serde::Deserialize;
use volward_api::{
    AttachmentStage, AttachmentView, ClusterReply, DoctorReply, FencedView, HydrationView,
    ProblemCode,
};
use volward_control::AttachingDisk;
use volward_control::views::{ClusterAttachment, Elsewhere};
use volward_control::{CopyView, Node, SeenAttachment};
use volward_model::{PoolName, RequestId};
use volward_plan::DiskForm;

use super::Peer;
use super::handler::{Shared, at_once, blocking};
use super::pools::silent;
use super::problem::{Failure, plain};
use crate::doctor;
use crate::looks::{Look, Work};
use crate::wiring::Daemon;

/// What `ls` waits for the disks of its pools: they answer in milliseconds, or hang.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    all: bool,
}

pub(super) async fn attachments(
    State(daemon): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<AttachmentView>>, Failure> {
    if !which.all {
        let own = seen(&daemon, Node::attachments_seen).await;
        let own = own.unwrap_or_else(|| daemon.node.attachments_remembered());
        return at_once(|| attached_here(&daemon, &own));
    }
    let Json(all) = cluster(State(daemon)).await?;
    for trouble in &all.unreadable {
        tracing::warn!(%trouble, "the cluster's attachments are incomplete");
    }
    Ok(Json(all.attachments))
}

pub(super) async fn cluster(State(daemon): State<Shared>) -> Result<Json<ClusterReply>, Failure> {
    let own = seen(&daemon, Node::attachments_seen).await;
    blocking(move || {
        let own = own.unwrap_or_else(|| daemon.node.attachments_remembered());
        let mut reply = ClusterReply {
            attachments: attached_here(&daemon, &own),
            unreadable: Vec::new(),
            silent: Vec::new(),
        };
        let pools = &daemon.node.settings().pools;
        let look = |pool: &PoolName| -> Work<Elsewhere> {
            let (of, pool) = (Shared::clone(&daemon), pool.clone());
            let what = format!("what others have in pool {pool}");
            (
                what,
                Box::new(move || of.node.attachments_elsewhere_in(&pool)),
            )
        };
        let found = daemon.looks.at_all(pools.iter().map(look).collect());
        for (pool, (_, look)) in pools.iter().zip(found) {
            let elsewhere = match look {
                Look::Seen(elsewhere) => elsewhere,
                Look::Silent(time) => {
                    let what = format!("pool {pool} {}", silent(time));
                    reply.unreadable.push(what);
                    continue;
                }
            };
            let theirs = elsewhere.attachments.into_iter().map(other_view);
            reply.attachments.extend(theirs);
            reply.unreadable.extend(elsewhere.unreadable);
            reply.silent.extend(elsewhere.silent);
        }
        Ok(reply)
    })
    .await
}

/// What this node has with what its volumes are now, as far as the disks answer at once; of one look at a
/// time, that a pool that hangs takes one thread and no more. `None`: it is to be answered from memory.
pub(super) async fn seen<T: Send + 'static>(
    daemon: &Shared,
    look: impl FnOnce(&Node) -> Vec<T> + Send + 'static,
) -> Option<Vec<T>> {
    let place = daemon.places.to_see()?;
    let background = Shared::clone(daemon);
    let look = tokio::task::spawn_blocking(move || {
        let seen = look(&background.node);
        drop(place);
        seen
    });
    tokio::time::timeout(SEEN_WITHIN, look).await.ok()?.ok()
}

/// This node's attachments, `own` as they were seen or are remembered, what is being attached, and what is not finished.
pub(super) fn attached_here(daemon: &Daemon, own: &[SeenAttachment]) -> Vec<AttachmentView> {
    let node = daemon.node.settings().node.to_string();
    // In this order: an attach that ends meanwhile is found by the second look.
    let attaching = daemon.node.attaching();
    let has = daemon.node.attachments();
    let attaching = attaching
        .iter()
        .filter(|disk| !has.iter().any(|a| disk.is(a)));
    let mut views: Vec<_> = attaching.map(|disk| attaching_view(&node, disk)).collect();
    let unseen = has.iter().filter(|a| {
        let mut seen = own.iter();
        !seen.any(|other| other.stored.key() == a.key())
    });
    let unseen: Vec<_> = unseen.cloned().map(SeenAttachment::remembered).collect();
    let unfinished = daemon.node.unfinished();
    let settled = own.iter().chain(&unseen).filter(|a| {
        let mut all = unfinished.iter().flat_map(|u| &u.attachments);
        !all.any(|other| other.key() == a.stored.key())
    });
    views.extend(settled.map(|a| own_view(daemon, &node, a)));
    for unfinished in &unfinished {
        let state = match unfinished.leaving {
            true => AttachmentStage::Detaching,
            false => AttachmentStage::Attaching,
        };
        let next = format!(
            "failed {} time(s), tried again in {} s",
            unfinished.failures,
            unfinished.next.as_secs()
        );
        let causes = [unfinished.causes.as_slice(), &[next]].concat();
        views.extend(unfinished.attachments.iter().map(|a| AttachmentView {
            state: state.into(),
            causes: causes.clone(),
            ..own_view(daemon, &node, &SeenAttachment::remembered(a.clone()))
        }));
    }
    views
}

/// What is being attached here: as it was asked for, since nothing is granted yet.
fn attaching_view(node: &str, disk: &AttachingDisk) -> AttachmentView {
    AttachmentView {
        node: node.to_owned(),
        instance: disk.instance.to_string(),
        instance_name: (!disk.instance_name.is_empty()).then(|| disk.instance_name.clone()),
        pool: disk.pool.to_string(),
        volume: disk.volume.to_string(),
        sharing: disk.sharing.into(),
        access: disk.access.into(),
        asked: None,
        claims: vec![disk.claim.into()],
        state: AttachmentStage::Attaching.into(),
        device: None,
        size: None,
        since_ms: disk.since_ms,
        causes: Vec::new(),
        notes: Vec::new(),
        fenced: None,
    }
}

/// Another node's attachment.
pub(super) fn other_view(found: ClusterAttachment) -> AttachmentView {
    let a = found.attachment;
    let name = found.volume.as_ref();
    let (asked, claims) = found.asked.map(|one| (one.access, one.claims)).unzip();
    AttachmentView {
        asked: asked.flatten().map(Into::into),
        claims: claims.into_iter().flatten().map(Into::into).collect(),
        node: a.node.to_string(),
        instance: a.instance.to_string(),
        instance_name: None,
        pool: name.map(|v| v.pool.to_string()).unwrap_or_default(),
        volume: name.map_or_else(|| a.volume.lv.to_string(), |v| v.name.to_string()),
        sharing: a.sharing.into(),
        access: a.access.into(),
        state: AttachmentStage::from(a.state).into(),
        device: None,
        size: None,
        since_ms: a.since_ms,
        causes: Vec::new(),
        notes: Vec::new(),
        fenced: None,
    }
}

pub(super) fn own_view(daemon: &Daemon, node: &str, seen: &SeenAttachment) -> AttachmentView {
    let (a, now) = (&seen.stored, &seen.now);
    let name = now.as_ref().map_or(&a.volume.name, |now| &now.name);
    // A path of Volward's keeps the name, LVM's own follows it.
    let device = match a.form {
        DiskForm::Own => {
            format!(
                "{}/{}/{}",
                daemon.config.paths.devices.display(),
                a.instance,
                a.volume
            )
        }
        DiskForm::Lv => format!("/dev/{}/{name}", a.volume.pool),
    };
    AttachmentView {
        node: node.to_owned(),
        instance: a.instance.to_string(),
        instance_name: Some(a.instance_name.clone()),
        pool: a.volume.pool.to_string(),
        volume: name.to_string(),
        sharing: a.sharing.into(),
        access: a.access.into(),
        asked: (a.asked != a.access).then(|| a.asked.into()),
        claims: a.claims.iter().copied().map(Into::into).collect(),
        state: match daemon.node.is_leaving(a) {
            true => AttachmentStage::Detaching.into(),
            false => AttachmentStage::from(a.state).into(),
        },
        device: Some(device),
        size: seen.device_size.map(|size| size.0),
        since_ms: a.since_ms,
        causes: a.causes.clone(),
        notes: seen.notes(),
        fenced: daemon.node.fenced().get(&a.key()).map(|f| FencedView {
            reason: f.reason.clone(),
            since_ms: f.since_ms,
            cut: f.cut,
            back_after_s: daemon.node.comes_back(f).map(|pause| pause.as_secs()),
        }),
    }
}

pub(super) async fn hydrations(
    State(daemon): State<Shared>,
) -> Result<Json<Vec<HydrationView>>, Failure> {
    let copies = seen(&daemon, Node::copies_seen).await;
    let copies = copies.unwrap_or_else(|| daemon.node.copies());
    at_once(|| copies.into_iter().map(hydration).collect())
}

pub(super) async fn put_copies_down(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Vec<HydrationView>>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    at_once(|| {
        tracing::warn!(
            uid = caller.uid, origin = ?caller.origin, "write-backs are put down until the daemon is started again"
        );
        daemon.node.put_copies_down();
        daemon.node.copies().into_iter().map(hydration).collect()
    })
}

/// A copy on this node.
pub(super) fn hydration(copy: CopyView) -> HydrationView {
    HydrationView {
        pool: copy.volume.pool.to_string(),
        volume: copy.volume.name.to_string(),
        state: copy.state.into(),
        done: copy.done.0,
        total: copy.total.0,
        remaining_ms: copy.remaining_ms,
        stalled_ms: copy.stalled_ms,
        trouble: copy.trouble,
    }
}

pub(super) async fn doctor(State(daemon): State<Shared>) -> Result<Json<DoctorReply>, Failure> {
    blocking(move || Ok(doctor::reply(&daemon))).await
}

pub(super) fn request() -> RequestId {
    RequestId(uuid::Uuid::new_v4())
}

pub(super) fn parse<T: std::str::FromStr<Err = volward_model::ParseIdError>>(
    text: &str,
) -> Result<T, Failure> {
    text.parse().map_err(|error: volward_model::ParseIdError| {
        plain(ProblemCode::BadRequest, "bad-request", error.to_string()).into()
    })
}
