//! What loading remembers, looks up and forgets. A history or a cache that fails keeps no policy from
//! serving.

use std::collections::BTreeSet;

use super::{Runtime, with_causes};
use crate::digest::digest;
use crate::load::history::HistoryError;
use crate::load::source::Found;
use crate::run::chain::Chain;
use crate::run::plugin::Identity;

impl Runtime {
    pub(super) fn is_rolled_back(&self, identity: &Identity) -> bool {
        let Some(history) = &self.history else {
            return false;
        };
        // What is in the folder is what the operator wants, unless somebody can show otherwise.
        history.is_rolled_back(identity).unwrap_or_else(|error| {
            history_failed(&identity.name, &error);
            false
        })
    }

    pub(super) fn was_tried(&self, identity: &Identity) -> bool {
        let Some(history) = &self.history else {
            return false;
        };
        // Where nobody knows, it is tried.
        history.was_tried(identity).unwrap_or_else(|error| {
            history_failed(&identity.name, &error);
            false
        })
    }

    pub(super) fn remember(&self, identity: &Identity, component: &[u8]) {
        if let Some(history) = &self.history
            && let Err(error) = history.loaded(identity, component)
        {
            history_failed(&identity.name, &error);
        }
    }

    /// Forgets the versions of policies that have been away for long, and removes the artefacts of
    /// components that nobody names any more.
    pub(super) fn forget_all_but(&self, found: &[Found], chain: &Chain) {
        let names: BTreeSet<&str> = found.iter().map(|one| one.name.as_str()).collect();
        let remembered = match &self.history {
            None => BTreeSet::new(),
            Some(history) => match history.keep_only(&names) {
                Ok(remembered) => remembered,
                // What else is in use nobody knows: artefacts stay too.
                Err(error) => return history_failed("", &error),
            },
        };
        let Some(cache) = &self.cache else { return };
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
}

/// The policies serve all the same: what is lost is what one could go back to.
pub(super) fn history_failed(policy: &str, error: &HistoryError) {
    let reason = with_causes(error);
    tracing::error!(policy, %reason, "the versions of a policy cannot be kept or read");
}
