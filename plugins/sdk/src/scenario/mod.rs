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

mod words;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use volward_record::scenario::Hook;
use volward_record::{
    self as record, Combined, Fault, FaultKind, PluginVerdict, Verdict, VolumeId,
};

use crate::answer::Narrowing;
use crate::{
    Answer, Attach, CopyFate, Denial, Detach, Disk, Lifecycle, Migrate, Operate, Operation,
    Problem, Request, config,
};

/// One scenario, in the form that the daemon reads too (`volward-record`'s).
#[derive(Clone, Debug, Default)]
pub struct Scenario(record::Scenario);

/// The scenarios of a file.
///
/// # Errors
/// If the file cannot be read, or one of them is not in this form: where, and what is wrong.
pub fn read(path: &Path) -> Result<Vec<Scenario>, String> {
    let wrong =
        |n: usize, why: &dyn std::fmt::Display| format!("{}, scenario {n}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let stream = serde_json::Deserializer::from_str(&text).into_iter::<record::Scenario>();
    let all: Result<Vec<_>, _> = stream
        .enumerate()
        .map(|(n, one)| one.map(Scenario).map_err(|error| wrong(n + 1, &error)))
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
        &self.0.title
    }

    /// Which hook is asked.
    #[must_use]
    pub fn hook(&self) -> Hook {
        self.0.hook
    }

    /// The facts with everything that was left out, as the decision record has them.
    #[must_use]
    pub fn facts(&self) -> record::Facts {
        self.0.facts()
    }

    /// The facts as a policy in Rust is told them.
    #[must_use]
    pub fn request(&self) -> Request {
        (&self.facts()).into()
    }

    /// The operation as a policy in Rust is told of it.
    #[must_use]
    pub fn operation(&self) -> Operation {
        (&self.facts()).into()
    }

    /// The configuration of a policy here: none unless the scenario gives one.
    #[must_use]
    pub fn config(&self, policy: &str) -> BTreeMap<String, String> {
        let mut plugins = self.0.plugins.iter();
        let plugin = plugins.find(|plugin| plugin.plugin == policy);
        plugin
            .and_then(|plugin| plugin.config.clone())
            .unwrap_or_default()
    }

    /// Where what the policy said is not what is expected of it.
    #[must_use]
    pub fn differences(&self, policy: &str, said: &Verdict) -> Vec<String> {
        let mut alone = self.0.clone();
        // What a chain came to, and the others in it, are for `volward-policy test`.
        alone.combined = None;
        alone
            .plugins
            .retain(|plugin| plugin.plugin == policy && plugin.verdict.is_some());
        if alone.plugins.is_empty() {
            // It could not fail.
            return vec![format!(
                "nothing is expected of {policy}: give its `verdict`"
            )];
        }
        let said = PluginVerdict {
            plugin: policy.to_owned(),
            digest: String::new(),
            interface: String::new(),
            monitored: false,
            config: BTreeMap::new(),
            verdict: said.clone(),
            log: Vec::new(),
            micros: 0,
        };
        let nothing = Combined::Granted(record::Answer::default());
        let found = alone.differences(&self.facts(), &[said], &nothing);
        found.iter().map(ToString::to_string).collect()
    }
}

type AttachHook = fn(&Request, &mut Answer) -> Result<(), Denial>;
/// A hook that answers yes, or why not.
type MayHook<T> = fn(&T) -> Result<(), Denial>;

/// The hooks of a policy, as plain functions; [`scenarios!`](crate::scenarios) makes one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    attach: Option<AttachHook>,
    detach: Option<fn(&Request, &Disk) -> Option<CopyFate>>,
    migrate: Option<MayHook<Request>>,
    operate: Option<MayHook<Operation>>,
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

    /// With a policy's migrate hook.
    #[must_use]
    pub fn migrate<P: Migrate>(self) -> Self {
        Self {
            migrate: Some(P::migrate),
            ..self
        }
    }

    /// With a policy's operate hook.
    #[must_use]
    pub fn operate<P: Operate>(self) -> Self {
        Self {
            operate: Some(P::operate),
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
        let trap = |_| Verdict::Faulted(Fault::new(FaultKind::Trap, ""));
        scenario.differences(policy, &said.unwrap_or_else(trap))
    }

    fn verdict(self, scenario: &Scenario) -> Verdict {
        match scenario.hook() {
            Hook::Attach => self.attached(scenario),
            Hook::Detach => self.detached(scenario),
            Hook::Migrate => {
                let hook = self.migrate;
                hook.map_or(Verdict::Absent, |migrate| {
                    reviewed(scenario, migrate(&scenario.request()))
                })
            }
            Hook::Operate => {
                let hook = self.operate;
                hook.map_or(Verdict::Absent, |operate| {
                    reviewed(scenario, operate(&scenario.operation()))
                })
            }
        }
    }

    fn attached(self, scenario: &Scenario) -> Verdict {
        let Some(attach) = self.attach else {
            return Verdict::Absent;
        };
        let mut answer = Answer::default();
        match attach(&scenario.request(), &mut answer) {
            Ok(()) => Verdict::Granted(made(&scenario.facts(), &answer)),
            Err(denial) => Verdict::Denied(denial.into()),
        }
    }

    fn detached(self, scenario: &Scenario) -> Verdict {
        let Some(detach) = self.detach else {
            return Verdict::Absent;
        };
        let request = scenario.request();
        let advise = |volume: &VolumeId| {
            let id = volume.to_string();
            let mut disks = request.disks.iter().chain(&request.held);
            let disk = disks.find(|disk| disk.id == id)?;
            detach(&request, disk).map(Into::into)
        };
        let copies = scenario.0.copies.iter();
        Verdict::Advised(
            copies
                .map(|(volume, _)| (*volume, advise(volume)))
                .collect(),
        )
    }
}

/// What the daemon makes of an answer of a hook that agrees or refuses.
fn reviewed(scenario: &Scenario, said: Result<(), Denial>) -> Verdict {
    match said {
        Ok(()) => Verdict::Granted(record::Answer::as_asked(&scenario.facts())),
        Err(denial) => Verdict::Denied(denial.into()),
    }
}

/// What the daemon makes of an answer.
fn made(facts: &record::Facts, said: &Answer) -> record::Answer {
    let mut made = record::Answer::as_asked(facts);
    for narrowing in said.narrowings() {
        match narrowing {
            Narrowing::Exclusive(id) => asked(&mut made, id).sharing = record::Sharing::Exclusive,
            Narrowing::ReadOnly(id) => asked(&mut made, id).access = record::Access::ReadOnly,
            Narrowing::CopyAtMost(id, mode) => {
                let disk = asked(&mut made, id);
                disk.copy_at_most = disk.copy_at_most.min((*mode).into());
            }
            Narrowing::Copy(id, plan) => asked(&mut made, id).copy = Some((*plan).into()),
            Narrowing::Note(key, value) => {
                let (key, value) = (key.clone(), value.clone());
                made.notes.push(record::Note { key, value });
            }
        }
    }
    made
}

fn asked<'a>(answer: &'a mut record::Answer, id: &str) -> &'a mut record::DiskAnswer {
    let mut disks = answer.disks.iter_mut();
    match disks.find(|disk| disk.volume.to_string() == id) {
        Some(disk) => disk,
        // On a node it is a trap, too.
        None => panic!("the answer speaks of disk {id:?}, which was not asked for"),
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
