//! A volume grows on the node that has it attached: only there are the devices of its guest. Whoever is asked has that
//! node do it, by an order in his slot; that node carries it out as an operation of its own under the same id, and
//! tells in its slot how it stands. Each looks at the volume himself: a word of another node takes no step.

use std::time::Duration;

use uuid::Uuid;
use volward_model::{
    Bytes, Course, End, GrowOrder, GrowReport, NodeName, OperationId, Origin, PoolName, RequestId,
    Slot, VolumeOperation, VolumeTask,
};
use volward_plan::Refusal;
use volward_plan::input::ForeignAttachment;
use volward_plan::operate::who_is_told;

use super::look::Look;
use super::work::Went;
use super::{Decided, Operate, OperationRequest};
use crate::engine::StepError;
use crate::error::{ControlError, storage};
use crate::observe::Correspondence;
use crate::ports::Event;
use crate::state::Operated;

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

impl Told {
    fn report(&self, (zeroed, total): (Bytes, Bytes), end: Option<End>) -> GrowReport {
        GrowReport {
            id: self.order.id.clone(),
            to: self.by,
            zeroed,
            total,
            end,
        }
    }

    fn stands(&self, known: &Operated) -> GrowReport {
        let operation = &known.operation;
        self.report((operation.zeroed, known.total), operation.end().cloned())
    }

    fn ended(&self, end: End) -> GrowReport {
        self.report((Bytes(0), Bytes(0)), Some(end))
    }

    fn failed(&self, refusal: &Refusal) -> GrowReport {
        self.ended(End::Failed {
            code: refusal.code.to_string(),
            message: refusal.message.clone(),
        })
    }
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
        let (VolumeTask::Extend { size, .. }, Some(holder)) = (&operation.task, holder) else {
            // Detached, or its node is dead: what it has begun has this operation's mark.
            self.withdraw(pool, operation)?;
            return Ok(None);
        };
        let seen = look.sight.volume.as_ref();
        let is_done = seen.is_some_and(|seen| seen.size >= *size && seen.mark.is_none());
        if is_done && self.state.orders().heard(pool, id).is_none() {
            return Ok(None);
        }
        let order = GrowOrder {
            id: id.clone(),
            volume: holder.attachment.volume,
            size: *size,
            to: holder.host_id,
            back: matches!(operation.course, Course::Back(_)),
        };
        let now = self.ports.clock.monotonic();
        if self.state.orders().give(pool, order, now) {
            self.state.write_slot(pool)?;
        }
        let said = self.observer.correspondence(pool)?;
        match report_of(&said, holder, operation) {
            Some(report) => self.told_how(operation, holder, &report, is_done),
            None => self.unanswered(operation, holder),
        }
        .map(Some)
    }

    fn told_how(
        &self,
        operation: &VolumeOperation,
        holder: &ForeignAttachment,
        report: &GrowReport,
        is_done: bool,
    ) -> Result<Went, StepError> {
        let (pool, id, node) = (
            operation.task.pool(),
            &operation.id,
            &holder.attachment.node,
        );
        self.state
            .orders()
            .hear(pool, id, self.ports.clock.monotonic());
        if let Some(known) = self.state.operations().get_mut(id) {
            known.total = known.total.max(report.total);
        }
        let end = match (&report.end, &operation.course) {
            (None, _) => {
                let zeroed = match report.total {
                    Bytes(0) => String::new(),
                    total => format!(": {} of {total} zeroed", report.zeroed),
                };
                return Ok(self.waits(
                    id,
                    format!("node {node}, where it is attached, grows it{zeroed}"),
                ));
            }
            // Whoever says so is believed when it is seen.
            (Some(End::Done), _) if !is_done => {
                return Ok(self.waits(
                    id,
                    format!("node {node} has grown it, and the pool does not show it yet"),
                ));
            }
            (Some(End::Done), _) => End::Done,
            (Some(End::Cancelled | End::Failed { .. }), Course::Back(end)) => end.clone(),
            (Some(End::Cancelled), _) => End::Cancelled,
            (Some(End::Failed { code, message }), _) => End::Failed {
                code: code.clone(),
                message: format!("on node {node}, where it is attached: {message}"),
            },
        };
        self.withdraw(pool, operation)?;
        self.end(operation, end)
    }

    /// Its slot tells nothing of the order: it has not begun, or its daemon has just been started again.
    fn unanswered(
        &self,
        operation: &VolumeOperation,
        holder: &ForeignAttachment,
    ) -> Result<Went, StepError> {
        let (pool, id, node) = (
            operation.task.pool(),
            &operation.id,
            &holder.attachment.node,
        );
        let now = self.ports.clock.monotonic();
        let heard = self.state.orders().heard(pool, id).unwrap_or(now);
        if now.saturating_sub(heard) < ANSWERED_WITHIN {
            return Ok(self.waits(
                id,
                format!("node {node}, where it is attached, is to grow it"),
            ));
        }
        self.withdraw(pool, operation)?;
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

    fn waits(&self, id: &OperationId, what: String) -> Went {
        let until = self.ports.clock.monotonic() + LOOK_AGAIN;
        self.state.operations().waits(id, what, until);
        Went::Out
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
        if let Some(known) = self.operation(&told.order.id) {
            return Some(self.report_known(told, &known));
        }
        // What was said once of it stays so while it stands: whoever gave it may have acted on that.
        let reported = self.state.orders().reported(pool, told.by, &told.order.id);
        if reported.is_some() {
            return reported;
        }
        if told.order.back {
            return Some(told.ended(End::Cancelled));
        }
        match self.begin_told(pool, told) {
            Ok(begun) => begun.map(|begun| told.stands(&begun)),
            Err(ControlError::Refused { refusal, .. }) => Some(told.failed(&refusal)),
            Err(ControlError::NotFound(message)) => {
                let code = "not-found".to_owned();
                Some(told.ended(End::Failed { code, message }))
            }
            // It may pass: the next look tries again, and whoever waits has a limit.
            Err(error) => {
                tracing::debug!(%error, id = %told.order.id, "an order is not begun yet");
                None
            }
        }
    }

    fn report_known(&self, told: &Told, known: &Operated) -> GrowReport {
        let order = &told.order;
        if !is_same(&known.operation, order) {
            return told.failed(&Refusal::operation_differs(
                &order.id,
                &known.operation.task,
            ));
        }
        if order.back && known.operation.end().is_none() {
            let request = RequestId(Uuid::new_v4());
            if let Err(error) = self.cancel(request, &order.id) {
                tracing::debug!(%error, id = %order.id, "taken back too late");
            }
        }
        told.stands(known)
    }

    fn begin_told(&self, pool: &PoolName, told: &Told) -> Result<Option<Operated>, ControlError> {
        let (order, request) = (&told.order, RequestId(Uuid::new_v4()));
        let attached = self
            .state
            .attachment_table()
            .of_volume(order.volume)
            .count()
            > 0;
        let looked = self.ports.volumes.validated_pool(pool);
        let info = looked.map_err(|error| storage(request, "looking at what is to grow", error))?;
        let found = info.volume(order.volume).filter(|_| attached);
        let found = found.ok_or_else(|| {
            let lv = order.volume.lv;
            ControlError::NotFound(format!("the volume {lv} is not attached on this node"))
        })?;
        tracing::info!(id = %order.id, by = %told.node, volume = %found.volume, "a volume is to grow here");
        let asked = OperationRequest {
            request,
            origin: Origin::Other("order".to_owned()),
            uid: 0,
            id: order.id.clone(),
            task: VolumeTask::Extend {
                pool: pool.clone(),
                name: found.volume.name.clone(),
                size: order.size,
            },
            dry_run: false,
        };
        self.consider(&asked, Decided::Elsewhere)
            .map(|asked| asked.operation)
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
