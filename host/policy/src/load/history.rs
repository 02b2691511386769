//! The versions of each policy that were loaded with success, so that the last good one serves
//! after a restart too, and an operator can go back.
//!
//! `NAME.json` lists the versions of a policy, the latest last; `DIGEST.wasm` are their
//! components. The folder is the daemon's own: what is in it came through the policies folder, with
//! everything that is asked there. A policy that is no longer in the policies folder has no history.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use volward_folder::Folder;

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
    folder: Folder,
    owner: u32,
}

impl History {
    /// A history in a folder that must be writable by `owner` only when it is used.
    pub(crate) fn new(folder: Folder, owner: u32) -> Self {
        Self { folder, owner }
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
        let name = component_file(&version.digest);
        let bytes = trusted::file(&self.folder, &name, self.owner, u64::MAX)?;
        if digest(&bytes) != version.digest {
            let path = self.folder.path_of(name);
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
        let name = component_file(&identity.digest);
        if !self.folder.dir().exists(&name) {
            // Before the list that names it.
            self.replace(&name, component)?;
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
        trusted::owned(&self.folder, self.owner)?;
        let listed = self.folder.names().map_err(|source| HistoryError::Write {
            path: self.folder.path().to_owned(),
            source,
        })?;
        let files: Vec<String> = listed
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let mut used = BTreeSet::new();
        for name in files.iter().filter_map(|file| file.strip_suffix(".json")) {
            if names.contains(name) {
                used.extend(self.versions(name)?.into_iter().map(|one| one.digest));
            } else {
                self.remove(&list_file(name))?;
            }
        }
        let unused = files
            .iter()
            .filter_map(|file| file.strip_suffix(".wasm"))
            .filter(|digest| !used.contains(*digest));
        for digest in unused {
            self.remove(&component_file(digest))?;
        }
        Ok(())
    }

    fn versions(&self, name: &str) -> Result<Vec<Version>, HistoryError> {
        trusted::owned(&self.folder, self.owner)?;
        let file = list_file(name);
        let bytes = match trusted::file(&self.folder, &file, self.owner, LIST_BYTES) {
            Err(TrustError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        serde_json::from_slice(&bytes).map_err(|error| HistoryError::Content {
            path: self.folder.path_of(file),
            reason: error.to_string(),
        })
    }

    fn write(&self, name: &str, versions: &[Version]) -> Result<(), HistoryError> {
        let file = list_file(name);
        match serde_json::to_vec_pretty(versions) {
            Ok(bytes) => self.replace(&file, &bytes),
            Err(error) => Err(self.write_error(&file, error.into())),
        }
    }

    fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), HistoryError> {
        let written = trusted::replace(&self.folder, file, bytes);
        written.map_err(|source| self.write_error(file, source))
    }

    fn remove(&self, file: &str) -> Result<(), HistoryError> {
        let removed = self.folder.dir().remove_file(file);
        removed.map_err(|source| self.write_error(file, source))
    }

    fn write_error(&self, file: &str, source: io::Error) -> HistoryError {
        HistoryError::Write {
            path: self.folder.path_of(file),
            source,
        }
    }
}

/// A policy's name is letters, digits, `-` and `_`: what is not called so is not loaded.
fn list_file(name: &str) -> String {
    format!("{name}.json")
}

fn component_file(digest: &str) -> String {
    format!("{digest}.wasm")
}
