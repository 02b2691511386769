//! Which paths are managed devices. Identity is settled by the daemon (I12); here it is only
//! decided whom a path belongs to, and whether it is written in a form that can be attached.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use volward_api::model::{InstanceId, PoolName, VolumeName};

use crate::place::Place;

/// A managed device, by the path a guest has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Device {
    /// The attachment's own device, `/dev/volward/<instance>/<pool>/<volume>`.
    Own {
        instance: InstanceId,
        pool: PoolName,
        volume: VolumeName,
    },
    /// `/dev/<pool>/<volume>`, or the same by its device-mapper name.
    Lv { pool: PoolName, volume: VolumeName },
}

/// A path that leads to a managed device, but not in a way that can be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathTrouble {
    #[error("{0} goes through `..`: write the plain path of the device")]
    Parent(String),
    #[error("{0} is not a device of Volward's: write /dev/volward/<instance UUID>/<pool>/<volume>")]
    NotOwn(String),
    #[error("{path} is not a volume of pool {pool}: write /dev/{pool}/<volume>")]
    NotAVolume { path: String, pool: PoolName },
    #[error(
        "{path} is another name of the managed device {name}: write \
         /dev/volward/<instance UUID>/<pool>/<volume> or /dev/<pool>/<volume>"
    )]
    Alias { path: String, name: String },
}

const OWN: &str = "volward";
/// More links than the kernel follows.
const MOST_LINKS: usize = 40;

/// Whose the path is; `None` if it is no managed device's.
pub(crate) fn device(
    path: &str,
    pools: &[PoolName],
    place: &Place,
) -> Result<Option<Device>, PathTrouble> {
    if !path.starts_with('/') {
        return Ok(None);
    }
    // `//` and `/./` mean nothing to the kernel, nor here.
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return through_parents(path, &parts, pools);
    }
    let ["dev", rest @ ..] = parts.as_slice() else {
        return Ok(None);
    };
    match by_name(path, rest, pools)? {
        Some(device) => Ok(Some(device)),
        None => by_identity(path, pools, place),
    }
}

/// What a path outside of `/dev` leads to, its last part being a link or a device's node: an error
/// if that is a managed device. Only for paths that are opened next: a server that does not answer
/// keeps the caller waiting.
pub(crate) fn led_to(path: &str, pools: &[PoolName], place: &Place) -> Result<(), PathTrouble> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(next) = link_in(&at, place) else {
            break;
        };
        at = next;
        // As text first: what is not active does not exist.
        if let Ok(Some(_)) | Err(_) = device(&at, pools, place) {
            let path = path.to_owned();
            return Err(PathTrouble::Alias { path, name: at });
        }
    }
    // A link may stand in any part of it.
    by_identity(path, pools, place).map(drop)
}

/// Where the link at the path leads, as an absolute path.
#[expect(
    clippy::disallowed_methods,
    reason = "links that whoever wrote the XML has made, followed to the device itself"
)]
fn link_in(path: &str, place: &Place) -> Option<String> {
    let target = fs::read_link(place.path(path)).ok()?;
    let target = target.to_str()?;
    if target.starts_with('/') {
        return Some(target.to_owned());
    }
    let (folder, _) = path.rsplit_once('/')?;
    Some(format!("{folder}/{target}"))
}

/// The UUID of the volume group in udev's name of an LV (`dm-uuid-LVM-...`), if there is nothing
/// behind that name: whether it is a pool's only the daemon knows then.
#[expect(
    clippy::disallowed_methods,
    reason = "a link of udev's in /dev, looked at and not opened"
)]
pub(crate) fn vg_of_missing(path: &str, place: &Place) -> Option<String> {
    let (_, uuid) = path.rsplit_once("/dm-uuid-LVM-")?;
    let vg = uuid.get(..32)?;
    (path.starts_with("/dev/") && !place.path(path).exists()).then(|| vg.to_owned())
}

/// With links on the way `..` can lead anywhere. Refused if it may lead to a managed device:
/// where it goes through one's directory, or ends there when read as text.
fn through_parents(
    path: &str,
    parts: &[&str],
    pools: &[PoolName],
) -> Result<Option<Device>, PathTrouble> {
    let mut plain: Vec<&str> = Vec::new();
    for part in parts {
        if *part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
        let [first, second, ..] = plain[..] else {
            continue;
        };
        let managed = second == OWN || pools.iter().any(|pool| pool.as_str() == second);
        if first == "dev" && (managed || second == "mapper") {
            return Err(PathTrouble::Parent(path.to_owned()));
        }
    }
    Ok(None)
}

/// By the path's own text, `rest` being its parts below `/dev`.
fn by_name(path: &str, rest: &[&str], pools: &[PoolName]) -> Result<Option<Device>, PathTrouble> {
    let named = |name: &str| pools.iter().find(|pool| pool.as_str() == name);
    match rest {
        [OWN, parts @ ..] => match parts {
            [instance, pool, volume] => own(instance, pool, volume)
                .map(Some)
                .ok_or_else(|| PathTrouble::NotOwn(path.to_owned())),
            _ => Err(PathTrouble::NotOwn(path.to_owned())),
        },
        // udev's link to a device by its device-mapper name; there is none while it is not active.
        ["disk", "by-id", link] => match link.strip_prefix("dm-name-") {
            Some(name) if named(&mapper_parts(name).swap_remove(0)).is_some() => {
                let (path, name) = (path.to_owned(), name.to_owned());
                Err(PathTrouble::Alias { path, name })
            }
            _ => Ok(None),
        },
        ["mapper", name] => {
            let parts = mapper_parts(name);
            match parts.first().and_then(|vg| named(vg)) {
                Some(pool) => lv(path, pool, &parts[1..]).map(Some),
                None => Ok(None),
            }
        }
        [vg, parts @ ..] => match named(vg) {
            Some(pool) => lv(path, pool, parts).map(Some),
            None => Ok(None),
        },
        [] => Ok(None),
    }
}

fn own(instance: &str, pool: &str, volume: &str) -> Option<Device> {
    let id: InstanceId = instance.parse().ok()?;
    // Other spellings of a UUID parse too, but name no file.
    (id.to_string() == instance).then_some(())?;
    Some(Device::Own {
        instance: id,
        pool: pool.parse().ok()?,
        volume: volume.parse().ok()?,
    })
}

fn lv(path: &str, pool: &PoolName, parts: &[impl AsRef<str>]) -> Result<Device, PathTrouble> {
    let volume = match parts {
        [volume] => volume.as_ref().parse().ok(),
        _ => None,
    };
    volume
        .map(|volume| Device::Lv {
            pool: pool.clone(),
            volume,
        })
        .ok_or_else(|| PathTrouble::NotAVolume {
            path: path.to_owned(),
            pool: pool.clone(),
        })
}

/// The parts of LVM's device-mapper name: joined by `-`, a `-` within a part written `--`.
fn mapper_parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '-' && letters.next_if_eq(&'-').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

/// LVM's device-mapper name for a pool's volumes, up to the volume's own name.
pub(crate) fn mapper_prefix(pool: &PoolName) -> String {
    format!("/dev/mapper/{}-", pool.as_str().replace('-', "--"))
}

/// By what the path leads to, links followed: `/dev/dm-3`, `/dev/disk/by-id/...`. Only a volume
/// that is active here can be found so, and then it is another attachment's.
fn by_identity(
    path: &str,
    pools: &[PoolName],
    place: &Place,
) -> Result<Option<Device>, PathTrouble> {
    let Some((name, uuid)) = mapper_identity(path, place) else {
        return Ok(None);
    };
    let Some(lvm) = uuid.strip_prefix("LVM-") else {
        return Ok(None);
    };
    // After the two LVM UUIDs.
    let ours = lvm
        .get(64..)
        .is_some_and(|layer| layer.starts_with("-volward"));
    let vg = mapper_parts(&name).swap_remove(0);
    if ours || pools.iter().any(|pool| pool.as_str() == vg) {
        let path = path.to_owned();
        return Err(PathTrouble::Alias { path, name });
    }
    Ok(None)
}

/// Name and UUID of the device-mapper device at the end of the path.
#[expect(
    clippy::disallowed_methods,
    reason = "device nodes and sysfs: the kernel's, followed to the device itself"
)]
fn mapper_identity(path: &str, place: &Place) -> Option<(String, String)> {
    let end = fs::canonicalize(place.path(path)).ok()?;
    let device = match end.file_name()?.to_str()? {
        kernel if kernel.starts_with("dm-") => format!("/sys/class/block/{kernel}/dm"),
        _ => {
            let metadata = fs::metadata(&end).ok()?;
            if !metadata.file_type().is_block_device() {
                return None;
            }
            let number = metadata.rdev();
            let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
            format!("/sys/dev/block/{major}:{minor}/dm")
        }
    };
    let read = |file: &str| {
        let text = fs::read_to_string(place.path(&device).join(file)).ok()?;
        Some(text.trim().to_owned())
    };
    Some((read("name")?, read("uuid")?))
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
