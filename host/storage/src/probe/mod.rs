//! What `doctor` asks of the node beyond the ports: programs, processes, and files of other
//! packages. Everything is read, and nothing is decided by it.

#[cfg(any(test, feature = "fake"))]
mod fake;

use std::fmt::Debug;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel;

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeSystem;

/// The node as its packages and its init system made it.
pub trait Probes: Debug + Send + Sync {
    /// Whether this is a file, or a link to one, that can be run.
    fn is_program(&self, path: &Path) -> bool;

    /// Whether anything is there.
    fn is_there(&self, path: &Path) -> bool;

    /// The content of a file that another package or the operator owns.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    fn content(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The paths of what is in a folder; none if there is no such folder.
    fn files_in(&self, folder: &Path) -> Vec<PathBuf>;

    /// The path of what is behind all links of a path; `None` if nothing is.
    fn behind_links(&self, path: &Path) -> Option<PathBuf>;

    /// What confines a running program, in the kernel's words, such as `libvirtd (enforce)`; `None` if
    /// none of that name runs, or the kernel says nothing.
    fn confinement_of(&self, program: &str) -> Option<String>;

    /// The arguments of a running program, its own name first; `None` if none of that name runs.
    fn arguments_of(&self, program: &str) -> Option<Vec<String>>;

    /// When a running program was started, since the kernel's start; `None` if none of that name runs, or the kernel says
    /// nothing.
    fn started(&self, program: &str) -> Option<Duration>;
}

/// The node this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

#[expect(
    clippy::disallowed_methods,
    reason = "files of others, at the paths where others put them: Volward has no folder of theirs to hold"
)]
impl Probes for System {
    fn is_program(&self, path: &Path) -> bool {
        let meta = std::fs::metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }

    fn is_there(&self, path: &Path) -> bool {
        path.exists()
    }

    fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn files_in(&self, folder: &Path) -> Vec<PathBuf> {
        let Ok(names) = kernel::names(folder) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        paths.sort();
        paths
    }

    fn behind_links(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()
    }

    fn confinement_of(&self, program: &str) -> Option<String> {
        let process = process_of(program)?;
        // The first is AppArmor's own; the second is of whichever module came first.
        let said = ["attr/apparmor/current", "attr/current"];
        let mut said = said.iter().map(|name| self.content(&process.join(name)));
        let said = said.find_map(Result::ok)?;
        Some(
            String::from_utf8_lossy(&said)
                .trim_end_matches(['\0', '\n'])
                .to_owned(),
        )
    }

    fn arguments_of(&self, program: &str) -> Option<Vec<String>> {
        let line = self.content(&process_of(program)?.join("cmdline")).ok()?;
        let words = line.split(|b| *b == 0).filter(|w| !w.is_empty());
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
        Some(words.collect())
    }

    fn started(&self, program: &str) -> Option<Duration> {
        let stat = kernel::text(&process_of(program)?.join("stat")).ok()?;
        start_time(&stat, rustix::param::clock_ticks_per_second())
    }
}

/// Field 22 of `proc_pid_stat(5)`, in clock ticks; the name before it, in brackets, may hold anything.
fn start_time(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, behind) = stat.rsplit_once(')')?;
    let ticks: u64 = behind.split_whitespace().nth(19)?.parse().ok()?;
    let ms = ticks.saturating_mul(1_000).checked_div(ticks_per_second)?;
    Some(Duration::from_millis(ms))
}

/// The folder of a running program's process.
fn process_of(program: &str) -> Option<PathBuf> {
    let processes = kernel::names(Path::new("/proc")).ok()?;
    processes.into_iter().find_map(|process| {
        let process = Path::new("/proc").join(process);
        let name = kernel::text(&process.join("comm")).ok()?;
        (name.trim() == program).then_some(process)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// From a real node.
    #[test]
    fn when_a_program_was_started_is_read_behind_its_name() {
        let stat = "412 (a) name) S 1 412 412 0 -1 4194560 158 0 0 0 6 12 0 0 20 0 3 0 1187 87879680 2048 1";
        assert_eq!(start_time(stat, 100), Some(Duration::from_millis(11_870)));
        assert_eq!(start_time("412 (short) S 1", 100), None);
    }

    #[test]
    fn a_program_is_a_file_that_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(System.is_there(&path) && !System.is_program(&path));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(System.is_program(&path) && System.is_program(&link));
        let behind = |path: &Path| System.behind_links(path);
        assert!(behind(&link).is_some() && behind(&link) == behind(&path));
        assert_eq!(System.content(&link).unwrap(), b"#!/bin/sh\n");
        // A folder can be entered, and not run.
        assert!(!System.is_program(folder.path()));
        fs::remove_file(&path).unwrap();
        assert!(!System.is_there(&link) && !System.is_program(&link));
        assert_eq!(System.behind_links(&link), None);
    }

    #[test]
    fn a_running_program_is_found_with_its_arguments() {
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        let arguments = System.arguments_of(own.trim()).unwrap();
        assert!(!arguments.is_empty(), "{own}");
        assert_eq!(System.arguments_of("no such program"), None);
        assert_eq!(System.confinement_of("no such program"), None);
    }
}
