//! A volume grows on the node that has it attached: only there are the devices of its guest. Whoever is asked has that
//! node do it, by an order in his slot; that node carries it out as an operation of its own under the same id, and
//! tells in its slot how it stands. Each looks at the volume himself: a word of another node takes no step.

use std::time::Duration;

use uuid::Uuid;
use volward_model::{
    Bytes, Course, End, GrowOrder, GrowReport, NodeName, PoolName, RequestId, Slot,
    VolumeOperation, VolumeTask,
};
use volward_plan::Refusal;
use volward_plan::input::ForeignAttachment;
use volward_plan::operate::who_is_told;

use super::look::Look;
use super::work::Went;
use super::{Operate, OperationRequest};
use crate::engine::StepError;
use crate::error::ControlError;
use crate::observe::Correspondence;
use crate::ports::Event;

/// That node looks at what it is told each second, and a hung disk of one pool keeps it from others' for as long as a
/// command may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at how it goes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An order to this node.
struct Told {
    order: GrowOrder,
    by: u64,
    node: NodeName,
}

impl Operate {
    /// (Whoever is asked) Has the node that has the volume do it, and waits. `None`: this node does it.
    pub(super) fn has_it_done(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<Option<Went>, StepError> {
        let (pool, id) = (operation.task.pool(), &operation.id);
        let holder = look.seen.as_ref();
        let holder = holder.and_then(|seen| who_is_told(&operation.task, seen));
        let given = self.state.orders().given(pool, id);
        let (VolumeTask::Extend { size, .. }, Some(holder)) = (&operation.task, holder) else {
            // Detached, or its node is dead: what it has begun has this operation's mark.
            self.withdraw(pool, operation)?;
            return Ok(None);
        };
        let seen = look.sight.volume.as_ref();
        let is_done = seen.is_some_and(|seen| seen.size >= *size && seen.mark.is_none());
        if is_done && given.is_none() {
            return Ok(None);
        }
        let now = self.ports.clock.monotonic();
        let order = GrowOrder {
            id: id.clone(),
            volume: holder.attachment.volume,
            size: *size,
            to: holder.host_id,
            back: matches!(operation.course, Course::Back(_)),
        };
        if self.state.orders().give(pool, order, now) {
            self.state.write_slot(pool)?;
        }
        let since = given.map_or(now, |given| given.since);
        let said = self.observer.correspondence(pool)?;
        let Some(report) = report_of(&said, holder, operation) else {
            return self
                .unanswered(operation, holder, now.saturating_sub(since))
                .map(Some);
        };
        if let Some(known) = self.state.operations().get_mut(id) {
            known.total = known.total.max(report.total);
        }
        match &report.end {
            None => {
                let zeroed = match report.total {
                    Bytes(0) => String::new(),
                    total => format!(": {} of {total} zeroed", report.zeroed),
                };
                let node = &holder.attachment.node;
                let what = format!("node {node}, where it is attached, grows it{zeroed}");
                self.state.operations().waits(id, what, now + LOOK_AGAIN);
                Ok(Some(Went::Out))
            }
            Some(end) => self.has_ended(operation, holder, end, is_done).map(Some),
        }
    }

    fn has_ended(
        &self,
        operation: &VolumeOperation,
        holder: &ForeignAttachment,
        end: &End,
        is_done: bool,
    ) -> Result<Went, StepError> {
        self.withdraw(operation.task.pool(), operation)?;
        match end {
            // Whoever says so is believed when it is seen.
            End::Done if is_done => self.end(operation, End::Done),
            End::Done => Ok(Went::On),
            End::Cancelled => self.end(operation, End::Cancelled),
            End::Failed { code, message } => {
                let (code, node) = (code.clone(), &holder.attachment.node);
                let message = format!("on node {node}, where it is attached: {message}");
                self.end(operation, End::Failed { code, message })
            }
        }
    }

    /// Nothing was heard for so long.
    fn unanswered(
        &self,
        operation: &VolumeOperation,
        holder: &ForeignAttachment,
        waited: Duration,
    ) -> Result<Went, StepError> {
        let node = &holder.attachment.node;
        if waited < ANSWERED_WITHIN {
            let what = format!("node {node}, where it is attached, is to grow it");
            let until = self.ports.clock.monotonic() + LOOK_AGAIN;
            self.state.operations().waits(&operation.id, what, until);
            return Ok(Went::Out);
        }
        self.withdraw(operation.task.pool(), operation)?;
        let end = match (&operation.course, &operation.volume) {
            (Course::Back(end), _) => end.clone(),
            (_, Some(volume)) => {
                let refusal = Refusal::order_unanswered(volume, node, ANSWERED_WITHIN.as_secs());
                End::Failed {
                    code: refusal.code.to_string(),
                    message: refusal.message,
                }
            }
            (_, None) => End::Cancelled,
        };
        self.end(operation, end)
    }

    fn withdraw(&self, pool: &PoolName, operation: &VolumeOperation) -> Result<(), StepError> {
        let stood = self.state.orders().withdraw(pool, &operation.id);
        if stood {
            self.state.write_slot(pool)?;
        }
        Ok(())
    }

    /// (Whoever has the volume) Does what others' slots say, and tells how it stands. To be called with each look at
    /// a pool of which this node has something attached.
    pub(crate) fn hear(&self, pool: &PoolName, said: &Correspondence) {
        let reports = told(said).into_iter();
        let reports: Vec<GrowReport> = reports.filter_map(|told| self.obey(pool, &told)).collect();
        let is_new = self.state.orders().report(pool, reports);
        if !is_new {
            return;
        }
        // What fails is written again by whoever tries again what failed.
        if let Err(error) = self.state.write_slot(pool) {
            let (pool, reason) = (pool.clone(), error.to_string());
            let what = "what becomes of an order";
            self.ports
                .events
                .tell(&Event::Unseen { pool, what, reason });
        }
    }

    /// `None`: not yet.
    fn obey(&self, pool: &PoolName, told: &Told) -> Option<GrowReport> {
        let order = &told.order;
        let ended = |end| GrowReport {
            id: order.id.clone(),
            to: told.by,
            zeroed: Bytes(0),
            total: Bytes(0),
            end: Some(end),
        };
        let failed = |code: &str, message: String| {
            let code = code.to_owned();
            ended(End::Failed { code, message })
        };
        if let Some(known) = self.operation(&order.id) {
            if !is_same(&known.operation, order) {
                let differs = Refusal::operation_differs(&order.id, &known.operation.task);
                return Some(failed(differs.code.as_str(), differs.message));
            }
            if order.back && known.operation.end().is_none() {
                let request = RequestId(Uuid::new_v4());
                if let Err(error) = self.cancel(request, &order.id) {
                    tracing::debug!(%error, id = %order.id, "taken back too late");
                }
            }
            return Some(GrowReport {
                zeroed: known.operation.zeroed,
                total: known.total,
                ..match known.operation.end() {
                    Some(end) => ended(end.clone()),
                    None => GrowReport {
                        end: None,
                        ..ended(End::Done)
                    },
                }
            });
        }
        // What was said once of it stays so while it stands: whoever gave it may have acted on that.
        let reported = self.state.orders();
        let reported = reported.reported(pool, told.by, &order.id).cloned();
        if reported.is_some() {
            return reported;
        }
        if order.back {
            return Some(ended(End::Cancelled));
        }
        match self.begin_told(pool, told) {
            Ok(()) => self.obey_again(told),
            Err(ControlError::Refused { refusal, .. }) => {
                Some(failed(refusal.code.as_str(), refusal.message))
            }
            Err(ControlError::NotFound(message)) => Some(failed("not-found", message)),
            // It may pass: the next look tries again, and whoever waits has a limit.
            Err(error) => {
                tracing::debug!(%error, id = %order.id, "an order is not begun yet");
                None
            }
        }
    }

    /// What was begun a moment ago.
    fn obey_again(&self, told: &Told) -> Option<GrowReport> {
        let known = self.operation(&told.order.id)?;
        Some(GrowReport {
            id: told.order.id.clone(),
            to: told.by,
            zeroed: known.operation.zeroed,
            total: known.total,
            end: known.operation.end().cloned(),
        })
    }

    fn begin_told(&self, pool: &PoolName, told: &Told) -> Result<(), ControlError> {
        let order = &told.order;
        let missing = || {
            ControlError::NotFound(format!(
                "the volume {} is not attached on this node",
                order.volume.lv
            ))
        };
        let name = {
            let table = self.state.attachment_table();
            let mut attached = table.of_volume(order.volume);
            attached.next().ok_or_else(missing)?.volume.name.clone()
        };
        let now = self.ports.volumes.validated_pool(pool);
        let now = now.ok().and_then(|info| {
            let found = info.volume(order.volume)?;
            Some(found.volume.name.clone())
        });
        tracing::info!(id = %order.id, by = %told.node, "a volume is to grow here");
        let asked = OperationRequest {
            request: RequestId(Uuid::new_v4()),
            uid: 0,
            id: order.id.clone(),
            task: VolumeTask::Extend {
                pool: pool.clone(),
                // The name it has now, where it can be read.
                name: now.unwrap_or(name),
                size: order.size,
            },
            dry_run: false,
        };
        self.ask(&asked).map(drop)
    }
}

fn is_same(operation: &VolumeOperation, order: &GrowOrder) -> bool {
    let grows = matches!(&operation.task, VolumeTask::Extend { size, .. } if *size == order.size);
    let of = operation.volume.as_ref();
    grows && of.is_some_and(|volume| volume.id == order.volume)
}

fn report_of(
    said: &Correspondence,
    holder: &ForeignAttachment,
    operation: &VolumeOperation,
) -> Option<GrowReport> {
    let mut slots = said.live_slots().filter(|slot| said.is_present(slot));
    let slot = slots.find(|slot| slot.host_id == holder.host_id)?;
    let mut reports = slot.messages.reports.iter();
    let ours = |report: &&GrowReport| report.to == said.own.host_id && report.id == operation.id;
    reports.find(ours).cloned()
}

fn told(said: &Correspondence) -> Vec<Told> {
    let of_slot = |slot: &Slot| {
        let (by, node) = (slot.host_id, slot.node.clone());
        let to_us = slot.messages.orders.iter();
        let to_us = to_us.filter(|order| order.to == said.own.host_id);
        let told = to_us.map(move |order| Told {
            order: order.clone(),
            by,
            node: node.clone(),
        });
        told.collect::<Vec<_>>()
    };
    let present = said.live_slots().filter(|slot| said.is_present(slot));
    present.flat_map(of_slot).collect()
}
