//! The versions of each policy that were loaded with success, so that the last good one serves
//! after a restart too, and an operator can go back.
//!
//! `NAME.json` lists the versions of a policy, the latest last; `DIGEST.wasm` are their
//! components. The folder is the daemon's own: what is in it came through the policies folder, with
//! everything that is asked there. The history of a policy that is no longer in the policies folder
//! goes after [`Keeping::absent`], not at once: files that a deployment removes and puts back, and a
//! folder that was not mounted for a moment, must not end a rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use volward_folder::Folder;

use crate::digest::digest;
use crate::load::clock::now_ms;
use crate::load::source::Settings;
use crate::load::trusted::{self, TrustError};
use crate::run::level::Level;
use crate::run::plugin::Identity;

/// Versions kept of a policy: that which serves, and four to go back to.
const VERSIONS: usize = 5;
/// A version is some digits and its configuration, which is a settings file of at most 1 MiB.
const LIST_BYTES: u64 = 16 << 20;

/// See [`Keeping::settled`]: longer than a deployment of several files takes.
pub(crate) const SETTLED: Duration = Duration::from_secs(120);

/// How long the versions of a policy are kept, and which of them.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// A version that was loaded for less than this when the next one took its place is replaced by
    /// it: component, settings and scenarios arrive one after the other, and what stood between two
    /// of them was never meant. Only where somebody went back from it, it is remembered.
    pub settled: Duration,
    /// The history of a policy whose file has been away for so long is removed.
    pub absent: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            settled: SETTLED,
            absent: Duration::from_secs(30 * 86_400),
        }
    }
}

/// A component with the settings it was good with. The level is not part of it: a version that
/// differs in the level only is the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Version {
    /// SHA-256 of the component, lower-case hex.
    pub(crate) digest: String,
    /// The level that the policies folder named last, in all versions of a policy the same. It
    /// counts only while the settings in the folder cannot be read.
    level: Level,
    config: BTreeMap<String, String>,
    /// An operator went back from it: it does not serve, though it is in the policies folder.
    rolled_back: bool,
    /// When it was loaded for the first time, in milliseconds since the Unix epoch; absent in what
    /// an earlier daemon wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loaded_ms: Option<u64>,
    /// Since when the policies folder has had no file of this policy; in all versions the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent_since_ms: Option<u64>,
    /// What it was tried with when it was loaded; see [`Identity::tried_with`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried: Option<String>,
}

impl Version {
    fn of(identity: &Identity) -> Self {
        Self {
            digest: identity.digest.clone(),
            level: identity.level,
            config: BTreeMap::clone(&identity.config),
            rolled_back: false,
            loaded_ms: None,
            absent_since_ms: None,
            tried: Some(digest(identity.tried_with().as_bytes())),
        }
    }

    pub(crate) fn is(&self, identity: &Identity) -> bool {
        (&self.digest, &self.config) == (&identity.digest, &*identity.config)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            level: self.level,
            config: self.config.clone(),
            ..Settings::default()
        }
    }

    /// Whether it only stood between two files of one deployment. A clock that was put back says
    /// nothing.
    fn only_passed_by(&self, now: u64, settled: Duration) -> bool {
        let stood = self.loaded_ms.and_then(|since| now.checked_sub(since));
        let passed = stood.is_some_and(|stood| Duration::from_millis(stood) < settled);
        passed && !self.rolled_back
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
    keeping: Keeping,
    /// A list is read, changed and written by one at a time: somebody goes back while a load is
    /// under way.
    turn: Mutex<()>,
}

impl History {
    /// A history in a folder that must be writable by `owner` only when it is used.
    pub(crate) fn new(folder: Folder, owner: u32, keeping: Keeping) -> Self {
        Self {
            folder,
            owner,
            keeping,
            turn: Mutex::default(),
        }
    }

    /// The same that forgets after other times.
    pub(crate) fn with(self, keeping: Keeping) -> Self {
        Self { keeping, ..self }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whether this version was loaded before with the same scenarios and by the same daemon.
    pub(crate) fn was_tried(&self, identity: &Identity) -> Result<bool, HistoryError> {
        let tried = Some(digest(identity.tried_with().as_bytes()));
        let versions = self.versions(&identity.name)?;
        Ok(versions
            .iter()
            .any(|one| one.is(identity) && one.tried == tried))
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
        let _turn = self.turn();
        let before = self.versions(&identity.name)?;
        let now = now_ms();
        let known = before.iter().find(|one| one.is(identity));
        let mut versions = before.clone();
        let latest = before.last().filter(|last| !last.is(identity));
        if latest.is_some_and(|last| last.only_passed_by(now, self.keeping.settled)) {
            versions.pop();
        }
        versions.retain(|one| !one.is(identity));
        versions.push(Version {
            loaded_ms: known.map_or(Some(now), |known| known.loaded_ms),
            ..Version::of(identity)
        });
        let surplus = versions.len().saturating_sub(VERSIONS);
        versions.drain(..surplus);
        for one in &mut versions {
            one.level = identity.level;
            one.absent_since_ms = None;
        }
        if versions == before {
            return Ok(());
        }
        let name = component_file(&identity.digest);
        if !self.folder.dir().exists(&name) {
            // Before the list that names it.
            self.replace(&name, component)?;
        }
        self.write(&identity.name, &versions)
    }

    /// Notes the level that the folder names for a policy of which an earlier version serves.
    pub(crate) fn note_level(&self, name: &str, level: Level) -> Result<(), HistoryError> {
        let _turn = self.turn();
        let mut versions = self.versions(name)?;
        if versions.iter().all(|one| one.level == level) {
            return Ok(());
        }
        for one in &mut versions {
            one.level = level;
        }
        self.write(name, &versions)
    }

    /// Notes that an operator goes back from a version.
    pub(crate) fn roll_back(&self, identity: &Identity) -> Result<(), HistoryError> {
        let _turn = self.turn();
        let mut versions = self.versions(&identity.name)?;
        let known = versions.iter().find(|one| one.is(identity)).cloned();
        // It may be missing: what serves was not to be kept when the disk was full.
        let left = known.unwrap_or_else(|| Version::of(identity));
        versions.retain(|one| !one.is(identity));
        versions.push(Version {
            rolled_back: true,
            ..left
        });
        self.write(&identity.name, &versions)
    }

    /// Forgets that anybody went back; whether there was something to forget.
    pub(crate) fn undo(&self, name: &str) -> Result<bool, HistoryError> {
        let _turn = self.turn();
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

    /// Removes what belongs to none of these policies, once they have been away for long enough;
    /// answers with the digests of the components that are remembered.
    pub(crate) fn keep_only(
        &self,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeSet<String>, HistoryError> {
        let _turn = self.turn();
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
            let versions = self.aged(name, names.contains(name))?;
            used.extend(versions.into_iter().map(|one| one.digest));
        }
        let unused = files
            .iter()
            .filter_map(|file| file.strip_suffix(".wasm"))
            .filter(|digest| !used.contains(*digest));
        for digest in unused {
            self.remove(&component_file(digest))?;
        }
        for left in files.iter().filter(|file| trusted::is_left(file)) {
            self.remove(left)?;
        }
        Ok(used)
    }

    /// The versions of a policy that are still to be kept, with the time noted since which the
    /// policies folder has had no file of it.
    fn aged(&self, name: &str, is_there: bool) -> Result<Vec<Version>, HistoryError> {
        let mut versions = self.versions(name)?;
        let since = versions.iter().find_map(|one| one.absent_since_ms);
        let now = now_ms();
        let absent = match (is_there, since) {
            (true, _) => None,
            // A clock that was put back begins anew.
            (false, Some(since)) if since <= now => Some(since),
            (false, _) => Some(now),
        };
        let away = absent.map(|since| Duration::from_millis(now - since));
        if away.is_some_and(|away| away >= self.keeping.absent) {
            self.remove(&list_file(name))?;
            return Ok(Vec::new());
        }
        if absent != since {
            for one in &mut versions {
                one.absent_since_ms = absent;
            }
            self.write(name, &versions)?;
        }
        Ok(versions)
    }

    fn versions(&self, name: &str) -> Result<Vec<Version>, HistoryError> {
        trusted::owned(&self.folder, self.owner)?;
        let file = list_file(name);
        let bytes = match trusted::file(&self.folder, &file, self.owner, LIST_BYTES) {
            Err(TrustError::Missing(_)) => {
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
