//! Releases that libvirt's hook could not deliver, a [`ReleaseFile`] each.
//!
//! A folder is all there is to it, so a test's stand-in is a folder of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use volward_model::handover::{FileVersion, LaterFile, ReleaseFile};

/// The folder. The hook puts `<instance>.json` there, and a later release in the place of an
/// earlier one of the same instance.
#[derive(Debug)]
pub struct SpoolFolder {
    folder: PathBuf,
    /// Files that cannot be read: said once, and not at each look.
    said: BTreeSet<PathBuf>,
}

/// A release that is to be done.
#[derive(Debug)]
pub struct LateRelease {
    path: PathBuf,
    /// What it says.
    pub release: ReleaseFile,
}

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the spool {}", path.display())]
pub struct SpoolError {
    path: PathBuf,
    source: io::Error,
}

/// Why one file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Later(#[from] LaterFile),
}

impl SpoolFolder {
    /// That folder; it is made when it is first looked into.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            said: BTreeSet::new(),
        }
    }

    /// Takes what the hook has put there, and says what was taken before and is not done. A taken
    /// file has another name: a release that comes while one of the same instance is delivered is
    /// not removed with it. What cannot be read is said in the log, and stays; what a later version
    /// wrote keeps its name too.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn take(&mut self) -> Result<Vec<LateRelease>, SpoolError> {
        fs::create_dir_all(&self.folder).map_err(|source| at(&self.folder, source))?;
        for path in self.ending_with("json")? {
            // An unreadable one is taken: the hook's next release of that instance finds its place.
            if let Err(Unusable::Later(later)) = read(&path) {
                self.say(&path, &later.into());
                continue;
            }
            fs::rename(&path, path.with_extension("taken")).map_err(|source| at(&path, source))?;
        }
        let mut releases = Vec::new();
        for path in self.ending_with("taken")? {
            match read(&path) {
                Ok(release) => releases.push(LateRelease { path, release }),
                Err(error) => self.say(&path, &error),
            }
        }
        Ok(releases)
    }

    /// It is done, and not to be seen again.
    ///
    /// # Errors
    /// If its file cannot be removed.
    pub fn done(&self, late: &LateRelease) -> Result<(), SpoolError> {
        fs::remove_file(&late.path).map_err(|source| at(&late.path, source))
    }

    fn ending_with(&self, end: &str) -> Result<Vec<PathBuf>, SpoolError> {
        let list = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(&self.folder)?;
            entries.map(|entry| Ok(entry?.path())).collect()
        };
        let mut paths = list().map_err(|source| at(&self.folder, source))?;
        paths.retain(|path| path.extension().is_some_and(|e| e == end));
        paths.sort();
        Ok(paths)
    }

    fn say(&mut self, path: &Path, error: &Unusable) {
        if self.said.insert(path.to_owned()) {
            let path = path.display();
            tracing::error!(%path, %error, "a spooled release cannot be used, and stays");
        }
    }
}

fn at(path: &Path, source: io::Error) -> SpoolError {
    SpoolError {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<ReleaseFile, Unusable> {
    let bytes = fs::read(path)?;
    serde_json::from_slice::<FileVersion>(&bytes)?.known()?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str = "11111111-2222-3333-4444-555555555555";

    fn release(sequence: u64) -> String {
        let mark = format!("{{\"boot_id\":\"b\",\"sequence\":{sequence}}}");
        format!("{{\"version\":1,\"instance\":\"{INSTANCE}\",\"not_after\":{mark}}}")
    }

    fn sequence(late: &LateRelease) -> u64 {
        late.release.not_after.as_ref().unwrap().sequence
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_newer_release_is_not_removed_with_the_one_that_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = SpoolFolder::new(folder.path().to_owned());
        let file = folder.path().join(format!("{INSTANCE}.json"));
        fs::write(&file, release(1)).unwrap();
        fs::write(folder.path().join(".unfinished.7"), "{").unwrap();
        let taken = spool.take().unwrap();
        fs::write(&file, release(2)).unwrap();
        spool.done(&taken[0]).unwrap();
        let newer = spool.take().unwrap();
        assert_eq!((taken.len(), sequence(&taken[0])), (1, 1));
        assert_eq!((newer.len(), sequence(&newer[0])), (1, 2));
        // Taken and not done: the daemon died, or another request was on the volume.
        let again = spool.take().unwrap();
        assert_eq!((again.len(), sequence(&again[0])), (1, 2));
    }

    #[test]
    fn the_release_of_0_1_0_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/compat/state/0.1.0/spool/11111111-2222-3333-4444-555555555555.json"
        );
        fs::copy(fixture, folder.path().join(format!("{INSTANCE}.json"))).unwrap();
        let mut spool = SpoolFolder::new(folder.path().to_owned());
        let taken = spool.take().unwrap();
        assert_eq!((taken.len(), sequence(&taken[0])), (1, 7));
        assert_eq!(taken[0].release.instance.to_string(), INSTANCE);
        assert!(taken[0].release.volumes.is_empty());
        spool.done(&taken[0]).unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn what_a_later_version_wrote_stays_as_it_is_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let later = format!("{{\"version\":2,\"instance\":\"{INSTANCE}\",\"because\":\"of\"}}");
        let files = ["a.json", "b.taken"].map(|name| folder.path().join(name));
        for file in &files {
            fs::write(file, &later).unwrap();
        }
        let mut spool = SpoolFolder::new(folder.path().to_owned());
        assert!(spool.take().unwrap().is_empty());
        assert_eq!(spool.said.len(), 2);
        assert_eq!(names(folder.path()), ["a.json", "b.taken"]);
        for file in &files {
            assert_eq!(fs::read_to_string(file).unwrap(), later);
        }
    }
}
