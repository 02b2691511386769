//! Going back to an earlier version of a policy, and forward again.

use std::sync::Arc;

use super::folder::Load;
use super::{Runtime, Sources};
use crate::BASELINE;
use crate::load::history::HistoryError;
use crate::load::refused::RollbackError;
use crate::load::source;
use crate::run::chain::{Chain, Member};

impl Runtime {
    /// Goes back to the version of a policy that was good before the one that serves, and stays
    /// there, over restarts too, until something in its files changes or [`Runtime::undo`].
    ///
    /// Only this policy changes, and what is in the folder is not looked at: whoever goes back does
    /// not wait for a load. The level is the folder's as before.
    ///
    /// # Errors
    /// If there is none that can serve, or it cannot be noted; nothing is changed then.
    pub fn rollback(&self, name: &str, serving: &Chain) -> Result<Chain, RollbackError> {
        let history = self.history.get().ok_or(RollbackError::NoHistory)?;
        let member = serving_member(name, serving)?;
        let Some(now) = member.plugin().map(|plugin| &plugin.identity) else {
            let name = name.to_owned();
            return Err(RollbackError::NothingEarlier { name });
        };
        // It is loaded before anything is noted: whoever goes back at night must not end worse.
        let budget = self.budget();
        let earlier = history.good(name)?.into_iter().filter(|one| !one.is(now));
        let Some(plugin) = self.first_that_loads(name, earlier, &budget.compiling) else {
            let name = name.to_owned();
            return Err(RollbackError::NothingEarlier { name });
        };
        history.roll_back(now)?;
        let plugin = Arc::new(plugin).at_level(now.level);
        let (from, to) = (&now.digest, &plugin.identity.digest);
        tracing::warn!(policy = name, %from, %to, level = %now.level, "rolled back");
        let member = match member.clone() {
            Member::Kept {
                meant,
                reason,
                passing,
                ..
            } => Member::Kept {
                plugin,
                meant,
                reason,
                passing,
            },
            Member::RolledBack { meant, .. } => Member::RolledBack { plugin, meant },
            _ => Member::RolledBack {
                plugin,
                meant: now.clone(),
            },
        };
        Ok(serving.with(name, member))
    }

    /// Lets what is in the folder serve again after a [`Runtime::rollback`]; only this policy is
    /// loaded.
    ///
    /// # Errors
    /// If nobody went back, or it cannot be noted.
    pub fn undo(
        &self,
        name: &str,
        sources: Sources<'_>,
        serving: &Chain,
    ) -> Result<Chain, RollbackError> {
        let history = self.history.get().ok_or(RollbackError::NoHistory)?;
        let unknown = || RollbackError::Unknown {
            name: name.to_owned(),
        };
        if serving.member(name).is_none() {
            return Err(unknown());
        }
        let scan = source::scan(sources.folder, self.owner).map_err(HistoryError::from)?;
        let found = scan.found.iter().find(|one| one.name == name);
        let found = found.ok_or_else(unknown)?;
        if !history.undo(name)? {
            let name = name.to_owned();
            return Err(RollbackError::NothingToUndo { name });
        }
        tracing::warn!(policy = name, "the rollback was undone");
        let budget = &self.budget();
        let member = self.load_file(found, false, Load { serving, budget });
        Ok(serving.with(name, member))
    }
}

/// The member of a policy that serves.
fn serving_member<'a>(name: &str, serving: &'a Chain) -> Result<&'a Member, RollbackError> {
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
        Member::Serving(_) | Member::Kept { .. } | Member::RolledBack { .. } => Ok(member),
        Member::Refused { .. } => Err(not_serving("refused")),
        Member::Waiting { .. } => Err(not_serving("waiting")),
        Member::Off(_) => Err(not_serving("off")),
    }
}
