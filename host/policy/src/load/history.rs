//! The versions of each policy that were loaded with success, so that the last good one serves
//! after a restart too, and an operator can go back.
//!
//! `NAME.json` lists the versions of a policy, the latest last; `DIGEST.wasm` are their
//! components. The folder is the daemon's own: what is in it came through the policies folder, with
//! everything that is asked there. A policy that is no longer in the policies folder has no history.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::digest;
use crate::load::source::Settings;
use crate::load::trusted::{self, TrustError};
use crate::run::level::Level;
use crate::run::plugin::Identity;

/// Versions kept of a policy: that which serves, and four to go back to.
const VERSIONS: usize = 5;
/// A version is some digits and its configuration, which is a settings file of at most 1 MiB.
const LIST_BYTES: u64 = 16 << 20;

/// A component with the settings it was good with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Version {
    /// SHA-256 of the component, lower-case hex.
    pub(crate) digest: String,
    level: Level,
    config: BTreeMap<String, String>,
    /// An operator went back from it: it does not serve, though it is in the policies folder.
    rolled_back: bool,
}

impl Version {
    fn of(identity: &Identity) -> Self {
        Self {
            digest: identity.digest.clone(),
            level: identity.level,
            config: BTreeMap::clone(&identity.config),
            rolled_back: false,
        }
    }

    pub(crate) fn is(&self, identity: &Identity) -> bool {
        (&self.digest, self.level, &self.config)
            == (&identity.digest, identity.level, &*identity.config)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            level: self.level,
            config: self.config.clone(),
        }
    }
}

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder or a file in it is not to be trusted, or cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is no history.
    #[error("{path} is not the history of a policy: {reason}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The folder.
pub(crate) struct History {
    folder: PathBuf,
    owner: u32,
}

impl History {
    /// A history in a folder that must exist when it is used, and be writable by `owner` only.
    pub(crate) fn new(folder: &Path, owner: u32) -> Self {
        Self {
            folder: folder.to_owned(),
            owner,
        }
    }

    /// The versions of a policy, the latest first; those an operator went back from left out.
    pub(crate) fn good(&self, name: &str) -> Result<Vec<Version>, HistoryError> {
        let versions = self.versions(name)?.into_iter().rev();
        Ok(versions.filter(|one| !one.rolled_back).collect())
    }

    /// Whether an operator went back from this version.
    pub(crate) fn is_rolled_back(&self, identity: &Identity) -> Result<bool, HistoryError> {
        let versions = self.versions(&identity.name)?;
        Ok(versions
            .iter()
            .any(|one| one.rolled_back && one.is(identity)))
    }

    /// The component of a version.
    pub(crate) fn component(&self, version: &Version) -> Result<Vec<u8>, HistoryError> {
        let path = self.component_path(&version.digest);
        let bytes = trusted::file(&path, self.owner, u64::MAX)?;
        if digest(&bytes) != version.digest {
            let reason = "its digest is not its name: it was damaged or changed".to_owned();
            return Err(HistoryError::Content { path, reason });
        }
        Ok(bytes)
    }

    /// Notes that a version was loaded with success; it is the latest then.
    pub(crate) fn loaded(&self, identity: &Identity, component: &[u8]) -> Result<(), HistoryError> {
        let mut versions = self.versions(&identity.name)?;
        if versions.last().is_some_and(|last| last.is(identity)) {
            return Ok(());
        }
        versions.retain(|one| !one.is(identity));
        versions.push(Version::of(identity));
        let surplus = versions.len().saturating_sub(VERSIONS);
        versions.drain(..surplus);
        let path = self.component_path(&identity.digest);
        if !path.exists() {
            // Before the list that names it.
            trusted::replace(&path, component).map_err(|source| write_error(&path, source))?;
        }
        self.write(&identity.name, &versions)
    }

    /// Notes that an operator goes back from a version.
    pub(crate) fn roll_back(&self, identity: &Identity) -> Result<(), HistoryError> {
        let mut versions = self.versions(&identity.name)?;
        // It may be missing: what serves was not to be kept when the disk was full.
        versions.retain(|one| !one.is(identity));
        versions.push(Version {
            rolled_back: true,
            ..Version::of(identity)
        });
        self.write(&identity.name, &versions)
    }

    /// Forgets that anybody went back; whether there was something to forget.
    pub(crate) fn undo(&self, name: &str) -> Result<bool, HistoryError> {
        let mut versions = self.versions(name)?;
        let any = versions.iter().any(|one| one.rolled_back);
        for one in &mut versions {
            one.rolled_back = false;
        }
        if any {
            self.write(name, &versions)?;
        }
        Ok(any)
    }

    /// Removes what belongs to none of these policies.
    pub(crate) fn keep_only(&self, names: &BTreeSet<&str>) -> Result<(), HistoryError> {
        trusted::folder(&self.folder, self.owner)?;
        let files = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(&self.folder)?;
            entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        let files = files().map_err(|source| write_error(&self.folder, source))?;
        let mut used = BTreeSet::new();
        for name in files.iter().filter_map(|file| file.strip_suffix(".json")) {
            if names.contains(name) {
                used.extend(self.versions(name)?.into_iter().map(|one| one.digest));
            } else {
                self.remove(&self.list_path(name))?;
            }
        }
        let unused = files
            .iter()
            .filter_map(|file| file.strip_suffix(".wasm"))
            .filter(|digest| !used.contains(*digest));
        for digest in unused {
            self.remove(&self.component_path(digest))?;
        }
        Ok(())
    }

    fn versions(&self, name: &str) -> Result<Vec<Version>, HistoryError> {
        trusted::folder(&self.folder, self.owner)?;
        let path = self.list_path(name);
        let bytes = match trusted::file(&path, self.owner, LIST_BYTES) {
            Err(TrustError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        serde_json::from_slice(&bytes).map_err(|error| HistoryError::Content {
            path,
            reason: error.to_string(),
        })
    }

    fn write(&self, name: &str, versions: &[Version]) -> Result<(), HistoryError> {
        let path = self.list_path(name);
        let bytes = serde_json::to_vec_pretty(versions).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| trusted::replace(&path, &bytes));
        written.map_err(|source| write_error(&path, source))
    }

    fn remove(&self, path: &Path) -> Result<(), HistoryError> {
        fs::remove_file(path).map_err(|source| write_error(path, source))
    }

    /// A policy's name is letters, digits, `-` and `_`: what is not called so is not loaded.
    fn list_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn component_path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

fn write_error(path: &Path, source: io::Error) -> HistoryError {
    HistoryError::Write {
        path: path.to_owned(),
        source,
    }
}
