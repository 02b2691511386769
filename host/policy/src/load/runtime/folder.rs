//! What is in the policies folder becomes a chain, beside one that serves and with what was good
//! before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Runtime, Sources, identity, refused, with_causes};
use crate::BASELINE;
use crate::digest::digest;
use crate::load::history::{HistoryError, Version};
use crate::load::refused::{LoadError, RollbackError};
use crate::load::scenarios;
use crate::load::source::{self, Found, Settings};
use crate::load::trusted;
use crate::run::chain::{Chain, Member};
use crate::run::level::Level;
use crate::run::plugin::{Identity, Plugin};

/// A policy's component and the scenarios beside it, as they are in the folder.
struct Files {
    component: Vec<u8>,
    scenarios: Vec<u8>,
}

impl Runtime {
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
        let mut members = Vec::new();
        if let Some(component) = sources.baseline {
            members.push(self.built_in(component, serving));
        }
        match source::scan(sources.folder, self.owner) {
            Ok(found) => {
                for (n, one) in found.iter().enumerate() {
                    let twice = found[..n].iter().any(|earlier| earlier.name == one.name);
                    members.push(self.load_file(one, twice, serving));
                }
                self.forget_all_but(&found);
            }
            Err(error) => {
                // Nobody knows what should have been enforced.
                let name = sources.folder.path().display().to_string();
                let nobody = identity(&name, &Settings::default(), String::new());
                members.push(refused(nobody, &error.into()));
            }
        }
        Chain::new(members)
    }

    /// Goes back to the version of a policy that was good before the one that serves, and stays
    /// there, over restarts too, until something in its files changes or [`Runtime::undo`].
    ///
    /// # Errors
    /// If there is none that can serve, or it cannot be noted; nothing is changed then.
    pub fn rollback(
        &self,
        name: &str,
        sources: Sources<'_>,
        serving: &Chain,
    ) -> Result<Chain, RollbackError> {
        let history = self.history.as_ref().ok_or(RollbackError::NoHistory)?;
        let now = serving_version(name, serving)?;
        // It is loaded before anything is noted: whoever goes back at night must not end worse.
        let earlier = history.good(name)?.into_iter().filter(|one| !one.is(now));
        if self.first_that_loads(name, earlier).is_none() {
            let name = name.to_owned();
            return Err(RollbackError::NothingEarlier { name });
        }
        history.roll_back(now)?;
        tracing::warn!(policy = name, from = %now.digest, "rolled back");
        Ok(self.reload(sources, serving))
    }

    /// Lets what is in the folder serve again after a [`Runtime::rollback`].
    ///
    /// # Errors
    /// If nobody went back, or it cannot be noted.
    pub fn undo(
        &self,
        name: &str,
        sources: Sources<'_>,
        serving: &Chain,
    ) -> Result<Chain, RollbackError> {
        let history = self.history.as_ref().ok_or(RollbackError::NoHistory)?;
        if serving.member(name).is_none() {
            let name = name.to_owned();
            return Err(RollbackError::Unknown { name });
        }
        if !history.undo(name)? {
            let name = name.to_owned();
            return Err(RollbackError::NothingToUndo { name });
        }
        tracing::warn!(policy = name, "the rollback was undone");
        Ok(self.reload(sources, serving))
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

    fn load_file(&self, found: &Found, twice: bool, serving: &Chain) -> Member {
        let name = &found.name;
        let unknown = |settings: &Settings| identity(name, settings, String::new());
        if twice {
            // The first of them is the one that served.
            let error = LoadError::Twice { name: name.clone() };
            return refused(unknown(&Settings::default()), &error);
        }
        // Without its settings nobody knows whether it should be enforced: then it is.
        let settings = match source::settings(found, self.owner) {
            Ok(settings) => settings,
            Err(error) => {
                let identity = unknown(&Settings::default());
                return self.last_good_or_refused(identity, &error.into(), serving);
            }
        };
        if !found.well_named {
            return refused(unknown(&settings), &LoadError::Name);
        }
        match self.files(found) {
            Err(_) if settings.level == Level::Off => Member::Off(unknown(&settings)),
            Err(error) => self.last_good_or_refused(unknown(&settings), &error, serving),
            Ok(files) => self.member(name, &settings, &files, serving),
        }
    }

    fn files(&self, found: &Found) -> Result<Files, LoadError> {
        let limit = self.sandbox.limits.component_bytes;
        Ok(Files {
            component: trusted::file(&found.folder, &found.file, self.owner, limit)?,
            scenarios: scenarios::beside(found, self.owner)?,
        })
    }

    fn member(&self, name: &str, settings: &Settings, files: &Files, serving: &Chain) -> Member {
        let identity = Identity {
            scenarios: digest(&files.scenarios),
            ..identity(name, settings, digest(&files.component))
        };
        if settings.level == Level::Off {
            return Member::Off(identity);
        }
        if self.is_rolled_back(&identity) {
            return self.earlier(identity, serving);
        }
        if let Some(plugin) = serving.plugin(name)
            && plugin.identity.is_same(&identity)
            && plugin.identity.scenarios == identity.scenarios
        {
            return Member::Serving(Arc::clone(plugin));
        }
        match self.tried(identity.clone(), files) {
            Ok(plugin) => {
                self.remember(&plugin.identity, &files.component);
                Member::Serving(Arc::new(plugin))
            }
            Err(error) => self.last_good_or_refused(identity, &error, serving),
        }
    }

    /// A policy that also decides its scenarios as its author says.
    fn tried(&self, identity: Identity, files: &Files) -> Result<Plugin, LoadError> {
        let name = identity.name.clone();
        // Whether its answers count here is the operator's concern; what they are, its author's.
        let settings = Settings {
            level: Level::Enforce,
            config: identity.config.as_ref().clone(),
        };
        let plugin = self.plugin(identity, &files.component)?;
        // Most scenarios have the settings of the one before.
        let mut last: Option<([Settings; 2], Chain)> = None;
        scenarios::try_all(&files.scenarios, |plugins| {
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

    /// What takes the place of a version that cannot be loaded.
    fn last_good_or_refused(
        &self,
        identity: Identity,
        error: &LoadError,
        serving: &Chain,
    ) -> Member {
        let Some(plugin) = self.last_good(&identity.name, serving) else {
            return refused(identity, error);
        };
        let reason = with_causes(error);
        let policy = &identity.name;
        tracing::error!(policy, %reason, "policy refused; the last good one goes on");
        Member::Kept { plugin, reason }
    }

    /// What takes the place of a version that an operator went back from.
    fn earlier(&self, identity: Identity, serving: &Chain) -> Member {
        match self.last_good(&identity.name, serving) {
            Some(plugin) => Member::RolledBack {
                plugin,
                from: identity.digest,
            },
            None => refused(identity, &LoadError::RolledBack),
        }
    }

    /// That which serves, or else the latest of the versions kept that can.
    fn last_good(&self, name: &str, serving: &Chain) -> Option<Arc<Plugin>> {
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

    fn first_that_loads(
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

    fn is_rolled_back(&self, identity: &Identity) -> bool {
        let Some(history) = &self.history else {
            return false;
        };
        // What is in the folder is what the operator wants, unless somebody can show otherwise.
        history.is_rolled_back(identity).unwrap_or_else(|error| {
            history_failed(&identity.name, &error);
            false
        })
    }

    fn remember(&self, identity: &Identity, component: &[u8]) {
        if let Some(history) = &self.history
            && let Err(error) = history.loaded(identity, component)
        {
            history_failed(&identity.name, &error);
        }
    }

    fn forget_all_but(&self, found: &[Found]) {
        let names: BTreeSet<&str> = found.iter().map(|one| one.name.as_str()).collect();
        if let Some(history) = &self.history
            && let Err(error) = history.keep_only(&names)
        {
            history_failed("", &error);
        }
    }
}

/// The version of a policy that serves.
fn serving_version<'a>(name: &str, serving: &'a Chain) -> Result<&'a Identity, RollbackError> {
    let owned = || name.to_owned();
    if name == BASELINE {
        return Err(RollbackError::Baseline);
    }
    let member = serving.member(name);
    let member = member.ok_or_else(|| RollbackError::Unknown { name: owned() })?;
    let not_serving = |state| RollbackError::NotServing {
        name: owned(),
        state,
    };
    match member {
        Member::Serving(plugin)
        | Member::Kept { plugin, .. }
        | Member::RolledBack { plugin, .. } => Ok(&plugin.identity),
        Member::Refused { .. } => Err(not_serving("refused")),
        Member::Off(_) => Err(not_serving("off")),
    }
}

/// The policies serve all the same: what is lost is what one could go back to.
fn history_failed(policy: &str, error: &HistoryError) {
    let reason = with_causes(error);
    tracing::error!(policy, %reason, "the versions of a policy cannot be kept or read");
}
