//! Scenarios: files of what a policy is told and what is expected of it, run by `cargo test` on
//! plain functions, and by `volward-policy test` on the built component.
//!
//! A file is a stream of JSON values: JSON Lines, or one after the other over many lines. Each is
//! a decision record of which everything may be left out; facts that are left out are those of an
//! ordinary request (docs/author-guide.md lists them). Here is one:
//!
//! ```json
//! {"title": "a second writer is refused",
//!  "facts": {"disks": [{"shareable": true, "asked_sharing": "shared",
//!                       "attachments": [{"sharing": "shared"}]}]},
//!  "plugins": [{"plugin": "read-only-replicas", "config": {},
//!               "verdict": {"denied": {"code": "second-writer"}}}]}
//! ```
//!
//! [`scenarios!`](crate::scenarios) makes a test of a policy's folder `scenarios/`. What is
//! expected of the policy is its own `verdict`; `combined`, the answer of a whole chain, is for
//! `volward-policy test`.

mod facts;
mod verdict;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::{Answer, Attach, CopyFate, Denial, Detach, Disk, Lifecycle, Problem, Request, config};
use facts::Facts;
use verdict::{Differences, Fault, Verdict};

/// One scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    title: String,
    hook: Hook,
    facts: Facts,
    copies: Vec<(String, words::CopyFate)>,
    plugins: Vec<Plugin>,
    combined: Option<Value>,
    micros: u64,
}

/// Which hook is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Of the disks, all in one call.
    #[default]
    Attach,
    /// Of each copy.
    Detach,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "records say more than is expected of anybody")]
struct Plugin {
    plugin: String,
    config: Option<BTreeMap<String, String>>,
    #[serde(default)]
    monitored: bool,
    verdict: Option<Verdict>,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    interface: String,
    #[serde(default)]
    log: Vec<String>,
    #[serde(default)]
    micros: u64,
}

/// The scenarios of a file.
///
/// # Errors
/// If the file cannot be read, or one of them is not in this form: where, and what is wrong.
pub fn read(path: &Path) -> Result<Vec<Scenario>, String> {
    let wrong =
        |n: usize, why: &dyn std::fmt::Display| format!("{}, scenario {n}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let stream = serde_json::Deserializer::from_str(&text).into_iter::<Scenario>();
    let all: Result<Vec<_>, _> = stream
        .enumerate()
        .map(|(n, one)| one.map_err(|error| wrong(n + 1, &error)))
        .collect();
    match all {
        Ok(none) if none.is_empty() => {
            Err(format!("{}: there is no scenario in it", path.display()))
        }
        all => all,
    }
}

impl Scenario {
    /// What it shows.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Which hook is asked.
    #[must_use]
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// The facts with everything that was left out, in the form of the decision record.
    #[must_use]
    pub fn facts(&self) -> Value {
        serde_json::to_value(self.facts.clone().whole()).unwrap_or_default()
    }

    /// The facts as a policy in Rust is told them.
    #[must_use]
    pub fn request(&self) -> Request {
        self.facts.clone().whole().request()
    }

    /// The configuration of a policy here: none unless the scenario gives one.
    #[must_use]
    pub fn config(&self, policy: &str) -> BTreeMap<String, String> {
        let config = self.plugin(policy).and_then(|plugin| plugin.config.clone());
        config.unwrap_or_default()
    }

    /// Where what the policy said is not what is expected of it; `said` is a verdict in the form of
    /// the decision record.
    #[must_use]
    pub fn differences(&self, policy: &str, said: &Value) -> Vec<String> {
        match serde_json::from_value(said.clone()) {
            Ok(said) => self.compare(policy, &said),
            Err(error) => vec![format!("it is not a verdict: {error}: {said}")],
        }
    }

    fn plugin(&self, policy: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.plugin == policy)
    }

    fn compare(&self, policy: &str, said: &Verdict) -> Vec<String> {
        let expected = self
            .plugin(policy)
            .and_then(|plugin| plugin.verdict.as_ref());
        let Some(expected) = expected else {
            // It could not fail.
            return vec![format!(
                "nothing is expected of {policy}: give its `verdict`"
            )];
        };
        let mut differences = Differences::at(policy);
        differences.compare(&self.request(), expected, said);
        differences.found
    }
}

type AttachHook = fn(&Request, &mut Answer) -> Result<(), Denial>;

/// The hooks of a policy, as plain functions; [`scenarios!`](crate::scenarios) makes one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    attach: Option<AttachHook>,
    detach: Option<fn(&Request, &Disk) -> Option<CopyFate>>,
    check_config: Option<fn() -> Vec<Problem>>,
}

impl Hooks {
    /// With a policy's attach hook.
    #[must_use]
    pub fn attach<P: Attach>(self) -> Self {
        Self {
            attach: Some(P::attach),
            ..self
        }
    }

    /// With a policy's detach hook.
    #[must_use]
    pub fn detach<P: Detach>(self) -> Self {
        Self {
            detach: Some(P::detach),
            ..self
        }
    }

    /// With a policy's lifecycle hook.
    #[must_use]
    pub fn lifecycle<P: Lifecycle>(self) -> Self {
        Self {
            check_config: Some(P::check_config),
            ..self
        }
    }

    /// Runs the scenarios of all files in a folder.
    ///
    /// # Errors
    /// Everything that is not as expected, a line each; or that there is nothing to run.
    pub fn run(self, policy: &str, folder: &Path) -> Result<usize, String> {
        let mut ran = 0;
        let mut wrong = Vec::new();
        for file in files(folder)? {
            for (n, scenario) in read(&file)?.iter().enumerate() {
                let (file, title) = (file.display(), scenario.title());
                let found = self.ask(policy, scenario);
                wrong.extend(
                    found
                        .iter()
                        .map(|l| format!("{file}, {} ({title}): {l}", n + 1)),
                );
                ran += 1;
            }
        }
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        Ok(ran)
    }

    /// Where the policy's answer to a scenario is not as expected.
    fn ask(self, policy: &str, scenario: &Scenario) -> Vec<String> {
        let config = scenario.config(policy);
        let pairs: Vec<_> = config
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        config::set_for_test(&pairs);
        let problems = self.check_config.map(|check| check()).unwrap_or_default();
        if !problems.is_empty() {
            let problems = problems.iter().map(|p| format!("{}: {}", p.key, p.message));
            let problems: Vec<String> = problems.collect();
            return vec![format!(
                "its configuration is wrong: {}",
                problems.join("; ")
            )];
        }
        let said = catch_unwind(AssertUnwindSafe(|| self.verdict(scenario)));
        // What a panic becomes on a node.
        let trap = |_| {
            Verdict::Faulted(Fault {
                kind: "trap".to_owned(),
                message: None,
                backtrace: Vec::new(),
            })
        };
        scenario.compare(policy, &said.unwrap_or_else(trap))
    }

    fn verdict(self, scenario: &Scenario) -> Verdict {
        let request = scenario.request();
        match (scenario.hook, self.attach, self.detach) {
            (Hook::Attach, Some(attach), _) => {
                let mut answer = Answer::default();
                match attach(&request, &mut answer) {
                    Ok(()) => Verdict::Granted(verdict::Answer::made(&request, &answer)),
                    Err(denial) => Verdict::Denied(denial.into()),
                }
            }
            (Hook::Detach, _, Some(detach)) => {
                let advise = |id: &String| {
                    let mut disks = request.disks.iter().chain(&request.held);
                    let disk = disks.find(|disk| disk.id == *id)?;
                    detach(&request, disk).map(Into::into)
                };
                let volumes = scenario
                    .copies
                    .iter()
                    .map(|(id, _)| (id.clone(), advise(id)));
                Verdict::Advised(volumes.collect())
            }
            _ => Verdict::Absent,
        }
    }
}

/// The files of scenarios in a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path
            .extension()
            .is_some_and(|ending| ending == "json" || ending == "jsonl")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let folder = folder.display();
        return Err(format!(
            "{folder}: there is no file that ends in .json or .jsonl"
        ));
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
