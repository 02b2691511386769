//! The other side of an order: the node that has the volume attached does what others' slots say, as operations of its own under the
//! same ids, and tells in its slot how they stand.

use std::collections::BTreeMap;

use uuid::Uuid;
use volward_model::{
    Bytes, End, NodeName, OperationId, OrderGroup, OrderReport, Ordered, Origin, PoolName,
    RequestId, Slot, VolumeOperation, VolumeOrder, VolumeTask,
};
use volward_plan::Refusal;
use volward_plan::permit::may_be_ordered;

use super::{Decided, GroupRequest, Operate, OperationRequest};
use crate::error::{ControlError, storage};
use crate::observe::Correspondence;
use crate::ports::Event;
use crate::state::Operated;

/// An order to this node.
struct Told {
    order: VolumeOrder,
    by: u64,
    node: NodeName,
}

impl Told {
    fn report(&self, (zeroed, total): (Bytes, Bytes), end: Option<End>) -> OrderReport {
        OrderReport {
            id: self.order.id.clone(),
            to: self.by,
            zeroed,
            total,
            end,
        }
    }

    fn stands(&self, known: &Operated) -> OrderReport {
        let operation = &known.operation;
        self.report((operation.zeroed, known.total), operation.end().cloned())
    }

    fn ended(&self, end: End) -> OrderReport {
        self.report((Bytes(0), Bytes(0)), Some(end))
    }

    fn failed(&self, refusal: &Refusal) -> OrderReport {
        self.ended(End::Failed {
            code: refusal.code.to_string(),
            message: refusal.message.clone(),
        })
    }
}

impl Operate {
    /// Does what others' slots say, and tells how it stands. To be called with each look at
    /// a pool of which this node has something attached.
    pub(crate) fn hear(&self, pool: &PoolName, said: &Correspondence) {
        let all = told(said);
        let reports = self.obey_all(pool, &all);
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

    fn obey_all(&self, pool: &PoolName, all: &[Told]) -> Vec<OrderReport> {
        let mut reports = Vec::new();
        // How a group was refused: one try is for all of it.
        let mut refused: BTreeMap<(u64, &OperationId), End> = BTreeMap::new();
        for told in all {
            let group = told.order.group.as_ref();
            let group = group.map(|group| (told.by, &group.id));
            if let Some(end) = group.and_then(|group| refused.get(&group)) {
                reports.push(told.ended(end.clone()));
                continue;
            }
            let Some(report) = self.obey(pool, told, all) else {
                continue;
            };
            let begun = self.operation(&told.order.id).is_some();
            if let (Some(group), Some(end @ End::Failed { .. }), false) =
                (group, &report.end, begun)
            {
                refused.insert(group, end.clone());
            }
            reports.push(report);
        }
        reports
    }

    /// `None`: not yet. `all`: what this node is told beside.
    fn obey(&self, pool: &PoolName, told: &Told, all: &[Told]) -> Option<OrderReport> {
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
        if let Err(refusal) = may_be_ordered(&told.order.what, self.settings.roles) {
            return Some(told.failed(&refusal));
        }
        let begun = match &told.order.group {
            None => self.begin_told(pool, told),
            Some(group) => self.begin_together(pool, told, (group, all)),
        };
        match begun {
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

    fn report_known(&self, told: &Told, known: &Operated) -> OrderReport {
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

    /// All of a group, once all of its orders are there: a part of it is of no use.
    fn begin_together(
        &self,
        pool: &PoolName,
        told: &Told,
        (group, all): (&OrderGroup, &[Told]),
    ) -> Result<Option<Operated>, ControlError> {
        let of_group = |other: &&Told| {
            other.by == told.by && other.order.group.as_ref() == Some(group) && !other.order.back
        };
        let orders: Vec<&VolumeOrder> = all.iter().filter(of_group).map(|t| &t.order).collect();
        // What was refused once was told of all of them.
        let refused = orders.iter().any(|order| {
            let said = self.state.orders().reported(pool, told.by, &order.id);
            said.is_some()
        });
        if refused || orders.len() != group.members as usize {
            return Ok(None);
        }
        let request = RequestId(Uuid::new_v4());
        let mut members = Vec::new();
        for order in orders {
            members.push((order.id.clone(), self.task_of(pool, order, request)?));
        }
        tracing::info!(id = %group.id, by = %told.node, "another node has snapshots of one moment made here");
        let asked = GroupRequest {
            request,
            origin: Origin::Other("order".to_owned()),
            uid: 0,
            hints: Vec::new(),
            id: group.id.clone(),
            members,
            dry_run: false,
        };
        self.consider_group(&asked, Decided::Elsewhere)?;
        Ok(self.operation(&told.order.id))
    }

    fn begin_told(&self, pool: &PoolName, told: &Told) -> Result<Option<Operated>, ControlError> {
        let (order, request) = (&told.order, RequestId(Uuid::new_v4()));
        let task = self.task_of(pool, order, request)?;
        tracing::info!(id = %order.id, by = %told.node, %task, "another node has this done here");
        let asked = OperationRequest {
            request,
            origin: Origin::Other("order".to_owned()),
            uid: 0,
            hints: Vec::new(),
            id: order.id.clone(),
            task,
            dry_run: false,
        };
        self.consider(&asked, Decided::Elsewhere)
            .map(|asked| asked.operation)
    }

    /// About the volume that it names, which is attached here.
    fn task_of(
        &self,
        pool: &PoolName,
        order: &VolumeOrder,
        request: RequestId,
    ) -> Result<VolumeTask, ControlError> {
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
        Ok(order.what.task(&found.volume))
    }
}

fn is_same(operation: &VolumeOperation, order: &VolumeOrder) -> bool {
    let of = operation.source.as_ref().or(operation.volume.as_ref());
    let same = Ordered::of(&operation.task).as_ref() == Some(&order.what);
    let same = same && operation.group.as_ref() == order.group.as_ref().map(|group| &group.id);
    same && of.is_some_and(|volume| volume.id == order.volume)
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
