//! `volward-policy test`: scenarios against a chain, and which hooks they reached.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use volward_model::scenario::Hook;
use volward_model::{DecisionRecord, Difference, Verdict};

use volward_policy::scenarios::Placed;

use crate::chain::{Candidates, ask};

/// What came of some scenarios.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each, in order.
    pub scenarios: Vec<Ran>,
    /// What each policy was asked, in the chain's order.
    pub coverage: Vec<Coverage>,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Ran {
    /// `file:line`.
    pub place: String,
    /// Its title.
    pub title: String,
    /// Whether it expects anything at all.
    pub expects: bool,
    /// Where it came out otherwise.
    pub differences: Vec<Difference>,
}

/// What a policy was asked and answered.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// Its name.
    pub plugin: String,
    /// The hooks it has.
    pub has: Vec<String>,
    /// Hook to verdict to how often.
    pub said: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Report {
    /// Whether every scenario came out as expected.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.scenarios.iter().all(|ran| ran.differences.is_empty())
    }
}

/// Runs scenarios.
#[must_use]
pub fn run(candidates: &Candidates, scenarios: &[Placed]) -> Report {
    let status = candidates.chain().status();
    let mut report = Report {
        scenarios: Vec::new(),
        coverage: status
            .into_iter()
            .map(|one| Coverage {
                plugin: one.name,
                has: one.hooks,
                said: BTreeMap::new(),
            })
            .collect(),
    };
    for Placed { place, scenario } in scenarios {
        let facts = scenario.facts();
        let chain = candidates.chain_for(&scenario.plugins);
        let record = ask(&chain, scenario.hook, &facts, &scenario.copies);
        report.count(scenario.hook, &record);
        let differences = scenario.differences(&facts, &record.plugins, &record.combined);
        let single = scenario.plugins.iter().any(|p| p.verdict.is_some());
        report.scenarios.push(Ran {
            place: place.clone(),
            title: scenario.title.clone(),
            expects: single || scenario.combined.is_some(),
            differences,
        });
    }
    report
}

impl Report {
    fn count(&mut self, hook: Hook, record: &DecisionRecord) {
        for said in &record.plugins {
            let verdict = match said.verdict {
                Verdict::Granted(_) => "granted",
                Verdict::Advised(_) => "advised",
                Verdict::Denied(_) => "denied",
                Verdict::Faulted(_) => "faulted",
                // It was not asked.
                Verdict::Absent => continue,
            };
            if let Some(one) = self.coverage.iter_mut().find(|c| c.plugin == said.plugin) {
                let hook = one.said.entry(hook.word().to_owned()).or_default();
                *hook.entry(verdict.to_owned()).or_default() += 1;
            }
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for ran in &self.scenarios {
            ran.write(&mut text);
        }
        let failed = self.scenarios.iter().filter(|r| !r.differences.is_empty());
        let (all, failed) = (self.scenarios.len(), failed.count());
        let idle = self.scenarios.iter().filter(|ran| !ran.expects).count();
        let mut line = |line: String| {
            // Writing to a String does not fail.
            let _ok = writeln!(text, "{line}");
        };
        line(format!(
            "{all} scenarios: {} as expected, {failed} not",
            all - failed
        ));
        if idle > 0 {
            line(format!("{idle} of them expect nothing"));
        }
        line("hooks that ran:".to_owned());
        for one in &self.coverage {
            line(format!("  {}: {}", one.plugin, one.summary()));
        }
        text
    }
}

impl Ran {
    fn write(&self, text: &mut String) {
        let title = if self.title.is_empty() {
            String::new()
        } else {
            format!(" {}", self.title)
        };
        let verdict = if self.differences.is_empty() {
            "ok"
        } else {
            "NOT AS EXPECTED"
        };
        let _ok = writeln!(text, "{}{title}: {verdict}", self.place);
        for difference in &self.differences {
            let Difference {
                place,
                expected,
                found,
            } = difference;
            let _ok = writeln!(
                text,
                "  {place}\n    expected  {expected}\n    found     {found}"
            );
        }
    }
}

impl Coverage {
    /// `attach 3 (denied 1, granted 2), detach never`. `lifecycle` is asked by loading.
    fn summary(&self) -> String {
        let hooks = self.has.iter().filter(|hook| *hook != "lifecycle");
        let mut parts: Vec<String> = hooks
            .map(|hook| match self.said.get(hook) {
                None => format!("{hook} never"),
                Some(said) => counted(hook, said),
            })
            .collect();
        // A policy that could not be loaded has no hooks, and faults at every one.
        let strays = self
            .said
            .iter()
            .filter(|(hook, _)| !self.has.contains(hook));
        parts.extend(strays.map(|(hook, said)| counted(hook, said)));
        if parts.is_empty() {
            "nothing".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

fn counted(hook: &str, said: &BTreeMap<String, u64>) -> String {
    let all: u64 = said.values().sum();
    let each: Vec<String> = said.iter().map(|(word, n)| format!("{word} {n}")).collect();
    format!("{hook} {all} ({})", each.join(", "))
}
