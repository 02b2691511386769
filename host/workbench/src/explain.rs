//! `volward-policy explain`: what each policy of a chain makes of a request, and why.

use std::fmt::Write as _;

use volward_model::{
    Answer, Combined, CopyFate, DecisionRecord, DiskAnswer, Facts, PluginVerdict, Verdict, VolumeId,
};

use volward_policy::scenarios::Placed;

use crate::chain::{Candidates, ask};

/// The story of a scenario.
#[must_use]
pub fn explain(candidates: &Candidates, placed: &Placed) -> String {
    let scenario = &placed.scenario;
    let facts = scenario.facts();
    let chain = candidates.chain_for(&scenario.plugins);
    let record = ask(&chain, scenario.hook, &facts, &scenario.copies);
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a String does not fail.
        let _ok = writeln!(text, "{line}");
    };
    line(
        format!("{} {}", placed.place, scenario.title)
            .trim_end()
            .to_owned(),
    );
    request(&facts, &record).into_iter().for_each(&mut line);
    for said in &record.plugins {
        verdict(said, &facts).into_iter().for_each(&mut line);
    }
    line(format!("together: {}", combined(&record.combined, &facts)));
    for difference in scenario.differences(&facts, &record.plugins, &record.combined) {
        line(format!("not as expected: {difference}"));
    }
    text
}

fn request(facts: &Facts, record: &DecisionRecord) -> Vec<String> {
    let mut lines = vec![match facts.operated() {
        Some(operated) => format!("{operated} on {}", facts.node.name),
        None => format!(
            "{} for {} {} on {}",
            record.hook, facts.request.instance_name, facts.request.instance, facts.node.name
        ),
    }];
    if let Some(peer) = &facts.peer {
        lines.push(format!("  the other node is {}", peer.name));
    }
    let new_size = facts.operation.as_ref().and_then(|told| told.new_size);
    lines.extend(new_size.map(|size| format!("  the volume is to have {size}")));
    for disk in &facts.disks {
        let shareable = if disk.shareable { ", shareable" } else { "" };
        lines.push(format!(
            "  {}/{}: {}, {}; {}{shareable}, home {}",
            disk.pool,
            disk.name,
            disk.asked_sharing,
            disk.asked_access,
            disk.size,
            disk.home.state.word()
        ));
        lines.extend(disk.attachments.iter().map(|held| {
            format!(
                "    {} on {} by {}: {}, {}",
                held.state, held.node, held.instance, held.sharing, held.access
            )
        }));
    }
    lines
}

fn verdict(said: &PluginVerdict, facts: &Facts) -> Vec<String> {
    let monitored = if said.monitored {
        " (monitored: without effect)"
    } else {
        ""
    };
    let verdict = match &said.verdict {
        Verdict::Granted(answer) => narrowed(answer, facts),
        Verdict::Advised(advice) => {
            let given = advice.iter().filter_map(|(v, fate)| Some((*v, (*fate)?)));
            format!("advises {}", fates(given, facts))
        }
        other => other.to_string(),
    };
    let mut lines = vec![format!("{}{monitored}: {verdict}", said.plugin)];
    for (key, value) in &said.config {
        lines.push(format!("  told {key} = {value}"));
    }
    if let Verdict::Granted(answer) = &said.verdict {
        let notes = answer.notes.iter();
        lines.extend(notes.map(|note| format!("  note {}: {}", note.key, note.value)));
    }
    lines.extend(said.log.iter().map(|line| format!("  log: {line}")));
    lines
}

fn combined(combined: &Combined, facts: &Facts) -> String {
    match combined {
        Combined::Granted(answer) => narrowed(answer, facts),
        Combined::Advised(all) => format!("copies: {}", fates(all.iter().copied(), facts)),
        Combined::Denied(all) => {
            let each = all
                .iter()
                .map(|(who, denial)| format!("denied by {who}: {denial}"));
            each.collect::<Vec<_>>().join("; ")
        }
        Combined::Faulted(all) => {
            let each = all
                .iter()
                .map(|(who, fault)| format!("{who} broke: {fault}"));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

/// Where an answer is not what was asked.
fn narrowed(answer: &Answer, facts: &Facts) -> String {
    let asked = Answer::as_asked(facts);
    let pairs = asked.disks.iter().zip(&answer.disks);
    let narrowings: Vec<String> = pairs
        .flat_map(|(asked, is)| disk(asked, is, facts))
        .collect();
    if narrowings.is_empty() {
        "granted as asked".to_owned()
    } else {
        format!("granted: {}", narrowings.join(", "))
    }
}

fn disk(asked: &DiskAnswer, is: &DiskAnswer, facts: &Facts) -> Vec<String> {
    let name = name(asked.volume, facts);
    let mut said = Vec::new();
    if is.sharing != asked.sharing {
        said.push(format!("{name} {}", is.sharing));
    }
    if is.access != asked.access {
        said.push(format!("{name} {}", is.access));
    }
    if is.copy_at_most != asked.copy_at_most {
        said.push(format!("{name} copied at most {}", is.copy_at_most));
    }
    if let Some(copy) = is.copy {
        said.push(format!("{name} copied ({copy})"));
    }
    said
}

fn fates(all: impl Iterator<Item = (VolumeId, CopyFate)>, facts: &Facts) -> String {
    let each: Vec<String> = all
        .map(|(volume, fate)| format!("{} {fate}", name(volume, facts)))
        .collect();
    if each.is_empty() {
        "nothing".to_owned()
    } else {
        each.join(", ")
    }
}

fn name(volume: VolumeId, facts: &Facts) -> String {
    let mut disks = facts.disks.iter().chain(&facts.held);
    disks
        .find(|disk| disk.id == volume)
        .map_or_else(|| volume.to_string(), |d| format!("{}/{}", d.pool, d.name))
}
