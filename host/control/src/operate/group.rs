//! Snapshots that hold the same moment: each is an operation like any other, and they are asked for, split off and taken back
//! together.
//!
//! The first of a group by its id splits all of them off, once every copy is equal to what its guest writes to. On record that is
//! done at once for all, which is their commit point: a crash before it leaves mirrors, or guests that write to their volumes
//! alone, and each copy is made anew.

use uuid::Uuid;
use volward_model::{
    Bytes, Course, End, OperationId, Origin, RequestId, VolumeOperation, VolumeTask,
};
use volward_plan::Refusal;
use volward_plan::operate::{Writer, may_be_of_group, may_hold_all};

use super::begin::Prepared;
use super::look::Look;
use super::{Decided, Operate, OperationAsked, OperationRequest};
use crate::engine::StepError;
use crate::error::{ControlError, refuse, storage};
use crate::ports::{PortError, Split, SplitAt};
use crate::state::{Operated, VolumeGuard};

/// Snapshots of one moment that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRequest {
    /// For the log; the first snapshot's.
    pub request: RequestId,
    /// Who asks, derived from the socket's peer credentials.
    pub origin: Origin,
    /// The caller's user id, from there too.
    pub uid: u32,
    /// What the caller says beside them, for policies.
    pub hints: Vec<(String, String)>,
    /// What the caller calls all of them.
    pub id: OperationId,
    /// Each of them, a snapshot, with an id of its own ([`OperationId::member`]).
    pub members: Vec<(OperationId, VolumeTask)>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// One that is to be split off.
struct Ready {
    id: OperationId,
    task: VolumeTask,
    split: Split,
    content: Bytes,
}

impl Operate {
    /// Begins all of them, or finds those of that id. If one of them is refused none is begun.
    ///
    /// # Errors
    /// As of one operation.
    pub(crate) fn ask_group(
        &self,
        asked: &GroupRequest,
    ) -> Result<Vec<OperationAsked>, ControlError> {
        self.consider_group(asked, Decided::Here)
    }

    pub(super) fn consider_group(
        &self,
        asked: &GroupRequest,
        decided: Decided,
    ) -> Result<Vec<OperationAsked>, ControlError> {
        let members = members(asked);
        if let Some(found) = self.found_all(&members, Some(&asked.id))? {
            return Ok(found);
        }
        named_once(asked)?;
        let mut prepared = Vec::new();
        for member in &members {
            prepared.push(self.prepare_member(member, &asked.id, decided)?);
        }
        in_one_place(&members, &prepared)?;
        self.must_have_room(asked, &prepared)?;
        if asked.dry_run {
            let plans = members.iter().zip(&prepared);
            return plans.map(|(member, one)| self.tried(member, one)).collect();
        }
        self.begin_all(&members, Some(&asked.id), prepared)
    }

    fn prepare_member(
        &self,
        member: &OperationRequest,
        group: &OperationId,
        decided: Decided,
    ) -> Result<Prepared, ControlError> {
        let mut prepared = self.prepare(member, decided)?;
        // Who is told looks himself.
        if let (Some(source), None) = (&prepared.look.source, &prepared.told) {
            may_be_of_group(&member.task, source)
                .map_err(|refusal| refuse(member.request, refusal))?;
        }
        prepared.operation.group = Some(group.clone());
        Ok(prepared)
    }

    fn must_have_room(
        &self,
        asked: &GroupRequest,
        prepared: &[Prepared],
    ) -> Result<(), ControlError> {
        let sizes = prepared.iter().filter_map(|one| {
            let source = one.look.source.as_ref()?;
            Some((&one.operation.task, source.info.size))
        });
        let sizes: Vec<(&VolumeTask, Bytes)> = sizes.collect();
        let tasks = asked.members.iter().map(|(_, task)| task);
        let mut pools: Vec<_> = tasks.map(VolumeTask::pool).collect();
        pools.sort();
        pools.dedup();
        for pool in pools {
            let info = self.ports.volumes.pool(pool).map_err(|error| {
                storage(
                    asked.request,
                    "looking at what the pool has room for",
                    error,
                )
            })?;
            may_hold_all(&sizes, &info).map_err(|refusal| refuse(asked.request, refusal))?;
        }
        Ok(())
    }

    /// The other operations of its group.
    fn others(&self, id: &OperationId) -> Vec<Operated> {
        let book = self.state.operations();
        let mut all = book.with_group(id);
        all.retain(|one| one != id);
        all.iter()
            .filter_map(|one| book.get(one).cloned())
            .collect()
    }

    /// What ends one of a group before its moment ends the others: how, if one of them is ended.
    pub(super) fn ended_with_another(&self, operation: &VolumeOperation) -> Option<End> {
        let group = operation.group.as_ref()?;
        if operation.has_moment() || operation.course != Course::Forward {
            return None;
        }
        let others = self.others(&operation.id);
        let why = format!("all of {group} or none");
        let mut ends = others.iter().filter_map(|other| {
            let task = &other.operation.task;
            match &other.operation.course {
                Course::Forward | Course::Ended(End::Done) => None,
                Course::Back(End::Failed { code, message })
                | Course::Ended(End::Failed { code, message }) => Some(End::Failed {
                    code: code.clone(),
                    message: match message.starts_with(&why) {
                        // Ended with another one itself.
                        true => message.clone(),
                        false => format!("{why}, and this fails: {task}: {message}"),
                    },
                }),
                Course::Back(_) | Course::Ended(End::Cancelled) => Some(End::Cancelled),
            }
        });
        ends.next()
    }

    /// Whether it is the one that splits all of its group off, and all of them can be.
    pub(super) fn splits_all(&self, operation: &VolumeOperation) -> Result<bool, StepError> {
        let others = self.others(&operation.id);
        if others.iter().any(|other| other.operation.id < operation.id) {
            return Ok(false);
        }
        for other in &others {
            let look = self.look(&other.operation)?;
            if !is_equal(&look) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The turns of the others of its group, for the one that splits all off; or a sentence on who has one.
    pub(super) fn turns_of_others(
        &self,
        operation: &VolumeOperation,
    ) -> Result<Vec<VolumeGuard<'_>>, String> {
        let mut turns = Vec::new();
        // Who works on one of them has its turn for one look, and waits for no other's meanwhile.
        for other in self.others(&operation.id) {
            turns.extend(self.turn(&other.operation)?);
        }
        Ok(turns)
    }

    /// Under their turns: every guest of the group writes to its volume alone from one moment on, and what the copies hold of
    /// that moment is on record.
    pub(super) fn split_all(&self, id: &OperationId) -> Result<(), StepError> {
        let others = self.others(id);
        let mut ready = Vec::new();
        let all = others.into_iter().map(|other| other.operation);
        for operation in self
            .operation(id)
            .map(|known| known.operation)
            .into_iter()
            .chain(all)
        {
            let look = self.look(&operation)?;
            self.may(&operation, &look).map_err(StepError::Refused)?;
            let source = look.source.as_ref().ok_or_else(|| PortError::Missing {
                what: operation.task.to_string(),
            })?;
            self.held_copy(source, &look)?;
            ready.push(Ready {
                id: operation.id.clone(),
                task: operation.task.clone(),
                split: self.split_of(&source.info)?,
                content: source.info.size,
            });
        }
        let splits: Vec<Split> = ready.iter().map(|one| one.split.clone()).collect();
        match self.ports.devices.split(&splits)? {
            SplitAt::Done => self.note_moment(&ready),
            SplitAt::Kept(seen) => {
                let failed = ready.iter().zip(seen).find(|(_, status)| !status.sound);
                Err(match failed {
                    Some((one, _)) => StepError::Refused(Refusal::copy_broken(&one.task)),
                    None => StepError::Port(PortError::NotInEffect {
                        what: "copies under a guest".to_owned(),
                        expected: "equal to its disks, as they were".to_owned(),
                        found: "not equal any more".to_owned(),
                    }),
                })
            }
        }
    }

    /// For all of them at once: from here on none is taken back.
    fn note_moment(&self, ready: &[Ready]) -> Result<(), StepError> {
        let now_ms = self.ports.clock.now_ms();
        let mut noted = Vec::new();
        {
            let mut book = self.state.operations();
            let forward = |one: &Ready| {
                let known = book.get(&one.id);
                known.is_some_and(|known| known.operation.course == Course::Forward)
            };
            if !ready.iter().all(forward) {
                // Somebody has cancelled one meanwhile, and with it all.
                return Err(StepError::Cancelled);
            }
            for one in ready {
                if let Some(known) = book.get_mut(&one.id) {
                    known.operation.zeroed = one.content;
                    known.operation.changed_ms = now_ms;
                    noted.push(known.operation.clone());
                }
            }
        }
        let put = self.ports.operations.put_all(&noted);
        if put.is_err() {
            // Nobody may act on what a crash would take back.
            let mut book = self.state.operations();
            for one in ready {
                if let Some(known) = book.get_mut(&one.id) {
                    known.operation.zeroed = Bytes(0);
                }
            }
        }
        Ok(put?)
    }
}

/// A moment is of one node: all of them are done here, or by one other node, which finds their orders in one slot.
fn in_one_place(members: &[OperationRequest], prepared: &[Prepared]) -> Result<(), ControlError> {
    let places = members.iter().zip(prepared);
    let places = places.map(|(member, one)| {
        let pool = one.told.as_ref().map(|_| member.task.pool());
        (one.told.as_ref(), pool)
    });
    let mut places: Vec<_> = places.collect();
    places.dedup();
    let elsewhere = places.iter().filter_map(|(told, _)| *told).next();
    match (members.first(), elsewhere, places.len()) {
        (Some(first), Some(node), 2..) => Err(refuse(
            first.request,
            Refusal::moment_of_many(&first.task, node),
        )),
        _ => Ok(()),
    }
}

/// Its copy is written under a lease, and holds what the guest has written.
fn is_equal(look: &Look) -> bool {
    let source = look.sight.source.as_ref();
    let equal = source.and_then(|seen| seen.writer).is_some_and(|writer| {
        // Who is not the first sees itself waited for.
        matches!(writer, Writer::Equal | Writer::Awaited)
    });
    equal && look.sight.works
}

/// An operation each.
fn members(asked: &GroupRequest) -> Vec<OperationRequest> {
    let each = asked.members.iter().enumerate();
    each.map(|(n, (id, task))| OperationRequest {
        request: match n {
            0 => asked.request,
            _ => RequestId(Uuid::new_v4()),
        },
        origin: asked.origin.clone(),
        uid: asked.uid,
        hints: asked.hints.clone(),
        id: id.clone(),
        task: task.clone(),
        dry_run: asked.dry_run,
    })
    .collect()
}

/// Each volume once, and each new name once.
fn named_once(asked: &GroupRequest) -> Result<(), ControlError> {
    let tasks = asked.members.iter().map(|(_, task)| task);
    let mut names: Vec<_> = tasks.flat_map(VolumeTask::names).collect();
    names.sort();
    let twice = names.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    });
    match twice {
        Some((pool, name)) => Err(refuse(asked.request, Refusal::named_twice(pool, name))),
        None => Ok(()),
    }
}
