//! `volward-policy capture`: a real request from a decision log, as a scenario.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use volward_model::{DecisionRecord, InstanceId, Mask, RequestId, Scenario};
use volward_policy::LogEntry;

use crate::stream::{LogLine, read_log};

/// Which decisions, on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Which {
    /// Every decision of this request
    #[arg(long, value_name = "UUID")]
    pub request: Option<RequestId>,
    /// Of this instance
    #[arg(long, value_name = "UUID")]
    pub instance: Option<InstanceId>,
    /// The latest only, so many
    #[arg(long, value_name = "COUNT")]
    pub last: Option<usize>,
}

impl Which {
    fn wants(&self, record: &DecisionRecord) -> bool {
        let request = &record.facts.request;
        self.request.is_none_or(|id| request.id == id)
            && self.instance.is_none_or(|id| request.instance == id)
    }
}

/// The wanted decisions of some log files, in their order, and what could not be read.
///
/// # Errors
/// If a file cannot be read.
pub fn select(files: &[PathBuf], which: &Which) -> Result<(Vec<LogEntry>, Vec<String>)> {
    let (mut found, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        read_log(file, |line| {
            match line {
                LogLine::Bad(why) => bad.push(why),
                LogLine::Entry(entry) if which.wants(&entry.record) => found.push(*entry),
                LogLine::Entry(_) => {}
            }
            if let Some(last) = which.last
                && found.len() > last
            {
                found.remove(0);
            }
            Ok(())
        })?;
    }
    Ok((found, bad))
}

/// Scenarios, a line each.
///
/// # Errors
/// If one cannot be written as JSON.
pub fn lines(entries: Vec<LogEntry>, title: Option<&str>, mask: bool) -> Result<String> {
    let mut stand_ins = Mask::default();
    let mut text = String::new();
    for mut entry in entries {
        if mask {
            stand_ins.record(&mut entry.record);
        }
        let scenario = Scenario {
            title: title.map_or_else(|| title_of(&entry.record), ToOwned::to_owned),
            ..Scenario::try_from(&entry.record)?
        };
        text.push_str(&serde_json::to_string(&scenario)?);
        text.push('\n');
    }
    Ok(text)
}

fn title_of(record: &DecisionRecord) -> String {
    if let Some(operated) = record.facts.operated() {
        return operated;
    }
    let request = &record.facts.request;
    let disks = record.facts.disks.iter();
    let disks: Vec<String> = disks.map(|d| format!("{}/{}", d.pool, d.name)).collect();
    format!(
        "{} of {} for {}",
        record.hook,
        disks.join(" "),
        request.instance_name
    )
}
