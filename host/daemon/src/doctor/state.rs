//! The disk of the state and the decision log: what cannot be journalled or recorded is not begun.

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_model::Bytes;

use super::{bad, fine, refusing};
use crate::policies::{Log, LogProblem};
use crate::wiring::Daemon;

/// The journal grows by a few KiB with each request; SQLite needs some pages at once.
const LEAST: Bytes = Bytes::mib(16);

pub(super) fn examine(daemon: &Daemon) -> DoctorCheck {
    let path = &daemon.config.paths.state;
    let folder = daemon.held.iter().find(|folder| folder.path() == path);
    let Some(folder) = folder else {
        return fine("state", path.display().to_string());
    };
    let shown = path.display().to_string();
    match rustix::fs::fstatvfs(folder.dir()) {
        Ok(found) => space(
            &shown,
            Bytes(found.f_bavail.saturating_mul(found.f_frsize)),
            found.f_files > 0 && found.f_favail == 0,
        ),
        Err(error) => bad(
            "state",
            DoctorVerdict::Warning,
            format!("{shown}: its free space cannot be asked for: {error}"),
            "look at the disk (df, dmesg)",
        ),
    }
}

fn space(shown: &str, free: Bytes, no_inodes: bool) -> DoctorCheck {
    if free >= LEAST && !no_inodes {
        return fine("state", format!("{shown}, {free} free"));
    }
    let left = match no_inodes {
        true => "no inode free".to_owned(),
        false => format!("{free} free"),
    };
    refusing(bad(
        "state",
        DoctorVerdict::Failed,
        format!(
            "{shown} has {left}: attaches are refused where they cannot be journalled; detaches go on"
        ),
        "free space there (df -h, df -i)",
    ))
}

/// `reason`: why none could be loaded, which is about a folder of the state.
pub(super) fn policies(reason: &str) -> DoctorCheck {
    refusing(bad(
        "policies",
        DoctorVerdict::Failed,
        format!("none could be loaded: {reason}: attaches are refused; detaches go on"),
        "look at the folder (ls -la) and at the disk (df -h, df -i, dmesg); it must be a folder of root's, \
         and no link: move aside what is there instead, volwardd makes it anew; then `volward policy load`, \
         or wait: it is tried again by itself",
    ))
}

pub(super) fn decisions(log: &Log) -> DoctorCheck {
    let shown = log.path();
    let disk = "look at the disk (df -h, df -i, dmesg), and at the folder (ls -la)";
    match log.problem() {
        None => fine("decision log", shown),
        Some(LogProblem::Closed(cause)) => refusing(bad(
            "decision log",
            DoctorVerdict::Failed,
            format!(
                "{shown} cannot be opened: {cause}: attaches are refused, as their decisions cannot be \
                 recorded; detaches go on"
            ),
            format!("{disk}; it is opened with the next attach for which it can be"),
        )),
        Some(LogProblem::Kept(cause)) => bad(
            "decision log",
            DoctorVerdict::Warning,
            format!("{shown}: {cause}; decisions are recorded in the file that is there"),
            format!("{disk}; it is tried again with each decision"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use volward_folder::Folder;
    use volward_policy::LogLimits;

    use super::*;

    #[test]
    fn a_log_that_cannot_be_written_refuses_and_one_that_grows_is_a_warning() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("decisions");
        fs::write(&place, "").unwrap();
        let log = Log::new(Folder::open(root.path()).unwrap(), LogLimits::default());
        let found = decisions(&log);
        assert_eq!(found.verdict, DoctorVerdict::Failed);
        assert!(found.refuses_read_write, "{found:?}");
        assert!(found.found.contains("detaches go on"), "{found:?}");
        // What counts as an old file, and cannot be removed as one.
        fs::remove_file(&place).unwrap();
        fs::create_dir_all(place.join("decisions.99.jsonl")).unwrap();
        let found = decisions(&log);
        assert_eq!(found.verdict, DoctorVerdict::Warning);
        assert!(found.found.contains("decisions.99.jsonl"), "{found:?}");
        fs::remove_dir(place.join("decisions.99.jsonl")).unwrap();
        let log = Log::new(Folder::open(root.path()).unwrap(), LogLimits::default());
        assert_eq!(decisions(&log).verdict, DoctorVerdict::Ok);
    }

    #[test]
    fn a_full_disk_refuses_and_says_what_goes_on() {
        for (free, no_inodes) in [(Bytes(0), false), (Bytes::mib(1000), true)] {
            let found = space("/var/lib/volward", free, no_inodes);
            assert_eq!(found.verdict, DoctorVerdict::Failed);
            assert!(found.refuses_read_write, "{found:?}");
            assert!(found.found.contains("detaches go on"), "{found:?}");
        }
        let found = space("/var/lib/volward", Bytes::mib(17), false);
        assert_eq!(found.verdict, DoctorVerdict::Ok);
    }
}
