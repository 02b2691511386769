//! Where a volume's data is, told by every witness: what somebody on call looks at.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use uuid::Uuid;
use volward_api::{Heard, ProblemCode, RecoverReply, Witness};
use volward_model::{PoolName, RequestId, VolumeName};
use volward_plan::witness::{Testimony, Verdict, Witness as Said};

use super::handler::{Shared, blocking};
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
        let Some((pool, name)) = which.volume.split_once('/') else {
            let message = format!("{:?} is no volume: name it as POOL/NAME", which.volume);
            return Err(plain(ProblemCode::BadRequest, "bad-request", message).into());
        };
        let (pool, name): (PoolName, VolumeName) = (parse(pool)?, parse(name)?);
        let request = RequestId(Uuid::new_v4());
        let testimony = daemon.node.testimony(request, &pool, &name);
        let testimony = testimony.map_err(Failure::without_record)?;
        Ok(reply(which.volume, testimony))
    })
    .await
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
