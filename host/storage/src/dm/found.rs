//! What the kernel has of a device of ours.

use devicemapper::{DM, DevId, DmFlags, DmUuid};
use rustix::io::Errno;
use volward_model::device::lv_dm_uuid;
use volward_model::{DeviceId, DeviceInfo, DeviceNumber, Sectors, VolumeId};
use volward_ports::PortResult;

use super::ioctl::{errno, failed};
use super::table::Line;
use super::{by_uuid, options};

/// What the kernel says of a device of ours.
pub(super) struct Found {
    pub(super) raw: devicemapper::DeviceInfo,
    pub(super) info: DeviceInfo,
}

pub(super) fn find(dm: &DM, id: DeviceId) -> PortResult<Option<Found>> {
    let raw = match by_uuid(id, |dev| dm.device_info(dev)) {
        Ok(raw) => raw,
        Err(error) if errno(&error) == Some(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(failed(format!("cannot ask about device {id}"), &error)),
    };
    let info = describe(dm, id, &raw)?;
    Ok(Some(Found { raw, info }))
}

/// Whether the device that LVM has of an LV is open; `false` if there is none.
pub(super) fn is_lv_open(dm: &DM, volume: VolumeId) -> PortResult<bool> {
    let uuid = lv_dm_uuid(volume);
    let asked = DmUuid::new(&uuid).and_then(|uuid| dm.device_info(&DevId::Uuid(uuid)));
    match asked {
        Ok(raw) => Ok(raw.open_count() > 0),
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(false),
        Err(error) => Err(failed(
            format!("cannot ask about the device of LV {volume}"),
            &error,
        )),
    }
}

pub(super) fn describe(
    dm: &DM,
    id: DeviceId,
    raw: &devicemapper::DeviceInfo,
) -> PortResult<DeviceInfo> {
    let device = raw.device();
    let lines = live_lines(dm, id)?;
    Ok(DeviceInfo {
        id,
        number: DeviceNumber {
            major: device.major,
            minor: device.minor,
        },
        open: raw.open_count() > 0,
        suspended: raw.flags().contains(DmFlags::DM_SUSPEND),
        read_only: raw.flags().contains(DmFlags::DM_READONLY),
        size: Sectors(lines.iter().map(|line| line.1).sum()),
        target: lines.into_iter().next().map(|line| line.2),
        event: raw.event_nr(),
    })
}

/// The live table's lines; none if there is no live table.
pub(super) fn live_lines(dm: &DM, id: DeviceId) -> PortResult<Vec<Line>> {
    let flags = options(DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH);
    match by_uuid(id, |dev| dm.table_status(dev, flags)) {
        Ok((_, lines)) => Ok(lines),
        // Gone since it was found: it has no table.
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(Vec::new()),
        Err(error) => Err(failed(
            format!("cannot read the table of device {id}"),
            &error,
        )),
    }
}
