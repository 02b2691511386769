//! What changes a device: it is made, gets a table, is suspended and goes.

use devicemapper::{DM, DmFlags, DmName, DmUuid};
use rustix::io::Errno;
use volward_model::{DeviceId, Table};
use volward_ports::{Applied, PortError, PortResult};

use super::found::find;
use super::ioctl::{control, errno, failed};
use super::{by_uuid, discards, missing, options, quiet, table};

fn access(read_only: bool) -> DmFlags {
    if read_only {
        DmFlags::DM_READONLY
    } else {
        DmFlags::empty()
    }
}

fn load(dm: &DM, id: DeviceId, resolved: &table::Resolved, read_only: bool) -> PortResult<()> {
    let flags = options(access(read_only));
    by_uuid(id, |dev| dm.table_load(dev, &resolved.lines, flags))
        .map_err(|error| failed(format!("cannot load the table of device {id}"), &error))?;
    // The inactive table holds its devices open now: their numbers cannot pass to others.
    resolved.check()
}

fn suspend(dm: &DM, id: DeviceId, flags: DmFlags) -> PortResult<()> {
    by_uuid(id, |dev| dm.device_suspend(dev, options(flags)))
        .map(drop)
        .map_err(|error| failed(format!("cannot suspend or resume device {id}"), &error))
}

/// Makes the table that was loaded last live.
pub(super) fn resume(id: DeviceId) -> PortResult<()> {
    quiet::resume(&id.dm_uuid(), &format!("cannot resume device {id}"))
}

pub(super) fn remove(id: DeviceId) -> PortResult<Applied> {
    if find(&control()?, id)?.is_none() {
        return Ok(Applied::Identity);
    }
    quiet::remove(&id.dm_uuid(), &format!("device {id}"))?;
    Ok(Applied::Changed)
}

/// Makes a device without a table; its name must be free.
pub(super) fn make(dm: &DM, id: DeviceId) -> PortResult<()> {
    let (name, uuid) = (id.name(), id.dm_uuid());
    let made = DmName::new(&name).and_then(|dm_name| {
        let dm_uuid = DmUuid::new(&uuid)?;
        dm.device_create(dm_name, Some(dm_uuid), options(DmFlags::empty()))
    });
    made.map(drop).map_err(|error| match errno(&error) {
        Some(Errno::BUSY) => PortError::Identity {
            what: format!("device-mapper's name {name}"),
            expected: format!("free, or a device with UUID {uuid}"),
            found: "a device with another UUID".to_owned(),
        },
        _ => failed(format!("cannot make device {id}"), &error),
    })
}

/// Gives a device without a live table its first one, and makes it usable. `named`: udev's name of it is there already, of a
/// device before it.
pub(super) fn start(
    dm: &DM,
    id: DeviceId,
    resolved: &table::Resolved,
    (read_only, discards): (bool, bool),
    named: bool,
) -> PortResult<()> {
    load(dm, id, resolved, read_only)?;
    if named {
        // The name tells nothing of this device, so udev's cookie does.
        suspend(dm, id, DmFlags::empty())?;
    } else {
        // Who opens it waits for its name ([`Links::await_node`]); tables find it by its number.
        resume(id)?;
    }
    let found = find(dm, id)?.ok_or_else(|| missing(id))?;
    discards::set(found.info.number, discards)
}

/// Puts another table in place of the live one. `meanwhile`: while the device is suspended, after all I/O that was under way
/// and before any other; its failure leaves the old table.
pub(super) fn reload<T>(
    id: DeviceId,
    table: &Table,
    read_only: bool,
    meanwhile: impl FnOnce(&DM) -> PortResult<T>,
) -> PortResult<T> {
    let dm = control()?;
    let found = find(&dm, id)?.ok_or_else(|| missing(id))?;
    let discards = discards::allowed(found.info.number)?;
    let resolved = table::resolve(table)?;
    let clear = |error: PortError| match by_uuid(id, |dev| dm.table_clear(dev)) {
        Ok(_) => error,
        Err(undo) => failed(format!("{error}; and its new table is left loaded"), &undo),
    };
    load(&dm, id, &resolved, read_only).map_err(clear)?;
    let mut flags = DmFlags::DM_SUSPEND | DmFlags::DM_SKIP_LOCKFS;
    if matches!(table, Table::Error { .. }) {
        // A fence: what is queued must meet the error table, not the old one.
        flags |= DmFlags::DM_NOFLUSH;
    }
    suspend(&dm, id, flags).map_err(clear)?;
    let done = meanwhile(&dm).and_then(|seen| resume(id).map(|()| seen));
    let seen = match done {
        Ok(seen) => seen,
        Err(error) => {
            // The new table was refused at the last moment: the old one goes on (I22).
            let error = clear(error);
            resume(id)?;
            return Err(error);
        }
    };
    // A new table brings its own limits; a refusal stays one.
    if !discards {
        discards::set(found.info.number, false)?;
    }
    Ok(seen)
}
