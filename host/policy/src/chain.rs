//! The chain of loaded policies, and how a decision is made by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use volward_model::{
    Combined, CopyFate, DecisionRecord, Facts, Fault, FaultKind, PluginVerdict, Verdict, VolumeId,
};

use crate::plugin::{Counters, Identity, Plugin};
use crate::source::Level;
use crate::stopwatch::Stopwatch;

/// Loaded policies in the order they are asked. Cheap to clone; it never changes: a new set of
/// policies is a new chain.
#[derive(Clone)]
pub struct Chain {
    members: Arc<[Member]>,
}

/// One policy of the chain.
pub(crate) enum Member {
    /// It is asked.
    Serving(Plugin),
    /// It could not be loaded. The chain is incomplete without it: every attach faults (unless it
    /// is monitored), every detach goes on.
    Refused { identity: Identity, reason: String },
    /// The operator switched it off.
    Off(Identity),
}

/// One policy, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The file name without number and ending; `baseline` for the built-in.
    pub name: String,
    /// SHA-256 of the component, lower-case hex; empty where it could not be read.
    pub digest: String,
    /// Whether its answer counts.
    pub level: Level,
    /// The hooks it has: `attach`, `detach`, `lifecycle`.
    pub hooks: Vec<String>,
    /// The interface it was built against; the runtime's own where nobody could look.
    pub interface: String,
    /// Whether it is asked, and why not.
    pub state: PluginState,
    /// What it answered since it was loaded.
    pub counters: Counters,
}

/// Whether a policy is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PluginState {
    /// Yes.
    Serving,
    /// It could not be loaded.
    Refused {
        /// Why, in one sentence.
        reason: String,
    },
    /// The operator switched it off.
    Off,
}

impl Member {
    fn identity(&self) -> &Identity {
        match self {
            Self::Serving(plugin) => &plugin.identity,
            Self::Refused { identity, .. } | Self::Off(identity) => identity,
        }
    }

    /// Its entry in a record: `ask` for one that serves, a fault for one that was refused.
    fn verdict(&self, ask: impl FnOnce(&Plugin) -> PluginVerdict) -> Option<PluginVerdict> {
        match self {
            Self::Serving(plugin) => Some(ask(plugin)),
            Self::Refused { identity, reason } => {
                let message = format!("it could not be loaded: {reason}");
                let fault = Fault {
                    kind: FaultKind::Link,
                    message,
                };
                Some(identity.verdict(Verdict::Faulted(fault), Vec::new(), 0))
            }
            Self::Off(_) => None,
        }
    }

    pub(crate) fn status(&self) -> PluginStatus {
        let identity = self.identity();
        let (hooks, counters, state) = match self {
            Self::Serving(plugin) => (
                plugin.hooks().names(),
                plugin.counters(),
                PluginState::Serving,
            ),
            Self::Refused { reason, .. } => {
                let reason = reason.clone();
                (
                    Vec::new(),
                    Counters::default(),
                    PluginState::Refused { reason },
                )
            }
            Self::Off(_) => (Vec::new(), Counters::default(), PluginState::Off),
        };
        PluginStatus {
            name: identity.name.clone(),
            digest: identity.digest.clone(),
            level: identity.level,
            hooks: hooks.into_iter().map(str::to_owned).collect(),
            interface: identity.interface.clone(),
            state,
            counters,
        }
    }
}

impl Chain {
    pub(crate) fn new(members: Vec<Member>) -> Self {
        Self {
            members: members.into(),
        }
    }

    /// Asks every policy about an attach, with a fresh instance each. Blocks the calling thread;
    /// at most as long as the deadlines and waits of all policies together. The thread needs a
    /// stack of 2 MiB, as Rust's threads have.
    #[must_use]
    pub fn attach(&self, facts: &Facts) -> DecisionRecord {
        let watch = Stopwatch::start();
        let facts = Arc::new(facts.clone());
        let ask = |member: &Member| member.verdict(|plugin| plugin.attach(&facts));
        let plugins: Vec<PluginVerdict> = self.members.iter().filter_map(ask).collect();
        let combined = Combined::attach(&facts, &plugins);
        record("attach", facts, &[], plugins, combined, &watch)
    }

    /// Asks every policy for the fate of each copy; `granted` is what its grant named. It cannot
    /// refuse: who faults or is silent leaves that fate.
    #[must_use]
    pub fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord {
        let watch = Stopwatch::start();
        let facts = Arc::new(facts.clone());
        let volumes: Vec<VolumeId> = granted.iter().map(|(volume, _)| *volume).collect();
        let ask = |member: &Member| member.verdict(|plugin| plugin.detach(&facts, &volumes));
        let plugins: Vec<PluginVerdict> = self.members.iter().filter_map(ask).collect();
        let combined = Combined::detach(granted, &plugins);
        record("detach", facts, granted, plugins, combined, &watch)
    }

    /// Every policy, refused ones and those that are off included.
    #[must_use]
    pub fn status(&self) -> Vec<PluginStatus> {
        self.members.iter().map(Member::status).collect()
    }
}

fn record(
    hook: &str,
    facts: Arc<Facts>,
    copies: &[(VolumeId, CopyFate)],
    plugins: Vec<PluginVerdict>,
    combined: Combined,
    watch: &Stopwatch,
) -> DecisionRecord {
    DecisionRecord {
        hook: hook.to_owned(),
        facts: Arc::unwrap_or_clone(facts),
        copies: copies.to_vec(),
        plugins,
        combined,
        micros: watch.micros(),
    }
}
