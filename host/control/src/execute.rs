//! Running the steps of a plan, and taking them back. What happens is in the plan; here is only
//! how.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{
    Backing, CloneTable, DeviceId, DeviceRole, Home, HomeState, LeaseMode, PoolName, Sectors,
    Table, VolumeId, VolumeInfo, VolumeRef,
};
use volward_plan::home::copy_names;
use volward_plan::recheck::recheck;
use volward_plan::{CloneGeometry, Expectation, NextHome, Planned, Recheck, Refusal, Step};

use crate::node::Node;
use crate::ports::{Applied, JournalKind, LinkPath, NewVolume, PortError, PortResult, StepMark};

/// Zeroed at the start of fresh clone metadata: dm-clone makes new metadata where the first
/// 4 KiB are zero; a whole MiB also wipes an older layout's remains.
const ZEROED: volward_model::Bytes = volward_model::Bytes::mib(1);
/// Between two tries to remove a device that is still open.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// Why a step did not happen.
#[derive(Debug, Clone)]
pub enum StepError {
    /// Storage failed.
    Port(PortError),
    /// The second look found a change: undo, and decide again.
    Changed(String),
    /// The second look found what asking again cannot help.
    Refused(Refusal),
    /// The daemon stops; the kernel goes on, and the next start takes it up.
    Stopping,
}

impl From<PortError> for StepError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

/// Where a plan broke off.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The step's place in the plan.
    pub at: usize,
    /// What it was to do, in a sentence.
    pub what: String,
    /// Why not.
    pub error: StepError,
}

/// Which journal entry a run belongs to; `None` where the state disk is full and a detach goes on
/// without one.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The entry.
    pub entry: Option<u64>,
    /// Names the crash points.
    pub kind: JournalKind,
}

impl Run {
    fn point(self, step: &Step, when: &str) -> String {
        let kind = match self.kind {
            JournalKind::Attach => "attach",
            JournalKind::Detach => "detach",
            JournalKind::WriteBack => "write-back",
        };
        format!("{kind}/{}/{when}", step.name())
    }
}

impl Node {
    /// Runs the steps from `from` on.
    ///
    /// # Errors
    /// With the first that fails; later ones are not begun.
    pub(crate) fn run<'a>(
        &self,
        run: Run,
        steps: impl IntoIterator<Item = &'a Step>,
        from: usize,
    ) -> Result<(), Broken> {
        for (at, step) in steps.into_iter().enumerate().skip(from) {
            let broken = |error| Broken {
                at,
                what: step.to_string(),
                error,
            };
            self.ports.interruptions.at(&run.point(step, "before"));
            self.mark(run, at, StepMark::Started)
                .map_err(|e| broken(e.into()))?;
            tracing::debug!(step = %step, "step");
            self.step(step).map_err(broken)?;
            self.mark(run, at, StepMark::Done)
                .map_err(|e| broken(e.into()))?;
            self.ports.interruptions.at(&run.point(step, "after"));
        }
        Ok(())
    }

    /// Takes steps back, the last first. Stops at the first undo that fails: what is beneath it
    /// must stay (I1: a lease is not released under a device that could not be removed).
    ///
    /// # Errors
    /// With that undo's sentence and failure.
    pub(crate) fn undo(&self, run: Run, steps: &[Planned]) -> Result<(), (String, PortError)> {
        for (at, planned) in steps.iter().enumerate().rev() {
            for undo in &planned.undo {
                self.ports.interruptions.at(&run.point(undo, "before-undo"));
                self.step(undo).map_err(|error| match error {
                    StepError::Port(error) => (undo.to_string(), error),
                    other => (undo.to_string(), PortError::Refused(format!("{other:?}"))),
                })?;
            }
            // The undo is done; a mark that cannot be written would only have it done again.
            if let Err(error) = self.mark(run, at, StepMark::Undone) {
                tracing::warn!(%error, "cannot record that a step was undone");
            }
        }
        Ok(())
    }

    fn mark(&self, run: Run, at: usize, mark: StepMark) -> PortResult<()> {
        match (run.entry, run.kind) {
            // A write-back is planned anew each time: its steps are in no entry.
            (None, _) | (_, JournalKind::WriteBack) => Ok(()),
            (Some(entry), JournalKind::Detach) => {
                // Detach goes on also when the state disk has become full.
                if let Err(error) = self.ports.journal.mark(entry, at, mark) {
                    tracing::warn!(%error, "cannot record a detach's step");
                }
                Ok(())
            }
            (Some(entry), JournalKind::Attach) => self.ports.journal.mark(entry, at, mark),
        }
    }

    /// One step. A match and nothing else: behaviour belongs in the plan or in the ports.
    pub(crate) fn step(&self, step: &Step) -> Result<(), StepError> {
        let devices = &self.ports.devices;
        match step {
            Step::Lease {
                pool,
                volumes,
                mode,
            } => self.lease(pool, volumes, *mode)?,
            Step::Release { pool, volumes } => self.release(pool, volumes)?,
            Step::DisableAutoactivation { pool, volumes } => {
                self.ports.volumes.disable_autoactivation(pool, volumes)?;
            }
            Step::LookAgain { expectations } => self.look_again(expectations)?,
            Step::MakeCopy {
                volume,
                local,
                size,
                metadata,
            } => {
                self.make_copy(volume, local, *size, *metadata)?;
            }
            Step::ZeroMetadata { volume, local } => {
                let lvs = self.copy_volumes(volume, local)?;
                self.ports.volumes.zero(&lvs.metadata.volume, ZEROED)?;
            }
            Step::RemoveCopy { volume, local } => self.remove_copy(volume, local)?,
            Step::SetHome {
                volume,
                from_generation,
                to,
                local,
            } => {
                self.set_home(volume, *from_generation, to, local)?;
            }
            Step::LoadClone {
                volume,
                local,
                size,
                geometry,
                hydrating,
            } => {
                self.load_clone(volume, local, *size, *geometry, *hydrating)?;
            }
            Step::UnloadClone { volume } => self.remove_device(clone_of(volume))?,
            Step::AwaitHydration { volume } => self.await_hydration(volume)?,
            Step::CreateDevice {
                volume,
                instance,
                on_clone,
                size,
                read_only,
                discards,
            } => {
                let on = match on_clone {
                    true => Backing::Device(clone_of(volume)),
                    false => Backing::Volume(volume.id),
                };
                let id = DeviceId::attachment(volume.id, *instance);
                let table = Table::Linear { on, size: *size };
                applied(step, devices.create(id, &table, *read_only, *discards)?);
            }
            Step::RemoveDevice { volume, instance } => {
                self.remove_device(DeviceId::attachment(volume.id, *instance))?;
            }
            Step::Publish { pool, attachments } => {
                self.roster().publish(pool, attachments);
                self.write_slot(pool)?;
            }
            Step::Withdraw { pool, attachments } => {
                self.roster().withdraw(attachments);
                self.write_slot(pool)?;
            }
            Step::Link { volume, instance } => {
                let id = DeviceId::attachment(volume.id, *instance);
                applied(step, devices.link(&link_path(volume, *instance), id)?);
            }
            Step::Unlink { volume, instance } => {
                applied(step, devices.unlink(&link_path(volume, *instance))?);
            }
            Step::MakeReturnMetadata {
                volume,
                local,
                size,
            } => {
                let names = names(volume)?;
                let (name, tags) = (names.return_metadata, vec![names.tag]);
                let new = NewVolume {
                    pool: local.clone(),
                    name,
                    size: *size,
                    tags,
                };
                let (id, _) = self.ports.volumes.create(&new)?;
                let made = VolumeRef {
                    id,
                    pool: new.pool,
                    name: new.name,
                };
                self.ports.volumes.zero(&made, ZEROED)?;
            }
            Step::LoadReturn {
                volume,
                local,
                size,
                geometry,
            } => {
                self.load_return(volume, local, *size, *geometry)?;
            }
            Step::AwaitReturn { volume } => self.await_return(volume)?,
            Step::UnloadReturn { volume } => self.remove_device(return_of(volume))?,
        }
        Ok(())
    }

    /// Exit codes prove nothing (I29): what counts is what sanlock says afterwards.
    fn lease(&self, pool: &PoolName, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        self.ports.volumes.activate(pool, volumes, mode)?;
        let held = self.ports.leases.held(pool)?;
        for volume in volumes {
            match held.get(&volume.id.lv) {
                Some(lease) if lease.mode >= mode && !lease.orphan => {}
                other => {
                    let found = other.map_or("none".to_owned(), |l| l.mode.to_string());
                    return Err(PortError::Refused(format!(
                        "LVM said that {volume} was activated, but sanlock shows its lease as {found} \
                         instead of {mode}"
                    )));
                }
            }
        }
        Ok(())
    }

    fn release(&self, pool: &PoolName, volumes: &[VolumeRef]) -> PortResult<()> {
        self.ports.volumes.deactivate(pool, volumes)?;
        let held = self.ports.leases.held(pool)?;
        match volumes.iter().find(|v| held.contains_key(&v.id.lv)) {
            None => Ok(()),
            Some(volume) => Err(PortError::Refused(format!(
                "LVM said that {volume} was deactivated, but sanlock still shows its lease"
            ))),
        }
    }

    fn look_again(&self, expectations: &[Expectation]) -> Result<(), StepError> {
        let mut sights = BTreeMap::new();
        for expected in expectations {
            let pool = &expected.volume.pool;
            if !sights.contains_key(pool) {
                sights.insert(pool.clone(), self.look(pool)?);
            }
            let sight = &sights[pool];
            let seen = match sight.info.volume(expected.volume.id) {
                Some(info) => Some(self.volume_situation(sight, info)?),
                None => None,
            };
            match recheck(expected, seen.as_ref()) {
                Recheck::Same => {}
                Recheck::Changed(why) => return Err(StepError::Changed(why)),
                Recheck::Refused(refusal) => return Err(StepError::Refused(refusal)),
            }
        }
        Ok(())
    }

    fn make_copy(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: volward_model::Bytes,
        metadata: volward_model::Bytes,
    ) -> PortResult<()> {
        let names = names(volume)?;
        let lvs = [
            (names.copy, size),
            (names.metadata, metadata),
            (names.return_metadata, metadata),
        ];
        for (name, size) in lvs {
            let tags = vec![names.tag.clone()];
            let new = NewVolume {
                pool: local.clone(),
                name,
                size,
                tags,
            };
            self.ports.volumes.create(&new)?;
        }
        Ok(())
    }

    fn remove_copy(&self, volume: &VolumeRef, local: &PoolName) -> PortResult<()> {
        let names = names(volume)?;
        let pool = self.ports.volumes.pool(local)?;
        for name in [&names.return_metadata, &names.metadata, &names.copy] {
            let Some(info) = pool.named(name) else {
                continue;
            };
            if !info.tags.contains(&names.tag) {
                return Err(not_ours(info, &names.tag));
            }
            self.ports.volumes.remove(&info.volume)?;
        }
        Ok(())
    }

    /// One metadata commit, under the exclusive lease, read back.
    fn set_home(
        &self,
        volume: &VolumeRef,
        from_generation: u64,
        to: &NextHome,
        local: &PoolName,
    ) -> PortResult<()> {
        let before = self.home_of(volume)?;
        let state = match to {
            NextHome::Pool => HomeState::Pool,
            NextHome::Split(node) => {
                let copy = self.copy_volumes(volume, local)?.copy.volume.id.lv;
                HomeState::Split {
                    node: node.clone(),
                    copy,
                }
            }
            NextHome::Returning(node) => {
                let copy = self.copy_volumes(volume, local)?.copy.volume.id.lv;
                HomeState::Returning {
                    node: node.clone(),
                    copy,
                }
            }
        };
        let after = Home {
            state,
            generation: from_generation + 1,
        };
        if before == after {
            return Ok(());
        }
        // The first step of an undo may find that the change was never made.
        let never_left = matches!(to, NextHome::Pool) && before.state == HomeState::Pool;
        if never_left {
            return Ok(());
        }
        if before.generation != from_generation {
            return Err(PortError::Identity {
                what: format!("the home of {volume}"),
                expected: format!("generation {from_generation}"),
                found: before.to_string(),
            });
        }
        self.must_hold_exclusive(volume)?;
        let tags = &self.volume_info(volume)?.tags;
        let old: Vec<String> = tags
            .iter()
            .filter(|t| t.starts_with(volward_model::home::HOME_TAG_PREFIX))
            .cloned()
            .collect();
        self.ports
            .volumes
            .change_tags(volume, &old, &[after.tag()])?;
        let now = self.home_of(volume)?;
        if now == after {
            return Ok(());
        }
        Err(PortError::Identity {
            what: format!("the home of {volume}"),
            expected: after.to_string(),
            found: now.to_string(),
        })
    }

    /// I1, I19: what changes a home re-checks its lease.
    fn must_hold_exclusive(&self, volume: &VolumeRef) -> PortResult<()> {
        match self.ports.leases.held(&volume.pool)?.get(&volume.id.lv) {
            Some(lease) if lease.mode == LeaseMode::Exclusive && !lease.orphan => Ok(()),
            _ => Err(PortError::Refused(format!(
                "the exclusive lease of {volume} is not held, so its home must not change"
            ))),
        }
    }

    fn volume_info(&self, volume: &VolumeRef) -> PortResult<VolumeInfo> {
        let pool = self.ports.volumes.pool(&volume.pool)?;
        let info = pool.volume(volume.id).cloned();
        info.ok_or_else(|| PortError::Missing {
            what: volume.to_string(),
        })
    }

    pub(crate) fn home_of(&self, volume: &VolumeRef) -> PortResult<Home> {
        self.volume_info(volume)?
            .home()
            .map_err(|error| PortError::Unreadable {
                what: format!("the home tag of {volume}"),
                reason: error.to_string(),
            })
    }

    /// The copy's LVs, by name and tag; active.
    pub(crate) fn copy_volumes(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
    ) -> PortResult<CopyVolumes> {
        let names = names(volume)?;
        let pool = self.ports.volumes.pool(local)?;
        let find = |name| {
            let info = pool.named(name).cloned();
            let info = info.ok_or_else(|| PortError::Missing {
                what: format!("{local}/{name}"),
            })?;
            if info.tags.contains(&names.tag) {
                Ok(info)
            } else {
                Err(not_ours(&info, &names.tag))
            }
        };
        Ok(CopyVolumes {
            copy: find(&names.copy)?,
            metadata: find(&names.metadata)?,
            return_metadata: find(&names.return_metadata)?,
        })
    }

    fn load_clone(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Sectors,
        geometry: CloneGeometry,
        hydrating: bool,
    ) -> PortResult<()> {
        let id = clone_of(volume);
        if self.is_loaded(id)? {
            return Ok(());
        }
        let lvs = self.copy_volumes(volume, local)?;
        self.activate_copy(local, &lvs)?;
        let table = CloneTable {
            metadata: Backing::Volume(lvs.metadata.volume.id),
            destination: Backing::Volume(lvs.copy.volume.id),
            source: Backing::Volume(volume.id),
            size,
            region: geometry.region,
            hydrating,
            threshold: geometry.threshold,
            batch: geometry.batch,
        };
        let applied = self
            .ports
            .devices
            .create(id, &Table::Clone(table), false, true)?;
        tracing::info!(%volume, ?applied, "clone loaded");
        Ok(())
    }

    fn load_return(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Sectors,
        geometry: CloneGeometry,
    ) -> PortResult<()> {
        let id = return_of(volume);
        if self.is_loaded(id)? {
            return Ok(());
        }
        let lvs = self.copy_volumes(volume, local)?;
        self.activate_copy(local, &lvs)?;
        let table = CloneTable {
            metadata: Backing::Volume(lvs.return_metadata.volume.id),
            destination: Backing::Volume(volume.id),
            // Never the copy itself: what is not in it is read through the forward clone (I24).
            source: Backing::Device(clone_of(volume)),
            size,
            region: geometry.region,
            hydrating: true,
            threshold: geometry.threshold,
            batch: geometry.batch,
        };
        let applied = self
            .ports
            .devices
            .create(id, &Table::Clone(table), false, true)?;
        tracing::info!(%volume, ?applied, "write-back started");
        Ok(())
    }

    fn activate_copy(&self, local: &PoolName, lvs: &CopyVolumes) -> PortResult<()> {
        let all = [&lvs.copy, &lvs.metadata, &lvs.return_metadata];
        let asleep: Vec<VolumeRef> = all
            .iter()
            .filter(|i| !i.active)
            .map(|i| i.volume.clone())
            .collect();
        if asleep.is_empty() {
            return Ok(());
        }
        self.ports
            .volumes
            .activate(local, &asleep, LeaseMode::Exclusive)
    }

    /// Whether a device of ours is there already; a suspended one is resumed.
    fn is_loaded(&self, id: DeviceId) -> PortResult<bool> {
        let Some(info) = self.ports.devices.get(id)? else {
            return Ok(false);
        };
        if info.suspended {
            tracing::warn!(device = %id, "was left suspended; resuming it");
            self.ports.devices.resume(id)?;
        }
        // A crash between making the device and loading its table leaves it empty.
        Ok(info.target.is_some())
    }

    /// A device that somebody has just closed may still be open for a moment.
    pub(crate) fn remove_device(&self, id: DeviceId) -> PortResult<()> {
        let deadline = self.ports.clock.monotonic() + self.settings.busy_for;
        loop {
            match self.ports.devices.remove(id) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_busy() && self.ports.clock.monotonic() < deadline => {
                    self.ports.clock.sleep(BUSY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The LVs of a copy.
#[derive(Clone, Debug)]
pub(crate) struct CopyVolumes {
    pub(crate) copy: VolumeInfo,
    pub(crate) metadata: VolumeInfo,
    pub(crate) return_metadata: VolumeInfo,
}

pub(crate) fn clone_of(volume: &VolumeRef) -> DeviceId {
    device(volume.id, DeviceRole::Clone)
}

pub(crate) fn return_of(volume: &VolumeRef) -> DeviceId {
    device(volume.id, DeviceRole::Return)
}

fn device(volume: VolumeId, role: DeviceRole) -> DeviceId {
    DeviceId { volume, role }
}

pub(crate) fn link_path(volume: &VolumeRef, instance: volward_model::InstanceId) -> LinkPath {
    LinkPath {
        instance,
        pool: volume.pool.clone(),
        volume: volume.name.clone(),
    }
}

fn names(volume: &VolumeRef) -> PortResult<volward_plan::home::CopyNames> {
    copy_names(volume.id).map_err(|error| PortError::Unreadable {
        what: format!("the UUID of {volume}"),
        reason: error.to_string(),
    })
}

fn not_ours(info: &VolumeInfo, tag: &str) -> PortError {
    PortError::Identity {
        what: info.volume.to_string(),
        expected: format!("the tag {tag}"),
        found: info.tags.join(", "),
    }
}

fn applied(step: &Step, applied: Applied) {
    if applied == Applied::Identity {
        tracing::debug!(%step, "was so already");
    }
}
