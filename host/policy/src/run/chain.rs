//! The chain of loaded policies, and how a decision is made by it.

use std::sync::Arc;

use volward_model::{
    Combined, CopyFate, DecisionRecord, Facts, Fault, FaultKind, PluginVerdict, Verdict, VolumeId,
};

use crate::run::level::Level;
use crate::run::plugin::{Identity, Plugin};
use crate::run::status::{Meant, PluginState, PluginStatus};
use crate::run::stopwatch::Stopwatch;
use crate::run::tally::Tally;

/// Loaded policies in the order they are asked. Cheap to clone; it never changes: a new set of
/// policies is a new chain.
#[derive(Clone)]
pub struct Chain {
    members: Arc<[Member]>,
    strays: Arc<[Stray]>,
}

/// A file in the policies folder that looks as if it were meant to count, and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its name in the folder.
    pub file: String,
    /// Why it does not count, in one sentence.
    pub reason: String,
}

/// One policy of the chain.
#[derive(Clone)]
pub(crate) enum Member {
    /// It is asked.
    Serving(Arc<Plugin>),
    /// It is asked, and what lies in the folder under its name now (`meant`) is not: that was
    /// refused. `passing`: what it failed with may be over at the next try.
    Kept {
        plugin: Arc<Plugin>,
        meant: Identity,
        reason: String,
        passing: bool,
    },
    /// It is asked, and what lies in the folder under its name now (`meant`) is not: an operator
    /// went back from that version.
    RolledBack {
        plugin: Arc<Plugin>,
        meant: Identity,
    },
    /// It could not be loaded. The chain is incomplete without it: every attach faults (unless it
    /// is monitored), every detach goes on. `passing` as above.
    Refused {
        identity: Identity,
        reason: String,
        passing: bool,
    },
    /// Nobody has tried to load it yet. `refuses`: the chain is incomplete without it, as above; else it
    /// is as if it were not there, and was not there before.
    Waiting {
        identity: Identity,
        reason: String,
        refuses: bool,
    },
    /// The operator switched it off.
    Off(Identity),
}

impl Member {
    fn identity(&self) -> &Identity {
        match self {
            Self::Serving(plugin) | Self::Kept { plugin, .. } | Self::RolledBack { plugin, .. } => {
                &plugin.identity
            }
            Self::Refused { identity, .. }
            | Self::Waiting { identity, .. }
            | Self::Off(identity) => identity,
        }
    }

    /// Its entry in a record: `ask` for one that serves, a fault for one that was refused.
    fn verdict(&self, ask: impl FnOnce(&Plugin) -> PluginVerdict) -> Option<PluginVerdict> {
        match self {
            Self::Serving(plugin) | Self::Kept { plugin, .. } | Self::RolledBack { plugin, .. } => {
                Some(ask(plugin))
            }
            Self::Refused {
                identity, reason, ..
            } => Some(faulted(
                identity,
                format!("it could not be loaded: {reason}"),
            )),
            Self::Waiting {
                identity,
                reason,
                refuses: true,
            } => Some(faulted(identity, format!("it is not loaded yet: {reason}"))),
            Self::Waiting { refuses: false, .. } | Self::Off(_) => None,
        }
    }

    /// The plugin that answers for it.
    pub(crate) fn plugin(&self) -> Option<&Arc<Plugin>> {
        match self {
            Self::Serving(plugin) | Self::Kept { plugin, .. } | Self::RolledBack { plugin, .. } => {
                Some(plugin)
            }
            Self::Refused { .. } | Self::Waiting { .. } | Self::Off(_) => None,
        }
    }

    /// Whether what it failed with may be over at the next try.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Kept { passing, .. } | Self::Refused { passing, .. } => *passing,
            Self::Waiting { .. } => true,
            Self::Serving(_) | Self::RolledBack { .. } | Self::Off(_) => false,
        }
    }

    /// Whether every attach faults because of it.
    fn refuses(&self) -> bool {
        match self {
            Self::Refused { identity, .. } => identity.level != Level::Monitor,
            Self::Waiting {
                identity, refuses, ..
            } => *refuses && identity.level != Level::Monitor,
            Self::Serving(_) | Self::Kept { .. } | Self::RolledBack { .. } | Self::Off(_) => false,
        }
    }

    /// The digests of the component that is asked and of the one in the folder.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &String> {
        let meant = match self {
            Self::Kept { meant, .. } | Self::RolledBack { meant, .. } => Some(&meant.digest),
            Self::Serving(_) | Self::Refused { .. } | Self::Waiting { .. } | Self::Off(_) => None,
        };
        [&self.identity().digest].into_iter().chain(meant)
    }

    fn meant(&self) -> Option<Meant> {
        let (Self::Kept { meant, .. } | Self::RolledBack { meant, .. }) = self else {
            return None;
        };
        let known = !meant.digest.is_empty();
        Some(Meant {
            digest: meant.digest.clone(),
            differs: if known {
                meant.differs_from(self.identity())
            } else {
                Vec::new()
            },
        })
    }

    pub(crate) fn status(&self) -> PluginStatus {
        let identity = self.identity();
        let (plugin, state) = match self {
            Self::Serving(plugin) => (Some(plugin), PluginState::Serving),
            Self::Kept { plugin, reason, .. } => {
                let reason = reason.clone();
                (Some(plugin), PluginState::Kept { reason })
            }
            Self::RolledBack { plugin, meant } => {
                let from = meant.digest.clone();
                (Some(plugin), PluginState::RolledBack { from })
            }
            Self::Refused { reason, .. } => {
                let reason = reason.clone();
                (None, PluginState::Refused { reason })
            }
            Self::Waiting {
                reason, refuses, ..
            } => {
                let (reason, refuses) = (reason.clone(), *refuses);
                (None, PluginState::Waiting { reason, refuses })
            }
            Self::Off(_) => (None, PluginState::Off),
        };
        let hooks = plugin.map(|plugin| plugin.hooks().names());
        let tally = plugin.map(|plugin| plugin.tally());
        PluginStatus {
            name: identity.name.clone(),
            digest: identity.digest.clone(),
            level: identity.level,
            hooks: hooks
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            interface: identity.interface.clone(),
            state,
            meant: self.meant(),
            tried_again: self.may_pass(),
            counters: tally.map(Tally::counters).unwrap_or_default(),
            latency: tally.and_then(Tally::latency),
            faults: tally.map(Tally::faults).unwrap_or_default(),
        }
    }
}

impl Chain {
    pub(crate) fn new(members: Vec<Member>) -> Self {
        Self {
            members: members.into(),
            strays: Arc::default(),
        }
    }

    /// The same with what else is in the folder.
    pub(crate) fn beside(self, strays: Vec<Stray>) -> Self {
        Self {
            strays: strays.into(),
            ..self
        }
    }

    /// The same with another member under a name that it has; the first of them, where there are two.
    pub(crate) fn with(&self, name: &str, member: Member) -> Self {
        let mut members = self.members.to_vec();
        let place = members.iter_mut().find(|one| one.identity().name == name);
        if let Some(place) = place {
            *place = member;
        }
        Self {
            members: members.into(),
            strays: Arc::clone(&self.strays),
        }
    }

    /// The digests of all components that are asked or were meant to be.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &String> {
        self.members.iter().flat_map(Member::digests)
    }

    /// No policy at all.
    pub(crate) fn empty() -> Self {
        Self::new(Vec::new())
    }

    /// What stands under a name.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.identity().name == name)
    }

    /// The plugin of this name that is asked.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.member(name)?.plugin()
    }

    /// Asks every policy about an attach, with a fresh instance each. Blocks the calling thread;
    /// at most as long as the deadlines and waits of all policies together. The thread needs a
    /// stack of 2 MiB, as Rust's threads have.
    #[must_use]
    pub fn attach(&self, facts: &Facts) -> DecisionRecord {
        self.review("attach", facts, Plugin::attach)
    }

    /// Asks every policy whether the instance may come here by live migration, in the same way; none can
    /// narrow anything.
    #[must_use]
    pub fn migrate(&self, facts: &Facts) -> DecisionRecord {
        self.review("migrate", facts, Plugin::migrate)
    }

    /// Asks every policy whether [`Facts::operation`] may be begun, in the same way; none can narrow
    /// anything.
    #[must_use]
    pub fn operate(&self, facts: &Facts) -> DecisionRecord {
        self.review("operate", facts, Plugin::operate)
    }

    fn review(
        &self,
        hook: &str,
        facts: &Facts,
        plugin: fn(&Plugin, &Arc<Facts>) -> PluginVerdict,
    ) -> DecisionRecord {
        let watch = Stopwatch::start();
        let facts = Arc::new(facts.clone());
        let ask = |member: &Member| member.verdict(|one| plugin(one, &facts));
        let plugins: Vec<PluginVerdict> = self.members.iter().filter_map(ask).collect();
        let combined = Combined::attach(&facts, &plugins);
        record(hook, facts, &[], plugins, combined, &watch)
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

    /// Whether a policy failed to load with something that may be over at the next try: the compiler
    /// or the disk failed, or the node was too busy.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.members.iter().any(Member::may_pass)
    }

    /// Whether a policy is refused that may serve at the next load.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let refused = |one: &&Member| match one {
            Member::Refused { .. } => true,
            Member::Waiting { refuses, .. } => *refuses,
            _ => false,
        };
        self.members.iter().filter(refused).any(Member::may_pass)
    }

    /// Whether a policy that is refused until then has had no turn yet.
    #[must_use]
    pub fn has_to_wait(&self) -> bool {
        let waits = |one: &Member| matches!(one, Member::Waiting { refuses: true, .. });
        self.members.iter().any(waits)
    }

    /// Whether an attach may be granted, as far as what could not be loaded goes. Not by a chain of
    /// nothing, which is that before the first load.
    pub(crate) fn can_grant(&self) -> bool {
        !self.members.is_empty() && !self.members.iter().any(Member::refuses)
    }

    /// Whether a policy serves as the folder has it that did not in `before`.
    #[must_use]
    pub fn goes_further_than(&self, before: &Self) -> bool {
        let served = |plugin: &Plugin| {
            before.members.iter().any(|one| match one {
                Member::Serving(other) => other.identity.is_same(&plugin.identity),
                _ => false,
            })
        };
        self.members.iter().any(|one| match one {
            Member::Serving(plugin) => !served(plugin),
            _ => false,
        })
    }

    /// Files in the folder that look as if they were meant to count, and do not.
    #[must_use]
    pub fn strays(&self) -> &[Stray] {
        &self.strays
    }

    /// Every policy, refused ones and those that are off included.
    #[must_use]
    pub fn status(&self) -> Vec<PluginStatus> {
        self.members.iter().map(Member::status).collect()
    }
}

fn faulted(identity: &Identity, message: String) -> PluginVerdict {
    let fault = Fault::new(FaultKind::Link, message);
    identity.verdict(Verdict::Faulted(fault), Vec::new(), 0)
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
