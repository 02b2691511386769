//! Carrying operations out: some of each pool at once, in the background, from whatever they have come to.

use volward_model::{Bytes, Course, End, OperationId, PoolName, VolumeOperation};
use volward_plan::operate::{Next, OperationStep, is_committed, next, to_write};

use super::Operate;
use super::home::until_home;
use super::look::{Look, is_unclaimed};
use crate::engine::StepError;
use crate::ports::{Event, PortError};
use crate::state::VolumeGuard;

/// Before its commit point an operation that failed so often in a row is taken back: whoever asked for it
/// hears of it, and may ask again. With the pauses between, some ten seconds.
const FAILURES: u32 = 3;

/// What became of one step.
pub(super) enum Went {
    /// There is another one.
    On,
    /// The operation has ended, or is tried again later.
    Out,
}

/// What a worker has from one step to the next.
#[derive(Default)]
struct Run<'a> {
    /// The volume's turn, until it has the operation's mark.
    turn: Option<VolumeGuard<'a>>,
    /// The step before, where it was done.
    last: Option<OperationStep>,
}

/// A place among those at work; given back also when the worker breaks off.
struct Place<'a> {
    operate: &'a Operate,
    id: OperationId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.operate.state.operations().leave(&self.id);
    }
}

impl Operate {
    /// Starts a worker for each pool that has work and room for one. To be called again and again: what is
    /// to be tried later is found so.
    pub(crate) fn wake(&self) {
        if self.state.is_stopping() {
            return;
        }
        let pools = self.state.operations().pools();
        for pool in pools {
            while let Some(id) = self.take(&pool) {
                let Some(operate) = self.me.upgrade() else {
                    return;
                };
                let first = (pool.clone(), id);
                let work = Box::new(move || operate.work(first));
                self.ports.tasks.spawn("operation".into(), work);
            }
        }
    }

    fn take(&self, pool: &PoolName) -> Option<OperationId> {
        let now = self.ports.clock.monotonic();
        self.state.operations().take_due(pool, now)
    }

    /// Works on one operation after another, until none of the pool is due.
    fn work(&self, (pool, first): (PoolName, OperationId)) {
        let mut id = Some(first);
        while let Some(one) = id {
            let place = Place {
                operate: self,
                id: one.clone(),
            };
            self.carry_out(&one);
            drop(place);
            if self.state.is_stopping() {
                return;
            }
            id = self.take(&pool);
        }
    }

    /// Goes on with an operation until it ends, fails for now, or the daemon stops. Until the volume has the
    /// operation's mark, its turn is kept from one step to the next.
    fn carry_out(&self, id: &OperationId) {
        let mut run = Run::default();
        while !self.state.is_stopping() {
            let Some(known) = self.operation(id) else {
                return;
            };
            match self.advance(&known.operation, &mut run) {
                Ok(Went::On) => self.state.operations().got_on(id),
                Ok(Went::Out) => return,
                Err(error) => {
                    run.last = None;
                    if let Went::Out = self.failed(&known.operation, &error) {
                        return;
                    }
                }
            }
        }
    }

    fn advance<'a>(
        &'a self,
        operation: &VolumeOperation,
        run: &mut Run<'a>,
    ) -> Result<Went, StepError> {
        let pools = operation.task.pools();
        if let Some(older) = pools
            .into_iter()
            .find_map(|pool| self.state.older_refusal(pool))
        {
            return Ok(self.waits(&operation.id, older.message));
        }
        if run.turn.is_none() {
            match self.turn(operation) {
                Ok(turn) => run.turn = turn,
                // It may take long, and is no failure of this one.
                Err(held) => return Ok(self.waits(&operation.id, held)),
            }
        }
        // Whoever had the turn before may have brought it on: another one of its group, say.
        let known = self.operation(&operation.id).map(|known| known.operation);
        let operation = known.as_ref().unwrap_or(operation);
        if let Some(end) = self.ended_with_another(operation) {
            self.turn_to(&operation.id, Course::Back(end))?;
            return Ok(Went::On);
        }
        let look = self.look(operation)?;
        if let Some(went) = self.has_it_done(operation, &look)? {
            return Ok(went);
        }
        if let (true, Some(info)) = (is_unclaimed(operation, &look), &look.info) {
            self.claim(&operation.id, &info.volume)?;
            return Ok(Went::On);
        }
        self.note_sight(operation, &look);
        let wipe = self.settings.wipe(operation.task.pool());
        let step = match next(operation, wipe, &look.sight).map_err(StepError::Refused)? {
            Next::End(end) => return self.end(operation, end),
            Next::Do(OperationStep::AwaitMirror) => return self.await_mirror(operation, &look),
            Next::Do(OperationStep::AwaitRelocation) => {
                return self.await_relocation(operation, &look);
            }
            Next::Do(step @ (OperationStep::AwaitWhole | OperationStep::AwaitHome)) => {
                return Ok(self.waits(&operation.id, until_home(&step).to_owned()));
            }
            Next::Do(step) => step,
        };
        // Done a moment ago, and not seen: a mend of its cause is waited for, and not the next look.
        if run.last.as_ref() == Some(&step) {
            return Err(StepError::Port(PortError::NotInEffect {
                what: format!("{}: {step}", operation.task),
                expected: "to be seen".to_owned(),
                found: "the volume as it was".to_owned(),
            }));
        }
        let turns = match &step {
            OperationStep::Split { .. } => self.turns_of_others(operation),
            _ => Ok(Vec::new()),
        };
        let turns = match turns {
            Ok(turns) => turns,
            Err(held) => return Ok(self.waits(&operation.id, held)),
        };
        self.ports
            .fault_points
            .at(&point(operation, &step, "before"));
        if step == OperationStep::BringHome {
            // It takes the volume's turn itself.
            run.turn = None;
        }
        self.act(operation, &step, &look)?;
        drop(turns);
        self.ports
            .fault_points
            .at(&point(operation, &step, "after"));
        if !is_leased_for_a_mark(&step, &look) {
            run.turn = None;
        }
        run.last = Some(step);
        Ok(Went::On)
    }

    /// The turn of the volumes that it is known to be about, or a sentence on who has it.
    pub(super) fn turn(
        &self,
        operation: &VolumeOperation,
    ) -> Result<Option<VolumeGuard<'_>>, String> {
        let wanted: Vec<_> = operation.volumes().map(|volume| volume.id).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let taken = self
            .state
            .volume_locks
            .take(&wanted, self.settings.lock_wait);
        let taken = taken.map_err(|taken| {
            let volume = operation.volumes().find(|volume| volume.id == taken);
            let name = volume.map_or_else(|| operation.task.to_string(), ToString::to_string);
            format!("another request on {name} has not ended")
        });
        taken.map(Some)
    }

    /// What there is to be copied and zeroed in all, of what is seen.
    pub(super) fn total(&self, operation: &VolumeOperation, look: &Look) -> Bytes {
        to_write(
            operation,
            self.settings.wipe(operation.task.pool()),
            &look.sight,
        )
    }

    fn note_sight(&self, operation: &VolumeOperation, look: &Look) {
        let total = self.total(operation, look);
        let committed = is_committed(operation, &look.sight);
        if let Some(known) = self.state.operations().get_mut(&operation.id) {
            known.total = known.total.max(total);
            known.committed |= committed;
        }
    }

    pub(super) fn end(&self, operation: &VolumeOperation, end: End) -> Result<Went, StepError> {
        self.turn_to(&operation.id, Course::Ended(end))?;
        self.state.operations().got_on(&operation.id);
        let now_ms = self.ports.clock.now_ms();
        let gone = self.state.operations().prune(now_ms);
        if !gone.is_empty()
            && let Err(error) = self.ports.operations.forget(&gone)
        {
            tracing::debug!(%error, "old operations stay on record");
        }
        if let Some(ended) = self.operation(&operation.id) {
            self.ports.events.tell(&Event::OperationEnded {
                operation: ended.operation,
            });
        }
        Ok(Went::Out)
    }

    /// Changes where it is going, on record first: nobody is told what a crash would take back. What somebody has had taken back
    /// meanwhile is not turned back anew.
    fn turn_to(&self, id: &OperationId, course: Course) -> Result<(), StepError> {
        let writer = self.records.lock();
        let writer = writer.unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(known) = self.operation(id) else {
            return Ok(());
        };
        if let (Course::Back(_), Course::Back(_)) = (&known.operation.course, &course) {
            return Ok(());
        }
        let turned = VolumeOperation {
            course,
            changed_ms: self.ports.clock.now_ms(),
            ..known.operation
        };
        self.ports.operations.put(&turned)?;
        self.state.operations().put(turned);
        drop(writer);
        Ok(())
    }

    /// A refusal, or too many failures, before the commit point: it is taken back. Else it is tried again.
    fn failed(&self, operation: &VolumeOperation, error: &StepError) -> Went {
        let id = &operation.id;
        let (code, message) = match error {
            StepError::Refused(refusal) | StepError::Held(refusal) => {
                (refusal.code.as_str(), refusal.message.clone())
            }
            StepError::Port(error) => ("storage", error.to_string()),
            StepError::Stopping | StepError::Cancelled => return Went::Out,
            StepError::Changed(why) | StepError::Contended(why) => ("keeps-changing", why.clone()),
        };
        let now = self.ports.clock.monotonic();
        let failures = self.state.operations().failed(id, message.clone(), now);
        let committed = self.operation(id).is_some_and(|known| known.committed);
        let for_good = failures >= FAILURES || error.needs_a_person();
        if operation.course == Course::Forward && !committed && for_good {
            let code = code.to_owned();
            let end = End::Failed { code, message };
            if self.turn_to(id, Course::Back(end)).is_ok() {
                self.state.operations().got_on(id);
                return Went::On;
            }
        }
        self.ports.events.tell(&Event::OperationTrouble {
            operation: operation.clone(),
            failures,
            trouble: error.cause(&operation.task.to_string()),
        });
        Went::Out
    }
}

/// From its mark on nobody else can have begun anything with a volume; until then its turn is kept.
fn is_leased_for_a_mark(step: &OperationStep, look: &Look) -> bool {
    let mark = match step {
        OperationStep::Lease => look.sight.volume.as_ref().map(|seen| &seen.mark),
        OperationStep::LeaseSource { .. } => look.sight.source.as_ref().map(|seen| &seen.mark),
        _ => None,
    };
    mark.is_some_and(Option::is_none)
}

fn point(operation: &VolumeOperation, step: &OperationStep, when: &str) -> String {
    format!("{}/{}/{when}", operation.task.word(), step.name())
}
