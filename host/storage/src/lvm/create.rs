//! `lvcreate`: how an LV is made, and when one that is there is taken for it.

use volward_model::{VolumeId, VolumeInfo};
use volward_ports::{NewVolume, PortError, PortResult};

use super::PoolKind;

/// What activates it where it is made.
pub(super) fn active(kind: PoolKind) -> &'static str {
    match kind {
        PoolKind::Shared => "-aey",
        PoolKind::Local => "-ay",
    }
}

/// The arguments that make it, `activation` among them.
pub(super) fn create_args(activation: &str, new: &NewVolume) -> Vec<String> {
    let mut args: Vec<String> = [
        "--type",
        "linear",
        "--setautoactivation",
        "n",
        // Nobody scans it: neither wipe signatures nor zero what is about to be overwritten.
        "-Wn",
        "-Zn",
        activation,
        "-L",
    ]
    .map(str::to_owned)
    .into();
    args.push(format!("{}b", new.size.0));
    for tag in &new.tags {
        args.extend(["--addtag".to_owned(), tag.clone()]);
    }
    args.extend(["-n".to_owned(), new.name.to_string(), new.pool.to_string()]);
    args
}

/// Whether an LV that has the name already is the one to be made.
pub(super) fn same_volume(existing: &VolumeInfo, new: &NewVolume) -> PortResult<VolumeId> {
    let sorted = |tags: &[String]| {
        let mut tags = tags.to_vec();
        tags.sort();
        tags
    };
    if existing.size >= new.size && sorted(&existing.tags) == sorted(&new.tags) {
        return Ok(existing.volume.id);
    }
    Err(PortError::Identity {
        what: existing.volume.to_string(),
        expected: format!("at least {} with tags {:?}", new.size, new.tags),
        found: format!("{} with tags {:?}", existing.size, existing.tags),
    })
}
