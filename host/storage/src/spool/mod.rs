//! Releases that libvirt's hook could not deliver, a [`ReleaseFile`] each.
//!
//! A folder is all there is to it, so a test's stand-in is a folder of its own. The hook finds it by
//! its path and makes it where it is missing, so it is held by its name in the folder of the state: what
//! is there by that name is looked into, unless it is a link.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use volward_folder::{Folder, NamedFolder};
use volward_model::handover::{FileVersion, LaterFile, ReleaseFile};

/// The folder. The hook puts `<instance>.json` there, and a later release in the place of an
/// earlier one of the same instance.
#[derive(Debug)]
pub struct SpoolFolder {
    folder: NamedFolder,
    /// Files that cannot be read: said once, and not at each look.
    said: BTreeSet<String>,
}

/// A release that is to be done.
#[derive(Debug)]
pub struct LateRelease {
    /// Where it was taken from, and its name there.
    folder: Folder,
    name: String,
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
    pub fn new(folder: NamedFolder) -> Self {
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
        let folder = self.folder.make(0o700);
        let folder = folder.map_err(|source| SpoolError {
            path: self.folder.path(),
            source,
        })?;
        for name in ending_with(&folder, ".json")? {
            // An unreadable one is taken: the hook's next release of that instance finds its place.
            if let Err(Unusable::Later(later)) = read(&folder, &name) {
                self.say(&name, &later.into());
                continue;
            }
            let stem = name.strip_suffix(".json").unwrap_or(&name);
            let renamed = folder
                .dir()
                .rename(&name, folder.dir(), format!("{stem}.taken"));
            renamed.map_err(|source| at(&folder, &name, source))?;
        }
        let mut releases = Vec::new();
        for name in ending_with(&folder, ".taken")? {
            match read(&folder, &name) {
                Ok(release) => releases.push(LateRelease {
                    folder: folder.clone(),
                    name,
                    release,
                }),
                Err(error) => self.say(&name, &error),
            }
        }
        Ok(releases)
    }

    /// It is done, and not to be seen again.
    ///
    /// # Errors
    /// If its file cannot be removed.
    pub fn done(&self, late: &LateRelease) -> Result<(), SpoolError> {
        let removed = late.folder.dir().remove_file(&late.name);
        removed.map_err(|source| at(&late.folder, &late.name, source))
    }

    fn say(&mut self, name: &str, error: &Unusable) {
        if self.said.insert(name.to_owned()) {
            let path = self.folder.path().join(name);
            let path = path.display();
            tracing::error!(%path, %error, "a spooled release cannot be used, and stays");
        }
    }
}

/// The names that end so; the part before is not empty, as that of a hidden file is.
fn ending_with(folder: &Folder, end: &str) -> Result<Vec<String>, SpoolError> {
    let names = folder.names().map_err(|source| at(folder, "", source))?;
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names
        .filter(|name| name.strip_suffix(end).is_some_and(|stem| !stem.is_empty()))
        .collect())
}

fn at(folder: &Folder, name: &str, source: io::Error) -> SpoolError {
    SpoolError {
        path: folder.path_of(name),
        source,
    }
}

fn read(folder: &Folder, name: &str) -> Result<ReleaseFile, Unusable> {
    let bytes = folder.dir().read(name)?;
    serde_json::from_slice::<FileVersion>(&bytes)?.known()?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

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
        let mut spool = SpoolFolder::new(NamedFolder::at(folder.path()).unwrap());
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
        let mut spool = SpoolFolder::new(NamedFolder::at(folder.path()).unwrap());
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
        let mut spool = SpoolFolder::new(NamedFolder::at(folder.path()).unwrap());
        assert!(spool.take().unwrap().is_empty());
        assert_eq!(spool.said.len(), 2);
        assert_eq!(names(folder.path()), ["a.json", "b.taken"]);
        for file in &files {
            assert_eq!(fs::read_to_string(file).unwrap(), later);
        }
    }

    #[test]
    fn a_folder_swapped_for_a_link_is_not_followed_and_a_new_one_is_made() {
        let state = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = elsewhere.path().join(format!("{INSTANCE}.json"));
        fs::write(&foreign, release(1)).unwrap();
        let path = state.path().join("spool");
        let mut spool = SpoolFolder::new(NamedFolder::at(&path).unwrap());
        assert!(spool.take().unwrap().is_empty());
        fs::remove_dir(&path).unwrap();
        symlink(elsewhere.path(), &path).unwrap();
        let error = spool.take().unwrap_err().to_string();
        assert!(error.contains("spool"), "{error}");
        assert_eq!(fs::read_to_string(&foreign).unwrap(), release(1));
        fs::remove_file(&path).unwrap();
        assert!(spool.take().unwrap().is_empty() && path.is_dir());
    }

    #[test]
    fn what_is_a_link_out_of_the_folder_is_no_release_and_what_is_done_goes_where_it_was_taken() {
        let state = tempfile::tempdir().unwrap();
        let (path, away) = (state.path().join("spool"), state.path().join("away"));
        fs::create_dir(&path).unwrap();
        fs::write(state.path().join("outside"), release(1)).unwrap();
        symlink(state.path().join("outside"), path.join("a.json")).unwrap();
        fs::write(path.join(format!("{INSTANCE}.json")), release(2)).unwrap();
        let mut spool = SpoolFolder::new(NamedFolder::at(&path).unwrap());
        let taken = spool.take().unwrap();
        assert_eq!((taken.len(), sequence(&taken[0])), (1, 2));
        // Replaced while it is delivered.
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join(format!("{INSTANCE}.taken")), release(3)).unwrap();
        spool.done(&taken[0]).unwrap();
        assert_eq!(names(&away), ["a.taken"]);
        assert_eq!(sequence(&spool.take().unwrap()[0]), 3);
    }
}
