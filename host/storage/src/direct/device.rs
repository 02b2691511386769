//! An LV's device, made by ioctl as LVM makes it: its name, its UUID, its table, its udev flags. To LVM it
//! is an active LV.

use devicemapper::{DM, DevId, DmError, DmFlags, DmName, DmOptions, DmUdevFlags, DmUuid};
use rustix::io::Errno;
use volward_ports::{Applied, PortError, PortResult};

use super::table::Line;
use crate::dm::ioctl::{control, errno, failed};
use crate::dm::unawaited::unawaited;

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

/// LVM's own udev flags for a visible LV: all rules apply, which make `/dev/VG/LV`; nobody makes links in
/// udev's place. The crate makes a cookie and waits for it, which [`unawaited`] does not.
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

/// The live table's lines, and whether the device is read-only; `None` if there is no device.
fn live(dm: &DM, wanted: &Wanted) -> PortResult<Option<(Vec<Line>, bool)>> {
    let flags = options(DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH);
    match by_uuid(&wanted.uuid, |dev| dm.table_status(dev, flags)) {
        Ok((info, lines)) => {
            let read_only = info.flags().contains(DmFlags::DM_READONLY);
            Ok(Some((lines, read_only)))
        }
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
        Some((lines, _)) if lines.is_empty() => {
            // A crash between making it and loading its table.
            start(&dm, wanted)?;
        }
        Some(found) => {
            same(wanted, &found)?;
            return Ok(Applied::Identity);
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
    resume(dm, wanted)?;
    let found = live(dm, wanted)?.ok_or_else(|| PortError::Missing {
        what: format!("device {}, which was made a moment ago,", wanted.name),
    })?;
    same(wanted, &found)
}

fn resume(dm: &DM, wanted: &Wanted) -> PortResult<()> {
    let what = format!("cannot resume device {}", wanted.name);
    let (uuid, said) = (wanted.uuid.clone(), what.clone());
    let change = move || {
        let dm = control()?;
        let resumed = by_uuid(&uuid, |dev| {
            dm.device_suspend(dev, options(DmFlags::empty()))
        });
        resumed.map(drop).map_err(|error| failed(said, &error))
    };
    let is_live = || {
        let info = by_uuid(&wanted.uuid, |dev| dm.device_info(dev));
        let flags = info.map_err(|error| failed(what.clone(), &error))?.flags();
        Ok(flags.contains(DmFlags::DM_ACTIVE_PRESENT) && !flags.contains(DmFlags::DM_SUSPEND))
    };
    unawaited(&what, change, is_live)
}

fn same(wanted: &Wanted, found: &(Vec<Line>, bool)) -> PortResult<()> {
    if (&wanted.lines, wanted.read_only) == (&found.0, found.1) {
        return Ok(());
    }
    Err(PortError::Identity {
        what: format!("device {}", wanted.name),
        expected: text(&wanted.lines, wanted.read_only),
        found: text(&found.0, found.1),
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

/// Removes the device of that UUID.
///
/// # Errors
/// [`Busy`](PortError::Busy) if somebody has it open.
pub(super) fn remove(uuid: &str, what: &str) -> PortResult<Applied> {
    let dm = control()?;
    let is_gone = || match by_uuid(uuid, |dev| dm.device_info(dev)) {
        Ok(_) => Ok(false),
        Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(true),
        Err(error) => Err(failed(what.to_owned(), &error)),
    };
    if is_gone()? {
        return Ok(Applied::Identity);
    }
    let (own, said) = (uuid.to_owned(), what.to_owned());
    let change = move || {
        let dm = control()?;
        match by_uuid(&own, |dev| dm.device_remove(dev, options(DmFlags::empty()))) {
            Ok(_) => Ok(()),
            Err(error) if errno(&error) == Some(Errno::NXIO) => Ok(()),
            Err(error) => Err(failed(said, &error)),
        }
    };
    unawaited(what, change, is_gone)?;
    Ok(Applied::Changed)
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
        assert!(same(&wanted, &(vec![line(2048)], false)).is_ok());
        for found in [
            (vec![line(4096)], false),
            (vec![line(2048)], true),
            (vec![], false),
            (vec![line(2048), line(2048)], false),
        ] {
            let error = same(&wanted, &found).unwrap_err();
            assert!(error.to_string().contains("0 8 linear 8:0 2048"), "{error}");
        }
    }
}
