//! Writing a copy back to the shared volume.

use volward_model::{PoolName, VolumeRef};
use volward_plan::home::write_back;
use volward_plan::{Refusal, Step, VolumeInput};

use super::Copies;
use super::coming_home::Went;
use crate::engine::{DueWriteBack, Run, StepError, StepFailure, UNASKED, return_of};
use crate::ports::{Event, Finish, JournalState, Operation};
use crate::state::{Cancellation, VolumeGuard, pause_after};

impl Copies {
    /// Starts write-backs in the background.
    pub(crate) fn start_write_backs(&self, due: impl IntoIterator<Item = DueWriteBack>) {
        for DueWriteBack { entry, volume } in due {
            self.watch(&volume, true, true);
            self.state.note_recorded(volume.id, entry.is_some());
            let Some(copies) = self.me.upgrade() else {
                return;
            };
            let work = Box::new(move || copies.write_back_until_done(entry, &volume));
            self.ports.tasks.spawn("write-back".into(), work);
        }
    }

    fn write_back_until_done(&self, entry: Option<u64>, volume: &VolumeRef) {
        let mut failures = 0;
        while !self.state.is_stopping() {
            let put_down = self.state.are_copies_put_down();
            let tried = match put_down {
                true => self.put_down_once(entry, volume),
                false => self.write_back_once(entry, volume),
            };
            match tried {
                Ok(Went::Over) => return,
                Ok(Went::On) => failures = 0,
                Ok(Went::Alone) => return self.hand_over(entry, volume),
                Err(StepFailure {
                    error: StepError::Stopping,
                    ..
                }) => {}
                Err(broken) => {
                    let trouble = broken.cause();
                    self.note_trouble(volume, true, &trouble);
                    failures += 1;
                    self.ports.clock.sleep(pause_after(failures));
                }
            }
        }
    }

    /// The write-back that follows from the detach has a record of its own.
    fn hand_over(&self, entry: Option<u64>, volume: &VolumeRef) {
        if let Err(error) = self.engine.end(entry, Finish::new(JournalState::Done)) {
            // Begun anew by the next start, it finds the other one, or the data at home.
            self.engine.unrecorded(
                format!("that {volume} is written back by another request"),
                &error,
            );
        }
    }

    /// Lets a write-back end where it is, for the node goes down: devices and lease go, its data and home stay as they
    /// are, and so does its entry, so the next start of the daemon plans it anew from there.
    fn put_down_once(&self, entry: Option<u64>, volume: &VolumeRef) -> Result<Went, StepFailure> {
        let guard = self.lock(volume)?;
        if !self.attachments_of(volume).is_empty() {
            drop(guard);
            // There is nothing to write back any more, and its entry ends; or it comes home under its guest.
            return self.write_back_once(entry, volume);
        }
        self.run_steps(volume, &self.unload(volume))?;
        self.state.forget(volume);
        drop(guard);
        let volume = volume.clone();
        self.ports.events.tell(&Event::WriteBackPutDown { volume });
        Ok(Went::Over)
    }

    /// Removes devices and LVs of a copy whose data is home; the caller has locked the volume.
    pub(crate) fn clear_away(&self, seen: &VolumeInput) -> Result<(), StepFailure> {
        let volume = &seen.info.volume;
        let steps = self
            .steps_from(seen, seen.here.is_empty())
            .map_err(|error| StepFailure {
                at: 0,
                what: format!("clearing the copy of {volume} away"),
                error,
            })?;
        self.ports.events.tell(&Event::ClearedAway {
            volume: volume.clone(),
        });
        self.run_steps(volume, &steps)
    }

    /// Runs steps of a write-back. No entry keeps them: none is marked.
    pub(super) fn run_steps(&self, volume: &VolumeRef, steps: &[Step]) -> Result<(), StepFailure> {
        let operation = Operation::WriteBack {
            volume: volume.clone(),
        };
        let run = Run {
            entry: None,
            operation: &operation,
        };
        let steps: Vec<&Step> = steps.iter().collect();
        self.engine
            .run(run, &steps, 0, &Cancellation::default(), UNASKED)
    }

    /// Plans from the home as it is, and runs that. A volume that was attached again while it
    /// was still `split` has its data in use: the write-back is over for now.
    fn write_back_once(&self, entry: Option<u64>, volume: &VolumeRef) -> Result<Went, StepFailure> {
        let guard = self.lock(volume)?;
        let coming = self.seen_coming_home(volume);
        if let Some(seen) = coming.map_err(|error| broken(volume, error))? {
            return self.come_home_once(entry, &seen, guard);
        }
        let attached = !self.attachments_of(volume).is_empty();
        let mut end = Finish::new(JournalState::Done);
        if !attached {
            let steps = self.write_back_steps(volume);
            match steps.map_err(|error| broken(volume, error))? {
                Some(steps) => self.run_steps(volume, &steps)?,
                None => end = self.let_go_of_removed(volume)?,
            }
        }
        let done = !attached && end.state == JournalState::Done;
        if let Some(entry) = entry
            && let Err(error) = self.engine.end(Some(entry), end)
        {
            // Begun anew by the next start, it finds the data at home.
            self.engine
                .unrecorded(format!("that {volume} is written back, for now"), &error);
        }
        self.state.forget(volume);
        drop(guard);
        if done {
            let volume = volume.clone();
            self.ports.events.tell(&Event::WriteBackDone { volume });
        }
        Ok(Went::Over)
    }

    fn lock(&self, volume: &VolumeRef) -> Result<VolumeGuard<'_>, StepFailure> {
        let wait = self.settings.lock_wait;
        let taken = self.state.volume_locks.take(&[volume.id], wait);
        taken.map_err(|_| {
            let why = format!("another request works on {volume}");
            broken(volume, StepError::Changed(why))
        })
    }

    /// `None`: the pool was read, and does not have the volume any more.
    fn write_back_steps(&self, volume: &VolumeRef) -> Result<Option<Vec<Step>>, StepError> {
        let snapshot = self.observer.snapshot(&volume.pool)?;
        let Some(info) = snapshot.info.volume(volume.id) else {
            return Ok(None);
        };
        let seen = self.observer.volume_input(&snapshot, info)?;
        self.steps_from(&seen, true).map(Some)
    }

    /// A volume that was removed takes nothing back. Its copy is kept, for it may have what is nowhere
    /// else; what holds the copy open goes, so that somebody can look at it or remove it.
    fn let_go_of_removed(&self, volume: &VolumeRef) -> Result<Finish, StepFailure> {
        let [first, second, release] = self.unload(volume);
        self.run_steps(volume, &[first, second])?;
        // LVM gave the lease up with the volume; one that is left by another way protects nothing.
        if let Err(failed) = self.run_steps(volume, &[release]) {
            self.ports.events.tell(&Event::Trouble {
                what: format!("giving up the lease of {volume}, which was removed"),
                reason: failed.cause(),
            });
        }
        let cause = format!(
            "{volume} (LV UUID {}) was removed before its copy was written back; the copy is kept in \
             this node's local pool, and `volward doctor` names it",
            volume.id.lv
        );
        self.ports.events.tell(&Event::CopyTrouble {
            volume: volume.clone(),
            returning: true,
            trouble: cause.clone(),
        });
        Ok(Finish {
            causes: vec![cause],
            ..Finish::new(JournalState::Quarantined)
        })
    }

    /// What takes a copy's devices away, and gives the volume's lease up.
    fn unload(&self, volume: &VolumeRef) -> [Step; 3] {
        let write_back = Step::UnloadWriteBack {
            volume: volume.clone(),
        };
        let clone = Step::UnloadClone {
            volume: volume.clone(),
        };
        let release = Step::Release {
            pool: volume.pool.clone(),
            volumes: vec![volume.clone()],
        };
        match self.ports.devices.get(return_of(volume)) {
            // What came home under its guest writes home by the clone itself.
            Ok(None) => [clone, write_back, release],
            _ => [write_back, clone, release],
        }
    }

    fn steps_from(&self, seen: &VolumeInput, release: bool) -> Result<Vec<Step>, StepError> {
        let local = self.local_pool(&seen.info.volume)?;
        write_back(&self.settings.node, local, seen, release).map_err(StepError::Refused)
    }

    pub(super) fn local_pool(&self, volume: &VolumeRef) -> Result<&PoolName, StepError> {
        let node = &self.settings.node;
        let none = || StepError::Refused(Refusal::no_local_pool(volume, node));
        self.settings.local.as_ref().ok_or_else(none)
    }
}

pub(super) fn broken(volume: &VolumeRef, error: StepError) -> StepFailure {
    StepFailure {
        at: 0,
        what: format!("writing {volume} back"),
        error,
    }
}
