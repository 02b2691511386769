//! An operation is asked for: whether it may be begun, what would be done, and putting it on record.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use volward_model::{
    Course, DecisionRecord, End, NodeName, OperationId, PoolName, VolumeName, VolumeOperation,
    VolumeTask,
};
use volward_plan::Refusal;
use volward_plan::operate::{Sight, SourceSeen, Writer, dry_run, may_begin, may_hold, who_is_told};

use super::look::Look;
use super::{Decided, Operate, OperationAsked, OperationRequest, no_operation};
use crate::engine::StepError;
use crate::error::{ControlError, refuse, storage};
use crate::ports::{Event, PortError, PortResult};

/// An operation that may be begun.
pub(super) struct Prepared {
    pub(super) operation: VolumeOperation,
    pub(super) look: Look,
    /// The other node that does it.
    pub(super) told: Option<NodeName>,
    decision: Option<DecisionRecord>,
}

impl Operate {
    pub(super) fn consider(
        &self,
        asked: &OperationRequest,
        decided: Decided,
    ) -> Result<OperationAsked, ControlError> {
        if let Some(found) = self.found(asked)? {
            return Ok(found);
        }
        let prepared = self.prepare(asked, decided)?;
        if asked.dry_run {
            return self.tried(asked, &prepared);
        }
        let begun = self.begin_all(std::slice::from_ref(asked), None, vec![prepared])?;
        begun
            .into_iter()
            .next()
            .ok_or_else(|| ControlError::NotFound(no_operation(&asked.id)))
    }

    pub(super) fn prepare(
        &self,
        asked: &OperationRequest,
        decided: Decided,
    ) -> Result<Prepared, ControlError> {
        let doing = format!("looking at what is to be done ({})", asked.task);
        for pool in asked.task.pools() {
            self.observer.managed(pool)?;
        }
        self.leases_must_be_sound(asked)?;
        let operation = self.about(asked, &doing)?;
        self.must_have_a_watchdog(asked)?;
        let look = self
            .look(&operation)
            .map_err(|error| self.told(asked, &doing, error))?;
        let told = self
            .who_does_it(&operation, &look)
            .map_err(|error| storage(asked.request, &doing, error))?
            .cloned();
        let may = match told {
            Some(_) => self.may_be_told(&operation, &look),
            None => self.may(&operation, &look),
        };
        may.and_then(|()| self.must_not_be_cut_off(&look))
            .map_err(|refusal| refuse(asked.request, refusal))?;
        self.disk_must_have_room(asked, &look)?;
        let decision = match decided {
            Decided::Here => self.review(asked, &operation, &look)?,
            Decided::Elsewhere => None,
        };
        Ok(Prepared {
            operation,
            look,
            told,
            decision,
        })
    }

    /// What would be done.
    pub(super) fn tried(
        &self,
        asked: &OperationRequest,
        prepared: &Prepared,
    ) -> Result<OperationAsked, ControlError> {
        let Prepared {
            operation,
            look,
            told,
            ..
        } = prepared;
        if let Some(nothing) = operation.had_nothing_to_do() {
            return Ok(OperationAsked {
                operation: None,
                plan: vec![nothing],
            });
        }
        let wipe = self.settings.wipe(asked.task.pool());
        let sight = match told {
            Some(_) => seen_there(&look.sight),
            None => look.sight.clone(),
        };
        let (steps, _) =
            dry_run(operation, wipe, &sight).map_err(|refusal| refuse(asked.request, refusal))?;
        let told = told
            .as_ref()
            .map(|node| format!("have node {node}, where it is attached, do the rest"));
        let steps = steps.iter().map(ToString::to_string);
        Ok(OperationAsked {
            operation: None,
            plan: told.into_iter().chain(steps).collect(),
        })
    }

    /// The other node that is to do it, if this one cannot. Registries of 0.1.0's layout have no words for that.
    fn who_does_it<'a>(
        &self,
        operation: &VolumeOperation,
        look: &'a Look,
    ) -> PortResult<Option<&'a NodeName>> {
        let Some(other) = look
            .subject()
            .and_then(|seen| who_is_told(&operation.task, seen))
        else {
            return Ok(None);
        };
        let can_speak = self
            .observer
            .can_speak_of_migrations(operation.task.pool())?;
        Ok(can_speak.then_some(&other.attachment.node))
    }

    /// The operation, with the volumes that it is about as the pools list them now.
    fn about(
        &self,
        asked: &OperationRequest,
        doing: &str,
    ) -> Result<VolumeOperation, ControlError> {
        let failed = |error| storage(asked.request, doing, error);
        let refused = |refusal| refuse(asked.request, refusal);
        let (id, task) = (asked.id.clone(), asked.task.clone());
        let now_ms = self.ports.clock.now_ms();
        let mut operation = VolumeOperation::new(id, task, (asked.request, asked.uid), now_ms);
        let pool = self.ports.volumes.pool(asked.task.pool()).map_err(failed)?;
        let there = pool.named(asked.task.name());
        may_begin(&asked.id, &asked.task, &pool).map_err(refused)?;
        if let Some((from_pool, from)) = asked.task.source() {
            let other = match from_pool == asked.task.pool() {
                true => pool.clone(),
                false => self.ports.volumes.pool(from_pool).map_err(failed)?,
            };
            let source = other.named(from);
            let source =
                source.ok_or_else(|| ControlError::NotFound(no_volume(from_pool, from)))?;
            may_hold(&asked.task, source, &pool).map_err(refused)?;
            operation.source = Some(source.volume.clone());
            return Ok(operation);
        }
        match (&asked.task, there) {
            (VolumeTask::Delete { .. }, None) => operation.course = Course::Ended(End::Done),
            (
                VolumeTask::Extend { pool, name, .. } | VolumeTask::Rename { pool, name, .. },
                None,
            ) => {
                return Err(ControlError::NotFound(no_volume(pool, name)));
            }
            (task, Some(there)) if !task.makes() => operation.volume = Some(there.volume.clone()),
            _ => {}
        }
        Ok(operation)
    }

    /// The operation of that id, if it is the same.
    fn found(&self, asked: &OperationRequest) -> Result<Option<OperationAsked>, ControlError> {
        let book = self.state.operations();
        let Some(known) = book.get(&asked.id) else {
            return Ok(None);
        };
        if known.operation.task != asked.task {
            let differs = Refusal::operation_differs(&asked.id, &known.operation.task);
            return Err(refuse(asked.request, differs));
        }
        Ok(Some(OperationAsked {
            operation: Some(known.clone()),
            plan: Vec::new(),
        }))
    }

    /// Those that are on record already; all of a group, or nothing of it. `group`: what they are called together.
    pub(super) fn found_all(
        &self,
        asked: &[OperationRequest],
        group: Option<&OperationId>,
    ) -> Result<Option<Vec<OperationAsked>>, ControlError> {
        let mut found = Vec::new();
        for one in asked {
            found.extend(self.found(one)?);
        }
        let Some(group) = group else {
            return Ok((!found.is_empty()).then_some(found));
        };
        let of_group = self.state.operations().group(group);
        if found.is_empty() && of_group.is_empty() {
            return Ok(None);
        }
        // The same ones: none beside, and none that is of no group.
        let ids: BTreeSet<&OperationId> = asked.iter().map(|one| &one.id).collect();
        match (of_group.iter().collect::<BTreeSet<_>>() == ids, asked) {
            (false, [first, ..]) => Err(refuse(first.request, Refusal::group_differs(group))),
            _ => Ok(Some(found)),
        }
    }

    /// All of them, or none.
    pub(super) fn begin_all(
        &self,
        asked: &[OperationRequest],
        group: Option<&OperationId>,
        prepared: Vec<Prepared>,
    ) -> Result<Vec<OperationAsked>, ControlError> {
        let writer = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        // Two may have asked at once.
        if let Some(found) = self.found_all(asked, group)? {
            return Ok(found);
        }
        let mut begun = Vec::new();
        for (one, prepared) in asked.iter().zip(prepared) {
            let book = self.state.operations();
            if let Some(other) = book.open_like(&prepared.operation) {
                let open = Refusal::operation_open(&one.task, other);
                return Err(refuse(one.request, open));
            }
            drop(book);
            begun.push((prepared.operation, prepared.decision));
        }
        self.put_on_record(&begun)?;
        let mut book = self.state.operations();
        for (operation, _) in &begun {
            book.put(operation.clone());
        }
        let known: Vec<OperationAsked> = asked
            .iter()
            .map(|one| OperationAsked {
                operation: book.get(&one.id).cloned(),
                plan: Vec::new(),
            })
            .collect();
        drop(book);
        drop(writer);
        for (operation, _) in begun {
            self.ports.events.tell(&Event::OperationBegun { operation });
        }
        self.wake();
        Ok(known)
    }

    fn told(&self, asked: &OperationRequest, doing: &str, error: StepError) -> ControlError {
        match error {
            StepError::Held(refusal) | StepError::Refused(refusal) => {
                refuse(asked.request, refusal)
            }
            StepError::Port(error) => storage(asked.request, doing, error),
            other => storage(
                asked.request,
                doing,
                PortError::Busy {
                    what: other.cause("it"),
                },
            ),
        }
    }
}

fn no_volume(pool: &PoolName, name: &VolumeName) -> String {
    format!("there is no volume {pool}/{name}; `volward pool ls` shows what there is")
}

/// As the node that has the volume attached sees it.
fn seen_there(sight: &Sight) -> Sight {
    let writer = Some(Writer::Apart);
    Sight {
        attached: true,
        source: sight
            .source
            .clone()
            .map(|source| SourceSeen { writer, ..source }),
        ..sight.clone()
    }
}
