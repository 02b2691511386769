//! `volward-policy bench`: what decisions cost, and whether they cost more than they did.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use volward_model::{Scenario, Verdict};
use volward_policy::scenarios::Placed;
use volward_policy::{Cost, Limits, Runtime};

use crate::InProcess;
use crate::chain::{Candidates, Kept, ask};

/// Decisions before the first that counts: caches, the pool's first slots, the ticker awake.
const WARM_UP: u32 = 200;

/// What was measured; saved as JSON, it is the baseline of a later run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Each request.
    pub requests: Vec<Request>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The scenario's title, or its place.
    pub name: String,
    /// Half of the decisions of the whole chain took no longer, in nanoseconds.
    pub p50_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// Each policy by itself.
    pub policies: Vec<PolicyCost>,
}

/// What one policy costs, the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyCost {
    /// Its name.
    pub name: String,
    /// Instructions, about.
    pub fuel: u64,
    /// Linear memory in bytes.
    pub memory: u64,
}

/// How much more is not yet worse, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of fuel and memory, which are the same in every run.
    pub cost: u64,
    /// Of the median time, which is not.
    pub time: u64,
}

/// Requests of one, ten and a hundred disks, where the author gives none.
#[must_use]
pub fn requests() -> Vec<Placed> {
    [1, 10, 100]
        .map(|disks| {
            let mut scenario = Scenario {
                title: format!("{disks} disks"),
                ..Scenario::default()
            };
            scenario.facts.disks.resize_with(disks, Default::default);
            Placed {
                place: String::new(),
                scenario,
            }
        })
        .into()
}

/// Measures each request `rounds` times.
///
/// # Errors
/// If a policy is not loaded or breaks: then there is nothing to measure.
pub fn measure(candidates: &Candidates, requests: &[Placed], rounds: u32) -> Result<Figures> {
    let refused = candidates.refused();
    ensure!(
        refused.is_empty(),
        "{} cannot be loaded: {}",
        refused[0].0,
        refused[0].1
    );
    let metered = Runtime::metered(
        Limits::default(),
        Box::new(Kept::new(InProcess::metered()?)),
    )?;
    let each = requests.iter().map(|Placed { place, scenario }| {
        let name = if scenario.title.is_empty() {
            place
        } else {
            &scenario.title
        };
        let (p50_ns, p99_ns) = times(candidates, scenario, rounds)?;
        Ok(Request {
            name: name.clone(),
            p50_ns,
            p99_ns,
            policies: costs(&metered, candidates, scenario)?,
        })
    });
    Ok(Figures {
        requests: each.collect::<Result<_>>()?,
    })
}

#[expect(clippy::disallowed_methods, reason = "measures")]
fn times(candidates: &Candidates, scenario: &Scenario, rounds: u32) -> Result<(u64, u64)> {
    let chain = candidates.chain_for(&scenario.plugins);
    let facts = scenario.facts();
    let decide = || ask(&chain, scenario.hook, &facts, &scenario.copies);
    for said in decide().plugins {
        if let Verdict::Faulted(fault) = said.verdict {
            anyhow::bail!("{} breaks: {fault}", said.plugin);
        }
    }
    for _ in 0..WARM_UP {
        decide();
    }
    let mut samples: Vec<u64> = (0..rounds.max(1))
        .map(|_| {
            let start = Instant::now();
            decide();
            u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect();
    samples.sort_unstable();
    Ok((percentile(&samples, 50), percentile(&samples, 99)))
}

/// Nearest rank in sorted samples.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn costs(
    metered: &Runtime,
    candidates: &Candidates,
    scenario: &Scenario,
) -> Result<Vec<PolicyCost>> {
    let facts = scenario.facts();
    let mut all = Vec::new();
    for (one, settings) in candidates.with_settings(&scenario.plugins) {
        let chain = metered.assemble([(one.name.as_str(), &*one.component, &settings)]);
        // What loading cost.
        drop(metered.take_costs());
        let _record = ask(&chain, scenario.hook, &facts, &scenario.copies);
        let cost = total(&metered.take_costs());
        all.push(PolicyCost {
            name: one.name.clone(),
            fuel: cost.fuel,
            memory: cost.memory,
        });
    }
    Ok(all)
}

/// What an instance costs to make and to ask what is wrong with its settings; median time of
/// `rounds` such.
///
/// # Errors
/// If it is not loaded.
#[expect(clippy::disallowed_methods, reason = "measures")]
pub fn loading(
    name: &str,
    component: &[u8],
    settings: &volward_policy::Settings,
    rounds: u32,
) -> Result<Loading> {
    let metered = Runtime::metered(
        Limits::default(),
        Box::new(Kept::new(InProcess::metered()?)),
    )?;
    let status = metered.check(name, component, settings)?;
    let cost = total(&metered.take_costs());
    let owner = rustix::process::geteuid().as_raw();
    let compiler = Box::new(Kept::new(InProcess::new()?));
    let runtime = Runtime::new(Limits::default(), None, owner, compiler)?;
    // Compiles.
    let start = Instant::now();
    runtime.check(name, component, settings)?;
    let compile_ns = start.elapsed().as_nanos();
    let mut samples = Vec::new();
    let chain = runtime.assemble([(name, component, settings)]);
    let facts = Scenario::default().facts();
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let _record = chain.attach(&facts);
        samples.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    samples.sort_unstable();
    Ok(Loading {
        hooks: status.hooks,
        compile_ns: u64::try_from(compile_ns).unwrap_or(u64::MAX),
        cost,
        empty_ns: percentile(&samples, 50),
    })
}

/// What loading a policy costs.
#[derive(Clone, Debug)]
pub struct Loading {
    /// The hooks it has.
    pub hooks: Vec<String>,
    /// Compiling, linking and trying it, once.
    pub compile_ns: u64,
    /// Instantiating it and asking what is wrong with its settings.
    pub cost: Cost,
    /// Instantiating it and asking about a request without disks, median.
    pub empty_ns: u64,
}

fn total(costs: &[Cost]) -> Cost {
    let mut all = Cost::default();
    for cost in costs {
        all.fuel = all.fuel.saturating_add(cost.fuel);
        all.memory = all.memory.max(cost.memory);
    }
    all
}

impl Figures {
    /// Reads saved figures.
    ///
    /// # Errors
    /// If the file is none.
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} holds no saved figures", path.display()))
    }

    /// What is worse than it was, a line each; what is new is compared with nothing.
    #[must_use]
    pub fn worse_than(&self, before: &Self, tolerance: Tolerance) -> Vec<String> {
        let mut worse = Vec::new();
        for now in &self.requests {
            let Some(was) = before.requests.iter().find(|was| was.name == now.name) else {
                continue;
            };
            let mut compare = |what: &str, was: u64, is: u64, percent: u64| {
                // In 128 bits: fuel times a hundred does not fit.
                let limit = u128::from(was) * u128::from(100 + percent);
                if u128::from(is) * 100 > limit {
                    worse.push(format!("{}: {what}: {was} -> {is}", now.name));
                }
            };
            compare("p50 in ns", was.p50_ns, now.p50_ns, tolerance.time);
            for policy in &now.policies {
                if let Some(was) = was.policies.iter().find(|was| was.name == policy.name) {
                    let name = &policy.name;
                    let of = |what| format!("{what} of {name}");
                    compare(&of("fuel"), was.fuel, policy.fuel, tolerance.cost);
                    compare(&of("memory"), was.memory, policy.memory, tolerance.cost);
                }
            }
        }
        worse
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for request in &self.requests {
            let us = |ns: u64| format!("{}.{} us", ns / 1000, ns % 1000 / 100);
            // Writing to a String does not fail.
            let _ok = writeln!(
                text,
                "{}: p50 {}, p99 {}",
                request.name,
                us(request.p50_ns),
                us(request.p99_ns)
            );
            for PolicyCost { name, fuel, memory } in &request.policies {
                let _ok = writeln!(
                    text,
                    "  {name}: fuel {fuel}, memory {}",
                    volward_model::Bytes(*memory)
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(p50_ns: u64, fuel: u64, memory: u64) -> Figures {
        let policy = PolicyCost {
            name: "a".into(),
            fuel,
            memory,
        };
        Figures {
            requests: vec![Request {
                name: "r".into(),
                p50_ns,
                p99_ns: 0,
                policies: vec![policy],
            }],
        }
    }

    #[test]
    fn what_is_worse_is_named_and_what_is_within_tolerance_is_not() {
        let before = figures(100, 1_000, 100);
        let tolerance = Tolerance { cost: 5, time: 50 };
        let worse = |now: &Figures| now.worse_than(&before, tolerance);
        assert!(worse(&figures(150, 1_050, 105)).is_empty());
        assert!(worse(&figures(1, 1, 1)).is_empty());
        assert_eq!(worse(&figures(151, 0, 0)), ["r: p50 in ns: 100 -> 151"]);
        assert_eq!(worse(&figures(0, 1_051, 0)), ["r: fuel of a: 1000 -> 1051"]);
        assert_eq!(worse(&figures(0, 0, 106)), ["r: memory of a: 100 -> 106"]);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!((percentile(&ten, 50), percentile(&ten, 99)), (5, 10));
        assert_eq!(percentile(&[], 50), 0);
    }
}
