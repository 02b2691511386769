//! The decision log, for people and programs on this node.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use volward_api::words::one_of_if_given;
use volward_api::{Became, DecisionReply, DecisionView, DecisionsReply, Open, ProblemCode, Said};
use volward_model::{Combined, InstanceId, RequestId};
use volward_policy::{LogEntry, Outcome, Which};

use super::handler::{Shared, blocking};
use super::outcome::settle;
use super::problem::{Failure, plain};
use super::views::parse;

/// Unless the caller says how many.
const LIMIT: usize = 100;
/// What a reply holds at most: a megabyte.
const MOST: usize = 1_000;

/// The query of `GET /v1/decisions`; a decision has to match all that is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<usize>,
    #[serde(default)]
    after: u64,
    instance: Option<String>,
    volume: Option<String>,
    #[serde(default, deserialize_with = "one_of_if_given")]
    said: Option<Said>,
}

pub(super) async fn list(
    State(daemon): State<Shared>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<DecisionsReply>, Failure> {
    blocking(move || {
        let instance = wanted.instance.as_deref().map(parse::<InstanceId>);
        let instance = instance.transpose()?;
        // Before the log is read: what is written meanwhile is asked for next time.
        let last = daemon.decisions.last().map_err(unreadable)?;
        let needle = instance.map(|id| id.to_string());
        let which = Which {
            after: wanted.after,
            needle: needle.as_deref(),
            limit: wanted.limit.unwrap_or(LIMIT).clamp(1, MOST),
        };
        let matches = |entry: &LogEntry| {
            let record = &entry.record;
            let (said, _) = said(&record.combined);
            instance.is_none_or(|id| record.facts.request.instance == id)
                && wanted.said.is_none_or(|wanted| wanted == said)
                && wanted
                    .volume
                    .as_ref()
                    .is_none_or(|volume| disks(entry).contains(volume))
        };
        let decisions = if wanted.after > 0 && wanted.after >= last {
            // Whoever follows the log asks every second, and mostly for nothing.
            Vec::new()
        } else {
            let found = daemon.decisions.select(which, matches);
            let mut found = found.map_err(unreadable)?;
            settle(&daemon, &mut found)?;
            found.iter().map(view).collect()
        };
        Ok(DecisionsReply { decisions, last })
    })
    .await
}

/// The query of `GET /v1/decisions/record`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfRequest {
    request: String,
}

pub(super) async fn records(
    State(daemon): State<Shared>,
    Query(wanted): Query<OfRequest>,
) -> Result<Json<Vec<DecisionReply>>, Failure> {
    blocking(move || {
        let request: RequestId = parse(&wanted.request)?;
        let needle = request.to_string();
        let which = Which {
            needle: Some(&needle),
            limit: MOST,
            ..Which::default()
        };
        let mut found = daemon
            .decisions
            .select(which, |entry| entry.record.facts.request.id == request)
            .map_err(unreadable)?;
        settle(&daemon, &mut found)?;
        if found.is_empty() {
            let message =
                format!("request {request} is not in this node's decision log (any more)");
            return Err(plain(ProblemCode::NotFound, "not-found", message).into());
        }
        found.iter().map(whole).collect()
    })
    .await
}

fn whole(entry: &LogEntry) -> Result<DecisionReply, Failure> {
    let value = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|error| unreadable(error.into()))
    };
    Ok(DecisionReply {
        seq: entry.seq,
        record: value(serde_json::to_value(&entry.record))?,
        outcome: value(serde_json::to_value(&entry.outcome))?,
    })
}

fn unreadable(error: std::io::Error) -> Failure {
    let message = format!("the decision log cannot be read: {error}");
    plain(ProblemCode::Internal, "log", message).into()
}

/// The volumes that it is about; of an operation also the one that is made, or its new name.
fn disks(entry: &LogEntry) -> Vec<String> {
    let facts = &entry.record.facts;
    let disks = facts.disks.iter();
    let disks = disks.map(|d| format!("{}/{}", d.pool, d.name));
    let operation = facts.operation.iter();
    let new = operation.filter_map(|o| Some(format!("{}/{}", o.pool, o.new_name.as_ref()?)));
    disks.chain(new).collect()
}

/// The word for what the policies came to, and who was first.
fn said(combined: &Combined) -> (Said, Option<&String>) {
    match combined {
        Combined::Granted(_) => (Said::Granted, None),
        Combined::Advised(_) => (Said::Advised, None),
        Combined::Denied(all) => (Said::Denied, all.first().map(|(who, _)| who)),
        Combined::Faulted(all) => (Said::Faulted, all.first().map(|(who, _)| who)),
    }
}

fn view(entry: &LogEntry) -> DecisionView {
    let facts = &entry.record.facts;
    let (said, by) = said(&entry.record.combined);
    let (became, message) = match &entry.outcome {
        Outcome::Begun => (Became::Begun, None),
        Outcome::Interrupted { message } => (Became::Interrupted, Some(message)),
        Outcome::Done => (Became::Done, None),
        Outcome::Refused { message, .. } => (Became::Refused, Some(message)),
        Outcome::Failed { message } => (Became::Failed, Some(message)),
    };
    DecisionView {
        seq: entry.seq,
        request: facts.request.id.to_string(),
        at_ms: facts.now_ms,
        hook: Open::of_word(&entry.record.hook),
        operation: facts
            .operation
            .as_ref()
            .map(|operation| Open::of_word(&operation.kind.to_string())),
        // An operation is for none.
        instance: match facts.operation {
            Some(_) => String::new(),
            None => facts.request.instance.to_string(),
        },
        instance_name: facts.request.instance_name.clone(),
        disks: disks(entry),
        said: said.into(),
        by: by.cloned(),
        became: became.into(),
        message: message.cloned(),
        micros: entry.record.micros,
    }
}

#[cfg(test)]
mod tests {
    use volward_api::{Hook, Words};
    use volward_model::{Answer, DecisionRecord, Denial, Scenario};

    use super::*;

    fn entry(combined: Combined, outcome: Outcome) -> LogEntry {
        let facts = Scenario::default().facts();
        let record = DecisionRecord {
            hook: "attach".into(),
            facts,
            copies: Vec::new(),
            plugins: Vec::new(),
            combined,
            micros: 3,
        };
        LogEntry {
            seq: 4,
            record,
            outcome,
        }
    }

    #[test]
    fn a_line_says_who_refused_and_why() {
        let denial = Denial {
            code: "in-use".into(),
            message: "it is taken".into(),
            retry_after_ms: None,
        };
        let refused = Outcome::Refused {
            code: "in-use".into(),
            message: "it is taken".into(),
        };
        let shown = view(&entry(
            Combined::Denied(vec![("baseline".into(), denial)]),
            refused,
        ));
        assert_eq!(
            (shown.hook, shown.said, shown.became),
            (
                Hook::Attach.into(),
                Said::Denied.into(),
                Became::Refused.into()
            )
        );
        assert_eq!(shown.by.as_deref(), Some("baseline"));
        assert_eq!(shown.message.as_deref(), Some("it is taken"));
        // Granted, and refused by the rules all the same: nobody's denial.
        let refused = Outcome::Refused {
            code: "home-elsewhere".into(),
            message: "no".into(),
        };
        let shown = view(&entry(Combined::Granted(Answer::default()), refused));
        assert_eq!((shown.said, shown.by), (Said::Granted.into(), None));
    }

    /// A client that filters by the list's words finds them in the whole record too.
    #[test]
    fn the_words_of_the_list_are_those_of_the_record() {
        for combined in [
            Combined::Granted(Answer::default()),
            Combined::Advised(Vec::new()),
            Combined::Denied(Vec::new()),
            Combined::Faulted(Vec::new()),
        ] {
            let (said, _) = said(&combined);
            let record = serde_json::to_value(&combined).unwrap();
            assert!(record.get(said.word()).is_some(), "{said}: {record}");
        }
        let message = String::new;
        for outcome in [
            Outcome::Begun,
            Outcome::Interrupted { message: message() },
            Outcome::Done,
            Outcome::Refused {
                code: String::new(),
                message: message(),
            },
            Outcome::Failed { message: message() },
        ] {
            let record = serde_json::to_value(&outcome).unwrap();
            let shown = view(&entry(Combined::Granted(Answer::default()), outcome));
            assert_eq!(record["became"], shown.became.to_string());
        }
    }

    #[test]
    fn a_whole_record_is_a_scenario() {
        let whole = whole(&entry(Combined::Granted(Answer::default()), Outcome::Done)).unwrap();
        let scenario: Scenario = serde_json::from_value(whole.record).unwrap();
        assert_eq!(scenario.facts(), Scenario::default().facts());
    }
}
