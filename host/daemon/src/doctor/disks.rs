//! The disks that a pool is on: what its devices file lists, what LVM misses and why, and whether all hold the
//! same metadata.

use std::io;
use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::PortResult;
use volward_model::{PoolInfo, PoolName};
use volward_storage::lvm::{MissingDisk, SeenDisks, WhyMissing, entries};

use super::{bad, fine};

/// What a shared pool comes to on this node, until it is whole.
const SHARED: &str = "until it is back, what is on it, new local copies and every change of the pool (volumes made, \
                      deleted, grown, copied, renamed or marked) are refused on this node, and write-backs wait; what \
                      is on the other disks is served";
/// And what a local one does.
const LOCAL: &str = "until it is back no copies are made here, and volumes whose copy is on it are refused; all others \
                     are served from their pools";

/// `seen`: the pool as LVM finds it on the devices the file lists, if it does; `disks`: what became of asking
/// LVM about them.
pub(super) fn devices_file(
    (path, text): (&Path, io::Result<String>),
    pool: &PoolName,
    seen: Option<&PoolInfo>,
    disks: &PortResult<SeenDisks>,
) -> DoctorCheck {
    let check = format!("devices file of {pool}");
    let shown = path.display();
    let init = format!("volward pool init {pool}");
    let failed = |found| bad(&check, DoctorVerdict::Failed, found, &init);
    let text = match text {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return failed(format!("{shown} is missing"));
        }
        Err(error) => return failed(format!("{shown} cannot be read: {error}")),
        Ok(text) => text,
    };
    let listed = match entries(&text).len() {
        0 => return failed(format!("{shown} lists no device")),
        listed => listed,
    };
    let warning =
        |found: String, remedy: String| bad(&check, DoctorVerdict::Warning, found, remedy);
    if seen.is_none() {
        return warning(
            format!("{shown} lists {listed} device(s), and LVM does not find the pool on them"),
            format!(
                "where a device of the pool is there (lsblk): {init} lists it; where it is not: check the path \
                 to it"
            ),
        );
    }
    let Ok(disks) = disks else {
        return fine(&check, shown.to_string());
    };
    let unlisted = disks.missing.iter().filter_map(|disk| match &disk.why {
        WhyMissing::NotListed { path } => Some(path.as_str()),
        WhyMissing::Flagged { .. } | WhyMissing::Gone => None,
    });
    let unlisted: Vec<&str> = unlisted.collect();
    if !unlisted.is_empty() {
        let found = format!(
            "{shown} does not list {}, which the pool is on",
            unlisted.join(", ")
        );
        return warning(found, init);
    }
    if !disks.stale.is_empty() {
        let stale = disks.stale.iter().map(|entry| entry.device.as_str());
        let found = format!(
            "{shown} still lists {}, which the pool is not on any more",
            stale.collect::<Vec<_>>().join(", ")
        );
        return warning(found, format!("{init} takes it out of the file"));
    }
    fine(&check, shown.to_string())
}

/// A pool of which LVM misses a physical volume: which, why, what it comes to, and what brings it back.
pub(super) fn incomplete(
    check: &str,
    info: &PoolInfo,
    disks: &PortResult<SeenDisks>,
) -> DoctorCheck {
    let pool = &info.name;
    let missing: &[MissingDisk] = match disks {
        Ok(disks) => &disks.missing,
        Err(_) => &[],
    };
    let each: Vec<String> = missing.iter().map(sentence).collect();
    let which = match each.is_empty() {
        // Asked a moment later it may be whole again, or LVM did not answer.
        true => String::new(),
        false => format!(" ({})", each.join("; ")),
    };
    let comes_to = match info.is_shared() {
        true => SHARED,
        false => LOCAL,
    };
    let volumes = info.volumes.iter().filter(|volume| !volume.is_internal());
    let automatic = volumes.filter(|volume| volume.autoactivation);
    let automatic: Vec<&str> = automatic
        .map(|volume| volume.volume.name.as_str())
        .collect();
    let but = match automatic.is_empty() || !info.is_shared() {
        true => String::new(),
        false => format!(
            ", but for what LVM would activate at boot: {}",
            automatic.join(", ")
        ),
    };
    let found = format!("a physical volume is missing{which}: {comes_to}{but}");
    let mut remedies: Vec<String> = missing.iter().map(|disk| remedy(pool, disk)).collect();
    remedies.dedup();
    if remedies.is_empty() {
        remedies.push("`volward doctor` again; `pvs` shows the disks".to_owned());
    }
    bad(check, DoctorVerdict::Warning, found, remedies.join("; "))
}

fn sentence(disk: &MissingDisk) -> String {
    let id = disk.id;
    match &disk.why {
        WhyMissing::NotListed { path } => {
            format!("{path} is there, and the pool's devices file does not list it")
        }
        WhyMissing::Flagged { path } => format!(
            "{path} is there, and a node that missed it has written into LVM's metadata that it is missing"
        ),
        WhyMissing::Gone => format!("the one of UUID {id} is on no device of this node"),
    }
}

fn remedy(pool: &PoolName, disk: &MissingDisk) -> String {
    match &disk.why {
        WhyMissing::NotListed { .. } => format!("volward pool init {pool}"),
        WhyMissing::Flagged { path } => format!(
            "on one node: vgck --updatemetadata {pool}, then vgextend --restoremissing {pool} {path}; not \
             vgreduce --removemissing, which gives up what is on it"
        ),
        WhyMissing::Gone => format!(
            "show the disk to this node again (lsblk, multipath -ll), then volward pool init {pool}"
        ),
    }
}

/// Disks that hold different metadata: LVM goes by the newest, and complains in each of its commands. Where one is
/// missing besides, what is said of that is the remedy of this too.
pub(super) fn metadata(pool: &PoolName, disks: &PortResult<SeenDisks>) -> Option<DoctorCheck> {
    let disks = disks.as_ref().ok()?;
    if disks.differing.is_empty() || !disks.missing.is_empty() {
        return None;
    }
    Some(bad(
        &format!("metadata of {pool}"),
        DoctorVerdict::Warning,
        format!(
            "the disks {} do not all hold the same metadata of LVM: one was away, for some node, while the others \
             were written; the newest count, and LVM's commands say so",
            disks.differing.join(", ")
        ),
        format!(
            "on one node that sees all disks of the pool (`pvs`): vgck --updatemetadata {pool}"
        ),
    ))
}

#[cfg(test)]
mod tests;
