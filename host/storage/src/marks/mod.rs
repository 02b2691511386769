//! Start marks: what each instance started with, for libvirt's hook while the daemon is down.
//!
//! One file an instance, a [`MarkFile`]. One that a later version of Volward wrote is never
//! replaced and never removed.

#[cfg(any(test, feature = "fake"))]
mod fake;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use volward_folder::Folder;
use volward_model::InstanceId;
use volward_model::handover::{FileVersion, LaterFile, MarkFile, StartPoint};
use volward_ports::{Marks, PortError, PortResult};

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeMarks;

/// The folder of marks, on a file system that does not outlive the boot.
#[derive(Debug)]
pub struct MarksFolder {
    folder: Folder,
    boot_id: String,
}

/// Why a mark cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The system's words.
    #[error("{}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not this build's to change.
    #[error("the start mark {} was left as it is: {later}", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// What it says.
        later: LaterFile,
    },
}

impl MarksFolder {
    /// Marks of this boot in that folder.
    #[must_use]
    pub fn new(folder: Folder, boot_id: String) -> Self {
        Self { folder, boot_id }
    }

    /// Makes the mark of an instance say that start, or removes it.
    ///
    /// # Errors
    /// If it cannot be written, or is of a later version.
    pub fn set(&self, instance: InstanceId, start: Option<&StartPoint>) -> Result<(), MarkError> {
        let name = instance.to_string();
        let Some(start) = start else {
            return self.remove(&name);
        };
        self.changeable(&name)?;
        // Renamed into place: the hook never reads half of one.
        let fresh = format!(".{instance}");
        let (dir, mark) = (self.folder.dir(), MarkFile::new(start.clone()));
        let written = serde_json::to_vec(&mark)
            .map_err(io::Error::from)
            .and_then(|bytes| dir.write(&fresh, bytes))
            .and_then(|()| dir.rename(&fresh, dir, &name));
        written.map_err(|source| self.at(&name, source))
    }

    /// Makes the whole folder say what is attached now: others' marks go, and what is no mark. What
    /// is of a later version is said in the log, and stays.
    ///
    /// # Errors
    /// If the folder cannot be read, or a mark not written.
    pub fn set_all(&self, marks: &BTreeMap<InstanceId, StartPoint>) -> Result<(), MarkError> {
        let names = self.folder.names().map_err(|source| self.at("", source))?;
        for name in names {
            let instance = name.to_str().and_then(|n| n.parse::<InstanceId>().ok());
            if instance.is_none_or(|i| !marks.contains_key(&i)) {
                said(self.remove(&name))?;
            }
        }
        for (instance, start) in marks {
            said(self.set(*instance, Some(start)))?;
        }
        Ok(())
    }

    fn remove(&self, name: impl AsRef<Path>) -> Result<(), MarkError> {
        let name = name.as_ref();
        self.changeable(name)?;
        match self.folder.dir().remove_file(name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.at(name, source)),
            _ => Ok(()),
        }
    }

    /// Whether the file is of this version or an earlier one, or is no mark at all.
    fn changeable(&self, name: impl AsRef<Path>) -> Result<(), MarkError> {
        let Ok(bytes) = self.folder.dir().read(&name) else {
            return Ok(());
        };
        let version: FileVersion = serde_json::from_slice(&bytes).unwrap_or_default();
        version.known().map_err(|later| MarkError::Later {
            path: self.folder.path_of(name),
            later,
        })
    }

    fn at(&self, name: impl AsRef<Path>, source: io::Error) -> MarkError {
        MarkError::Io {
            path: self.folder.path_of(name),
            source,
        }
    }
}

impl Marks for MarksFolder {
    fn announce(&self, instance: InstanceId, sequence: u64) {
        let start = StartPoint {
            boot_id: self.boot_id.clone(),
            sequence,
        };
        if let Err(error) = self.set(instance, Some(&start)) {
            tracing::warn!(%instance, error = %chain(&error), "the start mark cannot be written");
        }
    }

    fn set(&self, instance: InstanceId, start: Option<&StartPoint>) -> PortResult<()> {
        Self::set(self, instance, start).map_err(PortError::from)
    }

    fn set_all(&self, starts: &BTreeMap<InstanceId, StartPoint>) -> PortResult<()> {
        Self::set_all(self, starts).map_err(PortError::from)
    }
}

impl From<MarkError> for PortError {
    fn from(error: MarkError) -> Self {
        let reason = match &error {
            MarkError::Io { source, .. } => source.to_string(),
            MarkError::Later { later, .. } => later.to_string(),
        };
        let (MarkError::Io { path, .. } | MarkError::Later { path, .. }) = error;
        Self::Io {
            what: format!("the start mark {}", path.display()),
            reason,
        }
    }
}

/// A later version's mark is no reason not to start.
fn said(changed: Result<(), MarkError>) -> Result<(), MarkError> {
    if let Err(error @ MarkError::Later { .. }) = changed {
        tracing::error!("{error}");
        return Ok(());
    }
    changed
}

fn chain(error: &MarkError) -> String {
    match error {
        MarkError::Io { source, .. } => format!("{error}: {source}"),
        MarkError::Later { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const GUEST: &str = "11111111-2222-3333-4444-000000000002";
    const LATER: &str = r#"{"version":2,"since":"then"}"#;

    fn folder() -> (tempfile::TempDir, MarksFolder) {
        let dir = tempfile::tempdir().unwrap();
        let marks = MarksFolder::new(Folder::open(dir.path()).unwrap(), "boot".into());
        (dir, marks)
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path()).unwrap();
        let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn what_the_port_cannot_change_it_names_with_the_reason() {
        let (dir, marks) = folder();
        let port: &dyn Marks = &marks;
        let guest = GUEST.parse().unwrap();
        fs::write(dir.path().join(GUEST), LATER).unwrap();
        let said = port.set(guest, None).unwrap_err().to_string();
        assert!(
            said.contains(GUEST) && said.contains("written by a later version"),
            "{said}"
        );
        fs::remove_dir_all(dir.path()).unwrap();
        let start = StartPoint {
            boot_id: "boot".into(),
            sequence: 8,
        };
        let said = port.set(guest, Some(&start)).unwrap_err().to_string();
        assert!(
            said.contains(GUEST) && said.contains("No such file"),
            "{said}"
        );
    }

    #[test]
    fn a_mark_says_its_version_and_goes_with_the_last_attachment() {
        let (dir, marks) = folder();
        let guest: InstanceId = GUEST.parse().unwrap();
        marks.announce(guest, 7);
        let text = fs::read_to_string(dir.path().join(GUEST)).unwrap();
        assert_eq!(text, r#"{"version":1,"boot_id":"boot","sequence":7}"#);
        marks.set(guest, None).unwrap();
        marks.set(guest, None).unwrap();
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn the_mark_of_0_1_0_is_read_and_replaced() {
        let (dir, marks) = folder();
        let fixture = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/compat/state/0.1.0/marks/11111111-2222-3333-4444-000000000002"
        );
        fs::copy(fixture, dir.path().join(GUEST)).unwrap();
        let mark: MarkFile = serde_json::from_slice(&fs::read(fixture).unwrap()).unwrap();
        assert_eq!((mark.version, mark.sequence), (0, 2));
        let now = BTreeMap::from([(GUEST.parse().unwrap(), mark.start())]);
        marks.set_all(&now).unwrap();
        let text = fs::read_to_string(dir.path().join(GUEST)).unwrap();
        assert_eq!(text, r#"{"version":1,"boot_id":"n1-boot-1","sequence":2}"#);
    }

    #[test]
    fn what_nobody_has_any_more_goes_and_a_later_versions_mark_stays() {
        let (dir, marks) = folder();
        let gone = "11111111-2222-3333-4444-000000000009";
        fs::write(dir.path().join(GUEST), LATER).unwrap();
        fs::write(dir.path().join(gone), "{").unwrap();
        fs::write(dir.path().join(".half"), "").unwrap();
        marks.set_all(&BTreeMap::new()).unwrap();
        assert_eq!(names(&dir), [GUEST]);
        let guest = GUEST.parse().unwrap();
        marks.announce(guest, 8);
        let error = marks.set(guest, None).unwrap_err().to_string();
        assert!(
            error.contains("later version") && error.contains(GUEST),
            "{error}"
        );
        let text = fs::read_to_string(dir.path().join(GUEST)).unwrap();
        assert_eq!(text, LATER);
    }

    #[test]
    fn a_link_in_the_folder_is_neither_read_nor_written_through() {
        let (dir, marks) = folder();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), LATER).unwrap();
        let guest: InstanceId = GUEST.parse().unwrap();
        symlink(elsewhere.path(), dir.path().join(GUEST)).unwrap();
        marks.announce(guest, 7);
        let text = fs::read_to_string(dir.path().join(GUEST)).unwrap();
        assert_eq!(text, r#"{"version":1,"boot_id":"boot","sequence":7}"#);
        symlink(elsewhere.path(), dir.path().join(format!(".{GUEST}"))).unwrap();
        let start = StartPoint {
            boot_id: "boot".into(),
            sequence: 8,
        };
        assert!(marks.set(guest, Some(&start)).is_err());
        assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), LATER);
        marks.set_all(&BTreeMap::new()).unwrap();
        assert!(names(&dir).is_empty() && elsewhere.path().exists());
    }

    #[test]
    fn a_folder_swapped_while_the_daemon_runs_gets_no_mark() {
        let root = tempfile::tempdir().unwrap();
        let (here, away) = (root.path().join("instances"), root.path().join("away"));
        let marks = MarksFolder::new(Folder::make(&here, 0o755).unwrap(), "boot".into());
        fs::rename(&here, &away).unwrap();
        symlink(root.path(), &here).unwrap();
        marks.announce(GUEST.parse().unwrap(), 7);
        assert!(away.join(GUEST).exists() && !root.path().join(GUEST).exists());
    }
}
