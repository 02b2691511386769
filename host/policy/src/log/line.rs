//! What stands in a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use volward_model::{
    Combined, CopyFate, DecisionRecord, Facts, PluginVerdict, RequestId, Verdict, VolumeId,
};

use super::Outcome;
use super::ends::End;

/// Any line of the log, told apart by which keys there are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    pub(super) seq: Option<u64>,
    #[serde(borrow)]
    pub(super) facts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) config: Option<&'a RawValue>,
    pub(super) digest: Option<String>,
    #[serde(borrow)]
    pub(super) decision: Option<&'a RawValue>,
    pub(super) record: Option<DecisionRecord>,
    pub(super) ends: Option<End>,
    pub(super) outcome: Option<Outcome>,
}

/// A stored part, to write.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part<'a> {
    Facts(&'a RawValue),
    Config(&'a RawValue),
}

/// A line of a stored part, to write.
#[derive(Serialize)]
pub(super) struct PartLine<'a> {
    #[serde(flatten)]
    pub(super) part: Part<'a>,
    pub(super) digest: &'a str,
}

/// A line of a decision, to write.
#[derive(Serialize)]
pub(super) struct DecisionLine<'a> {
    pub(super) seq: u64,
    pub(super) decision: Decision,
    pub(super) outcome: &'a Outcome,
}

/// A decision record with its facts and configurations by digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    request: RequestId,
    now_ms: u64,
    hook: String,
    pub(super) facts: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    copies: Vec<(VolumeId, CopyFate)>,
    plugins: Vec<Plugin>,
    combined: Combined,
    micros: u64,
}

/// A policy's verdict with its configuration by digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    plugin: String,
    digest: String,
    interface: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    monitored: bool,
    pub(super) config: String,
    verdict: Verdict,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    log: Vec<String>,
    micros: u64,
}

/// What tells one request from another that is like it is not stored with the facts.
pub(super) fn storable(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    facts.request.id = RequestId(Uuid::nil());
    facts.now_ms = 0;
    facts
}

impl Decision {
    /// `configs` are the digests of the policies' configurations, in their order.
    pub(super) fn new(record: &DecisionRecord, facts: String, configs: Vec<String>) -> Self {
        let plugins = record.plugins.iter().zip(configs);
        let plugins = plugins.map(|(said, config)| Plugin {
            plugin: said.plugin.clone(),
            digest: said.digest.clone(),
            interface: said.interface.clone(),
            monitored: said.monitored,
            config,
            verdict: said.verdict.clone(),
            log: said.log.clone(),
            micros: said.micros,
        });
        Self {
            request: record.facts.request.id,
            now_ms: record.facts.now_ms,
            hook: record.hook.clone(),
            facts,
            copies: record.copies.clone(),
            plugins: plugins.collect(),
            combined: record.combined.clone(),
            micros: record.micros,
        }
    }

    /// The whole record; `config` finds a configuration by its digest.
    pub(super) fn whole<E>(
        self,
        mut facts: Facts,
        config: impl Fn(&str) -> Result<BTreeMap<String, String>, E>,
    ) -> Result<DecisionRecord, E> {
        facts.request.id = self.request;
        facts.now_ms = self.now_ms;
        let plugins = self.plugins.into_iter().map(|said| {
            Ok(PluginVerdict {
                config: config(&said.config)?,
                plugin: said.plugin,
                digest: said.digest,
                interface: said.interface,
                monitored: said.monitored,
                verdict: said.verdict,
                log: said.log,
                micros: said.micros,
            })
        });
        Ok(DecisionRecord {
            plugins: plugins.collect::<Result<_, E>>()?,
            hook: self.hook,
            facts,
            copies: self.copies,
            combined: self.combined,
            micros: self.micros,
        })
    }
}
