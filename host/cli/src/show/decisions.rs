//! The decision log: a table, a line each, or one decision whole.

use volward_api::model::DecisionRecord;
use volward_api::{DecisionReply, DecisionView, DecisionsReply};

use super::explain;
use crate::table::table;
use crate::time::utc;

/// `decisions ls`: a table, a line a decision, the oldest first.
pub(crate) fn decisions(reply: &DecisionsReply) -> String {
    if reply.decisions.is_empty() {
        return "no such decisions on this node".to_owned();
    }
    let rows = reply.decisions.iter().map(|view| {
        [
            utc(view.at_ms),
            view.request.clone(),
            asked(view),
            instance(view),
            view.disks.join(" "),
            said(view),
            became(view),
        ]
    });
    let header = [
        "WHEN", "REQUEST", "HOOK", "INSTANCE", "DISKS", "POLICIES", "BECAME",
    ];
    table(header, &[], rows)
}

/// One decision in a line, for whoever follows.
pub(crate) fn decisions_line(view: &DecisionView) -> String {
    let whom = match view.operation {
        Some(_) => String::new(),
        None => format!(" for {}", instance(view)),
    };
    format!(
        "{}  {}  {} of {}{whom}: {}, {}",
        utc(view.at_ms),
        view.request,
        asked(view),
        view.disks.join(" "),
        said(view),
        became(view)
    )
}

/// The hook; of an operation on a volume which one, for that says more.
fn asked(view: &DecisionView) -> String {
    match &view.operation {
        Some(operation) => operation.to_string(),
        None => view.hook.to_string(),
    }
}

fn instance(view: &DecisionView) -> String {
    if view.operation.is_some() {
        "-".to_owned()
    } else if view.instance_name.is_empty() {
        view.instance.clone()
    } else {
        view.instance_name.clone()
    }
}

fn said(view: &DecisionView) -> String {
    match &view.by {
        Some(who) => format!("{} by {who}", view.said),
        None => view.said.to_string(),
    }
}

fn became(view: &DecisionView) -> String {
    match &view.message {
        Some(message) => format!("{}: {message}", view.became),
        None => view.became.to_string(),
    }
}

/// `decisions show`: facts, every policy's answer, and what became of it.
pub(crate) fn decision(reply: &DecisionReply) -> String {
    let became = reply.outcome["became"].as_str().unwrap_or("unknown");
    let mut became = format!("became: {became}");
    if let Some(message) = reply.outcome["message"].as_str() {
        became.push_str(&format!(": {message}"));
    }
    match serde_json::from_value::<DecisionRecord>(reply.record.clone()) {
        Ok(record) => {
            let mut lines = vec![format!("request {}", record.facts.request.id)];
            lines.push(format!("hook:  {}", record.hook));
            lines.extend(explain::decision(&record));
            lines.push(became);
            lines.join("\n")
        }
        // A newer daemon's record: better raw than not at all.
        Err(_) => format!("decision: {:#}\n{became}", reply.record),
    }
}
