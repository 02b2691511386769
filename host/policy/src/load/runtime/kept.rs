//! What loading remembers, looks up and forgets. A history or a cache that fails keeps no policy from
//! serving.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::folder::Load;
use super::{Runtime, identity, with_causes};
use crate::digest::digest;
use crate::load::history::{HistoryError, Version};
use crate::load::refused::LoadError;
use crate::load::source::Found;
use crate::load::turn::Compiling;
use crate::run::chain::Chain;
use crate::run::level::Level;
use crate::run::plugin::{Identity, Plugin};

impl Runtime {
    pub(super) fn is_rolled_back(&self, identity: &Identity) -> bool {
        let Some(history) = self.history.get() else {
            return false;
        };
        // What is in the folder is what the operator wants, unless somebody can show otherwise.
        history.is_rolled_back(identity).unwrap_or_else(|error| {
            history_failed(&identity.name, &error);
            false
        })
    }

    pub(super) fn was_tried(&self, identity: &Identity) -> bool {
        let Some(history) = self.history.get() else {
            return false;
        };
        // Where nobody knows, it is tried.
        history.was_tried(identity).unwrap_or_else(|error| {
            history_failed(&identity.name, &error);
            false
        })
    }

    pub(super) fn remember(&self, identity: &Identity, component: &[u8]) {
        if let Some(history) = self.history.get()
            && let Err(error) = history.loaded(identity, component)
        {
            history_failed(&identity.name, &error);
        }
    }

    /// Forgets the versions of policies that have been away for long, and removes the artefacts of
    /// components that nobody names any more.
    pub(super) fn forget_all_but(&self, found: &[Found], chain: &Chain) {
        let names: BTreeSet<&str> = found.iter().map(|one| one.name.as_str()).collect();
        let remembered = match self.history.get() {
            None => BTreeSet::new(),
            Some(history) => match history.keep_only(&names) {
                Ok(remembered) => remembered,
                // What else is in use nobody knows: artefacts stay too.
                Err(error) => return history_failed("", &error),
            },
        };
        let Some(cache) = self.cache.get() else {
            return;
        };
        let baseline = self.scenarios_baseline.map(digest);
        let used: BTreeSet<&str> = chain
            .digests()
            .chain(&remembered)
            .chain(&baseline)
            .map(String::as_str)
            .collect();
        if let Err(error) = cache.keep_only(&used) {
            tracing::error!(%error, "compiled policies that nobody uses cannot be removed");
        }
    }

    /// That which serves, or else the latest of the versions kept that can; at the folder's level.
    pub(super) fn last_good(
        &self,
        name: &str,
        level: Option<Level>,
        load: Load<'_>,
    ) -> Option<Arc<Plugin>> {
        let plugin = self.good_before(name, load)?;
        let level = level.unwrap_or(plugin.identity.level);
        if let Some(history) = self.history.get()
            && let Err(error) = history.note_level(name, level)
        {
            history_failed(name, &error);
        }
        Some(plugin.at_level(level))
    }

    fn good_before(&self, name: &str, load: Load<'_>) -> Option<Arc<Plugin>> {
        if let Some(plugin) = load.serving.plugin(name)
            && !self.is_rolled_back(&plugin.identity)
        {
            return Some(Arc::clone(plugin));
        }
        let versions = self.history.get()?.good(name);
        let versions = versions.unwrap_or_else(|error| {
            history_failed(name, &error);
            Vec::new()
        });
        self.first_that_loads(name, versions, &load.budget.compiling)
            .map(Arc::new)
    }

    pub(super) fn first_that_loads(
        &self,
        name: &str,
        versions: impl IntoIterator<Item = Version>,
        compiling: &Compiling,
    ) -> Option<Plugin> {
        let history = self.history.get()?;
        versions.into_iter().find_map(|version| {
            let component = history.component(&version);
            let component = component.map_err(|error| history_failed(name, &error));
            let identity = identity(name, &version.settings(), version.digest);
            let plugin = self.plugin(identity, &component.ok()?, compiling);
            let failed = |error: &LoadError| {
                let reason = with_causes(error);
                tracing::error!(policy = name, %reason, "an earlier version cannot be loaded");
            };
            plugin.inspect_err(failed).ok()
        })
    }
}

/// The policies serve all the same: what is lost is what one could go back to.
pub(super) fn history_failed(policy: &str, error: &HistoryError) {
    let reason = with_causes(error);
    tracing::error!(policy, %reason, "the versions of a policy cannot be kept or read");
}
