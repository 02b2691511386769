//! What was built is kept by the digest of what it was built from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Result;
use crate::error::IoContext;

/// Everything a built thing depends on, as one digest.
#[derive(Debug, Clone)]
pub(crate) struct Recipe(Sha256);

impl Recipe {
    /// `kind` names what is built; `version` is raised when the code that builds it changes.
    pub(crate) fn new(kind: &str, version: u32) -> Self {
        Self(Sha256::new()).with(kind).with(&version.to_string())
    }

    /// Adds an ingredient.
    pub(crate) fn with(mut self, ingredient: &str) -> Self {
        // The length keeps "ab" + "c" apart from "a" + "bc".
        self.0.update((ingredient.len() as u64).to_le_bytes());
        self.0.update(ingredient.as_bytes());
        self
    }

    /// The digest, short enough for a folder's name.
    pub(crate) fn key(&self) -> String {
        let digest = self.0.clone().finalize();
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// A folder of built things, `<kind>-<key>` each.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder built for `key`; `build` fills a fresh folder when there is none yet.
    ///
    /// Processes that want the same kind wait for each other, and a folder appears under its
    /// name only when it is complete.
    pub(crate) fn entry(
        &self,
        kind: &str,
        key: &str,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let ready = self.root.join(format!("{kind}-{key}"));
        if ready.exists() {
            return Ok(ready);
        }
        fs::create_dir_all(&self.root).at("create", &self.root)?;
        let lock_path = self.root.join(format!("{kind}.lock"));
        let lock = File::create(&lock_path).at("create", &lock_path)?;
        lock.lock().at("lock", &lock_path)?;
        if ready.exists() {
            return Ok(ready);
        }
        self.forget_others(kind)?;
        let growing = self.root.join(format!("{kind}.new"));
        if growing.exists() {
            fs::remove_dir_all(&growing).at("remove", &growing)?;
        }
        fs::create_dir_all(&growing).at("create", &growing)?;
        build(&growing)?;
        fs::rename(&growing, &ready).at("rename", &growing)?;
        Ok(ready)
    }

    /// Removes older builds of this kind: each takes hundreds of megabytes. A running node keeps
    /// its open files, so this disturbs nobody; three stay for switching between branches.
    fn forget_others(&self, kind: &str) -> Result<()> {
        let prefix = format!("{kind}-");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).at("list", &self.root)? {
            let entry = entry.at("list", &self.root)?;
            let is_ours = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix))
                .is_some_and(|key| key.len() == 16 && !key.contains('-'));
            if is_ours {
                let modified = entry.metadata().and_then(|data| data.modified());
                found.push((
                    modified.at("read the time of", &entry.path())?,
                    entry.path(),
                ));
            }
        }
        found.sort();
        found.reverse();
        for (_, path) in found.into_iter().skip(3) {
            fs::remove_dir_all(&path).at("remove", &path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingredients_do_not_run_into_each_other() {
        let one = Recipe::new("k", 1).with("ab").with("c").key();
        let other = Recipe::new("k", 1).with("a").with("bc").key();
        assert_ne!(one, other);
    }

    #[test]
    fn builds_once_and_leaves_nothing_half_built() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned());
        let failed = cache.entry("thing", "0123456789abcdef", |path| {
            fs::write(path.join("half"), "").at("write", path)?;
            Err(crate::LabError::Machine("no".into()))
        });
        assert!(failed.is_err());
        let built = cache
            .entry("thing", "0123456789abcdef", |path| {
                assert!(!path.join("half").exists());
                fs::write(path.join("whole"), "").at("write", path)
            })
            .unwrap();
        assert!(built.join("whole").exists());
        let again = cache.entry("thing", "0123456789abcdef", |_| panic!("built twice"));
        assert_eq!(again.unwrap(), built);
    }
}
