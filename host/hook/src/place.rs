//! Where things are.

use std::path::{Path, PathBuf};

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

    pub(crate) fn spool(&self) -> PathBuf {
        self.path(volward_api::SPOOL_DIR)
    }
}

/// A path as people know it: not the test's.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
