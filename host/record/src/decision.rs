//! The record of one decision: everything needed to understand it, and to make it again.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, CopyFate, Denial};
use crate::facts::Facts;
use crate::ids::VolumeId;

/// One decision, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    /// Which hook was asked: `attach`, `detach`, `migrate` or `operate`.
    pub hook: String,
    /// What they were told.
    pub facts: Facts,
    /// Detach only: the copies there are, each with the fate its grant named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<(VolumeId, CopyFate)>,
    /// What each plugin said, in the order they were asked; the baseline is the first.
    pub plugins: Vec<PluginVerdict>,
    /// What came out.
    pub combined: Combined,
    /// The whole chain's time.
    pub micros: u64,
}

/// What one plugin said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginVerdict {
    /// Its name: the file name without number and ending; `baseline` for the built-in.
    pub plugin: String,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// The interface it was built against.
    pub interface: String,
    /// Monitored: logged, but without effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub monitored: bool,
    /// Its configuration. Written also when it is empty: in a scenario, none at all means the one
    /// that lies beside the policy.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// What it answered, or how it failed.
    pub verdict: Verdict,
    /// Lines it logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Its time, instantiation included.
    pub micros: u64,
}

/// The four outcomes of asking one plugin. A fault is never shown as a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It agrees, perhaps narrowed.
    Granted(Answer),
    /// Detach only: what it advises for each copy.
    Advised(Vec<(VolumeId, Option<CopyFate>)>),
    /// It refuses the whole request.
    Denied(Denial),
    /// It failed: nobody knows what it would have answered.
    Faulted(Fault),
    /// It has no such hook.
    Absent,
}

/// How a plugin broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which limit or rule it ran into.
    pub kind: FaultKind,
    /// One sentence for whoever is on call.
    pub message: String,
    /// Where in the policy it happened: its functions, the innermost first, each with the place
    /// of its instruction in the component's core module (`name at 0x1a2b`). Empty where no code of
    /// the policy was running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

impl Fault {
    /// A fault outside the policy's own code.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            backtrace: Vec::new(),
        }
    }
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "became", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is on record, and its steps are to follow: how it ends is written when it is known.
    Begun,
    /// It was begun, and how it ended is neither in the log nor in the journal. Never written; a
    /// reader says so of what stayed begun.
    Interrupted {
        /// One sentence for people.
        message: String,
    },
    /// It was executed.
    Done,
    /// Nothing was begun: refused by the policies, or by the rules that hold whatever they say.
    Refused {
        /// The refusal's code, for programs.
        code: String,
        /// One sentence for people.
        message: String,
    },
    /// It was granted and begun, and has been rolled back, or is quarantined.
    Failed {
        /// One sentence for people.
        message: String,
    },
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The code trapped: unreachable, out-of-bounds, division by zero, panic.
    Trap,
    /// It took too long. The one kind that a replay cannot repeat.
    Deadline,
    /// Memory or table limit.
    Memory,
    /// It needed more stack than `stack-bytes`.
    Stack,
    /// It passed or asked for too much data in a call.
    Hostcall,
    /// It logged too much.
    LogFlood,
    /// It could not be instantiated.
    Link,
    /// The runtime itself failed, or had no free slot in time.
    Runtime,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Hostcall => "hostcall",
            Self::LogFlood => "log flood",
            Self::Link => "link",
            Self::Runtime => "runtime",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted(_) => f.pad("granted"),
            Self::Advised(_) => f.pad("advised"),
            Self::Denied(denial) => write!(f, "denied: {denial}"),
            Self::Faulted(fault) => write!(f, "faulted: {fault}"),
            Self::Absent => f.pad("no such hook"),
        }
    }
}

/// What the chain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combined {
    /// All agree; the strictest of their answers.
    Granted(Answer),
    /// Detach only: the fate of each copy (I24: write-back unless somebody said otherwise).
    Advised(Vec<(VolumeId, CopyFate)>),
    /// At least one refuses; the first leads.
    Denied(Vec<(String, Denial)>),
    /// None refuses, but at least one broke, so nobody can say it is allowed.
    Faulted(Vec<(String, Fault)>),
}

impl Combined {
    /// Combines the verdicts of a chain in file order, monitored ones left out of account: of attach, and
    /// of migrate and operate, which agree with an answer as asked or refuse.
    /// A denial outranks a fault: it is the clearer news.
    #[must_use]
    pub fn attach(facts: &Facts, plugins: &[PluginVerdict]) -> Self {
        let mut answer = Answer::as_asked(facts);
        let (mut denials, mut faults) = (Vec::new(), Vec::new());
        for plugin in plugins.iter().filter(|p| !p.monitored) {
            match &plugin.verdict {
                Verdict::Granted(theirs) => answer.narrow_by(theirs),
                Verdict::Denied(denial) => denials.push((plugin.plugin.clone(), denial.clone())),
                Verdict::Faulted(fault) => faults.push((plugin.plugin.clone(), fault.clone())),
                Verdict::Absent | Verdict::Advised(_) => {}
            }
        }
        if !denials.is_empty() {
            Self::Denied(denials)
        } else if !faults.is_empty() {
            Self::Faulted(faults)
        } else {
            Self::Granted(answer)
        }
    }

    /// Combines the detach advice of a chain for the given copies, each with the fate its grant
    /// named. A fault or silence leaves that fate; detach itself cannot be refused.
    #[must_use]
    pub fn detach(granted: &[(VolumeId, CopyFate)], plugins: &[PluginVerdict]) -> Self {
        let advice = |volume: VolumeId| {
            let said = plugins
                .iter()
                .filter(|p| !p.monitored)
                .filter_map(|p| match &p.verdict {
                    Verdict::Advised(advice) => Some(advice),
                    _ => None,
                })
                .flatten()
                .filter(move |(v, _)| *v == volume)
                .filter_map(|(_, fate)| *fate);
            CopyFate::safest(said)
        };
        let fates = granted
            .iter()
            .map(|(volume, fate)| (*volume, advice(*volume).unwrap_or(*fate)));
        Self::Advised(fates.collect())
    }
}
