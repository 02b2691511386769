//! `volward decisions`: the log of this node's decisions.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use volward_api::model::{DecisionRecord, Mask, RequestId};
use volward_api::{Client, DecisionReply, DecisionsQuery};

use crate::args::{DecisionsCommand, WhichDecisions};
use crate::output::{answer, print};
use crate::show;

/// The daemon is asked so often for what is new; it answers from memory when nothing is.
const PAUSE: Duration = Duration::from_secs(1);
/// As many as the daemon gives at once.
const MOST: u32 = 1_000;

pub(crate) fn run(client: &Client, json: bool, command: DecisionsCommand) -> anyhow::Result<()> {
    match command {
        DecisionsCommand::Ls { limit, which } => {
            let query = DecisionsQuery {
                limit: Some(limit),
                ..query(which)
            };
            answer(json, &client.decisions(&query)?, show::decisions)
        }
        DecisionsCommand::Show { request, mask } => one(client, json, request, mask),
        DecisionsCommand::Follow { which } => follow(client, json, query(which)),
    }
}

fn query(which: WhichDecisions) -> DecisionsQuery {
    DecisionsQuery {
        instance: which.instance,
        volume: which.volume.map(|v| (v.pool, v.volume)),
        said: which.said,
        ..DecisionsQuery::default()
    }
}

fn one(client: &Client, json: bool, request: RequestId, mask: bool) -> anyhow::Result<()> {
    let mut found = client.decision(request)?;
    if mask {
        masked(&mut found)?;
    }
    if json {
        // A line each, so that it is a file of scenarios as it stands.
        let lines: Result<Vec<String>, _> = found
            .iter()
            .map(|reply| serde_json::to_string(&reply.record))
            .collect();
        return print(&lines?.join("\n"));
    }
    let shown: Vec<String> = found.iter().map(show::decision).collect();
    print(&shown.join("\n\n"))
}

/// What an older or newer daemon wrote and this program does not understand is not shown at all:
/// nobody knows what stands in it.
fn masked(found: &mut [DecisionReply]) -> anyhow::Result<()> {
    let mut mask = Mask::default();
    for reply in found {
        let mut record: DecisionRecord = serde_json::from_value(reply.record.take())
            .context("this decision is not understood, so it cannot be masked")?;
        mask.record(&mut record);
        reply.record = serde_json::to_value(&record)?;
        let mut outcome = reply.outcome.clone();
        if let Some(serde_json::Value::String(message)) = outcome.get_mut("message") {
            mask.text(message);
        }
        reply.outcome = outcome;
    }
    Ok(())
}

/// The last few, and then each as it is made.
fn follow(client: &Client, json: bool, mut query: DecisionsQuery) -> anyhow::Result<()> {
    query.limit = Some(10);
    loop {
        let reply = client.decisions(&query)?;
        for view in &reply.decisions {
            let line = if json {
                serde_json::to_string(view)?
            } else {
                show::decisions_line(view)
            };
            print(&line)?;
        }
        // What is new stands after both: the log may have grown while it was read.
        let seen = reply.decisions.last().map_or(0, |view| view.seq);
        query.after = Some(reply.last.max(seen));
        query.limit = Some(MOST);
        thread::sleep(PAUSE);
    }
}
