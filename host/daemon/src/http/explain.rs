//! Why something was granted, refused, or where it is stuck: the journal and the decision log
//! put together.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use volward_api::{ExplainReply, ProblemCode, StepState};
use volward_control::Unfinished;
use volward_control::ports::{JournalEntry, JournalQuery, JournalState, StepMark};
use volward_model::{InstanceId, PoolName, RequestId, VolumeName, VolumeRef};
use volward_policy::{LogEntry, Outcome};

use super::handler::{Shared, blocking};
use super::outcome::{settle, undecided};
use super::problem::{Failure, plain};
use super::views::parse;
use crate::doctor::not_compared;
use crate::looks::{Look, Work};
use crate::wiring::Daemon;

type Matches = Box<dyn Fn(&LogEntry) -> bool>;

/// What to explain: one of the three.
#[derive(Debug, Deserialize)]
pub(super) struct What {
    request: Option<String>,
    instance: Option<String>,
    volume: Option<String>,
}

pub(super) async fn explain(
    State(daemon): State<Shared>,
    Query(what): Query<What>,
) -> Result<Json<ExplainReply>, Failure> {
    blocking(move || {
        let query = query(&daemon, &what)?;
        let (entry, mut logged) = latest(&daemon, &query)?;
        settle(&daemon, logged.as_mut_slice())?;
        match entry
            .as_ref()
            .map(|e| e.request)
            .or(logged.as_ref().map(request_of))
        {
            Some(request) => reply(&daemon, request, entry.as_ref(), logged.as_ref()),
            None => {
                let message = "nothing is known of it on this node".to_owned();
                Err(plain(ProblemCode::NotFound, "not-found", message).into())
            }
        }
    })
    .await
}

fn query(daemon: &Arc<Daemon>, what: &What) -> Result<JournalQuery, Failure> {
    match (&what.request, &what.instance, &what.volume) {
        (Some(id), None, None) => Ok(JournalQuery::Request(parse::<RequestId>(id)?)),
        (None, Some(id), None) => Ok(JournalQuery::Instance(parse::<InstanceId>(id)?)),
        (None, None, Some(path)) => Ok(JournalQuery::Volume(volume_at(daemon, path)?)),
        _ => {
            let message = "name one of request, instance or volume (POOL/NAME)".to_owned();
            Err(plain(ProblemCode::BadRequest, "bad-request", message).into())
        }
    }
}

/// The latest request that matches. A refused one stands in the log only, a write-back in the
/// journal only, a carried out one in both.
fn latest(
    daemon: &Daemon,
    query: &JournalQuery,
) -> Result<(Option<JournalEntry>, Option<LogEntry>), Failure> {
    let entry = daemon.node.history(query, 1)?.into_iter().next();
    let (needle, matches): (String, Matches) = match query.clone() {
        JournalQuery::Request(id) => (id.to_string(), Box::new(move |l| request_of(l) == id)),
        JournalQuery::Instance(id) => (
            id.to_string(),
            Box::new(move |l| l.record.facts.request.instance == id),
        ),
        JournalQuery::Volume(volume) => (
            volume.id.to_string(),
            Box::new(move |l| l.record.facts.disks.iter().any(|d| d.id == volume.id)),
        ),
    };
    let logged = daemon.decisions.latest(&needle, matches).map_err(|error| {
        plain(
            ProblemCode::Internal,
            "log",
            format!("the decision log cannot be read: {error}"),
        )
    })?;
    let same = match (&entry, &logged) {
        (Some(e), Some(l)) => e.request == request_of(l),
        _ => true,
    };
    if same {
        return Ok((entry, logged));
    }
    let logged_ms = logged.as_ref().map_or(0, |l| l.record.facts.now_ms);
    match entry {
        Some(entry) if entry.started_ms > logged_ms => {
            let request = entry.request;
            let own = daemon
                .decisions
                .latest(&request.to_string(), |l| request_of(l) == request);
            Ok((Some(entry), own.ok().flatten()))
        }
        _ => Ok((None, logged)),
    }
}

fn request_of(logged: &LogEntry) -> RequestId {
    logged.record.facts.request.id
}

fn reply(
    daemon: &Arc<Daemon>,
    request: RequestId,
    entry: Option<&JournalEntry>,
    logged: Option<&LogEntry>,
) -> Result<ExplainReply, Failure> {
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
        .flat_map(|e| e.operation.steps())
        .map(|(step, mark)| (step.to_string(), step_state(mark).into()));
    let causes = entry.iter().flat_map(|e| e.causes.clone());
    let causes = causes.chain(entry.iter().flat_map(|e| changed(daemon, e)));
    let causes = causes.chain(daemon.node.unwritten_slots());
    let unfinished = daemon.node.unfinished();
    Ok(ExplainReply {
        request: request.to_string(),
        summary: match unfinished.iter().any(|u| u.request == request) {
            true => format!(
                "{}; it failed for now and is tried again",
                summary(entry, logged)
            ),
            false => summary(entry, logged),
        },
        undecided: entry.filter(|_| decision.is_none()).map(undecided),
        decision,
        steps: steps.collect(),
        trouble: causes
            .chain(unfinished.iter().map(Unfinished::sentence))
            .chain(inconsistencies(daemon))
            .collect(),
    })
}

/// Attachments, leases and sharing of each shared pool; one that does not answer is named.
fn inconsistencies(daemon: &Arc<Daemon>) -> Vec<String> {
    let pools = &daemon.node.settings().pools;
    let at_pool = |pool: &PoolName| -> Work<Vec<String>> {
        let (node, pool) = (Arc::clone(&daemon.node), pool.clone());
        let what = format!("leases in pool {pool}");
        (what, Box::new(move || node.inconsistencies_in(&pool)))
    };
    let looks = daemon.looks.at_all(pools.iter().map(at_pool).collect());
    let found = pools.iter().zip(looks).map(|(pool, (_, look))| match look {
        Look::Seen(found) => found,
        Look::Silent(_) => not_compared(daemon, pool).into_iter().collect(),
    });
    found.flatten().collect()
}

/// What changed of the volumes of an entry since they were attached.
fn changed(daemon: &Arc<Daemon>, entry: &JournalEntry) -> Vec<String> {
    let volumes: Vec<_> = entry.operation.volumes().iter().map(|v| v.id).collect();
    let node = Arc::clone(&daemon.node);
    let what = "attached volumes".to_owned();
    let look: Work<_> = (what, Box::new(move || node.attachments_seen()));
    let looks = daemon.looks.at_all(vec![look]).into_iter();
    let seen = looks.filter_map(|(_, look)| match look {
        Look::Seen(seen) => Some(seen),
        // The pool that hangs is named beside it.
        Look::Silent(_) => None,
    });
    let seen = seen.flatten();
    let seen = seen.filter(|a| volumes.contains(&a.stored.volume.id));
    let notes = seen.flat_map(|a| {
        let volume = a.stored.volume.clone();
        a.notes()
            .into_iter()
            .map(move |note| format!("{volume}: {note}"))
    });
    notes.collect()
}

fn step_state(mark: StepMark) -> StepState {
    match mark {
        StepMark::Waiting => StepState::Waiting,
        StepMark::Started => StepState::Started,
        StepMark::Done => StepState::Done,
        StepMark::Undone => StepState::Undone,
    }
}

fn summary(entry: Option<&JournalEntry>, logged: Option<&LogEntry>) -> String {
    if let Some(entry) = entry {
        let volumes = entry.operation.volumes();
        let volumes: Vec<_> = volumes.into_iter().map(ToString::to_string).collect();
        let kind = entry.operation.name();
        let state = match entry.state {
            JournalState::Open => "under way",
            JournalState::Done => "done",
            JournalState::Undone => "taken back",
            JournalState::Quarantined => "quarantined",
        };
        // What failed before its volumes were looked up has none.
        let whose = match (volumes.is_empty(), entry.operation.instance()) {
            (true, Some(instance)) => format!("for instance {instance}"),
            _ => format!("of {}", volumes.join(", ")),
        };
        return format!("{kind} {whose}: {state}");
    }
    let Some(logged) = logged else {
        return String::new();
    };
    let facts = &logged.record.facts;
    let disks = &facts.disks;
    let volumes: Vec<_> = disks
        .iter()
        .map(|d| format!("{}/{}", d.pool, d.name))
        .collect();
    let said = match &logged.outcome {
        Outcome::Begun => "under way".to_owned(),
        Outcome::Interrupted { message } => format!("interrupted: {message}"),
        Outcome::Done if facts.operation.is_some() => {
            "on record; `volward op ls` shows how it goes on".to_owned()
        }
        Outcome::Done => "done".to_owned(),
        Outcome::Refused { message, .. } => format!("refused: {message}"),
        Outcome::Failed { message } => format!("failed: {message}"),
    };
    match facts.operated() {
        Some(operated) => format!("{operated}: {said}"),
        None => format!("{} of {}: {said}", logged.record.hook, volumes.join(", ")),
    }
}

fn volume_at(daemon: &Arc<Daemon>, path: &str) -> Result<VolumeRef, Failure> {
    let parts = path.split_once('/').ok_or_else(|| {
        plain(
            ProblemCode::BadRequest,
            "bad-request",
            format!("{path:?} is not POOL/NAME"),
        )
    })?;
    let (pool, name): (PoolName, VolumeName) = (parse(parts.0)?, parse(parts.1)?);
    // One that was renamed since is found by the name that its path has, too.
    let mut attached = daemon.node.attachments().into_iter().map(|a| a.volume);
    let attached = attached.find(|v| v.pool == pool && v.name == name);
    let (node, of) = (Arc::clone(&daemon.node), pool.clone());
    let look: Work<_> = (
        format!("volumes of pool {pool}"),
        Box::new(move || node.pool_info(&of)),
    );
    let look = daemon.looks.at_all(vec![look]).pop().map(|(_, look)| look);
    let found = match (look, &attached) {
        (Some(Look::Seen(info)), _) => info?.named(&name).map(|v| v.volume.clone()),
        (_, Some(_)) => None,
        (_, None) => {
            let message = format!(
                "pool {pool} does not answer, so which volume is called {name} cannot be said; ask by the \
                 request or the instance"
            );
            return Err(plain(ProblemCode::Storage, "storage", message).into());
        }
    };
    found.or(attached).ok_or_else(|| {
        let message = format!("there is no volume {pool}/{name}");
        plain(ProblemCode::NotFound, "not-found", message).into()
    })
}
