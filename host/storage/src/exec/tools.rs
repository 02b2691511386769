//! Where the programs are: resolved once, at start, so that a missing one is said then.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Absolute paths of the programs Volward runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// LVM; every LVM command is a word after it.
    pub lvm: PathBuf,
    /// sanlock: the daemon itself. Not run by Volward, which asks it on its socket.
    pub sanlock: PathBuf,
    /// lvmlockd's command line; only `doctor` runs it. Without it lvmlockd is not installed.
    pub lvmlockctl: PathBuf,
    /// libvirt's command line, which is asked whether a guest migrates; `None` where it is not
    /// installed: then no guest migrates away from this node.
    pub virsh: Option<PathBuf>,
}

/// Programs that are not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "these programs are not installed: {}; install the packages: {} (Debian's names)",
    tools.join(", "),
    packages.join(" ")
)]
pub struct MissingTools {
    /// Their names.
    pub tools: Vec<&'static str>,
    /// The Debian packages that hold them.
    pub packages: Vec<&'static str>,
}

/// Program and Debian package.
const WANTED: [(&str, &str); 3] = [
    ("lvm", "lvm2"),
    ("sanlock", "sanlock"),
    ("lvmlockctl", "lvm2-lockd"),
];

impl Tools {
    /// Looks in the system's folders for programs; `PATH` is not asked.
    ///
    /// # Errors
    /// Names every program that is missing, and the packages to install.
    pub fn find() -> Result<Self, MissingTools> {
        Self::find_in(&["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Path::new))
    }

    /// Looks in the given folders, in their order.
    ///
    /// # Errors
    /// As [`Tools::find`].
    pub fn find_in(folders: &[&Path]) -> Result<Self, MissingTools> {
        let find = |name: &str| {
            let mut paths = folders.iter().map(|folder| folder.join(name));
            paths.find(|path| is_executable(path))
        };
        let found = WANTED.map(|(name, _)| find(name));
        if let [Some(lvm), Some(sanlock), Some(lvmlockctl)] = found {
            return Ok(Self {
                lvm,
                sanlock,
                lvmlockctl,
                virsh: find("virsh"),
            });
        }
        let missing = WANTED.iter().zip(&found).filter(|(_, path)| path.is_none());
        let (tools, packages) = missing
            .map(|((name, package), _)| (*name, *package))
            .unzip();
        Err(MissingTools { tools, packages })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "programs are the system's, and are started by their paths"
)]
fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
