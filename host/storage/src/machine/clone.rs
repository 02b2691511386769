//! Whether this kernel's dm-clone can be trusted with data (I25).
//!
//! Kernels before commit 8b3fd1f53af3 ("dm clone: Flush destination device before committing
//! metadata", in 5.5, and in 5.4.6 and later of the 5.4 series) could return garbage after a
//! crash. That commit came together with no version of its own, so the kernel's version decides;
//! the target's version (1.0.0 from 5.4 on) only tells that it is there.

use std::path::Path;

use devicemapper::DM;

use crate::kernel;

/// Why not, or `None`.
pub(super) fn unfit(proc: &Path) -> Option<String> {
    let release = kernel::text(&proc.join("sys/kernel/osrelease")).unwrap_or_default();
    if let Some(reason) = too_old(release.trim()) {
        return Some(reason);
    }
    let versions = DM::new().and_then(|dm| dm.list_versions());
    match versions {
        Err(error) => Some(format!("device-mapper does not answer: {error}")),
        Ok(targets) if targets.iter().any(|(name, ..)| name == "clone") => None,
        Ok(_) => Some("the module dm-clone is not loaded (`modprobe dm-clone`)".to_owned()),
    }
}

fn too_old(release: &str) -> Option<String> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return Some(format!(
            "kernel {release:?} has a version nobody understands"
        ));
    };
    let patch = numbers.next().unwrap_or(0);
    let fit = match (major, minor) {
        (5, 4) => patch >= 6,
        version => version >= (5, 5),
    };
    (!fit).then(|| {
        format!("kernel {release} commits dm-clone's metadata before flushing the destination")
    })
}

#[cfg(test)]
mod tests {
    use super::too_old;

    #[test]
    fn i25_kernels_that_flush_too_late_are_refused() {
        for fit in [
            "6.1.0-56-amd64",
            "5.6.0",
            "5.4.6-1-generic",
            "5.4.110",
            "10.0",
        ] {
            assert_eq!(too_old(fit), None, "{fit}");
        }
        for unfit in ["5.4.5", "5.3.0", "4.19.0-27-amd64", "", "linux"] {
            assert!(too_old(unfit).is_some(), "{unfit}");
        }
    }
}
