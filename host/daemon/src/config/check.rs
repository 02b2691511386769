//! What the shape of the file does not say, each finding with its line.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Spanned, Value};
use volward_policy::{CompileError, Compiler, Limits, Runtime};

use super::{Config, PoolKind};

/// Each place reserves 16 GiB of address space, of 128 TiB that there are: an eighth of it. More
/// policies at once than the largest node has processors are of no use.
const MOST_CONCURRENCY: u32 = 1_024;

/// What is wrong, and in which line.
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The line of a position, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// Where in the file those keys stand that are looked at here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Places {
    pool: Vec<PoolPlaces>,
    policy: PolicyPlaces,
    decisions: BTreeMap<String, Spanned<Value>>,
    fence: BTreeMap<String, Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PoolPlaces {
    name: Spanned<Value>,
    kind: Option<Spanned<Value>>,
    devices_file: Option<Spanned<Value>>,
    provider: Option<Spanned<Value>>,
    wipe: Option<Spanned<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PolicyPlaces {
    limits: BTreeMap<String, Spanned<Value>>,
}

/// Looks at `config`, which was read from `text`.
pub(super) fn check(config: &Config, text: &str) -> Result<(), Wrong> {
    // It was read a moment ago in a stricter form; without places everything is in line 1.
    let places: Places = toml::from_str(text).unwrap_or_default();
    let wrong = |place: Option<&Spanned<Value>>, reason: String| Wrong {
        line: line(text, place.map_or(0, |place| place.span().start)),
        reason,
    };
    pools(config, &places).map_err(|(place, reason)| wrong(place, reason))?;
    fence(config, &places).map_err(|(place, reason)| wrong(place, reason))?;
    decisions(config, &places).map_err(|(place, reason)| wrong(place, reason))?;
    limits(config, &places).map_err(|(place, reason)| wrong(place, reason))
}

type Found<'a> = (Option<&'a Spanned<Value>>, String);

fn pools<'a>(config: &Config, places: &'a Places) -> Result<(), Found<'a>> {
    for (n, pool) in config.pool.iter().enumerate() {
        let (earlier, place) = (&config.pool[..n], places.pool.get(n));
        if earlier.iter().any(|e| e.name == pool.name) {
            let reason = format!("pool {} is there twice; name each once", pool.name);
            return Err((place.map(|p| &p.name), reason));
        }
        let local = earlier.iter().find(|e| e.kind == PoolKind::Local);
        if let (Some(first), PoolKind::Local) = (local, pool.kind) {
            let reason = format!(
                "pool {} is of kind \"local\", and so is pool {}; a node has at most one",
                pool.name, first.name
            );
            return Err((place.and_then(|p| p.kind.as_ref()), reason));
        }
        if pool.kind == PoolKind::Local && pool.provider.is_some() {
            let reason = format!(
                "pool {} is local and has no leases, so it has no provider of them; take the line out",
                pool.name
            );
            return Err((place.and_then(|p| p.provider.as_ref()), reason));
        }
        if pool.kind == PoolKind::Local && pool.wipe.is_some() {
            let reason = format!(
                "pool {} is local, where only copies are made, which show nothing old; take the line out",
                pool.name
            );
            return Err((place.and_then(|p| p.wipe.as_ref()), reason));
        }
        let devices_file = pool.devices_file();
        if devices_file.contains('/') || devices_file == "system.devices" {
            let reason = format!(
                "devices-file of pool {} must be the name of a file of Volward's own under \
                 /etc/lvm/devices, not {devices_file:?}",
                pool.name
            );
            return Err((place.and_then(|p| p.devices_file.as_ref()), reason));
        }
    }
    Ok(())
}

/// Without a pause, a path that comes and goes has the guest stop and go with it.
fn fence<'a>(config: &Config, places: &'a Places) -> Result<(), Found<'a>> {
    if config.fence.unfence_pause > 0 {
        return Ok(());
    }
    let reason = "unfence-pause is 0 s, and must be 1 at least".to_owned();
    Err((places.fence.get("unfence-pause"), reason))
}

fn decisions<'a>(config: &Config, places: &'a Places) -> Result<(), Found<'a>> {
    let Some(reason) = config.decisions.problem() else {
        return Ok(());
    };
    // Each reason begins with its key.
    let mut keys = places.decisions.iter();
    let guilty = keys.find(|(key, _)| reason.starts_with(key.as_str()));
    Err((guilty.map(|(_, value)| value), reason))
}

/// What the policy runtime refuses, it would refuse at the daemon's start, without file and line.
fn limits<'a>(config: &Config, places: &'a Places) -> Result<(), Found<'a>> {
    let limits = &config.policy.limits;
    if *limits == Limits::default() {
        return Ok(());
    }
    let Some(reason) = refused(limits) else {
        return Ok(());
    };
    let alone = |key: &str, value: &Value| {
        let table = toml::Table::from_iter([(key.to_owned(), value.clone())]);
        table.try_into::<Limits>().ok()
    };
    let mut keys = places.policy.limits.iter();
    let guilty = keys.find_map(|(key, value)| {
        let reason = refused(&alone(key, value.get_ref())?)?;
        let named = reason.starts_with(key.as_str());
        let reason = if named {
            reason
        } else {
            format!("{key}: {reason}")
        };
        Some((Some(value), reason))
    });
    // Refused only together: the first of them is where to begin.
    let first = places.policy.limits.values().next();
    Err(guilty.unwrap_or((first, format!("[policy.limits]: {reason}"))))
}

/// Makes a runtime with these limits, and throws it away.
fn refused(limits: &Limits) -> Option<String> {
    if limits.concurrency > MOST_CONCURRENCY {
        let asked = limits.concurrency;
        return Some(format!(
            "concurrency is {asked}, and may be at most {MOST_CONCURRENCY}"
        ));
    }
    if let Some((key, has, least)) = too_little(limits) {
        return Some(format!(
            "{key} is {has}, and every policy would fail, the built-in one too: at least {least}"
        ));
    }
    let made = Runtime::new(limits.clone(), None, 0, Box::new(NoCompiler));
    made.err().map(|error| {
        let error = anyhow::Error::from(error);
        format!("{error:#}").lines().collect::<Vec<_>>().join(" ")
    })
}

/// The first limit within which not even a policy that agrees at once can answer. A decision of the
/// shipped ones takes 1.1 MiB and one handle a disk.
fn too_little(limits: &Limits) -> Option<(&'static str, u64, u64)> {
    let least = [
        ("deadline-ms", limits.deadline_ms.into(), 1),
        ("load-deadline-ms", limits.load_deadline_ms.into(), 1),
        ("memory-bytes", limits.memory_bytes, 2 << 20),
        ("table-elements", limits.table_elements.into(), 100),
        ("hostcall-bytes", limits.hostcall_bytes.into(), 4 << 10),
        ("handles", limits.handles.into(), 1),
        ("component-bytes", limits.component_bytes, 64 << 10),
        ("concurrency", limits.concurrency.into(), 1),
    ];
    let mut least = least.into_iter();
    least.find(|(_, has, least)| has < least)
}

/// No policy is loaded into a runtime that is only tried.
struct NoCompiler;

impl Compiler for NoCompiler {
    fn compile(&self, _: &[u8]) -> Result<Vec<u8>, CompileError> {
        Err(CompileError::Failed {
            reason: "the configuration is only looked at".to_owned(),
        })
    }
}
