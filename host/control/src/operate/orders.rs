//! A volume grows, and is copied under its guest, on the node that has it attached: only there are the guest's devices.
//! Whoever is asked has that node do it, by an order in his slot; that node carries it out as an operation of its own under the same id, and
//! tells in its slot how it stands. Each looks at the volume himself: a word of another node takes no step.

use std::time::Duration;

use volward_model::{
    Bytes, Course, End, OperationId, OrderGroup, OrderReport, Ordered, PoolName, VolumeOperation,
    VolumeOrder,
};
use volward_plan::Refusal;
use volward_plan::input::ForeignAttachment;
use volward_plan::operate::{Place, who_is_told};

use super::Operate;
use super::look::Look;
use super::work::Went;
use crate::engine::StepError;
use crate::observe::Correspondence;

/// That node looks at what it is told each second, and a hung disk of one pool keeps it from others' for as long as a
/// command may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at how it goes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The same where it is LVM that is asked, as often as lvmpolld does.
const ASK_LVM_AGAIN: Duration = Duration::from_secs(5);

impl Operate {
    /// Has the node that has the volume do it, and waits. `None`: this node does it.
    pub(super) fn has_it_done(
        &self,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<Option<Went>, StepError> {
        let (pool, id) = (operation.task.pool(), &operation.id);
        let holder = look.subject();
        let holder = holder.and_then(|seen| who_is_told(&operation.task, seen));
        let (Some(what), Some(holder)) = (Ordered::of(&operation.task), holder) else {
            // Detached, or its node is dead: what it has begun has this operation's mark.
            self.withdraw(pool, operation)?;
            return Ok(None);
        };
        let is_done = is_done(&what, look);
        let stands = self.state.orders().heard(pool, id).is_some();
        let goes_on = match operation.task.makes() {
            true => look.sight.known,
            false => is_done,
        };
        if !stands && goes_on {
            // Grown already; or this node has made what is to be made, and goes on with it.
            return Ok(None);
        }
        let order = VolumeOrder {
            id: id.clone(),
            volume: holder.attachment.volume,
            what,
            to: holder.host_id,
            back: matches!(operation.course, Course::Back(_)),
            group: self.order_group(operation),
        };
        let now = self.ports.clock.monotonic();
        if self.state.orders().give(pool, order, now) {
            self.state.write_slot(pool)?;
        }
        let said = self.observer.correspondence(pool)?;
        match report_of(&said, holder, operation) {
            Some(report) => self.told_how(operation, (holder, look), &report, is_done),
            None => self.unanswered(operation, holder),
        }
        .map(Some)
    }

    fn order_group(&self, operation: &VolumeOperation) -> Option<OrderGroup> {
        let id = operation.group.clone()?;
        let members = self.state.operations().group(&id).len();
        Some(OrderGroup {
            id,
            members: u32::try_from(members).unwrap_or(u32::MAX),
        })
    }

    fn told_how(
        &self,
        operation: &VolumeOperation,
        (holder, look): (&ForeignAttachment, &Look),
        report: &OrderReport,
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
            known.there = report.zeroed;
            // On record with the end: what is done is done for whoever asks here.
            if is_done && report.end == Some(End::Done) {
                known.total = known.total.max(report.zeroed);
                known.operation.zeroed = known.total;
            }
        }
        let end = match (&report.end, &operation.course) {
            (None, _) => {
                let written = match report.total {
                    Bytes(0) => String::new(),
                    total => format!(": {} of {total} written", report.zeroed),
                };
                let does = match (operation.task.makes(), operation.task.disk()) {
                    (true, _) => "copies",
                    (false, Some(_)) => "moves",
                    (false, None) => "grows",
                };
                return Ok(self.waits(
                    id,
                    format!("node {node}, where it is attached, {does} it{written}"),
                ));
            }
            // Whoever says so is believed when it is seen.
            (Some(End::Done), _) if !is_done => {
                return Ok(self.waits(
                    id,
                    format!("node {node} has done it, and the pool does not show it yet"),
                ));
            }
            (Some(End::Done), _) => {
                if let (true, Some(info)) = (operation.task.makes(), &look.info) {
                    self.claim(id, &info.volume)?;
                }
                End::Done
            }
            (Some(End::Cancelled | End::Failed { .. }), Course::Back(end)) => end.clone(),
            (Some(End::Cancelled), _) => End::Cancelled,
            (Some(End::Failed { code, message }), _) => End::Failed {
                code: code.clone(),
                message: format!("on node {node}, where it is attached: {message}"),
            },
        };
        self.withdraw(pool, operation)?;
        let ended = self
            .operation(id)
            .map_or_else(|| operation.clone(), |known| known.operation);
        self.end(&ended, end)
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
                format!("node {node}, where it is attached, is to do it"),
            ));
        }
        self.withdraw(pool, operation)?;
        let about = operation.source.as_ref().or(operation.volume.as_ref());
        let end = match (&operation.course, about) {
            (Course::Back(end), _) => end.clone(),
            (_, Some(volume)) => {
                let word = operation.task.word();
                let refusal =
                    Refusal::order_unanswered(volume, word, node, ANSWERED_WITHIN.as_secs());
                End::Failed {
                    code: refusal.code.to_string(),
                    message: refusal.message,
                }
            }
            (_, None) => End::Cancelled,
        };
        self.end(operation, end)
    }

    pub(super) fn waits(&self, id: &OperationId, what: String) -> Went {
        let asks_lvm = {
            let operations = self.state.operations();
            let known = operations.get(id);
            known.is_some_and(|known| known.operation.task.disk().is_some())
        };
        let pause = match asks_lvm {
            true => ASK_LVM_AGAIN,
            false => LOOK_AGAIN,
        };
        let until = self.ports.clock.monotonic() + pause;
        self.state.operations().waits(id, what, until);
        Went::Out
    }

    fn withdraw(&self, pool: &PoolName, operation: &VolumeOperation) -> Result<(), StepError> {
        let stood = self.state.orders().withdraw(pool, &operation.id);
        // Whoever goes on with it begins with what he has written himself.
        if let Some(known) = self.state.operations().get_mut(&operation.id) {
            known.there = Bytes(0);
        }
        if stood {
            self.state.write_slot(pool)?;
            // Its guest may start here, and does not wait for what was begun there.
            if operation.task.disk().is_some() {
                self.note_begun(operation)?;
            }
        }
        Ok(())
    }
}

/// Whether the pool shows what was to be done.
fn is_done(what: &Ordered, look: &Look) -> bool {
    let seen = look.sight.volume.as_ref();
    let seen = seen.filter(|seen| seen.mark.is_none());
    match what {
        Ordered::Grow { size } => seen.is_some_and(|seen| seen.size >= *size),
        Ordered::Copy { .. } | Ordered::Snapshot { .. } => seen.is_some(),
        Ordered::Relocate { .. } => look.sight.place == Some(Place::There),
    }
}

fn report_of(
    said: &Correspondence,
    holder: &ForeignAttachment,
    operation: &VolumeOperation,
) -> Option<OrderReport> {
    let mut slots = said.live_slots().filter(|slot| said.is_present(slot));
    let slot = slots.find(|slot| slot.host_id == holder.host_id)?;
    let mut reports = slot.messages.reports.iter();
    let ours = |report: &&OrderReport| report.to == said.own.host_id && report.id == operation.id;
    reports.find(ours).cloned()
}
