//! What is in the policies folder becomes a chain, beside one that serves and with what was good
//! before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::kept::history_failed;
use super::{Runtime, Sources, identity, refused, with_causes};
use crate::BASELINE;
use crate::digest::digest;
use crate::load::history::Version;
use crate::load::refused::LoadError;
use crate::load::scenarios::{self, Budget, ScenarioTime};
use crate::load::source::{self, Found, Scan, Settings, SettingsError};
use crate::load::trusted::{self, TrustError};
use crate::run::chain::{Chain, Member, Stray};
use crate::run::level::Level;
use crate::run::plugin::{Identity, Plugin};

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
        Chain::new(vec![Member::Refused {
            identity,
            reason: "the policies are being loaded: ask again in a moment".to_owned(),
            passing: true,
        }])
    }

    /// As [`Runtime::load`], for a start: nothing is compiled and no scenarios are tried, so it takes
    /// moments. A policy that needs either is what it was when it was good last; where it never was,
    /// it is refused until the next load.
    #[must_use]
    pub fn begin(&self, sources: Sources<'_>) -> Chain {
        self.only_compiled.store(true, Ordering::SeqCst);
        let time = ScenarioTime {
            own: Duration::ZERO,
            all: Duration::ZERO,
        };
        let chain = self.reload_within(sources, &Chain::empty(), &Budget::new(time));
        self.only_compiled.store(false, Ordering::SeqCst);
        chain
    }

    /// Loads the baseline and then the folder's policies in file-name order. It always makes a
    /// chain: what is refused is part of it, and faults.
    #[must_use]
    pub fn load(&self, sources: Sources<'_>) -> Chain {
        self.reload(sources, &Chain::empty())
    }

    /// As [`Runtime::load`], after `serving`: a policy that did not change is the same as there,
    /// with its counters, and one whose new content or settings are refused goes on as it was. A
    /// policy that was never good has nothing to go on as.
    #[must_use]
    pub fn reload(&self, sources: Sources<'_>, serving: &Chain) -> Chain {
        self.reload_within(sources, serving, &Budget::new(self.scenario_time))
    }

    fn reload_within(&self, sources: Sources<'_>, serving: &Chain, budget: &Budget) -> Chain {
        let mut members = Vec::new();
        if let Some(component) = sources.baseline {
            members.push(self.built_in(component, serving));
        }
        match source::scan(sources.folder, self.owner) {
            Ok(Scan { found, strays }) => {
                for (n, one) in found.iter().enumerate() {
                    let twice = found[..n].iter().any(|earlier| earlier.name == one.name);
                    members.push(self.load_file(one, twice, serving, budget));
                }
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

    fn built_in(&self, component: &[u8], serving: &Chain) -> Member {
        let identity = identity(BASELINE, &Settings::default(), digest(component));
        if let Some(plugin) = serving.plugin(BASELINE) {
            return Member::Serving(Arc::clone(plugin));
        }
        match self.plugin(identity.clone(), component) {
            Ok(plugin) => Member::Serving(Arc::new(plugin)),
            Err(error) => refused(identity, &error),
        }
    }

    pub(super) fn load_file(
        &self,
        found: &Found,
        twice: bool,
        serving: &Chain,
        budget: &Budget,
    ) -> Member {
        let name = &found.name;
        let unknown = |settings: &Settings| identity(name, settings, String::new());
        if twice {
            // The first of them is the one that served.
            let error = LoadError::Twice { name: name.clone() };
            return refused(unknown(&Settings::default()), &error);
        }
        let settings = match source::settings(found, self.owner) {
            Ok(settings) => settings,
            Err(error) => return self.without_settings(name, error, serving),
        };
        if !found.well_named {
            return refused(unknown(&settings), &LoadError::Name);
        }
        let level = Some(settings.level);
        match self.files(found) {
            Err(_) if settings.level == Level::Off => Member::Off(unknown(&settings)),
            Err(error) => self.last_good_or_refused(unknown(&settings), level, &error, serving),
            Ok(files) => self.member(name, &settings, &files, serving, budget),
        }
    }

    /// A policy whose settings are not understood. Where not even its level is, nobody knows whether
    /// it should be enforced: then it is as it was last, or else it is enforced.
    fn without_settings(&self, name: &str, error: SettingsError, serving: &Chain) -> Member {
        let level = error.level();
        let settings = Settings {
            level: level.unwrap_or_default(),
            ..Settings::default()
        };
        let identity = identity(name, &settings, String::new());
        if level == Some(Level::Off) {
            return Member::Off(identity);
        }
        self.last_good_or_refused(identity, level, &error.into(), serving)
    }

    fn files(&self, found: &Found) -> Result<Files, LoadError> {
        let limit = self.sandbox.limits.component_bytes;
        Ok(Files {
            component: trusted::file(&found.folder, &found.file, self.owner, limit)?,
            scenarios: scenarios::beside(found, self.owner)?,
        })
    }

    fn member(
        &self,
        name: &str,
        settings: &Settings,
        files: &Files,
        serving: &Chain,
        budget: &Budget,
    ) -> Member {
        let identity = Identity {
            scenarios: digest(&files.scenarios),
            ..identity(name, settings, digest(&files.component))
        };
        let level = Some(settings.level);
        if settings.level == Level::Off {
            return Member::Off(identity);
        }
        if let Err(error) = one_revision(settings, &identity) {
            return self.last_good_or_refused(identity, level, &error, serving);
        }
        if self.is_rolled_back(&identity) {
            return self.earlier(identity, serving);
        }
        if let Some(plugin) = serving.plugin(name)
            && plugin.identity.is_same(&identity)
            && plugin.identity.scenarios == identity.scenarios
        {
            let plugin = plugin.at_level(settings.level);
            self.remember(&plugin.identity, &files.component);
            return Member::Serving(plugin);
        }
        match self.tried(identity.clone(), files, budget) {
            Ok(plugin) => {
                self.remember(&plugin.identity, &files.component);
                Member::Serving(Arc::new(plugin))
            }
            Err(error) => self.last_good_or_refused(identity, level, &error, serving),
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
        let plugin = self.plugin(identity, &files.component)?;
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
                    let chain = self.scenario_chain(&name, &files.component, &both);
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
    ) -> Chain {
        let baseline = self
            .scenarios_baseline
            .map(|component| (BASELINE, component, built_in));
        self.assemble(baseline.into_iter().chain([(name, component, own)]))
    }

    /// What takes the place of a version that cannot be loaded. `level` is the folder's word, where it
    /// can be read.
    fn last_good_or_refused(
        &self,
        identity: Identity,
        level: Option<Level>,
        error: &LoadError,
        serving: &Chain,
    ) -> Member {
        let Some(plugin) = self.last_good(&identity.name, level, serving) else {
            return refused(identity, error);
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
    fn earlier(&self, identity: Identity, serving: &Chain) -> Member {
        match self.last_good(&identity.name, Some(identity.level), serving) {
            Some(plugin) => Member::RolledBack {
                plugin,
                meant: identity,
            },
            None => refused(identity, &LoadError::RolledBack),
        }
    }

    /// That which serves, or else the latest of the versions kept that can; at the folder's level.
    fn last_good(&self, name: &str, level: Option<Level>, serving: &Chain) -> Option<Arc<Plugin>> {
        let plugin = self.good_before(name, serving)?;
        let level = level.unwrap_or(plugin.identity.level);
        if let Some(history) = &self.history
            && let Err(error) = history.note_level(name, level)
        {
            history_failed(name, &error);
        }
        Some(plugin.at_level(level))
    }

    fn good_before(&self, name: &str, serving: &Chain) -> Option<Arc<Plugin>> {
        if let Some(plugin) = serving.plugin(name)
            && !self.is_rolled_back(&plugin.identity)
        {
            return Some(Arc::clone(plugin));
        }
        let versions = self.history.as_ref()?.good(name);
        let versions = versions.unwrap_or_else(|error| {
            history_failed(name, &error);
            Vec::new()
        });
        self.first_that_loads(name, versions).map(Arc::new)
    }

    pub(super) fn first_that_loads(
        &self,
        name: &str,
        versions: impl IntoIterator<Item = Version>,
    ) -> Option<Plugin> {
        let history = self.history.as_ref()?;
        versions.into_iter().find_map(|version| {
            let component = history.component(&version);
            let component = component.map_err(|error| history_failed(name, &error));
            let identity = identity(name, &version.settings(), version.digest);
            let plugin = self.plugin(identity, &component.ok()?);
            let failed = |error: &LoadError| {
                let reason = with_causes(error);
                tracing::error!(policy = name, %reason, "an earlier version cannot be loaded");
            };
            plugin.inspect_err(failed).ok()
        })
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
