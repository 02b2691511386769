//! `volward explain`: one request as a story.

use volward_api::ExplainReply;
use volward_api::model::{
    Answer, Combined, CopyFate, DecisionRecord, Denial, DiskAnswer, Facts, Fault, PluginVerdict,
    Verdict, VolumeId,
};

use super::facts::{copy, facts, fate};
use crate::time::span;

/// What was asked, what each policy said of it, what came of it, and what is in the way.
pub(crate) fn explain(reply: &ExplainReply) -> String {
    let mut lines = vec![format!("request {}", reply.request), reply.summary.clone()];
    if let Some(decision) = &reply.decision {
        lines.push(String::new());
        match serde_json::from_value::<DecisionRecord>(decision.clone()) {
            Ok(record) => lines.extend(self::decision(&record)),
            // A newer daemon's record: better raw than not at all.
            Err(_) => lines.push(format!("decision: {decision:#}")),
        }
    } else {
        // A daemon of 0.1.0 does not say why.
        let why = reply.undecided.as_deref();
        lines.push(why.unwrap_or("its decision is not in the log").to_owned());
    }
    if !reply.steps.is_empty() {
        lines.push("steps:".to_owned());
        let steps = reply.steps.iter();
        lines.extend(steps.map(|(step, state)| format!("  {state:8} {step}")));
    }
    if !reply.trouble.is_empty() {
        lines.push("in the way now:".to_owned());
        lines.extend(reply.trouble.iter().map(|trouble| format!("  {trouble}")));
    }
    lines.join("\n")
}

/// A decision's facts, what each policy said, and what came of it.
pub(super) fn decision(record: &DecisionRecord) -> Vec<String> {
    let mut lines = facts(&record.facts);
    lines.push("policies:".to_owned());
    for plugin in &record.plugins {
        lines.extend(verdict(plugin, &record.facts));
    }
    lines.push(format!(
        "together ({} us): {}",
        record.micros,
        combined(&record.combined, &record.facts)
    ));
    lines
}

fn verdict(plugin: &PluginVerdict, facts: &Facts) -> Vec<String> {
    let monitored = if plugin.monitored {
        " (monitored: without effect)"
    } else {
        ""
    };
    let said = match &plugin.verdict {
        Verdict::Granted(answer) => format!("granted: {}", granted(answer, facts)),
        Verdict::Advised(advice) => {
            let given = advice.iter().filter_map(|(v, f)| f.map(|f| (*v, f)));
            format!("advised: {}", advised(given, facts))
        }
        Verdict::Denied(denial) => denied(denial),
        Verdict::Faulted(fault) => faulted(fault),
        Verdict::Absent => "has no such hook".to_owned(),
    };
    let mut lines = vec![format!("  {}{monitored} {said}", plugin.plugin)];
    if let Verdict::Granted(answer) = &plugin.verdict {
        let notes = answer.notes.iter();
        lines.extend(notes.map(|note| format!("    note {}: {}", note.key, note.value)));
    }
    lines.extend(plugin.log.iter().map(|line| format!("    log: {line}")));
    lines
}

fn combined(combined: &Combined, facts: &Facts) -> String {
    match combined {
        Combined::Granted(answer) => format!("granted: {}", granted(answer, facts)),
        Combined::Advised(fates) => advised(fates.iter().copied(), facts),
        Combined::Denied(denials) => by(denials.iter().map(|(who, denial)| (who, denied(denial)))),
        Combined::Faulted(faults) => by(faults.iter().map(|(who, fault)| (who, faulted(fault)))),
    }
}

fn by<'a>(said: impl Iterator<Item = (&'a String, String)>) -> String {
    let said: Vec<_> = said.map(|(who, what)| format!("{what} [{who}]")).collect();
    said.join("; ")
}

fn denied(denial: &Denial) -> String {
    let retry = denial
        .retry_after_ms
        .map(|ms| format!(", try again in {}", span(u64::from(ms))));
    format!("denied: {denial}{}", retry.unwrap_or_default())
}

fn faulted(fault: &Fault) -> String {
    format!("broke ({}): {}", fault.kind, fault.message)
}

fn granted(answer: &Answer, facts: &Facts) -> String {
    let disks = answer.disks.iter().map(|disk| disk_answer(disk, facts));
    disks.collect::<Vec<_>>().join("; ")
}

fn disk_answer(disk: &DiskAnswer, facts: &Facts) -> String {
    let copied = disk.granted_copy().map(|plan| format!(", {}", copy(&plan)));
    format!(
        "{} {}, {}{}",
        name(disk.volume, facts),
        disk.sharing,
        disk.access,
        copied.unwrap_or_default()
    )
}

fn advised(fates: impl Iterator<Item = (VolumeId, CopyFate)>, facts: &Facts) -> String {
    let said: Vec<_> = fates
        .map(|(volume, what)| format!("copy of {} {}", name(volume, facts), fate(what)))
        .collect();
    if said.is_empty() {
        "nothing about copies".to_owned()
    } else {
        said.join("; ")
    }
}

/// The volume's name, or its UUIDs if the facts do not name it.
fn name(volume: VolumeId, facts: &Facts) -> String {
    facts
        .disks
        .iter()
        .chain(&facts.held)
        .find(|disk| disk.id == volume)
        .map_or_else(
            || volume.to_string(),
            |disk| format!("{}/{}", disk.pool, disk.name),
        )
}
