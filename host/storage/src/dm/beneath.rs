//! What LVM has beneath an LV's device while it moves the LV from one physical volume to another: a hidden LV's device, a
//! mirror, which goes on to write to the disks whoever has the LV's lease. It has to stop before the lease is given up or lost.

use std::sync::OnceLock;

use devicemapper::{DM, DevId, Device, DmError, DmFlags, DmName, DmUuid};
use rustix::io::Errno;
use volward_model::VolumeId;
use volward_model::device::lv_dm_uuid;
use volward_ports::{Applied, PortError, PortResult};

use super::ioctl::{control, errno, failed};
use super::{options, quiet};

const ERROR: &str = "error";

/// A device of the same volume group beneath an LV's own.
#[derive(Debug)]
pub(crate) struct Beneath {
    dm_uuid: String,
    name: String,
    /// In sectors.
    size: u64,
    target: String,
}

impl Beneath {
    /// Nothing is copied, and all I/O fails.
    fn is_halted(&self) -> bool {
        self.target == ERROR
    }

    /// Removes it, once nothing is above.
    pub(crate) fn remove(&self) -> PortResult<()> {
        quiet::remove(&self.dm_uuid, &self.name)
    }
}

/// What `lvm2` begins the UUIDs of a volume group's devices with.
fn group_of(lv: &str) -> &str {
    let end = lv.len().saturating_sub(32);
    &lv[..end]
}

fn asked<T>(answer: Result<T, DmError>, what: &str) -> PortResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(None),
        Err(error) => Err(failed(format!("cannot ask about {what}"), &error)),
    }
}

fn describe(dm: &DM, group: &str, device: Device) -> PortResult<Option<Beneath>> {
    let listed = asked(dm.list_devices(), "the mapped devices")?.unwrap_or_default();
    let mut named = listed.into_iter().filter(|(_, found, _)| *found == device);
    let Some((name, _, _)) = named.next() else {
        return Ok(None);
    };
    let text = name.to_string();
    let name: &DmName = &name;
    let flags = options(DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH);
    let Some((info, lines)) = asked(dm.table_status(&DevId::Name(name), flags), &text)? else {
        return Ok(None);
    };
    let uuid = info.uuid().map(ToString::to_string);
    Ok(uuid
        .filter(|uuid| uuid.starts_with(group))
        .map(|dm_uuid| Beneath {
            dm_uuid,
            name: text,
            size: lines.iter().map(|line| line.1).sum(),
            target: lines
                .into_iter()
                .next()
                .map(|line| line.2)
                .unwrap_or_default(),
        }))
}

/// device-mapper's major number, the same for all of its devices as long as the kernel runs.
static MAJOR: OnceLock<u32> = OnceLock::new();

/// That of a mapped device; `None` if it is gone.
fn major(dm: &DM, device: &DevId<'_>, what: &str) -> PortResult<Option<u32>> {
    if let Some(major) = MAJOR.get() {
        return Ok(Some(*major));
    }
    let found = asked(dm.device_info(device), what)?;
    Ok(found.map(|info| *MAJOR.get_or_init(|| info.device().major)))
}

/// What is beneath an LV's device; nothing of an LV that is on disks alone, or has no device: that costs one question.
fn beneath(dm: &DM, volume: VolumeId) -> PortResult<Vec<Beneath>> {
    let uuid = lv_dm_uuid(volume);
    let what = format!("the device of LV {volume}");
    let lv = DmUuid::new(&uuid).map(DevId::Uuid);
    let lv = lv.map_err(|error| failed(what.clone(), &error))?;
    let plain = options(DmFlags::empty());
    let Some(on) = asked(dm.table_deps(&lv, plain), &what)? else {
        return Ok(Vec::new());
    };
    let Some(major) = major(dm, &lv, &what)? else {
        return Ok(Vec::new());
    };
    let mapped = on.into_iter().filter(|device| device.major == major);
    let group = group_of(&uuid);
    let found = mapped.map(|device| describe(dm, group, device));
    found.filter_map(Result::transpose).collect()
}

/// Whether LVM moves the LV, and that was halted: all I/O to it fails.
pub(crate) fn is_halted(volume: VolumeId) -> PortResult<bool> {
    let found = beneath(&control()?, volume)?;
    Ok(found.iter().any(Beneath::is_halted))
}

/// Ends the copying beneath an LV's device: from here on all I/O to what moves fails. What LVM's metadata says is left:
/// the disk that is left has all that was written.
///
/// # Errors
/// If what is in flight does not end, or the kernel refuses.
pub(crate) fn halt(volume: VolumeId) -> PortResult<Applied> {
    let dm = control()?;
    let found = beneath(&dm, volume)?;
    stop(&dm, &found)
}

fn stop(dm: &DM, found: &[Beneath]) -> PortResult<Applied> {
    let mut applied = Applied::Identity;
    for one in found.iter().filter(|one| !one.is_halted()) {
        let what = format!("cannot halt {}", one.name);
        let said = |error: &DmError| failed(what.clone(), error);
        let device = DmUuid::new(&one.dm_uuid).map(DevId::Uuid);
        let device = device.map_err(|error| said(&error))?;
        let table = [(0, one.size, ERROR.to_owned(), String::new())];
        dm.table_load(&device, &table, options(DmFlags::empty()))
            .map_err(|error| said(&error))?;
        let suspend = DmFlags::DM_SUSPEND | DmFlags::DM_SKIP_LOCKFS | DmFlags::DM_NOFLUSH;
        dm.device_suspend(&device, options(suspend))
            .map_err(|error| said(&error))?;
        quiet::resume(&one.dm_uuid, &what)?;
        tracing::warn!(
            device = one.name,
            "a move between disks was halted beneath its volume"
        );
        applied = Applied::Changed;
    }
    Ok(applied)
}

/// The same for an LV that nobody has open, before its device goes; what was beneath it, to be removed after that.
///
/// # Errors
/// [`Busy`](PortError::Busy) if somebody has it open; as [`halt`].
pub(crate) fn halt_unused(volume: VolumeId, what: &str) -> PortResult<Vec<Beneath>> {
    let dm = control()?;
    let found = beneath(&dm, volume)?;
    if found.is_empty() {
        return Ok(found);
    }
    if super::found::is_lv_open(&dm, volume)? {
        return Err(PortError::Busy {
            what: what.to_owned(),
        });
    }
    stop(&dm, &found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_one_group_begin_alike() {
        let (vg, lv) = ("v".repeat(32), "1".repeat(32));
        let id = VolumeId {
            vg: vg.parse().unwrap(),
            lv: lv.parse().unwrap(),
        };
        let uuid = lv_dm_uuid(id);
        assert_eq!(group_of(&uuid), format!("LVM-{vg}"));
        assert_eq!(group_of("short"), "");
    }
}
