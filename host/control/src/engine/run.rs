//! Running steps, and undoing them. What happens is in the plan; here is only how.

use std::time::Duration;

use volward_model::{Backing, DeviceId, DeviceRole, InstanceId, Table, VolumeId, VolumeRef};
use volward_plan::{Planned, Refusal, Step};

use super::Engine;
use super::asking::Asking;
use crate::ports::{Applied, Event, LinkPath, Marked, Operation, PortError, PortResult, StepMark};
use crate::state::Cancellation;

/// Between two tries to remove a device that is still open.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// Why a step did not happen.
#[derive(Debug, Clone)]
pub(crate) enum StepError {
    /// Storage failed.
    Port(PortError),
    /// The second look found a change: undo, and decide again.
    Changed(String),
    /// The second look found that another node attaches or detaches the volume at the same time:
    /// undo, and decide again.
    Contended(String),
    /// Another node holds a lease: undo, and decide again; it may be about to give it up.
    Held(Refusal),
    /// The second look found what asking again cannot help.
    Refused(Refusal),
    /// The daemon stops; the kernel goes on, and the next start takes it up.
    Stopping,
    /// Nobody waits for it any more: undo.
    Cancelled,
}

impl StepError {
    /// The sentence for a journal's or an attachment's causes; `what` was to be done.
    #[must_use]
    pub(crate) fn cause(&self, what: &str) -> String {
        match self {
            Self::Port(error) => format!("{what}: {error}"),
            Self::Changed(why) | Self::Contended(why) => why.clone(),
            Self::Held(refusal) | Self::Refused(refusal) => refusal.message.clone(),
            Self::Stopping => format!("{what}: the daemon is stopping"),
            Self::Cancelled => format!("{what}: whoever asked for it has gone"),
        }
    }

    /// Whether no later try can help before somebody has looked.
    #[must_use]
    pub(crate) fn needs_a_person(&self) -> bool {
        match self {
            Self::Port(error) => error.needs_a_person(),
            // What a second look finds is not what the operation was planned on.
            Self::Changed(_) | Self::Contended(_) | Self::Held(_) | Self::Refused(_) => true,
            Self::Stopping | Self::Cancelled => false,
        }
    }
}

impl From<PortError> for StepError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

/// The step at which a run stopped.
#[derive(Debug, Clone)]
pub(crate) struct StepFailure {
    /// The step's index in the plan.
    pub at: usize,
    /// What it was to do, in a sentence.
    pub what: String,
    /// Why it did not.
    pub error: StepError,
}

impl StepFailure {
    /// The sentence for a journal's or an attachment's causes.
    pub(crate) fn cause(&self) -> String {
        self.error.cause(&self.what)
    }
}

/// Whose steps are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// The entry that keeps the steps; `None` where none does: then none is marked.
    pub entry: Option<u64>,
    /// Names the fault points, and says whether a mark that cannot be written is a failure.
    pub operation: &'a Operation,
}

/// Asked where the validated read finds that only other nodes' attachments have changed: whether
/// the same is granted with these.
pub(crate) type StillGranted<'a> = &'a dyn Fn() -> bool;

/// Nothing was granted that others' attachments could change, or nobody can be asked.
pub(crate) const UNASKED: StillGranted<'static> = &|| false;

impl Run<'_> {
    fn point(self, step: &Step, when: &str) -> String {
        format!("{}/{}/{when}", self.operation.name(), step.name())
    }
}

impl Engine {
    /// Runs the steps from the index `from` on, until it is cancelled.
    ///
    /// # Errors
    /// With the first that fails; later ones are not begun.
    pub(crate) fn run(
        &self,
        run: Run<'_>,
        steps: &[&Step],
        from: usize,
        cancellation: &Cancellation,
        still_granted: StillGranted<'_>,
    ) -> Result<(), StepFailure> {
        for (at, step) in steps.iter().enumerate().skip(from) {
            let failed = |error| StepFailure {
                at,
                what: step.to_string(),
                error,
            };
            self.ports.fault_points.at(&run.point(step, "before"));
            if cancellation.is_cancelled() {
                return Err(failed(StepError::Cancelled));
            }
            self.mark(run, at, StepMark::Started)
                .map_err(|e| failed(e.into()))?;
            tracing::debug!(step = %step, "step");
            match self.step(step, Some(run.operation), cancellation) {
                // The leases are held and the attachments published: whoever comes after this look
                // sees them.
                Err(StepError::Contended(why)) if still_granted() => {
                    tracing::debug!(%why, "the same is granted with what is seen now");
                }
                done => done.map_err(failed)?,
            }
            self.mark(run, at, StepMark::Done)
                .map_err(|e| failed(e.into()))?;
            self.ports.fault_points.at(&run.point(step, "after"));
        }
        Ok(())
    }

    /// Undoes steps, the last first. Stops at the first undo that fails: what is beneath it must
    /// stay (I1: a lease is not released under a device that could not be removed).
    ///
    /// # Errors
    /// With the first undo that failed.
    pub(crate) fn undo(&self, run: Run<'_>, steps: &[Marked<Planned>]) -> Result<(), StepFailure> {
        for (at, planned) in steps.iter().enumerate().rev() {
            for undo in &planned.step.undo {
                self.ports.fault_points.at(&run.point(undo, "before-undo"));
                let done = self.step(undo, None, &Cancellation::default());
                done.map_err(|error| StepFailure {
                    at,
                    what: undo.to_string(),
                    error,
                })?;
            }
            // The undo is done; a mark that cannot be written would only have it done again.
            if let Err(error) = self.mark(run, at, StepMark::Undone) {
                self.unrecorded(
                    format!("that a step was undone ({})", planned.step.step),
                    &error,
                );
            }
        }
        Ok(())
    }

    fn mark(&self, run: Run<'_>, at: usize, mark: StepMark) -> PortResult<()> {
        let Some(entry) = run.entry else {
            return Ok(());
        };
        match self.ports.journal.mark(entry, at, mark) {
            // It goes on also when the state's disk has become full.
            Err(error) if !run.operation.needs_record() => {
                self.unrecorded(format!("a step of the {}", run.operation.name()), &error);
                Ok(())
            }
            marked => marked,
        }
    }

    /// One step. A match and nothing else: behaviour belongs in the plan or in the ports.
    pub(crate) fn step(
        &self,
        step: &Step,
        operation: Option<&Operation>,
        cancellation: &Cancellation,
    ) -> Result<(), StepError> {
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
            Step::Revalidate { expectations } => self.revalidate(expectations)?,
            Step::MakeCopy {
                volume,
                local,
                size,
                metadata,
            } => {
                self.make_copy(volume, local, *size, *metadata)?;
            }
            Step::ZeroMetadata { volume, local } => self.zero_metadata(volume, local)?,
            Step::RemoveCopy {
                volume,
                local,
                unstaged,
            } => self.remove_copy(volume, local, *unstaged)?,
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
            Step::UnloadClone { volume } => {
                self.remove_device(clone_of(volume))?;
                self.remove_device(device(volume.id, DeviceRole::Metadata))?;
            }
            Step::AwaitHydration { volume } => {
                let granted = operation.and_then(|operation| operation.copy_of(volume.id));
                self.await_hydration(volume, granted, cancellation)?;
            }
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
                let id = DeviceId::attachment(volume.id, *instance);
                self.remove_device(id)
                    .map_err(|error| self.kept_open(id, *instance, error))?;
            }
            Step::Publish { pool, attachments } => {
                let puts = operation.map_or(&[][..], Operation::puts);
                let mut table = self.state.attachment_table();
                table.publish(pool, attachments, puts);
                drop(table);
                self.state.write_slot(pool)?;
            }
            Step::Withdraw { pool, attachments } => {
                self.state.attachment_table().withdraw(attachments);
                // Device and lease are gone; a slot that still shows them only makes others wait,
                // and is written again until it does not.
                if let Err(error) = self.state.write_slot(pool) {
                    self.ports.events.tell(&Event::Unseen {
                        pool: pool.clone(),
                        what: "that volumes are detached",
                        reason: error.to_string(),
                    });
                }
            }
            Step::AskSource {
                pool,
                volumes,
                instance,
                source,
                host_id,
                nonce,
            } => {
                let asking = Asking {
                    pool,
                    volumes,
                    instance: *instance,
                    source,
                    host_id: *host_id,
                    nonce: *nonce,
                };
                self.ask_source(asking, cancellation)?;
            }
            Step::AskNoMore { pool, attachments } => self.ask_no_more(pool, attachments),
            Step::Link { volume, instance } => {
                let id = DeviceId::attachment(volume.id, *instance);
                applied(step, devices.link(&link_path(volume, *instance), id)?);
            }
            Step::Unlink { volume, instance } => {
                applied(step, devices.unlink(&link_path(volume, *instance))?);
            }
            Step::MakeWriteBackMetadata {
                volume,
                local,
                size,
            } => self.make_return_metadata(volume, local, *size)?,
            Step::LoadWriteBack {
                volume,
                local,
                size,
                geometry,
            } => {
                self.load_return(volume, local, *size, *geometry)?;
            }
            Step::TurnClone {
                volume,
                local,
                size,
                geometry,
            } => self.turn_clone(volume, local, *size, *geometry)?,
            Step::StandAtHome { volume } => self.stand_at_home(volume)?,
            Step::Restack { volume, instance } => self.restack(volume, *instance)?,
            Step::AwaitWriteBack { volume } => self.await_return(volume)?,
            Step::UnloadWriteBack { volume } => {
                self.remove_device(return_of(volume))?;
                self.remove_device(device(volume.id, DeviceRole::ReturnMetadata))?;
            }
        }
        Ok(())
    }

    /// A device that somebody has just closed may still be open for a moment.
    pub(crate) fn remove_device(&self, id: DeviceId) -> PortResult<()> {
        self.patiently(|| self.ports.devices.remove(id)).map(drop)
    }

    /// Tries again for a while what is in use: whoever had it open may be about to close it.
    pub(super) fn patiently<T>(&self, what: impl Fn() -> PortResult<T>) -> PortResult<T> {
        let deadline = self.ports.clock.monotonic() + self.settings.busy_for;
        loop {
            match what() {
                Err(error) if error.is_busy() && self.ports.clock.monotonic() < deadline => {
                    self.ports.clock.sleep(BUSY_PAUSE);
                }
                said => return said,
            }
        }
    }
}

pub(crate) fn clone_of(volume: &VolumeRef) -> DeviceId {
    device(volume.id, DeviceRole::Clone)
}

pub(crate) fn return_of(volume: &VolumeRef) -> DeviceId {
    device(volume.id, DeviceRole::Return)
}

pub(super) fn device(volume: VolumeId, role: DeviceRole) -> DeviceId {
    DeviceId { volume, role }
}

pub(crate) fn link_path(volume: &VolumeRef, instance: InstanceId) -> LinkPath {
    LinkPath {
        instance,
        pool: volume.pool.clone(),
        volume: volume.name.clone(),
    }
}

fn applied(step: &Step, applied: Applied) {
    if applied == Applied::Identity {
        tracing::debug!(%step, "was so already");
    }
}
