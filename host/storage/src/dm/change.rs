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

/// A device that is to get another table.
pub(super) struct Change<'a> {
    pub(super) id: DeviceId,
    pub(super) table: &'a Table,
    pub(super) read_only: bool,
}

/// Whether devices that are suspended get their new tables, or go on with the old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Old,
}

/// Devices between their old tables and the new ones.
#[derive(Default)]
struct UnderWay {
    loaded: Vec<DeviceId>,
    suspended: Vec<DeviceId>,
}

impl UnderWay {
    /// The old tables go on (I22): all of them, whatever fails with one. Answers with the last failure.
    fn take_back(self, dm: &DM) -> PortResult<()> {
        let mut done = Ok(());
        for id in self.loaded {
            if let Err(error) = by_uuid(id, |dev| dm.table_clear(dev)) {
                done = Err(failed(
                    format!("the new table of device {id} is left loaded"),
                    &error,
                ));
            }
        }
        for id in self.suspended {
            done = resume(id).and(done);
        }
        done
    }
}

/// Puts another table in place of the live one.
pub(super) fn reload(id: DeviceId, table: &Table, read_only: bool) -> PortResult<()> {
    let change = Change {
        id,
        table,
        read_only,
    };
    reload_all(&[change], |_| Ok((Verdict::New, ())))
}

/// Puts other tables in place of the live ones, all at one moment. `meanwhile`: while all devices are suspended, after all I/O
/// that was under way and before any other; it says which tables go on, and its failure leaves the old ones.
pub(super) fn reload_all<T>(
    changes: &[Change<'_>],
    meanwhile: impl FnOnce(&DM) -> PortResult<(Verdict, T)>,
) -> PortResult<T> {
    let dm = control()?;
    let mut under_way = UnderWay::default();
    match swap(&dm, changes, &mut under_way, meanwhile) {
        Ok((Verdict::New, seen)) => Ok(seen),
        Ok((Verdict::Old, seen)) => under_way.take_back(&dm).map(|()| seen),
        // A new table was refused at the last moment, say.
        Err(error) => Err(match under_way.take_back(&dm) {
            Ok(()) => error,
            Err(undo) => PortError::Io {
                what: error.to_string(),
                reason: format!("and {undo}"),
            },
        }),
    }
}

fn swap<T>(
    dm: &DM,
    changes: &[Change<'_>],
    under_way: &mut UnderWay,
    meanwhile: impl FnOnce(&DM) -> PortResult<(Verdict, T)>,
) -> PortResult<(Verdict, T)> {
    let mut without_discards = Vec::new();
    for Change {
        id,
        table,
        read_only,
    } in changes
    {
        let found = find(dm, *id)?.ok_or_else(|| missing(*id))?;
        if !discards::allowed(found.info.number)? {
            without_discards.push(found.info.number);
        }
        let resolved = table::resolve(table)?;
        under_way.loaded.push(*id);
        load(dm, *id, &resolved, *read_only)?;
    }
    for Change { id, table, .. } in changes {
        let mut flags = DmFlags::DM_SUSPEND | DmFlags::DM_SKIP_LOCKFS;
        if matches!(table, Table::Error { .. }) {
            // A fence: what is queued must meet the error table, not the old one.
            flags |= DmFlags::DM_NOFLUSH;
        }
        suspend(dm, *id, flags)?;
        under_way.suspended.push(*id);
    }
    let (verdict, seen) = meanwhile(dm)?;
    if verdict == Verdict::Old {
        return Ok((verdict, seen));
    }
    for Change { id, .. } in changes {
        resume(*id)?;
        under_way.loaded.retain(|loaded| loaded != id);
        under_way.suspended.retain(|suspended| suspended != id);
    }
    // A new table brings its own limits; a refusal stays one.
    for number in without_discards {
        discards::set(number, false)?;
    }
    Ok((verdict, seen))
}
