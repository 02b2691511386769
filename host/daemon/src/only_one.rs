//! One daemon for one state folder (I30).
//!
//! Recovery undoes what the journal says is open, and removes devices that no record names. A second
//! daemon would do both to the first one's work. So the state folder is locked before anything in
//! it is acted upon; only its version is looked at before, in a copy. The kernel drops the lock when the
//! process ends, however it ends.

use std::fs::{File, TryLockError};

use anyhow::Context;
use cap_std::fs::OpenOptions;
use volward_folder::Folder;

/// Holds the state folder until it is dropped.
#[derive(Debug)]
pub(crate) struct StateLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl StateLock {
    /// Locks the folder, without waiting.
    ///
    /// # Errors
    /// If another process holds it, or the lock file cannot be opened.
    pub(crate) fn take(state: &Folder) -> anyhow::Result<Self> {
        let path = state.path_of("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let opened = state.dir().open_with("lock", &options);
        let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        let file = file.into_std();
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another volwardd uses the state in {}; stop it first (nothing was touched)",
                state.path().display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_one_daemons_until_that_ends() {
        let place = tempfile::tempdir().unwrap();
        let open = || Folder::open(place.path()).unwrap();
        let first = StateLock::take(&open()).unwrap();
        let second = StateLock::take(&open()).unwrap_err().to_string();
        assert!(
            second.contains("another volwardd uses the state"),
            "{second}"
        );
        drop(first);
        StateLock::take(&open()).unwrap();
    }
}
