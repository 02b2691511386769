//! Attachments that a detach works on, for whoever looks meanwhile. What failed and is tried again is with what is owed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use volward_model::AttachmentKey;

/// All of them, with how many detaches work on each: two of an instance may, of other volumes.
#[derive(Debug, Default)]
pub(crate) struct Leaving(Mutex<BTreeMap<AttachmentKey, usize>>);

/// Those of one detach, until this is dropped.
#[derive(Debug)]
pub(crate) struct Going<'a> {
    all: &'a Leaving,
    keys: Vec<AttachmentKey>,
}

impl Leaving {
    /// From now on a detach works on these.
    pub(crate) fn begin(&self, keys: impl IntoIterator<Item = AttachmentKey>) -> Going<'_> {
        let keys: Vec<AttachmentKey> = keys.into_iter().collect();
        let mut all = self.lock();
        for key in &keys {
            *all.entry(*key).or_default() += 1;
        }
        drop(all);
        Going { all: self, keys }
    }

    /// Whether a detach works on it.
    pub(crate) fn has(&self, key: AttachmentKey) -> bool {
        self.lock().contains_key(&key)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttachmentKey, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        for key in &self.keys {
            if let Some(count) = all.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    all.remove(key);
                }
            }
        }
    }
}
