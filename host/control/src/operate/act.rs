//! One step of an operation. Whether it is to be taken is decided elsewhere; here is only how.

use volward_model::volume::SHAREABLE_TAG;
use volward_model::volume_mark::is_mark;
use volward_model::{
    Backing, Bytes, DeviceId, LeaseMode, Mark, OperationId, PoolName, Table, VolumeInfo,
    VolumeName, VolumeOperation, VolumeRef,
};
use volward_plan::Unmet;
use volward_plan::operate::OperationStep;

use super::Operate;
use super::look::{Look, is_whole};
use super::stretch::Stretch;
use crate::engine::StepError;
use crate::ports::{NewVolume, PortError, PortResult};

/// Calls after which the volume is looked at again, and others have a turn with it. The lease is looked
/// at before each.
pub(super) const CHUNKS: u64 = 8;

impl Operate {
    pub(super) fn act(
        &self,
        operation: &VolumeOperation,
        step: &OperationStep,
        look: &Look,
    ) -> Result<(), StepError> {
        let task = &operation.task;
        if let OperationStep::Make { size, mark } = step {
            let mut tags = vec![mark.tag()];
            tags.extend(goes_along(operation, look));
            return self.make(operation, (task.pool(), task.name()), *size, tags);
        }
        if *step == OperationStep::BringHome {
            return self.bring_home(operation, look);
        }
        if step.is_about_source() {
            return self.act_on_source(operation, step, look);
        }
        let info = look.info.as_ref().ok_or_else(|| PortError::Missing {
            what: format!("{}/{}", task.pool(), task.name()),
        })?;
        let volume = &info.volume;
        let volumes = std::slice::from_ref(volume);
        match step {
            OperationStep::Make { .. }
            | OperationStep::AwaitRelocation
            | OperationStep::AwaitWhole
            | OperationStep::BringHome
            | OperationStep::AwaitHome
            | OperationStep::LeaseSource { .. }
            | OperationStep::MarkSource { .. }
            | OperationStep::Copy { .. }
            | OperationStep::Mirror
            | OperationStep::AwaitMirror
            | OperationStep::Split { .. }
            | OperationStep::Unmirror
            | OperationStep::ReleaseSource
            | OperationStep::RenameSource { .. }
            | OperationStep::ZeroSource { .. }
            | OperationStep::RemoveSource
            | OperationStep::UnmarkSource { .. } => {}
            OperationStep::Lease => {
                self.engine
                    .lease(task.pool(), volumes, LeaseMode::Exclusive)?;
                self.engine.must_be_active(task.pool(), volumes)?;
            }
            OperationStep::Mark { mark } => {
                // What is seen was read under the lease.
                self.may(operation, look).map_err(StepError::Refused)?;
                self.set_mark(info, Some(mark))?;
            }
            OperationStep::Unmark { .. } => self.set_mark(info, None)?,
            OperationStep::Rename { to } => {
                // A volume without a mark may have become somebody's since it was asked for.
                if task.new_name().is_some() {
                    self.may(operation, look).map_err(StepError::Refused)?;
                }
                self.ports.volumes.rename(volume, to)?;
            }
            OperationStep::Grow { to, held: true } => {
                self.ports.volumes.grow_held(volume, *to)?;
            }
            OperationStep::Grow { to, held: false } => {
                self.ports.volumes.grow(volume, *to)?;
            }
            OperationStep::Relocate { from, to } => {
                self.may_relocate(operation, look)?;
                self.must_be_held(volume, false)?;
                if look.sight.attached {
                    self.note_begun(operation)?;
                }
                self.ports.volumes.relocate(volume, *from, *to)?;
            }
            OperationStep::EndRelocation => {
                self.must_be_held(volume, false)?;
                self.ports.volumes.end_relocation(volume)?;
            }
            OperationStep::Zero { from, .. } => {
                self.zero(operation, info, *from, (look.sight.attached, look))?;
            }
            OperationStep::Lengthen => self.lengthen(info)?,
            OperationStep::Release => self.engine.release(task.pool(), volumes)?,
            OperationStep::Remove => {
                self.ports.volumes.remove(volume, info.mark().as_ref())?;
            }
        }
        Ok(())
    }

    fn make(
        &self,
        operation: &VolumeOperation,
        (pool, name): (&PoolName, &VolumeName),
        size: Bytes,
        tags: Vec<String>,
    ) -> Result<(), StepError> {
        let new = NewVolume {
            pool: pool.clone(),
            name: name.clone(),
            size,
            tags,
        };
        let (id, _) = self.ports.volumes.make(&new)?;
        let made = VolumeRef {
            id,
            pool: new.pool,
            name: new.name,
        };
        Ok(self.claim(&operation.id, &made)?)
    }

    /// Puts on record which volume it is about.
    pub(super) fn claim(&self, id: &OperationId, volume: &VolumeRef) -> PortResult<()> {
        if let Some(known) = self.state.operations().get_mut(id) {
            known.operation.volume = Some(volume.clone());
        }
        self.keep(id)
    }

    /// One metadata commit, read back: exit codes prove nothing (I29).
    pub(super) fn set_mark(&self, info: &VolumeInfo, mark: Option<&Mark>) -> PortResult<()> {
        let volume = &info.volume;
        let had: Vec<String> = info.tags.iter().filter(|t| is_mark(t)).cloned().collect();
        let tags: Vec<String> = mark.map(Mark::tag).into_iter().collect();
        self.ports.volumes.change_tags(volume, &had, &tags)?;
        let pool = self.ports.volumes.pool(&volume.pool)?;
        let now = pool.volume(volume.id).ok_or_else(|| PortError::Missing {
            what: volume.to_string(),
        })?;
        let words = |mark: Option<&Mark>| mark.map_or_else(|| "no mark".to_owned(), Mark::tag);
        match now.mark().as_ref() == mark {
            true => Ok(()),
            false => Err(PortError::NotInEffect {
                what: format!("the mark of {volume}"),
                expected: words(mark),
                found: words(now.mark().as_ref()),
            }),
        }
    }

    /// Chunk by chunk, each on record once it is on the disks, until all is zero or somebody wants
    /// something else.
    pub(super) fn zero(
        &self,
        operation: &VolumeOperation,
        info: &VolumeInfo,
        from: Bytes,
        (attached, look): (bool, &Look),
    ) -> Result<(), StepError> {
        let volume = &info.volume;
        let total = self.total(operation, look);
        let mut zeroed = operation.zeroed;
        let mut stretch = Stretch::new();
        for _ in 0..CHUNKS {
            let left = Bytes(total.0.saturating_sub(zeroed.0));
            if left.0 == 0 || self.is_to_stop(operation) {
                break;
            }
            self.must_be_held(volume, attached)?;
            let amount = stretch.of(left);
            let begun = self.ports.clock.monotonic();
            let at = Bytes(from.0 + (zeroed.0 - operation.zeroed.0));
            self.ports
                .volumes
                .zero_range(volume, at, amount, attached)?;
            stretch.took(amount, self.ports.clock.monotonic().saturating_sub(begun));
            zeroed = zeroed + amount;
            self.note(&operation.id, zeroed)?;
        }
        Ok(())
    }

    pub(super) fn note(&self, id: &OperationId, zeroed: Bytes) -> PortResult<()> {
        let now_ms = self.ports.clock.now_ms();
        if let Some(known) = self.state.operations().get_mut(id) {
            known.operation.zeroed = zeroed;
            known.operation.changed_ms = now_ms;
        }
        self.ports.operations.note_zeroed(id, zeroed)
    }

    /// Whether the daemon stops, or somebody has changed the operation's course.
    pub(super) fn is_to_stop(&self, operation: &VolumeOperation) -> bool {
        let book = self.state.operations();
        let known = book.get(&operation.id);
        let turned = known.is_none_or(|known| known.operation.course != operation.course);
        drop(book);
        turned || self.state.is_stopping()
    }

    /// The lease under which is written, at this moment; for attachments any mode will do, since none of
    /// them reaches what is written.
    pub(super) fn must_be_held(&self, volume: &VolumeRef, attached: bool) -> PortResult<()> {
        let status = self.ports.leases.status(&volume.pool)?;
        let held = status.held.get(&volume.id.lv);
        let fine = held.is_some_and(|l| !l.orphan && (attached || l.mode == LeaseMode::Exclusive));
        match fine && !status.freshness.is_failing() {
            true => Ok(()),
            false => Err(PortError::from(Unmet::LeaseLost {
                volume: volume.clone(),
            })),
        }
    }

    /// The guests' devices get the volume's length. One that is not a plain one is left: it is cut off.
    fn lengthen(&self, info: &VolumeInfo) -> Result<(), StepError> {
        let volume = &info.volume;
        let size = info.size.sectors().ok_or_else(|| PortError::Invalid {
            what: format!("the new length of {volume}"),
            reason: format!("{} is no number of sectors", info.size),
        })?;
        let table = Table::Linear {
            on: Backing::Volume(volume.id),
            size,
        };
        for attachment in self.attachments_of(info).iter().filter(|a| is_whole(a)) {
            let id = DeviceId::attachment(volume.id, attachment.instance);
            let Some(device) = self.ports.devices.get(id)? else {
                continue;
            };
            if device.size >= size {
                continue;
            }
            if device.target.as_deref() != Some("linear") {
                return Err(StepError::Port(PortError::Busy {
                    what: format!(
                        "{volume}: the I/O of instance {} is cut off; it",
                        attachment.instance
                    ),
                }));
            }
            self.ports.devices.reload(id, &table, device.read_only)?;
        }
        Ok(())
    }
}

/// What the tags of Volward begin with.
const OWN_TAGS: &str = "volward.";

/// Tags of a volume that is moved, which it has afterwards: that it may be shared, and people's own. Those of operations and of
/// local copies are not among them: all of it is in the pool.
fn goes_along(operation: &VolumeOperation, look: &Look) -> Vec<String> {
    let source = look.source.as_ref().filter(|_| operation.task.moves());
    let tags = source.into_iter().flat_map(|source| &source.info.tags);
    tags.filter(|tag| !tag.starts_with(OWN_TAGS) || *tag == SHAREABLE_TAG)
        .cloned()
        .collect()
}
