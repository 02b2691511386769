//! What came of a replay, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use volward_model::PluginVerdict;
use volward_policy::{LogEntry, digest};

use super::change::{Change, Class};
use super::{Came, Excluded};
use crate::chain::Candidates;

/// Of each kind so many are shown whole.
const EXAMPLES: usize = 3;
/// So many lines that could not be read are named.
const NAMED: usize = 10;

/// Counts, kinds and examples.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Decisions that came out the same.
    pub same: u64,
    /// Decisions that came out differently.
    pub changed: u64,
    /// Not compared: a policy had not answered in time when it was recorded.
    pub deadline: u64,
    /// Not compared: there was no room to run a policy when it was recorded.
    pub runtime: u64,
    /// Not compared: about a hook this program does not know.
    pub unknown_hook: u64,
    /// A policy did not answer in time now, twice: nobody knows what it would say.
    pub late: u64,
    /// Lines that are no decisions, with the reason.
    pub unreadable: Vec<String>,
    /// Kinds of change, the graver and more frequent first.
    pub groups: Vec<Group>,
    /// Each policy of the chain, and whether it is the one that was asked then.
    pub policies: Vec<Policy>,
    /// Policies in the records that are not in the chain.
    pub missing: Vec<String>,
    /// Time, reading included.
    pub millis: u64,
    #[serde(skip)]
    kinds: BTreeMap<(Class, String), Kind>,
    #[serde(skip)]
    recorded: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A kind of change.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// What it means.
    pub class: Class,
    /// `granted -> denied by quota (too-many)`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The first few.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, Default)]
struct Kind {
    count: u64,
    examples: BTreeMap<u64, Example>,
}

/// One decision that would change.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// The request.
    pub request: String,
    /// Which hook.
    pub hook: String,
    /// The instance's name, or its UUID.
    pub instance: String,
    /// Its disks.
    pub disks: Vec<String>,
    /// What the policies say now.
    pub said: String,
}

/// A policy of the chain.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// SHA-256 of the component.
    pub digest: String,
    /// In how many records the same component was asked.
    pub same: u64,
    /// In how many another one of this name was.
    pub other: u64,
}

impl Report {
    /// Whether everything was compared and came out the same.
    #[must_use]
    pub fn nothing_changes(&self) -> bool {
        self.changed == 0 && self.late == 0
    }

    /// All decisions read.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        let excluded = self.deadline + self.runtime + self.unknown_hook;
        self.same + self.changed + self.late + excluded
    }

    pub(super) fn seen(&mut self, plugins: &[PluginVerdict]) {
        for said in plugins {
            // Two look-ups instead of two copies of names for each of 100,000 records.
            if let Some(count) = self
                .recorded
                .get_mut(&said.plugin)
                .and_then(|digests| digests.get_mut(&said.digest))
            {
                *count += 1;
            } else {
                let digests = self.recorded.entry(said.plugin.clone()).or_default();
                digests.insert(said.digest.clone(), 1);
            }
        }
    }

    pub(super) fn count(&mut self, index: u64, entry: &LogEntry, came: Came) {
        match came {
            Came::Same => self.same += 1,
            Came::Late => self.late += 1,
            Came::Excluded(Excluded::Deadline) => self.deadline += 1,
            Came::Excluded(Excluded::Runtime) => self.runtime += 1,
            Came::Excluded(Excluded::Hook) => self.unknown_hook += 1,
            Came::Changed(Change { class, kind, said }) => {
                self.changed += 1;
                let kind = self.kinds.entry((class, kind)).or_default();
                kind.count += 1;
                if kind.examples.len() < EXAMPLES {
                    kind.examples.insert(index, example(entry, said));
                }
            }
        }
    }

    /// Adds what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        self.same += other.same;
        self.changed += other.changed;
        self.deadline += other.deadline;
        self.runtime += other.runtime;
        self.unknown_hook += other.unknown_hook;
        self.late += other.late;
        for (key, theirs) in other.kinds {
            let kind = self.kinds.entry(key).or_default();
            kind.count += theirs.count;
            kind.examples.extend(theirs.examples);
        }
    }

    pub(super) fn finish(&mut self, candidates: &Candidates, took: Duration) {
        self.millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.groups = std::mem::take(&mut self.kinds)
            .into_iter()
            .map(|((class, kind), found)| Group {
                class,
                kind,
                count: found.count,
                // Threads finish in any order; the log has one.
                examples: found.examples.into_values().take(EXAMPLES).collect(),
            })
            .collect();
        self.groups
            .sort_by(|a, b| (a.class, b.count, &a.kind).cmp(&(b.class, a.count, &b.kind)));
        let each = candidates.list.iter().map(|one| {
            let digest = digest(&one.component);
            let recorded = self.recorded.get(&one.name);
            let all: u64 = recorded.map_or(0, |digests| digests.values().sum());
            let same = recorded.and_then(|digests| digests.get(&digest));
            let same = same.copied().unwrap_or_default();
            Policy {
                name: one.name.clone(),
                digest,
                same,
                other: all - same,
            }
        });
        self.policies = each.collect();
        let known = |name: &String| candidates.list.iter().any(|one| one.name == *name);
        self.missing = self
            .recorded
            .keys()
            .filter(|n| !known(n))
            .cloned()
            .collect();
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = self.summary();
        let mut class = None;
        for group in &self.groups {
            if class != Some(group.class) {
                class = Some(group.class);
                let of_class = self.groups.iter().filter(|g| g.class == group.class);
                let count: u64 = of_class.map(|g| g.count).sum();
                lines.push(format!("\n{}: {count}", group.class.title()));
            }
            lines.push(format!("  {}: {}", group.kind, group.count));
            lines.extend(group.examples.iter().map(Example::text));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// How many, how fast, by which policies, and what was not compared.
    fn summary(&self) -> Vec<String> {
        let all = self.decisions();
        let mut lines = vec![format!(
            "{all} decisions in {}.{:03} s, {} a second",
            self.millis / 1000,
            self.millis % 1000,
            all * 1000 / self.millis.max(1)
        )];
        let policies = self.policies.iter();
        lines.extend(policies.map(|one| format!("  {}: {}", one.name, one.then())));
        let missing = self.missing.iter();
        lines.extend(
            missing.map(|name| format!("  {name}: was asked then, and is not in this chain")),
        );
        lines.push(format!(
            "the same: {}, changed: {}",
            self.same, self.changed
        ));
        let apart = [
            (
                self.deadline,
                "not compared: a policy had not answered in time then",
            ),
            (
                self.runtime,
                "not compared: there was no room to run a policy then",
            ),
            (
                self.unknown_hook,
                "not compared: about a hook that is not known here",
            ),
            (self.late, "not answered in time now, so nobody knows"),
        ];
        let apart = apart.into_iter().filter(|(count, _)| *count > 0);
        lines.extend(apart.map(|(count, why)| format!("{why}: {count}")));
        if !self.unreadable.is_empty() {
            let count = self.unreadable.len();
            lines.push(format!("lines that are no decisions: {count}"));
            let named = self.unreadable.iter().take(NAMED);
            lines.extend(named.map(|why| format!("  {why}")));
        }
        lines
    }
}

impl Policy {
    fn then(&self) -> String {
        match (self.same, self.other) {
            (0, 0) => "was not asked then".to_owned(),
            (_, 0) => "the one that was asked then".to_owned(),
            (0, _) => "another one was asked then".to_owned(),
            (same, other) => format!("the one that was asked {same} times, another {other} times"),
        }
    }
}

impl Example {
    fn text(&self) -> String {
        let Self {
            request,
            hook,
            instance,
            disks,
            said,
        } = self;
        let colon = if said.is_empty() { "" } else { ": " };
        let disks = disks.join(" ");
        format!("    {request} {hook} of {disks} for {instance}{colon}{said}")
    }
}

fn example(entry: &LogEntry, said: String) -> Example {
    let facts = &entry.record.facts;
    let disks = facts.disks.iter();
    Example {
        request: facts.request.id.to_string(),
        hook: entry.record.hook.clone(),
        instance: if facts.request.instance_name.is_empty() {
            facts.request.instance.to_string()
        } else {
            facts.request.instance_name.clone()
        },
        disks: disks.map(|d| format!("{}/{}", d.pool, d.name)).collect(),
        said,
    }
}
