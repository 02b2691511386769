//! Bringing a copy home while its guest runs on.

use std::time::Duration;

use volward_model::{HomeState, PoolName, RequestId, VolumeName, VolumeRef};
use volward_plan::home::{ComingHome, come_home};
use volward_plan::{VolumeInput, home_of};

use super::Copies;
use super::write_back::broken;
use crate::engine::{DueWriteBack, StepError, StepFailure};
use crate::error::{ControlError, refuse};
use crate::ports::{Event, Finish, JournalState, Operation, StoredAttachment};
use crate::state::VolumeGuard;

/// Between two looks, while the node goes down, at whether the guest is gone.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// It is over.
    Over,
    /// It goes on: what comes next is planned anew.
    On,
    /// Its guest is gone, and the detach has the copy written back.
    Alone,
}

impl Copies {
    /// Begins to bring a volume's copy home, under the guest that has it; what follows goes on in the background. `false`:
    /// it is at home, or on its way. With `dry_run` nothing is begun, and the first steps are answered.
    ///
    /// # Errors
    /// If nobody has it here, it is not hydrated whole, or what is known of it contradicts itself; nothing is changed
    /// then. If it cannot be put on record.
    pub(crate) fn bring_home(
        &self,
        request: RequestId,
        (pool, name): (&PoolName, &VolumeName),
        dry_run: bool,
    ) -> Result<(bool, Vec<String>), ControlError> {
        let doing = format!("bringing the copy of {pool}/{name} home");
        let alone = self.observer.alone(request, pool, name, &doing)?;
        let volume = &alone.info.volume;
        let steps = match self.coming_home(&alone.seen) {
            Ok(ComingHome::Begins(steps)) => steps,
            Ok(ComingHome::IsHome | ComingHome::OnTheWay { .. }) => return Ok((false, Vec::new())),
            Err(StepError::Refused(refusal)) => return Err(refuse(request, refusal)),
            Err(error) => return Err(unfinished(&broken(volume, error))),
        };
        if dry_run {
            return Ok((true, steps.iter().map(ToString::to_string).collect()));
        }
        let operation = Operation::WriteBack {
            volume: volume.clone(),
        };
        let entry = self.engine.new_entry(request, operation);
        let begun = self.engine.begin(&entry);
        let begun = begun.map_err(|error| ControlError::State { error })?;
        if begun.number.is_none() {
            // Told already. Without a record nobody would know, after a crash, what the witnesses are about to say.
            let what = "way home".to_owned();
            let cause = "the state under /var/lib/volward cannot be written".to_owned();
            return Err(ControlError::Unfinished { what, cause });
        }
        let ran = self.run_steps(volume, &steps);
        if let Err(failure) = &ran
            && self.has_not_left(volume)
        {
            let end = Finish {
                causes: vec![failure.cause()],
                ..Finish::new(JournalState::Undone)
            };
            // Begun anew by the next start, it finds the home as it was.
            self.record(volume, begun.number, end)
                .map_err(|failed| unfinished(&failed))?;
            return Err(unfinished(failure));
        }
        let due = DueWriteBack {
            entry: begun.number,
            volume: volume.clone(),
        };
        drop(alone);
        self.start_write_backs([due]);
        match ran {
            Ok(()) => Ok((true, Vec::new())),
            Err(failure) => Err(unfinished(&failure)),
        }
    }

    /// Whether the home is what it was before; nobody knows where it cannot be read.
    fn has_not_left(&self, volume: &VolumeRef) -> bool {
        let home = self.engine.home_of(volume);
        home.is_ok_and(|home| matches!(home.state, HomeState::Split { .. }))
    }

    /// What there is to be done, by the home as it is found.
    fn coming_home(&self, seen: &VolumeInput) -> Result<ComingHome, StepError> {
        let node = &self.settings.node;
        let local = self.local_pool(&seen.info.volume)?;
        come_home(node, local, seen).map_err(StepError::Refused)
    }

    /// Whether somebody has the volume while its copy comes home: else it is written back as ever, or over for now.
    pub(super) fn seen_coming_home(
        &self,
        volume: &VolumeRef,
    ) -> Result<Option<VolumeInput>, StepError> {
        if self.attachments_of(volume).is_empty() {
            return Ok(None);
        }
        let snapshot = self.observer.snapshot(&volume.pool)?;
        let Some(info) = snapshot.info.volume(volume.id) else {
            return Ok(None);
        };
        let seen = self.observer.volume_input(&snapshot, info)?;
        let home = home_of(info).map_err(StepError::Refused)?;
        let comes_home = match home.state {
            HomeState::Returning { node, .. } => node == self.settings.node,
            HomeState::Pool => !matches!(self.coming_home(&seen), Ok(ComingHome::IsHome)),
            HomeState::Split { .. } | HomeState::Node { .. } => false,
        };
        Ok(comes_home.then_some(seen))
    }

    /// One stretch of the way. The volume's lock is free while the data goes home: its guest may detach it.
    pub(super) fn come_home_once(
        &self,
        entry: Option<u64>,
        seen: &VolumeInput,
        guard: VolumeGuard<'_>,
    ) -> Result<Went, StepFailure> {
        let volume = &seen.info.volume;
        let coming = self.coming_home(seen);
        let (turn, arrive, clear) = match coming.map_err(|error| broken(volume, error))? {
            ComingHome::OnTheWay {
                turn,
                arrive,
                clear,
            } => (turn, arrive, clear),
            ComingHome::IsHome | ComingHome::Begins(_) => return Ok(Went::Over),
        };
        if !turn.is_empty() {
            self.run_steps(volume, &turn)?;
            // One look.
            let is_home = self.engine.await_home(volume, || true);
            if !is_home.map_err(|error| broken(volume, error))? {
                drop(guard);
                return self.wait_on_the_way(volume);
            }
        }
        self.run_steps(volume, &arrive)?;
        let attachments = self.without_copies(volume);
        let arrived = Finish {
            put: attachments.clone(),
            ..Finish::new(JournalState::Done)
        };
        // Before the copy goes: what is on record says that there is one.
        self.record(volume, None, arrived)?;
        self.state.attachment_table().put(attachments);
        self.run_steps(volume, &clear)?;
        self.record(volume, entry, Finish::new(JournalState::Done))?;
        self.state.forget(volume);
        drop(guard);
        let volume = volume.clone();
        self.ports.events.tell(&Event::WriteBackDone { volume });
        Ok(Went::Over)
    }

    fn record(
        &self,
        volume: &VolumeRef,
        entry: Option<u64>,
        end: Finish,
    ) -> Result<(), StepFailure> {
        let recorded = self.engine.end(entry, end);
        recorded.map(drop).map_err(|error| StepFailure {
            at: 0,
            what: format!("recording that the copy of {volume} is home"),
            error: StepError::Port(error),
        })
    }

    /// Until all is there, nobody has it any more, or the daemon is to end.
    fn wait_on_the_way(&self, volume: &VolumeRef) -> Result<Went, StepFailure> {
        let is_over = || {
            let stops = self.state.is_stopping() || self.state.are_copies_put_down();
            stops || self.attachments_of(volume).is_empty()
        };
        let waited = self.engine.await_home(volume, is_over);
        waited.map_err(|error| broken(volume, error))?;
        if self.attachments_of(volume).is_empty() {
            return Ok(Went::Alone);
        }
        if self.state.are_copies_put_down() {
            // The node goes down, and its guest is still there: nothing is taken from under it.
            self.ports.clock.sleep(PAUSE);
        }
        Ok(Went::On)
    }

    pub(super) fn attachments_of(&self, volume: &VolumeRef) -> Vec<StoredAttachment> {
        let table = self.state.attachment_table();
        table.of_volume(volume.id).cloned().collect()
    }

    /// The volume's attachments as they are once the data is home.
    fn without_copies(&self, volume: &VolumeRef) -> Vec<StoredAttachment> {
        let attached = self.attachments_of(volume).into_iter();
        attached
            .map(|attachment| StoredAttachment {
                copy: None,
                ..attachment
            })
            .collect()
    }
}

fn unfinished(failure: &StepFailure) -> ControlError {
    ControlError::Unfinished {
        what: "way home".to_owned(),
        cause: failure.cause(),
    }
}
