//! The disk of the state: without space no attach can be journalled, and none is begun.

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_model::Bytes;

use super::{bad, fine, refusing};
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

#[cfg(test)]
mod tests {
    use super::*;

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
