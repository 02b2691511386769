//! Decisions taken apart for writing, and put together again.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use volward_model::{DecisionRecord, Facts, RequestId};

use super::ends::FORMAT;
use super::line::{Decision, DecisionLine, Line, Part, PartLine, storable};
use super::window::Window;
use super::{LogEntry, Outcome};
use crate::digest::digest;

/// Why a line is no decision.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Torn by a crash, or never a line of a log.
    #[error("it is not a line of a decision log: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but with other keys than any kind of line has.
    #[error("it is not a line of a decision log: it has neither a decision nor a part of one")]
    Keys,
    /// How a decision ended, in a format of a later version.
    #[error("it is of a later version's format ({0})")]
    Later(u32),
    /// Longer than any that is written.
    #[error("it is longer than {limit} bytes")]
    Long {
        /// What is read at most.
        limit: usize,
    },
    /// What it refers to is not there: a piece of a file, say.
    #[error("the {what} it refers to ({digest}) are not in the lines before it")]
    Missing {
        /// `facts` or `settings`.
        what: &'static str,
        /// By this digest.
        digest: String,
    },
    /// What it refers to was changed.
    #[error("the {what} it refers to are not what was written: their digest is not {digest}")]
    Changed {
        /// `facts` or `settings`.
        what: &'static str,
        /// The digest they had.
        digest: String,
    },
}

/// What stands in the current file already.
#[derive(Debug, Default)]
pub(super) struct Written {
    facts: Window<()>,
    configs: Window<()>,
}

/// Lines to be written together.
pub(super) struct Lines {
    pub(super) text: Vec<u8>,
    pub(super) new: New,
}

/// Digests of the parts among them.
#[derive(Default)]
pub(super) struct New {
    facts: Vec<String>,
    configs: Vec<String>,
}

impl Written {
    /// The lines of a decision, with the parts it needs that are not there yet.
    pub(super) fn lines(
        &self,
        seq: u64,
        record: &DecisionRecord,
        outcome: &Outcome,
    ) -> serde_json::Result<Lines> {
        let (mut text, mut new) = (Vec::new(), New::default());
        let raw = serde_json::value::to_raw_value(&storable(&record.facts))?;
        let facts = digest(raw.get().as_bytes());
        if self.facts.get(&facts).is_none() {
            line(&mut text, Part::Facts(&raw), &facts)?;
            new.facts.push(facts.clone());
        }
        let mut configs = Vec::new();
        for said in &record.plugins {
            let raw = serde_json::value::to_raw_value(&said.config)?;
            let config = digest(raw.get().as_bytes());
            if self.configs.get(&config).is_none() && !new.configs.contains(&config) {
                line(&mut text, Part::Config(&raw), &config)?;
                new.configs.push(config.clone());
            }
            configs.push(config);
        }
        let decision = Decision::new(record, facts, configs);
        let whole = DecisionLine {
            seq,
            decision,
            outcome,
        };
        serde_json::to_writer(&mut text, &whole)?;
        text.push(b'\n');
        Ok(Lines { text, new })
    }

    /// What was written is there.
    pub(super) fn remember(&mut self, new: New) {
        new.facts.into_iter().for_each(|d| self.facts.insert(d, ()));
        let configs = new.configs.into_iter();
        configs.for_each(|d| self.configs.insert(d, ()));
    }
}

fn line(text: &mut Vec<u8>, part: Part<'_>, digest: &str) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *text, &PartLine { part, digest })?;
    text.push(b'\n');
    Ok(())
}

/// What the lines read so far hold, and later ones may refer to.
#[derive(Default)]
pub(super) struct Parts {
    facts: Window<Box<RawValue>>,
    configs: Window<Box<RawValue>>,
}

/// A line, as far as it must be looked at to know whether it is wanted.
pub(super) enum Read<'a> {
    /// A part, put away.
    Part,
    /// A decision by digests, of this number.
    Decision(u64, &'a RawValue, Outcome),
    /// How a request's latest decision ended.
    End(RequestId, Outcome),
    /// A decision as earlier versions wrote it.
    Whole(Box<LogEntry>),
}

impl Parts {
    /// Reads a line.
    pub(super) fn read<'a>(&mut self, line: &'a [u8]) -> Result<Read<'a>, BadLine> {
        let line: Line<'a> = serde_json::from_slice(line)?;
        match line {
            Line {
                facts: Some(raw),
                digest: Some(digest),
                seq: None,
                config: None,
                decision: None,
                record: None,
                ends: None,
                outcome: None,
            } => {
                self.facts.insert(digest, raw.to_owned());
                Ok(Read::Part)
            }
            Line {
                config: Some(raw),
                digest: Some(digest),
                seq: None,
                facts: None,
                decision: None,
                record: None,
                ends: None,
                outcome: None,
            } => {
                self.configs.insert(digest, raw.to_owned());
                Ok(Read::Part)
            }
            Line {
                seq: Some(seq),
                decision: Some(decision),
                outcome: Some(outcome),
                facts: None,
                config: None,
                digest: None,
                record: None,
                ends: None,
            } => Ok(Read::Decision(seq, decision, outcome)),
            Line {
                seq,
                record: Some(record),
                ends: None,
                outcome: Some(outcome),
                facts: None,
                config: None,
                digest: None,
                decision: None,
            } => Ok(Read::Whole(Box::new(LogEntry {
                seq: seq.unwrap_or_default(),
                record,
                outcome,
            }))),
            Line {
                ends: Some(end),
                outcome: Some(outcome),
                seq: None,
                facts: None,
                config: None,
                digest: None,
                decision: None,
                record: None,
            } => match end.format <= FORMAT {
                true => Ok(Read::End(end.request, outcome)),
                false => Err(BadLine::Later(end.format)),
            },
            _ => Err(BadLine::Keys),
        }
    }

    /// The text of the facts a decision refers to, where they are there.
    pub(super) fn facts_of(&self, decision: &RawValue) -> Option<&str> {
        #[derive(serde::Deserialize)]
        struct OnlyFacts {
            facts: String,
        }
        let only: OnlyFacts = serde_json::from_str(decision.get()).ok()?;
        self.facts.get(&only.facts).map(|raw| raw.get())
    }

    /// The whole entry of a decision.
    pub(super) fn whole(
        &self,
        seq: u64,
        decision: &RawValue,
        outcome: Outcome,
    ) -> Result<LogEntry, BadLine> {
        let decision: Decision = serde_json::from_str(decision.get())?;
        let facts: Facts = part(&self.facts, "facts", &decision.facts)?;
        let config = |digest: &str| -> Result<BTreeMap<String, String>, BadLine> {
            part(&self.configs, "settings", digest)
        };
        let record = decision.whole(facts, config)?;
        Ok(LogEntry {
            seq,
            record,
            outcome,
        })
    }
}

fn part<T: DeserializeOwned>(
    parts: &Window<Box<RawValue>>,
    what: &'static str,
    wanted: &str,
) -> Result<T, BadLine> {
    let raw = parts.get(wanted).ok_or_else(|| BadLine::Missing {
        what,
        digest: wanted.to_owned(),
    })?;
    if digest(raw.get().as_bytes()) != wanted {
        let digest = wanted.to_owned();
        return Err(BadLine::Changed { what, digest });
    }
    Ok(serde_json::from_str(raw.get())?)
}
