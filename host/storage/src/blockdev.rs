//! Which block device has which dm UUID, by device-mapper; and opening it without being fooled (I12).

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use devicemapper::{DM, DevId, DeviceInfo, DmError, DmFlags, DmName, DmUuid};
use rustix::fs::OFlags;
use rustix::io::Errno;
use volward_model::device::lv_dm_uuid;
use volward_model::{Bytes, DeviceNumber, VolumeId};
use volward_ports::{PortError, PortResult};

use crate::dm::ioctl::{control, errno, failed};
use crate::kernel;

/// Builds an [`PortError::Io`]; to be used in `map_err`.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> PortError {
    let what = what.into();
    move |error| PortError::Io {
        what,
        reason: error.to_string(),
    }
}

/// A mapped device as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) number: DeviceNumber,
    /// The kernel's name, `dm-N`.
    pub(crate) kernel_name: String,
}

/// Device-mapper; `None` where the kernel has not got it loaded, and no mapped device with it.
fn device_mapper() -> PortResult<Option<DM>> {
    match control() {
        Ok(dm) => Ok(Some(dm)),
        Err(_) if !kernel::is_there(Path::new("/sys/class/misc/device-mapper")) => Ok(None),
        // Who is not root may not ask, and has no mapped devices that a test could mean.
        Err(_) if cfg!(test) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What device-mapper says of one device: one question, however many there are. sysfs would be read device by device.
fn asked<'a>(
    dm: &DM,
    which: &str,
    device: Result<DevId<'a>, DmError>,
) -> PortResult<Option<DeviceInfo>> {
    match device.and_then(|device| dm.device_info(&device)) {
        Ok(info) => Ok(Some(info)),
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(None),
        Err(error) => Err(failed(
            format!("cannot ask about the device {which}"),
            &error,
        )),
    }
}

/// The device with that dm UUID; `None` if there is none.
pub(crate) fn find(dm_uuid: &str) -> PortResult<Option<Mapped>> {
    let Some(dm) = device_mapper()? else {
        return Ok(None);
    };
    let device = DmUuid::new(dm_uuid).map(DevId::Uuid);
    let info = asked(&dm, dm_uuid, device)?;
    Ok(info.map(|info| {
        let number = info.device();
        Mapped {
            number: DeviceNumber {
                major: number.major,
                minor: number.minor,
            },
            kernel_name: format!("dm-{}", number.minor),
        }
    }))
}

/// The dm UUID of the LV of that name, if it is active; by the name LVM gives its device.
pub(crate) fn lv_uuid_named(vg: &str, lv: &str) -> PortResult<Option<String>> {
    let Some(dm) = device_mapper()? else {
        return Ok(None);
    };
    // Device-mapper doubles the dashes within names.
    let name = format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"));
    let device = DmName::new(&name).map(DevId::Name);
    let info = asked(&dm, &name, device)?;
    let uuid = info.and_then(|info| info.uuid().map(ToString::to_string));
    Ok(uuid.filter(|uuid| lv_of(uuid).is_some()))
}

/// The LVs that are mapped, each with whether the kernel refuses to write to it.
pub(crate) fn mapped_lvs() -> PortResult<HashMap<VolumeId, bool>> {
    let mut found = HashMap::new();
    let Some(dm) = device_mapper()? else {
        return Ok(found);
    };
    let all = dm
        .list_devices()
        .map_err(|error| failed("cannot list mapped devices", &error))?;
    for (name, _, _) in all {
        // One that is gone since is not there.
        let info = asked(&dm, &name.to_string(), Ok(DevId::Name(&name)))?;
        let Some(info) = info else { continue };
        if let Some(lv) = info.uuid().and_then(|uuid| lv_of(&uuid.to_string())) {
            let read_only = info.flags().contains(DmFlags::DM_READONLY);
            found.insert(lv, read_only);
        }
    }
    Ok(found)
}

/// The LV whose device has that dm UUID: `LVM-`, VG, LV. Anything longer is a layer of LVM's or a device of ours.
pub(crate) fn lv_of(dm_uuid: &str) -> Option<VolumeId> {
    let (vg, lv) = dm_uuid.strip_prefix("LVM-")?.split_at_checked(32)?;
    Some(VolumeId {
        vg: vg.parse().ok()?,
        lv: lv.parse().ok()?,
    })
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
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::BUSY) => PortError::Busy {
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
