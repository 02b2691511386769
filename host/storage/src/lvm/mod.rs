//! LVM, by its own commands and their JSON reports.
//!
//! Shared pools go through lvmlockd (`use_lvmlockd=1`), local ones do not: with lvmlockd down a
//! local pool works on. Each pool has a devices file of its own, so that a command looks at that
//! pool's disks only, and the system's is never written (I16).

mod activate;
mod adopt;
mod copying;
mod create;
mod derived;
mod diagnose;
mod disks;
#[cfg(any(test, feature = "fake"))]
pub(crate) mod fake;
mod kept_back;
mod look;
mod mark;
mod memory;
mod operate;
mod pvs;
mod relocate;
mod report;
mod seen;
mod zeroing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use volward_folder::Folder;
use volward_model::{
    Bytes, LeaseMode, LvmUuid, Mark, PhysicalVolume, PoolInfo, PoolName, VolumeId, VolumeName,
    VolumeRef, Whereabouts,
};
use volward_ports::{Applied, NewVolume, PortError, PortResult, Volumes};

use crate::blockdev;
use crate::exec::{Exec, Invocation, Output, Tools};
use crate::zero::zero;
use copying::Copying;
use create::{active, create_args, same_volume};
use memory::Memory;
use zeroing::Zeroing;

pub use diagnose::{ActivationLists, Diagnose, FoundGroup, Listed, listed};
#[cfg(any(test, feature = "fake"))]
pub use fake::FakeDiagnosis;
pub use seen::{DeviceEntry, MissingDisk, SeenDisks, WhyMissing, entries};

/// Where LVM keeps devices files.
const DEVICES_FOLDER: &str = "lvm/devices";

/// Time for commands that take leases: sanlock needs up to 8 x io_timeout (10 s) to find out
/// whether another holder is alive, and lvmlockd retries a shared lease for 5 s.
const LEASE_DEADLINE: Duration = Duration::from_secs(120);
/// Time for reports; 1.4 s with 5000 LVs on an emulated node.
const REPORT_DEADLINE: Duration = Duration::from_secs(30);

/// Whose disks a pool is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// A LUN that all nodes see; leases through lvmlockd.
    Shared,
    /// This node's own.
    Local,
}

/// A pool as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// The VG's name.
    pub name: PoolName,
    /// The name of its devices file under /etc/lvm/devices; `None` leaves LVM's own choice of
    /// devices in force.
    pub devices_file: Option<String>,
    /// Shared or local.
    pub kind: PoolKind,
}

/// LVM's commands.
#[derive(Debug)]
pub struct Lvm {
    exec: Arc<Exec>,
    lvm: PathBuf,
    lvmlockctl: PathBuf,
    pools: Vec<PoolSettings>,
    /// `/etc`: LVM and its folder may be installed after the daemon was started.
    etc: Folder,
    memory: Memory,
    kept_back: kept_back::Known,
    zeroing: Zeroing,
    copying: Copying,
}

impl Lvm {
    /// Serves these pools and no others. Their devices files are in `lvm/devices` of `etc`, which is
    /// `/etc` outside tests.
    #[must_use]
    pub fn new(exec: Arc<Exec>, tools: &Tools, pools: Vec<PoolSettings>, etc: Folder) -> Self {
        Self {
            exec,
            lvm: tools.lvm.clone(),
            lvmlockctl: tools.lvmlockctl.clone(),
            pools,
            etc,
            memory: Memory::default(),
            kept_back: kept_back::Known::default(),
            zeroing: Zeroing::default(),
            copying: Copying::default(),
        }
    }

    fn settings(&self, pool: &PoolName) -> PortResult<&PoolSettings> {
        self.pools
            .iter()
            .find(|settings| settings.name == *pool)
            .ok_or_else(|| PortError::Missing {
                what: format!(
                    "a [[pool]] section for {pool} in /etc/volward/volward.toml (put it back and \
                     restart volwardd)"
                ),
            })
    }

    /// Runs an LVM command for a pool, in its lane, on its devices.
    fn run(
        &self,
        pool: &PoolSettings,
        deadline: Duration,
        command: &str,
        args: &[String],
    ) -> PortResult<Output> {
        let mut line = vec![command.to_owned()];
        if let Some(file) = &pool.devices_file {
            // LVM takes a devices file that does not exist for none at all, and looks everywhere.
            let inside = Path::new(DEVICES_FOLDER).join(file);
            if !self.etc.dir().exists(&inside) {
                return Err(PortError::Missing {
                    what: format!(
                        "{} (pool {}; `volward pool init` makes it)",
                        self.etc.path_of(inside).display(),
                        pool.name
                    ),
                });
            }
            line.extend(["--devicesfile".to_owned(), file.clone()]);
        }
        line.extend(["--config".to_owned(), config(pool.kind).to_owned()]);
        line.extend_from_slice(args);
        self.lvm(pool.name.as_str(), deadline, line)
    }

    fn lvm(&self, lane: &str, deadline: Duration, line: Vec<String>) -> PortResult<Output> {
        let invocation = Invocation::new(&self.lvm)
            .args(line)
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .deadline(deadline);
        Ok(self.exec.run(lane, &invocation)?)
    }

    /// One `lvchange` of several volumes.
    fn change(&self, pool: &PoolName, options: &[&str], volumes: &[VolumeRef]) -> PortResult<()> {
        self.on_volumes(pool, "lvchange", options, volumes)
    }

    /// One command on several volumes, each chosen by its UUID under the VG's lock: a name may be
    /// another volume's by now (I12). A UUID that the pool does not have is no error to LVM: what
    /// came of it is read back (I29).
    fn on_volumes(
        &self,
        pool: &PoolName,
        command: &str,
        options: &[&str],
        volumes: &[VolumeRef],
    ) -> PortResult<()> {
        let settings = self.settings(pool)?;
        if volumes.is_empty() {
            return Ok(());
        }
        let mut args: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        args.extend(["--select".to_owned(), selection(volumes), pool.to_string()]);
        self.run(settings, LEASE_DEADLINE, command, &args).map(drop)
    }
}

/// Every setting that the form of a report depends on, and that no option of the command overrides:
/// with another separator a list of tags reads as one tag, which would be nobody's.
macro_rules! pinned {
    ($lvmlockd:literal) => {
        // issue_discards off: lvremove would hold the VG's lease while the LUN discards (I27).
        concat!(
            "global/use_lvmlockd=",
            $lvmlockd,
            " devices/issue_discards=0 report/list_item_separator=\",\"",
            " report/compact_output=0 report/compact_output_cols=\"\"",
            " report/binary_values_as_numeric=0 report/mark_hidden_devices=0",
            " log/report_command_log=0"
        )
    };
}

/// What overrides lvm.conf, whatever the node's says.
fn config(kind: PoolKind) -> &'static str {
    match kind {
        PoolKind::Shared => pinned!("1"),
        PoolKind::Local => pinned!("0"),
    }
}

/// What `--select` chooses these volumes by, and no others.
fn selection(volumes: &[VolumeRef]) -> String {
    let each = volumes
        .iter()
        .map(|volume| format!("lv_uuid=\"{}\"", volume.id.lv));
    each.collect::<Vec<_>>().join(" || ")
}

impl Volumes for Lvm {
    fn adopt(&self, pool: &PoolName) -> PortResult<Applied> {
        self.adopt_devices(self.settings(pool)?)
    }

    fn pool(&self, pool: &PoolName) -> PortResult<PoolInfo> {
        let settings = self.settings(pool)?;
        let mut args: Vec<String> = report::ARGS.iter().map(|&arg| arg.to_owned()).collect();
        args.push(pool.to_string());
        let mark = self.memory.mark(pool);
        match self.run(settings, REPORT_DEADLINE, "fullreport", &args) {
            Ok(output) => {
                let reported = report::pool(pool, &output.stdout)?;
                let mut info = PoolInfo::clone(&reported.info);
                self.memory.keep(reported, mark);
                memory::set_read_only(&mut info, &blockdev::mapped_lvs()?);
                Ok(info)
            }
            // The exit code is the same for every failure: whether the VG is gone is asked.
            Err(error @ PortError::Command { .. }) => match self.exists(settings) {
                Ok(false) => Err(PortError::Missing {
                    what: format!("volume group {pool}"),
                }),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn validated_pool(&self, pool: &PoolName) -> PortResult<Arc<PoolInfo>> {
        if let Some(mark) = self.memory.holds(pool) {
            let mapped = blockdev::mapped_lvs()?;
            if let Some(info) = self.memory.with_mapped(pool, &mark, &mapped) {
                return Ok(info);
            }
        }
        self.pool(pool).map(Arc::new)
    }

    fn glance(&self, pool: &PoolName) -> PortResult<Option<Arc<PoolInfo>>> {
        match self.memory.mark(pool) {
            // Read again within the deadline of a disk that answers.
            Some(_) => self.validated_pool(pool).map(Some),
            None => Ok(None),
        }
    }

    fn physical_volumes(&self, pool: &PoolName) -> PortResult<Vec<PhysicalVolume>> {
        self.disks_of(pool)
    }

    fn physical_volume(&self, pool: &PoolName, named: &str) -> PortResult<Option<PhysicalVolume>> {
        self.find_disk(pool, named)
    }

    fn whereabouts(&self, volume: &VolumeRef) -> PortResult<Whereabouts> {
        self.find_whereabouts(volume)
    }

    fn relocate(&self, volume: &VolumeRef, from: LvmUuid, to: LvmUuid) -> PortResult<Applied> {
        self.begin_move(volume, (from, to))
    }

    fn end_relocation(&self, volume: &VolumeRef) -> PortResult<Applied> {
        self.abort_move(volume)
    }

    fn disable_pool_autoactivation(&self, pool: &PoolName) -> PortResult<()> {
        let settings = self.settings(pool)?;
        self.must_be_whole(pool)?;
        let args = ["--setautoactivation", "n", pool.as_str()].map(str::to_owned);
        self.run(settings, LEASE_DEADLINE, "vgchange", &args)
            .map(drop)
    }

    fn disable_autoactivation(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        if volumes.is_empty() {
            return Ok(());
        }
        self.must_be_whole(pool)?;
        self.change(pool, &["--setautoactivation", "n"], volumes)
    }

    fn change_tags(&self, volume: &VolumeRef, remove: &[String], add: &[String]) -> PortResult<()> {
        let mut options = Vec::new();
        options.extend(remove.iter().flat_map(|tag| ["--deltag", tag.as_str()]));
        options.extend(add.iter().flat_map(|tag| ["--addtag", tag.as_str()]));
        if options.is_empty() {
            return Ok(());
        }
        self.must_be_whole(&volume.pool)?;
        self.change(&volume.pool, &options, std::slice::from_ref(volume))
    }

    fn create(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)> {
        let settings = self.settings(&new.pool)?;
        if let Some(existing) = self.validated_pool(&new.pool)?.named(&new.name) {
            let id = same_volume(existing, new)?;
            self.activate(
                &new.pool,
                std::slice::from_ref(&existing.volume),
                LeaseMode::Exclusive,
            )?;
            return Ok((id, Applied::Identity));
        }
        self.must_be_whole(&new.pool)?;
        self.run(
            settings,
            LEASE_DEADLINE,
            "lvcreate",
            &create_args(active(settings.kind), new),
        )?;
        let made = self.pool(&new.pool)?;
        let made = made.named(&new.name).ok_or_else(|| PortError::Missing {
            what: format!("{}/{}, which LVM said it made,", new.pool, new.name),
        })?;
        Ok((made.volume.id, Applied::Changed))
    }

    fn make(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)> {
        self.make_inactive(new)
    }

    fn rename(&self, volume: &VolumeRef, to: &VolumeName) -> PortResult<Applied> {
        self.give_name(volume, to)
    }

    fn grow(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied> {
        self.extend(volume, size, &[])
    }

    fn grow_held(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied> {
        self.extend_held(volume, size)
    }

    fn remove(&self, volume: &VolumeRef, mark: Option<&Mark>) -> PortResult<Applied> {
        self.take_away(volume, mark)
    }

    fn zero_range(
        &self,
        volume: &VolumeRef,
        start: Bytes,
        amount: Bytes,
        shared: bool,
    ) -> PortResult<()> {
        self.zeroing.zero(volume, (start, amount), shared)
    }

    fn copy_range(
        &self,
        volumes: (&VolumeRef, &VolumeRef),
        start: Bytes,
        amount: Bytes,
        read: bool,
    ) -> PortResult<()> {
        self.copying.copy(volumes, (start, amount), read)
    }

    fn zero(&self, volume: &VolumeRef, amount: Bytes) -> PortResult<()> {
        let device = blockdev::open_lv(volume.id, true, OFlags::EXCL)?;
        zero(&device, &volume.to_string(), amount)
    }
}

#[cfg(test)]
mod tests;
