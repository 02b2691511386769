//! Device-mapper, by ioctl. Devices are found by dm UUID, never by name (I12); their backing is
//! resolved to a number when a table is loaded and checked again when the kernel holds it.

pub(crate) mod beneath;
mod bounded;
mod change;
mod counters;
mod discard;
mod discards;
#[cfg(any(test, feature = "fake"))]
mod fake;
mod found;
pub(crate) mod ioctl;
mod links;
mod mirror;
pub(crate) mod quiet;
mod regions;
mod status;
mod table;
mod wait;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use devicemapper::{DM, DevId, DmError, DmFlags, DmOptions, DmUuid};
use rustix::fs::OFlags;
use rustix::io::Errno;
use volward_folder::NamedFolder;
use volward_model::{
    Backing, Bytes, CloneStatus, DeviceId, DeviceInfo, DeviceRole, IoCounters, MirrorStatus,
    RegionMap, Sectors, Table, VolumeId,
};
use volward_ports::{Applied, Devices, LinkPath, PortError, PortResult, Split, SplitAt};

pub use bounded::Bounded;

use crate::blockdev::{self, io};
use crate::zero::zero;
use change::{Change, Verdict, make, reload, reload_all, remove, resume, start};
use found::{describe, find, live_lines};
use ioctl::{control, errno, failed};
use links::Links;

/// Device-mapper.
#[derive(Debug)]
pub struct Dm {
    links: Links,
}

impl Dm {
    /// Publishes attachments under `root`, which is `/dev/volward` outside tests; it is made when it
    /// is first needed.
    #[must_use]
    pub fn new(root: NamedFolder) -> Self {
        Self {
            links: Links::new(root, PathBuf::from("/dev/mapper")),
        }
    }
}

/// Runs `call` with the device's UUID in the crate's form.
fn by_uuid<T>(
    id: DeviceId,
    call: impl FnOnce(&DevId<'_>) -> Result<T, DmError>,
) -> Result<T, DmError> {
    let uuid = id.dm_uuid();
    call(&DevId::Uuid(DmUuid::new(&uuid)?))
}

/// Foreign udev rules off: no symlinks by content, no scanning (I15).
fn options(flags: DmFlags) -> DmOptions {
    DmOptions::private().set_flags(flags)
}

fn missing(id: DeviceId) -> PortError {
    PortError::Missing {
        what: format!("device {id}"),
    }
}

fn status_lines(dm: &DM, id: DeviceId) -> PortResult<Vec<table::Line>> {
    // Without NOFLUSH a status would commit dm-clone's metadata each time.
    let asked = by_uuid(id, |dev| dm.table_status(dev, options(DmFlags::DM_NOFLUSH)));
    let (_, lines) = asked.map_err(|error| match errno(&error) {
        Some(Errno::NXIO) => missing(id),
        _ => failed(format!("cannot read the status of device {id}"), &error),
    })?;
    Ok(lines)
}

/// What is to be split off a mirror must be one.
fn mirror_at(dm: &DM, id: DeviceId) -> PortResult<MirrorStatus> {
    match status_lines(dm, id)?.as_slice() {
        [(_, _, target, words)] if target == "mirror" => mirror::parse(words),
        _ => Err(PortError::Invalid {
            what: format!("splitting device {id}"),
            reason: "it is no mirror".to_owned(),
        }),
    }
}

impl Devices for Dm {
    fn create(
        &self,
        id: DeviceId,
        table: &Table,
        read_only: bool,
        discards: bool,
    ) -> PortResult<Applied> {
        let dm = control()?;
        let resolved = table::resolve(table)?;
        let named = matches!(id.role, DeviceRole::Attachment(_)) && self.links.is_named(id);
        let start = || start(&dm, id, &resolved, (read_only, discards), named);
        if let Some(found) = find(&dm, id)? {
            let live = live_lines(&dm, id)?;
            if live.is_empty() {
                // A crash between making it and loading its table.
                start()?;
                return Ok(Applied::Changed);
            }
            if !resolved.same_as(&live) || found.info.read_only != read_only {
                return Err(PortError::Identity {
                    what: format!("device {id}"),
                    expected: table::text(&resolved.lines, read_only),
                    found: table::text(&live, found.info.read_only),
                });
            }
            let resumed = found.info.suspended;
            if resumed {
                resume(id)?;
            }
            discards::set(found.info.number, discards)?;
            return Ok(if resumed {
                Applied::Changed
            } else {
                Applied::Identity
            });
        }
        make(&dm, id)?;
        if let Err(error) = start() {
            // No half-made device stays (I13).
            return Err(match remove(id) {
                Ok(_) => error,
                Err(undo) => PortError::Io {
                    what: error.to_string(),
                    reason: format!("and device {id} is left over: {undo}"),
                },
            });
        }
        Ok(Applied::Changed)
    }

    fn remove(&self, id: DeviceId) -> PortResult<Applied> {
        remove(id)
    }

    fn users(&self, id: DeviceId) -> Vec<String> {
        blockdev::users(&id.dm_uuid())
    }

    fn reload(&self, id: DeviceId, table: &Table, read_only: bool) -> PortResult<()> {
        reload(id, table, read_only)
    }

    fn resume(&self, id: DeviceId) -> PortResult<Applied> {
        let dm = control()?;
        let found = find(&dm, id)?.ok_or_else(|| missing(id))?;
        if !found.info.suspended {
            return Ok(Applied::Identity);
        }
        if found.raw.flags().contains(DmFlags::DM_INACTIVE_PRESENT) {
            // A crash in the middle of a reload: the caller decides about the new table again.
            by_uuid(id, |dev| dm.table_clear(dev))
                .map_err(|error| failed(format!("cannot clear device {id}"), &error))?;
        }
        resume(id)?;
        Ok(Applied::Changed)
    }

    fn list(&self) -> PortResult<Vec<DeviceInfo>> {
        let dm = control()?;
        let all = dm
            .list_devices()
            .map_err(|error| failed("cannot list mapped devices", &error))?;
        let mut ours = Vec::new();
        for (name, _, _) in all {
            let raw = match dm.device_info(&DevId::Name(&name)) {
                Ok(raw) => raw,
                // Gone since.
                Err(error) if errno(&error) == Some(Errno::NXIO) => continue,
                Err(error) => return Err(failed("cannot ask about a mapped device", &error)),
            };
            let id = raw
                .uuid()
                .and_then(|uuid| DeviceId::from_dm_uuid(&uuid.to_string()));
            // Not asked for once more: a list costs a busy node most of its start.
            if let Some(id) = id {
                ours.push(describe(&dm, id, &raw)?);
            }
        }
        Ok(ours)
    }

    fn get(&self, id: DeviceId) -> PortResult<Option<DeviceInfo>> {
        Ok(find(&control()?, id)?.map(|found| found.info))
    }

    fn is_lv_open(&self, volume: VolumeId) -> PortResult<bool> {
        found::is_lv_open(&control()?, volume)
    }

    fn halt_move(&self, volume: VolumeId) -> PortResult<Applied> {
        beneath::halt(volume)
    }

    fn is_move_halted(&self, volume: VolumeId) -> PortResult<bool> {
        beneath::is_halted(volume)
    }

    fn clone_status(&self, id: DeviceId) -> PortResult<Option<CloneStatus>> {
        match status_lines(&control()?, id)?.as_slice() {
            [(_, _, target, words)] if target == "clone" => status::parse(words).map(Some),
            _ => Ok(None),
        }
    }

    fn mirror_status(&self, id: DeviceId) -> PortResult<Option<MirrorStatus>> {
        match status_lines(&control()?, id)?.as_slice() {
            [(_, _, target, words)] if target == "mirror" => mirror::parse(words).map(Some),
            _ => Ok(None),
        }
    }

    fn split(&self, mirrors: &[Split]) -> PortResult<SplitAt> {
        let changes: Vec<Change<'_>> = mirrors
            .iter()
            .map(|one| Change {
                id: one.id,
                table: &one.table,
                read_only: one.read_only,
            })
            .collect();
        reload_all(&changes, |dm| {
            let seen = mirrors.iter().map(|one| mirror_at(dm, one.id));
            let seen = seen.collect::<PortResult<Vec<MirrorStatus>>>()?;
            Ok(match seen.iter().all(|status| status.whole()) {
                true => (Verdict::New, SplitAt::Done),
                false => (Verdict::Old, SplitAt::Kept(seen)),
            })
        })
    }

    fn set_hydration(&self, id: DeviceId, on: bool) -> PortResult<()> {
        let message = if on {
            "enable_hydration"
        } else {
            "disable_hydration"
        };
        let dm = control()?;
        by_uuid(id, |dev| dm.target_msg(dev, None, message))
            .map(drop)
            .map_err(|error| failed(format!("cannot send {message} to device {id}"), &error))
    }

    fn set_amounts(&self, id: DeviceId, threshold: u32, batch: u32) -> PortResult<()> {
        if threshold == 0 || batch == 0 {
            return Err(PortError::Invalid {
                what: format!("the amounts of device {id}"),
                reason: "with 0 nothing would ever hydrate".to_owned(),
            });
        }
        let dm = control()?;
        for message in [
            format!("hydration_threshold {threshold}"),
            format!("hydration_batch_size {batch}"),
        ] {
            by_uuid(id, |dev| dm.target_msg(dev, None, &message))
                .map_err(|error| failed(format!("cannot send {message} to device {id}"), &error))?;
        }
        Ok(())
    }

    fn region(&self, on: VolumeId, at: Sectors) -> PortResult<Option<Sectors>> {
        regions::region(&Backing::Volume(on), at)
    }

    fn regions(&self, id: DeviceId, metadata: Backing) -> PortResult<RegionMap> {
        // dm-clone commits its metadata with each flush.
        self.flush(id)?;
        regions::of(&metadata)
    }

    fn pass_over(&self, id: DeviceId, region: Sectors, regions: &[Range<u64>]) -> PortResult<()> {
        discard::regions(id, region, regions)
    }

    fn io(&self, id: DeviceId) -> PortResult<Option<IoCounters>> {
        match find(&control()?, id)? {
            Some(found) => counters::of(found.info.number),
            None => Ok(None),
        }
    }

    fn set_discards(&self, id: DeviceId, allowed: bool) -> PortResult<()> {
        let found = find(&control()?, id)?.ok_or_else(|| missing(id))?;
        discards::set(found.info.number, allowed)
    }

    fn wait_event(&self, id: DeviceId, event: u32, at_most: Duration) -> PortResult<bool> {
        wait::event(id, event, at_most)
    }

    fn zero_device(&self, id: DeviceId, amount: Bytes) -> PortResult<()> {
        let device = blockdev::open(&id.dm_uuid(), true, OFlags::EXCL)?;
        zero(&device, &format!("device {id}"), amount)
    }

    fn flush(&self, id: DeviceId) -> PortResult<()> {
        let device = blockdev::open(&id.dm_uuid(), false, OFlags::empty())?;
        device
            .file
            .sync_all()
            .map_err(io(format!("cannot flush device {id}")))
    }

    fn link(&self, path: &LinkPath, id: DeviceId) -> PortResult<Applied> {
        let found = find(&control()?, id)?.ok_or_else(|| missing(id))?;
        self.links.await_node(id, found.info.number)?;
        self.links.link(path, id)
    }

    fn unlink(&self, path: &LinkPath) -> PortResult<Applied> {
        self.links.unlink(path)
    }

    fn links(&self) -> PortResult<Vec<LinkPath>> {
        self.links.list()
    }
}
