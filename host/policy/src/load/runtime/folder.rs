//! What is in the policies folder becomes a chain, beside one that serves and with what was good
//! before.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Runtime, Sources, identity, refused, with_causes};
use crate::BASELINE;
use crate::digest::digest;
use crate::load::artefact::ArtefactError;
use crate::load::refused::LoadError;
use crate::load::scenarios::{self, Budget, ScenarioTime};
use crate::load::source::{self, Found, Scan, Settings, SettingsError};
use crate::load::trusted::{self, TrustError};
use crate::load::turn::Compiling;
use crate::run::chain::{Chain, Member, Stray};
use crate::run::level::Level;
use crate::run::plugin::{Identity, Plugin};

/// One load: what serves meanwhile, and what time is left.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) serving: &'a Chain,
    pub(super) budget: &'a Budget,
}

/// A policy's component and the scenarios beside it, as they are in the folder.
struct Files {
    component: Vec<u8>,
    scenarios: Vec<u8>,
}

impl Runtime {
    /// The chain before anything is loaded: every attach faults, every detach goes on.
    #[must_use]
    pub fn nothing_yet(&self) -> Chain {
        let identity = identity("policies", &Settings::default(), String::new());
        Chain::new(vec![Member::Waiting {
            identity,
            reason: "the policies are being loaded: ask again in a moment".to_owned(),
            refuses: true,
        }])
    }

    /// The chain where nothing can be loaded, in one sentence, and will be tried again: as above.
    #[must_use]
    pub fn nothing_for(&self, reason: String) -> Chain {
        let identity = identity("policies", &Settings::default(), String::new());
        Chain::new(vec![Member::Refused {
            identity,
            reason,
            passing: true,
        }])
    }

    /// As [`Runtime::load`], for a start: nothing is compiled and no scenarios are tried, so it takes
    /// moments. A policy that needs either is what it was when it was good last; where it never was,
    /// it is refused until the next load.
    #[must_use]
    pub fn begin(&self, sources: Sources<'_>) -> Chain {
        let time = ScenarioTime {
            own: Duration::ZERO,
            all: Duration::ZERO,
        };
        let budget = Budget::new(time, Compiling::within(None));
        self.reload_within(sources, &Chain::empty(), &budget)
    }

    /// Loads the baseline and then the folder's policies in file-name order. It always makes a
    /// chain: what is refused is part of it, and faults.
    #[must_use]
    pub fn load(&self, sources: Sources<'_>) -> Chain {
        self.reload(sources, &Chain::empty())
    }

    /// As [`Runtime::load`], after `serving`: a policy that did not change is the same as there,
    /// with its counters, and one whose new content or settings are refused goes on as it was. A
    /// policy that was never good has nothing to go on as. Compiling takes a minute at most, and what
    /// began in it: what has had no turn then is as it was before, until the next load.
    #[must_use]
    pub fn reload(&self, sources: Sources<'_>, serving: &Chain) -> Chain {
        self.reload_within(sources, serving, &self.budget())
    }

    pub(super) fn budget(&self) -> Budget {
        Budget::new(
            self.scenario_time,
            Compiling::within(Some(self.compile_time)),
        )
    }

    fn reload_within(&self, sources: Sources<'_>, serving: &Chain, budget: &Budget) -> Chain {
        let load = Load { serving, budget };
        let mut members = Vec::new();
        if let Some(component) = sources.baseline {
            members.push(self.built_in(component, load));
        }
        match source::scan(sources.folder, self.owner) {
            Ok(Scan { found, strays }) => {
                members.extend(self.load_files(&found, load));
                for Stray { file, reason } in &strays {
                    tracing::warn!(%file, %reason, "a file in the policies folder does not count");
                }
                let chain = Chain::new(members).beside(strays);
                self.forget_all_but(&found, &chain);
                chain
            }
            Err(error) => {
                // Nobody knows what should have been enforced.
                let name = sources.folder.path().display().to_string();
                let nobody = identity(&name, &Settings::default(), String::new());
                let error = match error {
                    TrustError::Missing(_) => LoadError::NoFolder { path: name },
                    other => other.into(),
                };
                members.push(refused(nobody, &error));
                Chain::new(members)
            }
        }
    }

    /// The folder's policies, in file-name order; they are loaded in another, see [`Turns`].
    ///
    /// [`Turns`]: crate::load::turn::Turns
    fn load_files(&self, found: &[Found], load: Load<'_>) -> Vec<Member> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut members: Vec<(usize, Member)> = Vec::new();
        for at in turns.order(found) {
            let one = &found[at];
            let twice = found[..at].iter().any(|earlier| earlier.name == one.name);
            let begun = load.budget.compiling.begun();
            let member = self.load_file(one, twice, load);
            let began = load.budget.compiling.begun() > begun;
            match member {
                Member::Serving(_) => turns.note(one, false),
                _ if began => turns.note(one, true),
                _ => {}
            }
            members.push((at, member));
        }
        members.sort_by_key(|(at, _)| *at);
        members.into_iter().map(|(_, member)| member).collect()
    }

    fn built_in(&self, component: &[u8], load: Load<'_>) -> Member {
        let identity = identity(BASELINE, &Settings::default(), digest(component));
        if let Some(plugin) = load.serving.plugin(BASELINE) {
            return Member::Serving(Arc::clone(plugin));
        }
        match self.plugin(identity.clone(), component, &load.budget.compiling) {
            Ok(plugin) => Member::Serving(Arc::new(plugin)),
            Err(error) => without(identity, &error, load.serving),
        }
    }

    pub(super) fn load_file(&self, found: &Found, twice: bool, load: Load<'_>) -> Member {
        let name = &found.name;
        let unknown = |settings: &Settings| identity(name, settings, String::new());
        if twice {
            // The first of them is the one that served.
            let error = LoadError::Twice { name: name.clone() };
            return refused(unknown(&Settings::default()), &error);
        }
        let settings = match source::settings(found, self.owner) {
            Ok(settings) => settings,
            Err(error) => return self.without_settings(name, error, load),
        };
        if !found.well_named {
            return refused(unknown(&settings), &LoadError::Name);
        }
        let level = Some(settings.level);
        match self.files(found) {
            Err(_) if settings.level == Level::Off => Member::Off(unknown(&settings)),
            Err(error) => self.last_good_or_refused(unknown(&settings), level, &error, load),
            Ok(files) => self.member(name, &settings, &files, load),
        }
    }

    /// A policy whose settings are not understood. Where not even its level is, nobody knows whether
    /// it should be enforced: then it is as it was last, or else it is enforced.
    fn without_settings(&self, name: &str, error: SettingsError, load: Load<'_>) -> Member {
        let level = error.level();
        let settings = Settings {
            level: level.unwrap_or_default(),
            ..Settings::default()
        };
        let identity = identity(name, &settings, String::new());
        if level == Some(Level::Off) {
            return Member::Off(identity);
        }
        self.last_good_or_refused(identity, level, &error.into(), load)
    }

    fn files(&self, found: &Found) -> Result<Files, LoadError> {
        let limit = self.sandbox.limits.component_bytes;
        Ok(Files {
            component: trusted::file(&found.folder, &found.file, self.owner, limit)?,
            scenarios: scenarios::beside(found, self.owner)?,
        })
    }

    fn member(&self, name: &str, settings: &Settings, files: &Files, load: Load<'_>) -> Member {
        let identity = Identity {
            scenarios: digest(&files.scenarios),
            ..identity(name, settings, digest(&files.component))
        };
        let level = Some(settings.level);
        if settings.level == Level::Off {
            return Member::Off(identity);
        }
        if let Err(error) = one_revision(settings, &identity) {
            return self.last_good_or_refused(identity, level, &error, load);
        }
        if self.is_rolled_back(&identity) {
            return self.earlier(identity, load);
        }
        if let Some(plugin) = load.serving.plugin(name)
            && plugin.identity.is_same(&identity)
            && plugin.identity.scenarios == identity.scenarios
        {
            let plugin = plugin.at_level(settings.level);
            self.remember(&plugin.identity, &files.component);
            return Member::Serving(plugin);
        }
        match self.tried(identity.clone(), files, load.budget) {
            Ok(plugin) => {
                self.remember(&plugin.identity, &files.component);
                Member::Serving(Arc::new(plugin))
            }
            Err(error) => self.last_good_or_refused(identity, level, &error, load),
        }
    }

    /// A policy that also decides its scenarios as its author says.
    fn tried(
        &self,
        identity: Identity,
        files: &Files,
        budget: &Budget,
    ) -> Result<Plugin, LoadError> {
        let name = identity.name.clone();
        // Whether its answers count here is the operator's concern; what they are, its author's.
        let settings = Settings {
            level: Level::Enforce,
            config: identity.config.as_ref().clone(),
            ..Settings::default()
        };
        let plugin = self.plugin(identity, &files.component, &budget.compiling)?;
        if self.was_tried(&plugin.identity) {
            // At an earlier start, with the same scenarios, by the same daemon.
            return Ok(plugin);
        }
        // Most scenarios have the settings of the one before.
        let mut last: Option<([Settings; 2], Chain)> = None;
        scenarios::try_all(&name, &files.scenarios, budget, |plugins| {
            let named = |name: &str| plugins.iter().find(|plugin| plugin.plugin == name);
            let both = [
                Settings::default().in_scenario(named(BASELINE)),
                settings.in_scenario(named(&name)),
            ];
            match &last {
                Some((settings, chain)) if *settings == both => chain.clone(),
                _ => {
                    let compiling = &budget.compiling;
                    let chain = self.scenario_chain(&name, &files.component, &both, compiling);
                    last.insert((both, chain)).1.clone()
                }
            }
        })?;
        Ok(plugin)
    }

    /// The built-in policy, and the one that is tried, with these settings.
    fn scenario_chain(
        &self,
        name: &str,
        component: &[u8],
        [built_in, own]: &[Settings; 2],
        compiling: &Compiling,
    ) -> Chain {
        let baseline = self
            .scenarios_baseline
            .map(|component| (BASELINE, component, built_in));
        let policies = baseline.into_iter().chain([(name, component, own)]);
        self.assembled(policies, compiling)
    }

    /// What takes the place of a version that cannot be loaded. `level` is the folder's word, where it
    /// can be read.
    fn last_good_or_refused(
        &self,
        identity: Identity,
        level: Option<Level>,
        error: &LoadError,
        load: Load<'_>,
    ) -> Member {
        let turned_away = load.budget.compiling.turned_away();
        let Some(plugin) = self.last_good(&identity.name, level, load) else {
            let mut member = without(identity, error, load.serving);
            if let Member::Refused { passing, .. } = &mut member {
                // An earlier version may be good, and was not compiled.
                *passing |= load.budget.compiling.turned_away() > turned_away;
            }
            return member;
        };
        let reason = with_causes(error);
        let policy = &identity.name;
        tracing::error!(policy, %reason, "policy refused; the last good one goes on");
        Member::Kept {
            plugin,
            meant: identity,
            reason,
            passing: error.may_pass(),
        }
    }

    /// What takes the place of a version that an operator went back from.
    fn earlier(&self, identity: Identity, load: Load<'_>) -> Member {
        let compiling = &load.budget.compiling;
        let turned_away = compiling.turned_away();
        match self.last_good(&identity.name, Some(identity.level), load) {
            Some(plugin) => Member::RolledBack {
                plugin,
                meant: identity,
            },
            None if compiling.turned_away() > turned_away => {
                without(identity, &ArtefactError::Next.into(), load.serving)
            }
            None => refused(identity, &LoadError::RolledBack),
        }
    }
}

/// What takes the place of a policy of which no version serves. One that nobody has tried to load yet
/// leaves the chain as it was: what was granted without it goes on to be, what was refused too.
fn without(identity: Identity, error: &LoadError, serving: &Chain) -> Member {
    if !error.is_for_want_of_a_turn() {
        return refused(identity, error);
    }
    let reason = with_causes(error);
    let policy = &identity.name;
    tracing::warn!(policy, %reason, "policy waits to be compiled");
    let refuses = !serving.can_grant();
    Member::Waiting {
        identity,
        reason,
        refuses,
    }
}

/// Whether the files are those that the settings name.
fn one_revision(settings: &Settings, files: &Identity) -> Result<(), LoadError> {
    let named = [
        ("the component", &settings.component, &files.digest),
        ("the scenarios", &settings.scenarios, &files.scenarios),
    ];
    for (what, wanted, found) in named {
        if let Some(wanted) = wanted
            && wanted != found
        {
            let (wanted, found) = (wanted.clone(), found.clone());
            return Err(LoadError::Revision {
                what,
                wanted,
                found,
            });
        }
    }
    Ok(())
}
