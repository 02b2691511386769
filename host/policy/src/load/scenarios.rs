//! Scenarios beside a policy (`NN-name.scenarios.jsonl`): what its author says it decides. Loading
//! asks them, so that a policy which does not do what was promised never serves.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Deserializer;
use volward_model::Scenario;
use volward_model::scenario::{Hook, NotAbout, ScenarioPlugin};

use crate::BASELINE;
use crate::load::source::{Found, Settings};
use crate::load::trusted::{self, TrustError};
use crate::load::turn::Compiling;
use crate::run::chain::Chain;
use crate::run::level::Level;
use crate::run::stopwatch::CpuWatch;

/// A shipped policy's are 10 kB; a record of a guest with many disks has a few kB.
const FILE_BYTES: u64 = 1 << 20;
/// Each may take a deadline, and loading waits for all of them.
const MOST: usize = 256;

/// Processor time that the scenarios may take in one load: a daemon that loads policies for minutes
/// grants nothing meanwhile. It is looked at between two scenarios.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioTime {
    /// Those of one policy.
    pub own: Duration,
    /// Those of all policies together; who comes later has its turn at the next load.
    pub all: Duration,
}

impl Default for ScenarioTime {
    fn default() -> Self {
        Self {
            own: Duration::from_secs(10),
            all: Duration::from_secs(60),
        }
    }
}

/// What is left of it in a load, and of what compiling may take.
pub(crate) struct Budget {
    time: ScenarioTime,
    spent: Cell<Duration>,
    pub(crate) compiling: Compiling,
}

impl Budget {
    pub(crate) fn new(time: ScenarioTime, compiling: Compiling) -> Self {
        Self {
            time,
            spent: Cell::default(),
            compiling,
        }
    }
}

/// A scenario and where it stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// `file:line`.
    pub place: String,
    /// The scenario.
    pub scenario: Scenario,
}

/// Something is no scenario.
#[derive(Debug, thiserror::Error)]
#[error("{file}: no scenario: {reason}")]
pub struct NoScenario {
    /// In which file.
    pub file: String,
    /// With the line, and what was expected.
    pub reason: String,
}

/// Why the scenarios beside a policy speak against it.
#[derive(Debug, thiserror::Error)]
pub enum ScenariosError {
    /// What lies there is no scenario.
    #[error(transparent)]
    None(#[from] NoScenario),
    /// More than loading can wait for.
    #[error(
        "{count} scenarios lie beside it; {MOST} are tried at most: put only those there that every \
         change must pass"
    )]
    Many {
        /// How many.
        count: usize,
    },
    /// It does not decide what its author says.
    #[error("{place} {title}: {difference}")]
    Otherwise {
        /// Which scenario's line.
        place: String,
        /// What it shows.
        title: String,
        /// Where it came out otherwise.
        difference: String,
    },
    /// It is about other policies.
    #[error("{place} {title}: {reason}")]
    About {
        /// Which scenario's line.
        place: String,
        /// What it shows.
        title: String,
        /// Which policies it names.
        reason: NotAbout,
    },
    /// They take too long.
    #[error(
        "its scenarios took more than {seconds} s of the processor, {place} the last: make them fewer or the policy faster"
    )]
    Long {
        /// What one policy's scenarios may take.
        seconds: u64,
        /// Which scenario's line.
        place: String,
    },
    /// Others took what time there was for all.
    #[error(
        "the scenarios of all policies took more than {seconds} s; its own are tried at the next load"
    )]
    NoTurn {
        /// What all policies' scenarios may take.
        seconds: u64,
    },
}

/// The scenarios in some bytes, one JSON value after the other; `file` is its name for places.
///
/// # Errors
/// If something there is no scenario.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Placed>, NoScenario> {
    // What editors of another system put before the text.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut values = Deserializer::from_slice(bytes).into_iter::<Scenario>();
    let mut found = Vec::new();
    // Counted on from the last value: counting from the start each time would be quadratic.
    let (mut counted, mut line) = (0, 1);
    loop {
        let begin = values.byte_offset();
        let begin = begin + leading_space(&bytes[begin..]);
        line += bytes[counted..begin]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        counted = begin;
        match values.next() {
            None => return Ok(found),
            Some(Ok(scenario)) => found.push(Placed {
                place: format!("{file}:{line}"),
                scenario,
            }),
            Some(Err(error)) => {
                return Err(NoScenario {
                    file: file.to_owned(),
                    reason: error.to_string(),
                });
            }
        }
    }
}

fn leading_space(bytes: &[u8]) -> usize {
    bytes.len() - bytes.trim_ascii_start().len()
}

impl Settings {
    /// These settings as a scenario changes them, which names the policy or does not.
    #[must_use]
    pub fn in_scenario(&self, named: Option<&ScenarioPlugin>) -> Self {
        let Some(named) = named else {
            return self.clone();
        };
        Self {
            // Who gives a configuration, as every record does, says how it was asked.
            level: match (named.monitored, &named.config) {
                (true, _) => Level::Monitor,
                (false, Some(_)) => Level::Enforce,
                (false, None) => self.level,
            },
            config: named.config.clone().unwrap_or_else(|| self.config.clone()),
            ..Self::default()
        }
    }
}

/// The bytes of the file beside a policy; nothing where there is none.
pub(crate) fn beside(policy: &Found, owner: u32) -> Result<Vec<u8>, TrustError> {
    let name = policy.beside("scenarios.jsonl");
    match trusted::file(&policy.folder, &name, owner, FILE_BYTES) {
        Err(TrustError::Missing(_)) => Ok(Vec::new()),
        other => other,
    }
}

/// The scenarios that lie beside a policy, as they are about it: see [`Scenario::beside`].
///
/// # Errors
/// With the first that is about others only.
pub fn about(policy: &str, scenarios: Vec<Placed>) -> Result<Vec<Placed>, ScenariosError> {
    let about = |Placed { place, scenario }: Placed| match scenario.beside(policy, &[BASELINE]) {
        Ok(scenario) => Ok(Placed { place, scenario }),
        Err(reason) => Err(ScenariosError::About {
            place,
            title: scenario.title,
            reason,
        }),
    };
    scenarios.into_iter().map(about).collect()
}

/// Asks each scenario beside `policy` of the chain that `chain_for` makes, with the policies as it names
/// them.
///
/// # Errors
/// With the first that does not come out as expected, or if the text is none, or if there is no time
/// for all of them.
pub(crate) fn try_all(
    policy: &str,
    text: &[u8],
    budget: &Budget,
    mut chain_for: impl FnMut(&[ScenarioPlugin]) -> Chain,
) -> Result<(), ScenariosError> {
    let all = parse("its scenarios", text)?;
    if all.len() > MOST {
        let count = all.len();
        return Err(ScenariosError::Many { count });
    }
    let all = about(policy, all)?;
    let (before, watch) = (budget.spent.get(), CpuWatch::start());
    for Placed { place, scenario } in &all {
        // The first one may begin in any case, so that each load gets further than the last.
        if budget.spent.get() > budget.time.all {
            let seconds = budget.time.all.as_secs();
            return Err(ScenariosError::NoTurn { seconds });
        }
        if watch.passed() > budget.time.own {
            let (seconds, place) = (budget.time.own.as_secs(), place.clone());
            return Err(ScenariosError::Long { seconds, place });
        }
        let facts = scenario.facts();
        let chain = chain_for(&scenario.plugins);
        let record = match scenario.hook {
            Hook::Attach => chain.attach(&facts),
            Hook::Detach => chain.detach(&facts, &scenario.copies),
            Hook::Migrate => chain.migrate(&facts),
            Hook::Operate => chain.operate(&facts),
        };
        budget.spent.set(before + watch.passed());
        let differences = scenario.differences(&facts, &record.plugins, &record.combined);
        if let Some(first) = differences.first() {
            return Err(ScenariosError::Otherwise {
                place: place.clone(),
                title: scenario.title.clone(),
                difference: first.to_string(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_stand_one_after_the_other_on_as_many_lines_as_they_like() {
        let text = "{}\n\n{\n \"title\": \"b\"\n}{\"title\":\"c\"}\n";
        let found = parse("f", text.as_bytes()).unwrap();
        let places: Vec<_> = found
            .iter()
            .map(|p| (p.place.as_str(), p.scenario.title.as_str()))
            .collect();
        assert_eq!(places, [("f:1", ""), ("f:3", "b"), ("f:5", "c")]);
    }

    #[test]
    fn what_is_no_scenario_is_named_with_its_line() {
        let error = parse("f", b"{}\n{\"facts\":\n {\"disk\": []}}").unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("f: no scenario") && said.contains("line 3"),
            "{said}"
        );
        assert!(said.contains("disk"), "{said}");
    }

    #[test]
    fn a_scenario_changes_what_it_names() {
        let own = Settings::parse("level = \"off\"\n[config]\na = 1\n").unwrap();
        let named = |text: &str| serde_json::from_str::<ScenarioPlugin>(text).unwrap();
        assert_eq!(own.in_scenario(None), own);
        assert_eq!(own.in_scenario(Some(&named("{\"plugin\":\"x\"}"))), own);
        let other = named("{\"plugin\":\"x\",\"config\":{\"b\":\"2\"}}");
        let changed = own.in_scenario(Some(&other));
        assert_eq!(changed.level, Level::Enforce);
        assert_eq!(changed.config, other.config.unwrap());
        let watched = named("{\"plugin\":\"x\",\"monitored\":true}");
        assert_eq!(own.in_scenario(Some(&watched)).level, Level::Monitor);
    }
}
