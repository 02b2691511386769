//! Where things are.

use std::io;
use std::path::{Path, PathBuf};

use volward_folder::{Folder, NamedFolder};

/// Prefixed to every path, `/dev` and `/sys` included; for tests only. libvirt passes nothing but
/// `LC_ALL`, `PATH` and `HOME`.
const ROOT_VARIABLE: &str = "VOLWARD_ROOT";

/// The node's files, or a test's.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    pub(crate) fn from_environment() -> Self {
        Self {
            root: std::env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from("/"), PathBuf::from),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where an absolute path is.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path(volward_api::SOCKET)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path(volward_api::CONFIG)
    }

    pub(crate) fn marks(&self) -> PathBuf {
        self.path(volward_api::MARKS_DIR)
    }

    pub(crate) fn refused(&self) -> PathBuf {
        self.path(volward_api::REFUSED_DIR)
    }

    pub(crate) fn arriving(&self) -> PathBuf {
        self.path(volward_api::ARRIVING_DIR)
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.path(volward_api::SPOOL_DIR)
    }
}

/// Where the hook turns a path into a folder, once a call.
#[expect(
    clippy::disallowed_methods,
    reason = "the hook is a process for each call: nobody could hand it a folder"
)]
impl Place {
    /// The start marks, which the daemon writes.
    pub(crate) fn open_marks(&self) -> io::Result<Folder> {
        Folder::open(&self.marks())
    }

    /// The refusal notes.
    pub(crate) fn open_refused(&self) -> io::Result<Folder> {
        Folder::open(&self.refused())
    }

    /// The same; made where it is missing.
    pub(crate) fn make_refused(&self) -> io::Result<Folder> {
        Folder::make(&self.refused(), 0o755)
    }

    /// The arrival notes.
    pub(crate) fn open_arriving(&self) -> io::Result<Folder> {
        Folder::open(&self.arriving())
    }

    /// The same; made where it is missing.
    pub(crate) fn make_arriving(&self) -> io::Result<Folder> {
        Folder::make(&self.arriving(), 0o755)
    }

    /// The spool, by its name in the state, as the daemon looks it up: neither follows a link there.
    pub(crate) fn make_spool(&self) -> io::Result<Folder> {
        let path = self.spool();
        Folder::make(path.parent().unwrap_or(&path), 0o700)?;
        NamedFolder::at(&path)?.make(0o700)
    }
}

/// A path as people know it: not the test's.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
