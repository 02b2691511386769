//! The facts as a policy sees them, and the answer it makes.
//!
//! A handle's number says which disk or node of the facts it stands for. A policy cannot forge
//! one (the sandbox keeps the numbers and gives out indices), so there is no table to keep, and
//! nothing to free.

use volward_model::{self as model, Facts};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::run::bindings::{answers, clock, config, facts, log, operations};
use crate::run::call::Call;
use crate::run::convert;
use crate::run::fault::Misuse;
use crate::run::handles::{AnswerHandle, DiskHandle, NodeHandle, OperationHandle, RequestHandle};

/// The one request or operation, the one answer, and the deciding node.
pub(crate) const THE_ONLY: u32 = 0;
/// The other node of a migration.
const PEER: u32 = 1;

type Pairs = Vec<(String, String)>;

impl Call {
    fn disk(&self, handle: &Resource<DiskHandle>) -> Result<&model::DiskFacts> {
        let facts: &Facts = &self.facts;
        let mut disks = facts.disks.iter().chain(&facts.held);
        let disk = disks.nth(usize::try_from(handle.rep())?);
        Ok(disk.ok_or(Misuse::NoSuchThing)?)
    }

    fn node(&self, handle: &Resource<NodeHandle>) -> Result<&model::NodeFacts> {
        let node = match handle.rep() {
            THE_ONLY => Some(&self.facts.node),
            _ => self.facts.peer.as_ref(),
        };
        Ok(node.ok_or(Misuse::NoSuchThing)?)
    }

    /// The operation, where it is one.
    fn operation(&self) -> Result<&model::OperationFacts> {
        let operation = self.facts.operation.as_ref();
        Ok(operation.ok_or(Misuse::NoSuchThing)?)
    }

    /// The part of the answer for a disk that was asked for.
    fn answer_for(&mut self, handle: &Resource<DiskHandle>) -> Result<&mut model::DiskAnswer> {
        let disk = self.answer.disks.get_mut(usize::try_from(handle.rep())?);
        Ok(disk.ok_or(Misuse::AnswerForHeldDisk)?)
    }
}

/// Handles for a range of disks.
fn disks(range: std::ops::Range<usize>) -> Result<Vec<Resource<DiskHandle>>> {
    range
        .map(|n| Ok(Resource::new_own(u32::try_from(n)?)))
        .collect()
}

impl facts::Host for Call {}

impl facts::HostRequest for Call {
    fn id(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.facts.request.id.to_string())
    }

    fn origin(&mut self, _: Resource<RequestHandle>) -> Result<facts::Origin> {
        Ok(convert::origin(&self.facts.request.origin))
    }

    fn caller_uid(&mut self, _: Resource<RequestHandle>) -> Result<u32> {
        Ok(self.facts.request.caller_uid)
    }

    fn purpose(&mut self, _: Resource<RequestHandle>) -> Result<facts::Purpose> {
        Ok(convert::purpose(&self.facts.request.purpose))
    }

    fn instance(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.facts.request.instance.to_string())
    }

    fn instance_name(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        Ok(self.facts.request.instance_name.clone())
    }

    fn hints(&mut self, _: Resource<RequestHandle>) -> Result<Pairs> {
        Ok(self.facts.request.hints.clone())
    }

    fn disks(&mut self, _: Resource<RequestHandle>) -> Result<Vec<Resource<DiskHandle>>> {
        disks(0..self.facts.disks.len())
    }

    fn held(&mut self, _: Resource<RequestHandle>) -> Result<Vec<Resource<DiskHandle>>> {
        let first = self.facts.disks.len();
        disks(first..first + self.facts.held.len())
    }

    fn node(&mut self, _: Resource<RequestHandle>) -> Result<Resource<NodeHandle>> {
        Ok(Resource::new_own(THE_ONLY))
    }

    fn peer(&mut self, _: Resource<RequestHandle>) -> Result<Option<Resource<NodeHandle>>> {
        Ok(self.facts.peer.as_ref().map(|_| Resource::new_own(PEER)))
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> Result<()> {
        Ok(())
    }
}

impl facts::HostDisk for Call {
    fn id(&mut self, disk: Resource<DiskHandle>) -> Result<String> {
        Ok(self.disk(&disk)?.id.to_string())
    }

    fn pool(&mut self, disk: Resource<DiskHandle>) -> Result<String> {
        Ok(self.disk(&disk)?.pool.to_string())
    }

    fn name(&mut self, disk: Resource<DiskHandle>) -> Result<String> {
        Ok(self.disk(&disk)?.name.to_string())
    }

    fn size(&mut self, disk: Resource<DiskHandle>) -> Result<u64> {
        Ok(self.disk(&disk)?.size.0)
    }

    fn shareable(&mut self, disk: Resource<DiskHandle>) -> Result<bool> {
        Ok(self.disk(&disk)?.shareable)
    }

    fn tags(&mut self, disk: Resource<DiskHandle>) -> Result<Vec<String>> {
        Ok(self.disk(&disk)?.tags.clone())
    }

    fn home(&mut self, disk: Resource<DiskHandle>) -> Result<facts::Home> {
        Ok(convert::home(&self.disk(&disk)?.home))
    }

    fn attachments(&mut self, disk: Resource<DiskHandle>) -> Result<Vec<facts::Attachment>> {
        let attachments = &self.disk(&disk)?.attachments;
        Ok(attachments.iter().map(convert::attachment).collect())
    }

    fn hydration(&mut self, disk: Resource<DiskHandle>) -> Result<Option<facts::Hydration>> {
        Ok(self.disk(&disk)?.hydration.as_ref().map(convert::hydration))
    }

    fn asked_sharing(&mut self, disk: Resource<DiskHandle>) -> Result<facts::Sharing> {
        Ok(convert::sharing(self.disk(&disk)?.asked_sharing))
    }

    fn asked_access(&mut self, disk: Resource<DiskHandle>) -> Result<facts::Access> {
        Ok(convert::access(self.disk(&disk)?.asked_access))
    }

    fn drop(&mut self, _: Resource<DiskHandle>) -> Result<()> {
        Ok(())
    }
}

impl facts::HostNode for Call {
    fn name(&mut self, node: Resource<NodeHandle>) -> Result<String> {
        Ok(self.node(&node)?.name.to_string())
    }

    fn labels(&mut self, node: Resource<NodeHandle>) -> Result<Pairs> {
        Ok(self.node(&node)?.labels.clone())
    }

    fn local(&mut self, node: Resource<NodeHandle>) -> Result<Option<facts::Space>> {
        Ok(self.node(&node)?.local.as_ref().map(convert::space))
    }

    fn io_pressure(&mut self, node: Resource<NodeHandle>) -> Result<Option<u32>> {
        Ok(self.node(&node)?.io_pressure)
    }

    fn attachments(&mut self, node: Resource<NodeHandle>) -> Result<Option<u32>> {
        Ok(self.node(&node)?.attachments)
    }

    fn drop(&mut self, _: Resource<NodeHandle>) -> Result<()> {
        Ok(())
    }
}

impl operations::Host for Call {}

impl operations::HostOperation for Call {
    fn id(&mut self, _: Resource<OperationHandle>) -> Result<String> {
        Ok(self.facts.request.id.to_string())
    }

    fn kind(&mut self, _: Resource<OperationHandle>) -> Result<operations::OperationKind> {
        Ok(convert::operation_kind(&self.operation()?.kind))
    }

    fn origin(&mut self, _: Resource<OperationHandle>) -> Result<facts::Origin> {
        Ok(convert::origin(&self.facts.request.origin))
    }

    fn caller_uid(&mut self, _: Resource<OperationHandle>) -> Result<u32> {
        Ok(self.facts.request.caller_uid)
    }

    fn hints(&mut self, _: Resource<OperationHandle>) -> Result<Vec<(String, String)>> {
        Ok(self.facts.request.hints.clone())
    }

    fn pool(&mut self, _: Resource<OperationHandle>) -> Result<String> {
        Ok(self.operation()?.pool.to_string())
    }

    fn volume(&mut self, _: Resource<OperationHandle>) -> Result<Option<Resource<DiskHandle>>> {
        let disk = self.facts.disks.first();
        Ok(disk.map(|_| Resource::new_own(THE_ONLY)))
    }

    fn new_name(&mut self, _: Resource<OperationHandle>) -> Result<Option<String>> {
        Ok(self.operation()?.new_name.as_ref().map(ToString::to_string))
    }

    fn new_size(&mut self, _: Resource<OperationHandle>) -> Result<Option<u64>> {
        Ok(self.operation()?.new_size.map(|size| size.0))
    }

    fn node(&mut self, _: Resource<OperationHandle>) -> Result<Resource<NodeHandle>> {
        Ok(Resource::new_own(THE_ONLY))
    }

    fn drop(&mut self, _: Resource<OperationHandle>) -> Result<()> {
        Ok(())
    }
}

impl answers::Host for Call {}

impl answers::HostAnswer for Call {
    fn exclusive(&mut self, _: Resource<AnswerHandle>, disk: Resource<DiskHandle>) -> Result<()> {
        self.answer_for(&disk)?.sharing = model::Sharing::Exclusive;
        Ok(())
    }

    fn read_only(&mut self, _: Resource<AnswerHandle>, disk: Resource<DiskHandle>) -> Result<()> {
        self.answer_for(&disk)?.access = model::Access::ReadOnly;
        Ok(())
    }

    fn copy_at_most(
        &mut self,
        _: Resource<AnswerHandle>,
        disk: Resource<DiskHandle>,
        mode: answers::CopyMode,
    ) -> Result<()> {
        let answer = self.answer_for(&disk)?;
        answer.copy_at_most = answer.copy_at_most.min(convert::copy_mode(mode));
        Ok(())
    }

    fn copy(
        &mut self,
        _: Resource<AnswerHandle>,
        disk: Resource<DiskHandle>,
        plan: answers::CopyPlan,
    ) -> Result<()> {
        self.answer_for(&disk)?.copy = Some(convert::copy_plan(&plan));
        Ok(())
    }

    fn note(&mut self, _: Resource<AnswerHandle>, key: String, value: String) -> Result<()> {
        self.budget.spend(key.len() + value.len())?;
        self.answer.notes.push(model::Note { key, value });
        Ok(())
    }

    fn drop(&mut self, _: Resource<AnswerHandle>) -> Result<()> {
        Ok(())
    }
}

impl log::Host for Call {
    fn write(&mut self, level: log::Level, message: String, fields: Pairs) -> Result<()> {
        let line = convert::log_line(level, &message, &fields);
        self.budget.spend(line.len())?;
        self.log.push(line);
        Ok(())
    }
}

impl config::Host for Call {
    fn get(&mut self, key: String) -> Result<Option<String>> {
        Ok(self.config.get(&key).cloned())
    }

    fn all(&mut self) -> Result<Pairs> {
        Ok(self
            .config
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect())
    }
}

impl clock::Host for Call {
    fn now_ms(&mut self) -> Result<u64> {
        Ok(self.facts.now_ms)
    }

    fn utc_offset_minutes(&mut self) -> Result<i32> {
        Ok(self.facts.utc_offset_minutes)
    }
}
