//! Where a volume's data is, told by every witness: what somebody on call looks at.

use axum::Json;
use axum::extract::{ConnectInfo, Query, State};
use serde::Deserialize;
use uuid::Uuid;
use volward_api::{
    BringHomeReply, BringHomeRequest, DiscardCopyRequest, GivenUpView, Heard, ProblemCode,
    RecoverReply, SetHomeRequest, Witness,
};
use volward_control::SaidBy;
use volward_model::{GivenUp, Home, LvUuid, PoolName, RequestId, VolumeName};
use volward_plan::witness::{Testimony, Verdict, Witness as Said};

use super::Peer;
use super::handler::{Shared, blocking};
use super::patience::Patience;
use super::places;
use super::problem::{Failure, plain};
use super::views::parse;

/// The volume asked about.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    volume: String,
}

pub(super) async fn recover(
    State(daemon): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<RecoverReply>, Failure> {
    blocking(move || {
        let (pool, name) = volume(&which.volume)?;
        let request = RequestId(Uuid::new_v4());
        let testimony = daemon.node.testimony(request, &pool, &name);
        let testimony = testimony.map_err(Failure::without_record)?;
        Ok(reply(which.volume, testimony))
    })
    .await
}

pub(super) async fn set_home(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<SetHomeRequest>,
) -> Result<Json<RecoverReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let (pool, name) = volume(&body.volume)?;
    let (right, found): (Home, Home) = (parse(&body.home)?, parse(&body.instead_of)?);
    let pools = [pool.clone()].into();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let request = RequestId(Uuid::new_v4());
        tracing::warn!(
            %request, volume = body.volume, %right, %found, uid = caller.uid, origin = ?caller.origin,
            "set home"
        );
        let said = SaidBy {
            uid: caller.uid,
            because: body.because,
        };
        let set = daemon
            .node
            .set_home(request, (&pool, &name), &found, &right, &said);
        set.inspect_err(|error| tracing::warn!(%request, %error, "set home"))
            .map_err(Failure::without_record)?;
        let testimony = daemon.node.testimony(request, &pool, &name);
        let testimony = testimony.map_err(Failure::without_record)?;
        Ok(reply(body.volume, testimony))
    });
    places::within(place, work).await
}

pub(super) async fn discard(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<DiscardCopyRequest>,
) -> Result<Json<RecoverReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let (pool, name) = volume(&body.volume)?;
    let copy: LvUuid = parse(&body.copy)?;
    let pools = [pool.clone()].into();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let request = RequestId(Uuid::new_v4());
        tracing::warn!(
            %request, volume = body.volume, %copy, uid = caller.uid, origin = ?caller.origin, "discard copy"
        );
        let discarded = daemon.node.discard_copy(request, &pool, &name, copy);
        discarded
            .inspect_err(|error| tracing::warn!(%request, %error, "discard copy"))
            .map_err(Failure::without_record)?;
        let testimony = daemon.node.testimony(request, &pool, &name);
        let testimony = testimony.map_err(Failure::without_record)?;
        Ok(reply(body.volume, testimony))
    });
    places::within(place, work).await
}

pub(super) async fn bring_home(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<BringHomeRequest>,
) -> Result<Json<BringHomeReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let (pool, name) = volume(&body.volume)?;
    let pools = [pool.clone()].into();
    let place = daemon.places.in_pools(&pools, patience).await?;
    let work = blocking(move || {
        let request = RequestId(Uuid::new_v4());
        tracing::info!(
            %request, volume = body.volume, dry_run = body.dry_run, uid = caller.uid, "bring home"
        );
        let begun = daemon.node.bring_home(request, &pool, &name, body.dry_run);
        let (begun, plan) = begun
            .inspect_err(|error| tracing::warn!(%request, %error, "bring home"))
            .map_err(Failure::without_record)?;
        Ok(BringHomeReply { begun, plan })
    });
    places::within(place, work).await
}

fn volume(text: &str) -> Result<(PoolName, VolumeName), Failure> {
    let Some((pool, name)) = text.split_once('/') else {
        let message = format!("{text:?} is no volume: name it as POOL/NAME");
        return Err(plain(ProblemCode::BadRequest, "bad-request", message).into());
    };
    Ok((parse(pool)?, parse(name)?))
}

fn reply(volume: String, testimony: Testimony) -> RecoverReply {
    let (heard, contradictions) = match testimony.verdict {
        Verdict::Agree => (Heard::Agree, Vec::new()),
        Verdict::Leftovers => (Heard::Leftovers, Vec::new()),
        Verdict::Silent(why) => (Heard::Silent, vec![why]),
        Verdict::Contradict(sentences) => (Heard::Contradict, sentences),
    };
    let witnesses = testimony.witnesses.into_iter();
    RecoverReply {
        volume,
        heard: heard.into(),
        witnesses: witnesses
            .map(|(who, says)| (word(who).into(), says))
            .collect(),
        contradictions,
        ways_out: testimony.ways_out,
        given_up: testimony.given_up.iter().map(given_up).collect(),
        copied_at_ms: testimony.copied_at.map(|at| at.saturating_mul(1_000)),
    }
}

fn given_up(said: &GivenUp) -> GivenUpView {
    GivenUpView {
        node: said.node.to_string(),
        copy: said.copy.to_string(),
        generation: said.generation,
        at_ms: said.at.saturating_mul(1_000),
        uid: said.uid,
        reason: said.reason(),
    }
}

fn word(witness: Said) -> Witness {
    match witness {
        Said::HomeTag => Witness::HomeTag,
        Said::Lease => Witness::Lease,
        Said::Record => Witness::Record,
        Said::Device => Witness::Device,
        Said::Copy => Witness::Copy,
    }
}
