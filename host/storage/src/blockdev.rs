//! Which block device has which dm UUID, by sysfs; and opening it without being fooled (I12).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use volward_model::device::lv_dm_uuid;
use volward_model::{Bytes, DeviceNumber, VolumeId};
use volward_ports::{PortError, PortResult};

use crate::kernel;

/// Builds an [`PortError::Io`]; to be used in `map_err`.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> PortError {
    let what = what.into();
    move |error| PortError::Io {
        what,
        reason: error.to_string(),
    }
}

/// A mapped device as sysfs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) number: DeviceNumber,
    /// The kernel's name, `dm-N`.
    pub(crate) kernel_name: String,
}

/// The device with that dm UUID; `None` if there is none.
pub(crate) fn find(dm_uuid: &str) -> PortResult<Option<Mapped>> {
    search("dm/uuid", dm_uuid)
}

/// The dm UUID of the LV of that name, if it is active; by the name LVM gives its device.
pub(crate) fn lv_uuid_named(vg: &str, lv: &str) -> PortResult<Option<String>> {
    // Device-mapper doubles the dashes within names.
    let name = format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"));
    let Some(found) = search("dm/name", &name)? else {
        return Ok(None);
    };
    // `LVM-`, VG, LV: anything longer is a layer of LVM's or a device of ours.
    Ok(dm_uuid(found.number).filter(|uuid| uuid.starts_with("LVM-") && uuid.len() == 68))
}

/// The dm UUIDs of all mapped devices, each with whether the kernel refuses to write to it.
pub(crate) fn dm_uuids() -> PortResult<HashMap<String, bool>> {
    let paths = blocks()?.into_iter().map(|name| block(&name));
    Ok(paths
        .filter_map(|path| {
            let uuid = attribute(&path.join("dm/uuid"))?;
            let read_only = attribute(&path.join("ro")).is_some_and(|value| value == "1");
            Some((uuid, read_only))
        })
        .collect())
}

/// Where sysfs lists the block devices.
const BLOCKS: &str = "/sys/block";

fn blocks() -> PortResult<Vec<OsString>> {
    kernel::names(Path::new(BLOCKS)).map_err(io("cannot read /sys/block"))
}

fn block(name: &OsStr) -> PathBuf {
    Path::new(BLOCKS).join(name)
}

fn search(attribute_name: &str, wanted: &str) -> PortResult<Option<Mapped>> {
    for name in blocks()? {
        let path = block(&name);
        let Some(name) = name.to_str().filter(|name| name.starts_with("dm-")) else {
            continue;
        };
        // A device that goes away while we look is not the one we look for.
        if attribute(&path.join(attribute_name)).is_some_and(|value| value == wanted) {
            let number = attribute(&path.join("dev"))
                .as_deref()
                .and_then(parse_number);
            if let Some(number) = number {
                return Ok(Some(Mapped {
                    number,
                    kernel_name: name.to_owned(),
                }));
            }
        }
    }
    Ok(None)
}

/// The dm UUID of the device with that number, if it is there and has one.
pub(crate) fn dm_uuid(number: DeviceNumber) -> Option<String> {
    attribute(&sysfs(number).join("dm/uuid"))
}

/// The size of the device with that number.
pub(crate) fn size(number: DeviceNumber) -> PortResult<Bytes> {
    let path = sysfs(number).join("size");
    let text = kernel::text(&path).map_err(io(format!("cannot read {}", path.display())))?;
    let sectors: u64 = text.trim().parse().map_err(|_| PortError::Unreadable {
        what: path.display().to_string(),
        reason: format!("{text:?} is no number"),
    })?;
    Ok(Bytes(sectors * 512))
}

/// Bytes that the device with that number writes as a whole: its physical block, 512 to 4096.
/// 4096 where the kernel says nothing, or more.
pub(crate) fn write_unit(number: DeviceNumber) -> u32 {
    let path = sysfs(number).join("queue/physical_block_size");
    let said = attribute(&path).and_then(|text| text.parse().ok());
    said.filter(|size| [512, 1024, 2048].contains(size))
        .unwrap_or(4096)
}

/// sysfs' folder of a block device.
pub(crate) fn sysfs(number: DeviceNumber) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{number}"))
}

/// An open device that was checked to be the one meant.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) file: File,
    pub(crate) number: DeviceNumber,
    pub(crate) path: PathBuf,
}

/// Opens the device with that dm UUID and checks number and UUID again on the open file: while it
/// is open, its number cannot become another device's.
pub(crate) fn open(dm_uuid: &str, write: bool, flags: OFlags) -> PortResult<Checked> {
    let missing = || PortError::Missing {
        what: format!("an active device with dm UUID {dm_uuid}"),
    };
    let mapped = find(dm_uuid)?.ok_or_else(missing)?;
    let path = Path::new("/dev").join(&mapped.kernel_name);
    let file = kernel::open(&path, write, flags).map_err(|error| {
        match error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::BUSY) => PortError::Busy {
                what: path.display().to_string(),
            },
            _ => io(format!("cannot open {}", path.display()))(error),
        }
    })?;
    let opened = number_of(&file, &path)?;
    let found = self::dm_uuid(opened).unwrap_or_else(|| "no dm UUID".to_owned());
    if opened != mapped.number || found != dm_uuid {
        return Err(PortError::Identity {
            what: path.display().to_string(),
            expected: dm_uuid.to_owned(),
            found,
        });
    }
    Ok(Checked {
        file,
        number: opened,
        path,
    })
}

/// Opens the device of an active LV.
pub(crate) fn open_lv(volume: VolumeId, write: bool, flags: OFlags) -> PortResult<Checked> {
    open(&lv_dm_uuid(volume), write, flags)
}

/// The number of an open block device.
fn number_of(file: &File, path: &Path) -> PortResult<DeviceNumber> {
    let meta = file
        .metadata()
        .map_err(io(format!("cannot look at {}", path.display())))?;
    if !meta.file_type().is_block_device() {
        return Err(PortError::Identity {
            what: path.display().to_string(),
            expected: "a block device".to_owned(),
            found: "something else".to_owned(),
        });
    }
    Ok(from_dev(meta.rdev()))
}

/// A device number out of the kernel's `dev_t`.
pub(crate) fn from_dev(dev: u64) -> DeviceNumber {
    DeviceNumber {
        major: rustix::fs::major(dev),
        minor: rustix::fs::minor(dev),
    }
}

/// Who has the device of that UUID open, for people: devices on it, and programs. Empty if there is no
/// device or nobody has.
pub(crate) fn users(uuid: &str) -> Vec<String> {
    let Ok(Some(found)) = find(uuid) else {
        return Vec::new();
    };
    let holders = kernel::names(&sysfs(found.number).join("holders"));
    let mut users: Vec<String> = holders
        .unwrap_or_default()
        .into_iter()
        .map(|holder| format!("the device {}", holder.to_string_lossy()))
        .collect();
    users.extend(programs(found.number));
    users
}

/// Programs with an open file of that device. A program that ends meanwhile is left out.
fn programs(number: DeviceNumber) -> Vec<String> {
    let processes = kernel::names(Path::new("/proc")).unwrap_or_default();
    let ids = processes.iter().filter_map(|name| name.to_str());
    let ids = ids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let has_it_open = |id: &&str| {
        let folder = PathBuf::from(format!("/proc/{id}/fd"));
        let files = kernel::names(&folder).unwrap_or_default();
        files.iter().any(|file| {
            let meta = kernel::node(&folder.join(file));
            meta.is_ok_and(|meta| {
                meta.file_type().is_block_device() && from_dev(meta.rdev()) == number
            })
        })
    };
    ids.filter(has_it_open)
        .map(|id| {
            let name = kernel::text(&PathBuf::from(format!("/proc/{id}/comm")));
            format!("{} (process {id})", name.unwrap_or_default().trim_end())
        })
        .collect()
}

fn attribute(path: &Path) -> Option<String> {
    kernel::text(path)
        .ok()
        .map(|text| text.trim_end().to_owned())
        .filter(|text| !text.is_empty())
}

fn parse_number(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some(DeviceNumber {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_nobody_has_is_not_found() {
        assert_eq!(find("LVM-nobody").unwrap(), None);
        let error = open("LVM-nobody", false, OFlags::empty()).unwrap_err();
        assert!(matches!(error, PortError::Missing { .. }), "{error}");
    }

    #[test]
    fn a_file_is_no_device() {
        let file = tempfile::tempfile().unwrap();
        let error = number_of(&file, Path::new("x")).unwrap_err();
        assert!(matches!(error, PortError::Identity { .. }), "{error}");
    }

    #[test]
    fn a_device_that_is_not_there_has_no_users() {
        assert_eq!(users("LVM-nobody"), [""; 0]);
    }
}
