//! An LV's device, made by ioctl as LVM makes it: its name, its UUID, its table. To LVM it is an active LV. To udev it is
//! a device of which nobody has said anything: it has its name below `/dev/mapper`, is not looked into, and has LVM's
//! path, `/dev/VG/LV`, once somebody opens it by that ([`show`]).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use devicemapper::{DM, DevId, DmError, DmFlags, DmName, DmOptions, DmUdevFlags, DmUuid};
use rustix::io::Errno;
use volward_model::VolumeRef;
use volward_model::device::lv_dm_uuid;
use volward_ports::{Applied, PortError, PortResult};

use crate::dm::ioctl::{control, errno, failed};
use crate::dm::quiet;
use crate::metadata::table::Line;
use crate::{blockdev, kernel, udev};

/// A device to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Device-mapper's name.
    pub(super) name: String,
    /// dm UUID.
    pub(super) uuid: String,
    pub(super) lines: Vec<Line>,
    pub(super) read_only: bool,
}

/// For [`show`]: LVM's own udev flags of a visible LV. All rules apply, which make `/dev/VG/LV`; nobody makes links in
/// udev's place.
fn options(flags: DmFlags) -> DmOptions {
    DmOptions::default()
        .set_udev_flags(DmUdevFlags::DM_UDEV_DISABLE_LIBRARY_FALLBACK)
        .set_flags(flags)
}

fn by_uuid<T>(
    uuid: &str,
    call: impl FnOnce(&DevId<'_>) -> Result<T, DmError>,
) -> Result<T, DmError> {
    call(&DevId::Uuid(DmUuid::new(uuid)?))
}

/// The device's flags, and its live table's lines; `None` if there is no device.
fn live(dm: &DM, wanted: &Wanted) -> PortResult<Option<(DmFlags, Vec<Line>)>> {
    let flags = options(DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH);
    match by_uuid(&wanted.uuid, |dev| dm.table_status(dev, flags)) {
        Ok((info, lines)) => Ok(Some((info.flags(), lines))),
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(None),
        Err(error) => Err(failed(
            format!("cannot read the table of {}", wanted.name),
            &error,
        )),
    }
}

/// Makes the device, or finds it as it is wanted. What the kernel has afterwards is read back and equal.
///
/// # Errors
/// [`Identity`](PortError::Identity) if there is one of that UUID with another table, or of that name
/// with another UUID; others as they come. No half-made device stays (I13).
pub(super) fn make(wanted: &Wanted) -> PortResult<Applied> {
    let dm = control()?;
    match live(&dm, wanted)? {
        Some((_, lines)) if lines.is_empty() => {
            // A crash between making it and loading its table.
            start(&dm, wanted)?;
        }
        Some(found) => {
            same(wanted, &found)?;
            if !found.0.contains(DmFlags::DM_SUSPEND) {
                return Ok(Applied::Identity);
            }
            // A crash in [`show`].
            resume(wanted)?;
        }
        None => {
            create(&dm, wanted)?;
            if let Err(error) = start(&dm, wanted) {
                let removed = by_uuid(&wanted.uuid, |dev| {
                    dm.device_remove(dev, options(DmFlags::empty()))
                });
                return Err(match removed {
                    Ok(_) => error,
                    Err(undo) => {
                        failed(format!("{error}; and {} is left over", wanted.name), &undo)
                    }
                });
            }
        }
    }
    Ok(Applied::Changed)
}

fn create(dm: &DM, wanted: &Wanted) -> PortResult<()> {
    let made = DmName::new(&wanted.name).and_then(|name| {
        let uuid = DmUuid::new(&wanted.uuid)?;
        dm.device_create(name, Some(uuid), options(DmFlags::empty()))
    });
    made.map(drop).map_err(|error| match errno(&error) {
        Some(Errno::BUSY) => PortError::Identity {
            what: format!("device-mapper's name {}", wanted.name),
            expected: format!("free, or a device with UUID {}", wanted.uuid),
            found: "a device with another UUID".to_owned(),
        },
        _ => failed(format!("cannot make device {}", wanted.name), &error),
    })
}

/// Loads the table, makes it live, and reads it back.
fn start(dm: &DM, wanted: &Wanted) -> PortResult<()> {
    let access = match wanted.read_only {
        true => DmFlags::DM_READONLY,
        false => DmFlags::empty(),
    };
    by_uuid(&wanted.uuid, |dev| {
        dm.table_load(dev, &wanted.lines, options(access))
    })
    .map_err(|error| failed(format!("cannot load the table of {}", wanted.name), &error))?;
    resume(wanted)?;
    let found = live(dm, wanted)?.ok_or_else(|| PortError::Missing {
        what: format!("device {}, which was made a moment ago,", wanted.name),
    })?;
    same(wanted, &found)
}

fn resume(wanted: &Wanted) -> PortResult<()> {
    let what = format!("cannot resume device {}", wanted.name);
    quiet::resume(&wanted.uuid, &what)
}

/// Has udev make LVM's path of an LV whose device is there, as LVM does when it activates one, and waits for that. What is
/// in flight is waited for; no I/O fails.
///
/// # Errors
/// If there is no such device, or device-mapper fails. The device is left as it was.
fn show(uuid: &str, what: &str) -> PortResult<()> {
    let dm = control()?;
    let said = |error: &DmError| failed(format!("cannot show {what} to udev"), error);
    let suspend = DmFlags::DM_SUSPEND | DmFlags::DM_SKIP_LOCKFS;
    by_uuid(uuid, |dev| dm.device_suspend(dev, options(suspend))).map_err(|error| said(&error))?;
    // Of a device that is not suspended nothing is told to udev.
    let resumed = by_uuid(uuid, |dev| {
        dm.device_suspend(dev, options(DmFlags::empty()))
    });
    let Err(error) = resumed else { return Ok(()) };
    quiet::resume(uuid, what)?;
    Err(said(&error))
}

fn same(wanted: &Wanted, (flags, lines): &(DmFlags, Vec<Line>)) -> PortResult<()> {
    let read_only = flags.contains(DmFlags::DM_READONLY);
    if (&wanted.lines, wanted.read_only) == (lines, read_only) {
        return Ok(());
    }
    Err(PortError::Identity {
        what: format!("device {}", wanted.name),
        expected: text(&wanted.lines, wanted.read_only),
        found: text(lines, read_only),
    })
}

fn text(lines: &[Line], read_only: bool) -> String {
    let lines = lines
        .iter()
        .map(|(start, length, target, words)| format!("{start} {length} {target} {words}"));
    let lines: Vec<String> = lines.collect();
    let mode = if read_only { "read-only" } else { "read-write" };
    format!("{} ({mode})", lines.join("; "))
}

/// Waits until an active LV has LVM's path, which somebody opens it by; has udev make it where it is not there.
///
/// # Errors
/// As [`show`]; if udev does not make it in time.
pub(super) fn await_path(volume: &VolumeRef) -> PortResult<()> {
    let path = Path::new("/dev")
        .join(volume.pool.as_str())
        .join(volume.name.as_str());
    let uuid = lv_dm_uuid(volume.id);
    let device = blockdev::find(&uuid)?.map(|device| device.number);
    let leads_to = kernel::node(&path).map(|node| blockdev::from_dev(node.rdev()));
    if leads_to.ok() != device {
        show(&uuid, &volume.to_string())?;
    }
    udev::await_node(&path)
}

/// Removes the device of that UUID.
///
/// # Errors
/// [`Busy`](PortError::Busy) if somebody has it open.
pub(super) fn remove(uuid: &str, what: &str) -> PortResult<Applied> {
    let dm = control()?;
    match by_uuid(uuid, |dev| dm.device_info(dev)) {
        Ok(_) => quiet::remove(uuid, what).map(|()| Applied::Changed),
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(Applied::Identity),
        Err(error) => Err(failed(what.to_owned(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_table_or_mode_is_not_the_one_wanted() {
        let line = |start: u64| (0, 8, "linear".to_owned(), format!("8:0 {start}"));
        let wanted = Wanted {
            name: "vg0-a".to_owned(),
            uuid: "LVM-x".to_owned(),
            lines: vec![line(2048)],
            read_only: false,
        };
        let plain = DmFlags::empty();
        assert!(same(&wanted, &(plain, vec![line(2048)])).is_ok());
        for found in [
            (plain, vec![line(4096)]),
            (DmFlags::DM_READONLY, vec![line(2048)]),
            (plain, vec![]),
            (plain, vec![line(2048), line(2048)]),
        ] {
            let error = same(&wanted, &found).unwrap_err();
            assert!(error.to_string().contains("0 8 linear 8:0 2048"), "{error}");
        }
    }
}
