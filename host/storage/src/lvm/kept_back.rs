//! What the node's lvm.conf keeps from activation. LVM obeys its lists itself; who maps volumes without LVM has
//! to ask for them, and a process for each attach would cost what that saves.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use volward_model::PoolName;
use volward_ports::PortResult;

use super::Lvm;
use super::diagnose::{ActivationLists, Listed, listed};

/// Where LVM reads its lists, in `/etc`.
const FILES: [&str; 2] = ["lvm/lvm.conf", "lvm/lvmlocal.conf"];

/// When each file was changed last, and its size; `None` where there is no such file.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// What was found for each pool, and of which files.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<PoolName, (Stamp, bool)>>);

impl Known {
    /// Never held while LVM is asked: a pool that hangs keeps back no other.
    fn pools(&self) -> MutexGuard<'_, HashMap<PoolName, (Stamp, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lvm {
    /// Whether `volume_list` or `read_only_volume_list` says anything of the pool, or of some of its volumes, but
    /// that all are activated as they are. LVM is asked once, in the pool's own lane, and again when its files
    /// have changed.
    ///
    /// # Errors
    /// If LVM does not answer.
    pub(crate) fn keeps_back(&self, pool: &PoolName) -> PortResult<bool> {
        let stamp = self.stamp();
        if let Some((then, keeps_back)) = self.kept_back.pools().get(pool)
            && *then == stamp
        {
            return Ok(*keeps_back);
        }
        // Read after the stamp was: what changes in between is read once more.
        let keeps_back = says_something(&self.lists(pool.as_str())?, pool);
        let found = (stamp, keeps_back);
        self.kept_back.pools().insert(pool.clone(), found);
        Ok(keeps_back)
    }

    fn stamp(&self) -> Stamp {
        FILES.map(|file| {
            let meta = self.etc.dir().metadata(file).ok()?;
            Some((meta.modified().ok()?.into_std(), meta.len()))
        })
    }
}

fn says_something(lists: &ActivationLists, pool: &PoolName) -> bool {
    let whole = |list: &Vec<String>| listed(list, pool) == Listed::Whole;
    let none = |list: &Vec<String>| listed(list, pool) == Listed::No;
    !lists.volumes.as_ref().is_none_or(whole) || !lists.read_only.as_ref().is_none_or(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_name_the_pool_or_part_of_it_count() {
        let pool = "vg0".parse().unwrap();
        let list = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
        let says = |volumes: Option<&[&str]>, read_only: Option<&[&str]>| {
            let lists = ActivationLists {
                volumes: volumes.and_then(list),
                read_only: read_only.and_then(list),
                automatic: None,
            };
            says_something(&lists, &pool)
        };
        assert!(!says(None, None));
        assert!(!says(Some(&["debian-vg", "vg0"]), Some(&["debian-vg"])));
        assert!(says(Some(&["debian-vg"]), None));
        assert!(says(Some(&["vg0/one"]), None));
        assert!(says(Some(&["@tag"]), None));
        assert!(says(None, Some(&["vg0"])));
        assert!(says(None, Some(&["vg0/one"])));
        // An empty list activates nothing.
        assert!(says(Some(&[]), None));
    }
}
