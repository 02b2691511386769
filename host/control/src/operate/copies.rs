//! What copies and snapshots need beside other operations: their source, looked at, leased, marked and read.

use volward_model::{Bytes, LeaseMode, Mark, OperationId, VolumeInfo, VolumeOperation, VolumeRef};
use volward_plan::VolumeInput;
use volward_plan::operate::{OperationStep, Seen, SourceSeen};

use super::Operate;
use super::act::CHUNKS;
use super::look::{Look, is_whole};
use super::stretch::Stretch;
use crate::engine::StepError;
use crate::ports::{PortError, PortResult};

impl Operate {
    /// Looks at the source; `None` if it is gone. Under its turn where anything follows from it.
    pub(super) fn look_at_source(
        &self,
        source: &VolumeRef,
    ) -> Result<Option<(SourceSeen, VolumeInput)>, StepError> {
        let snapshot = self.observer.validated_snapshot(&source.pool)?;
        let Some(info) = snapshot.info.volume(source.id) else {
            return Ok(None);
        };
        self.must_be_finished(&info.volume)?;
        let input = self.observer.volume_input(&snapshot, info)?;
        let attached = self.attachments_of(info);
        let lease = snapshot.held.get(&source.id.lv).filter(|l| !l.orphan);
        let by_hand = snapshot.by_hand.contains(&source.id.lv);
        // What is written back holds its lease for that.
        let free = attached.is_empty() && !self.state.is_returning(source.id);
        let read = !input.elsewhere.is_empty();
        let fits = lease.is_some_and(|l| read || l.mode == LeaseMode::Exclusive);
        let own = Seen::of(info).map_err(|error| PortError::Unreadable {
            what: format!("the UUID of {}", info.volume),
            reason: error.to_string(),
        })?;
        let seen = SourceSeen {
            name: own.name,
            dying_name: own.dying_name,
            wipes: self.settings.wipe(&source.pool).after(),
            size: info.size,
            mark: info.mark(),
            holds: free && (snapshot.held.contains_key(&source.id.lv) || (info.active && !by_hand)),
            works: info.active
                && match attached.is_empty() {
                    true => free && fits,
                    // Theirs will do: each reads, and none of them lets a writer in.
                    false => lease.is_some() && attached.iter().all(is_whole),
                },
            read,
            writer: match input.elsewhere.is_empty() {
                true => self.writer(info, &attached)?,
                false => None,
            },
        };
        Ok(Some((seen, input)))
    }

    /// The steps that are about the source.
    pub(super) fn act_on_source(
        &self,
        operation: &VolumeOperation,
        step: &OperationStep,
        look: &Look,
    ) -> Result<(), StepError> {
        let source = look
            .source
            .as_ref()
            .ok_or_else(|| source_missing(operation))?;
        let info = &source.info;
        let volumes = std::slice::from_ref(&info.volume);
        let pool = &info.volume.pool;
        match step {
            OperationStep::LeaseSource { mode } => {
                self.engine.lease(pool, volumes, *mode)?;
                self.engine.must_be_active(pool, volumes)?;
            }
            OperationStep::MarkSource { mark } => {
                self.may(operation, look).map_err(StepError::Refused)?;
                if matches!(mark, Mark::Copying { .. }) || self.settings.wipe(pool).after() {
                    self.forget_progress(&operation.id)?;
                }
                self.set_mark(info, Some(mark))?;
            }
            OperationStep::Copy { .. } => self.copy(operation, info, look)?,
            OperationStep::Mirror => self.mirror(operation, source, look)?,
            OperationStep::Split { content } => {
                self.split(operation, source, (look, *content))?;
            }
            OperationStep::Unmirror => self.unmirror(info)?,
            OperationStep::ReleaseSource => self.engine.release(pool, volumes)?,
            OperationStep::RenameSource { to } => {
                self.ports.volumes.rename(&info.volume, to)?;
            }
            OperationStep::ZeroSource { from, .. } => {
                self.zero(operation, info, *from, (false, look))?;
            }
            OperationStep::RemoveSource => {
                let mark = info.mark();
                self.ports.volumes.remove(&info.volume, mark.as_ref())?;
            }
            OperationStep::UnmarkSource { .. } => self.set_mark(info, None)?,
            _ => {}
        }
        Ok(())
    }

    /// What was copied before the source had its mark may be of another moment. On record before the mark,
    /// and so that no crash brings it back.
    fn forget_progress(&self, id: &OperationId) -> PortResult<()> {
        match self.state.operations().get_mut(id) {
            Some(known) if known.operation.zeroed.0 > 0 => known.operation.zeroed = Bytes(0),
            _ => return Ok(()),
        }
        self.keep(id)
    }

    /// Chunk by chunk, each on record once it is on the disks, until all is copied or somebody wants something
    /// else.
    fn copy(
        &self,
        operation: &VolumeOperation,
        source: &VolumeInfo,
        look: &Look,
    ) -> Result<(), StepError> {
        // A writer that looked before the mark was on has said so in its slot.
        self.may(operation, look).map_err(StepError::Refused)?;
        let target = look.info.as_ref().ok_or_else(|| PortError::Missing {
            what: format!("{}/{}", operation.task.pool(), operation.task.name()),
        })?;
        let Some(Mark::Copying { size: content, .. }) = source.mark() else {
            return Ok(());
        };
        let (from, to) = (&source.volume, &target.volume);
        let attached = !self.attachments_of(source).is_empty();
        let shared = attached || look.sight.source.as_ref().is_some_and(|seen| seen.read);
        let mut done = operation.zeroed;
        let mut stretch = Stretch::new();
        for _ in 0..CHUNKS {
            let left = Bytes(content.0.saturating_sub(done.0));
            if left.0 == 0 || self.is_to_stop(operation) {
                break;
            }
            self.must_be_held(to, false)?;
            self.must_be_held(from, shared)?;
            let amount = stretch.of(left);
            let begun = self.ports.clock.monotonic();
            self.ports
                .volumes
                .copy_range((from, to), done, amount, attached)?;
            stretch.took(amount, self.ports.clock.monotonic().saturating_sub(begun));
            done = done + amount;
            self.note(&operation.id, done)?;
        }
        Ok(())
    }
}

fn source_missing(operation: &VolumeOperation) -> PortError {
    let source = operation.source.as_ref();
    PortError::Missing {
        what: source.map_or_else(|| "the source".to_owned(), VolumeRef::to_string),
    }
}
