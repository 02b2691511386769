//! The folders that volwardd works in, opened once at its start and handed to the parts that use
//! them. No other part of the daemon turns a path into a folder.
//!
//! A folder that libvirt's hook or an operator may make, remove or replace while the daemon runs is
//! held by its name in its parent: policies, spool, `/dev/volward`. The others are held themselves.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the daemon's folders are opened"
)]

use std::io;
use std::path::Path;

use anyhow::Context;
use volward_folder::{Folder, NamedFolder};

use crate::config::Paths;

/// Where LVM's `lvm/devices` is.
const ETC: &str = "/etc";

/// The open folders.
pub(crate) struct Folders {
    /// The state's own (0700): database, lock, and the folders below. Those of the decision log and of the
    /// policies are opened by their users, who can wait for them.
    pub(crate) state: Folder,
    /// What libvirt's hook could not deliver (0700, in the state).
    pub(crate) spool: NamedFolder,
    /// The policies; may be missing.
    pub(crate) policies: NamedFolder,
    /// The start marks, which everybody may read; does not outlive the boot.
    pub(crate) marks: Folder,
    /// The paths of attachments; made with the first.
    pub(crate) devices: NamedFolder,
    /// Devices files are below.
    pub(crate) etc: Folder,
}

impl Folders {
    /// Those that are held themselves: an exchange is noticed at the next start only.
    pub(crate) fn held(&self) -> Vec<Folder> {
        let parents = [&self.policies, &self.devices].map(NamedFolder::parent);
        let own = [&self.state, &self.marks, &self.etc];
        own.into_iter().chain(parents).cloned().collect()
    }

    /// Opens them all, `state` aside, which is open and locked by now.
    ///
    /// # Errors
    /// With the folder, what it is for, and what to do.
    pub(crate) fn open(state: Folder, paths: &Paths) -> anyhow::Result<Self> {
        Ok(Self {
            spool: NamedFolder::within(state.clone(), "spool")?,
            policies: named(&paths.policies, "the policies")?,
            marks: usable(
                Folder::make(&paths.marks, 0o755),
                &paths.marks,
                "the start marks",
            )?,
            devices: named(&paths.devices, "the paths of attachments")?,
            etc: usable(Folder::open(Path::new(ETC)), Path::new(ETC), "lvm/devices")?,
            state,
        })
    }
}

/// The folder of the state as an earlier daemon left it, unchanged; none before the first.
///
/// # Errors
/// With the folder and what to do.
pub(crate) fn left_state(path: &Path) -> anyhow::Result<Option<Folder>> {
    match Folder::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => usable(opened, path, "the state").map(Some),
    }
}

/// Makes the folder of the state if it is not there, and opens it.
///
/// # Errors
/// With the folder and what to do.
pub(crate) fn open_state(path: &Path) -> anyhow::Result<Folder> {
    usable(Folder::make_private(path), path, "the state")
}

fn named(path: &Path, what: &str) -> anyhow::Result<NamedFolder> {
    NamedFolder::at(path).with_context(|| {
        format!(
            "cannot open the folder in which {} ({what}) is to be: make it, or correct [paths] in \
             volward.toml",
            path.display()
        )
    })
}

fn usable<T>(opened: io::Result<T>, path: &Path, what: &str) -> anyhow::Result<T> {
    opened.with_context(|| {
        format!(
            "cannot use the folder {} ({what}): it must be a folder, not a link, that volwardd may \
             write; mend it, or correct [paths] in volward.toml",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn paths(root: &Path) -> Paths {
        Paths {
            socket: root.join("sock"),
            state: root.join("state"),
            policies: root.join("etc/policies.d"),
            devices: root.join("dev"),
            marks: root.join("run/marks"),
            workbench: None,
        }
    }

    fn open(paths: &Paths) -> anyhow::Result<Folders> {
        Folders::open(open_state(&paths.state)?, paths)
    }

    #[test]
    fn what_is_the_daemons_own_is_made_and_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("state")).unwrap();
        let wide = fs::Permissions::from_mode(0o777);
        fs::set_permissions(root.path().join("state"), wide).unwrap();
        let folders = open(&paths(root.path())).unwrap();
        let mode = fs::metadata(folders.state.path()).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o700);
        assert!(folders.marks.path().is_dir());
        // The hook or an operator makes these, or the first attachment.
        for folder in [&folders.spool, &folders.policies, &folders.devices] {
            assert!(!folder.path().exists());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named_with_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        let error = open(&paths).err().unwrap().to_string();
        assert!(
            error.contains("policies.d (the policies)") && error.contains("[paths]"),
            "{error}"
        );
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/marks"), "").unwrap();
        let error = open(&paths).err().unwrap().to_string();
        assert!(
            error.contains("marks (the start marks)") && error.contains("not a link"),
            "{error}"
        );
    }
}
