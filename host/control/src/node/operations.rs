//! The front door for operations on volumes, and for what a pool has.

use volward_model::{LvmUuid, OperationId, PoolName, RequestId};

use super::Node;
use crate::error::ControlError;
use crate::operate::{GroupRequest, OperationAsked, OperationRequest};
use crate::state::Operated;
use crate::views::Inventory;

impl Node {
    /// Begins an operation on a volume, or finds the one that has the same id: it is on record when this
    /// returns, and carried out in the background.
    ///
    /// # Errors
    /// With the rule that it breaks; if the id was given to something else; if it cannot be put on record.
    pub fn ask_operation(&self, asked: &OperationRequest) -> Result<OperationAsked, ControlError> {
        self.pools.keep_open(asked.task.pools());
        self.operate.ask(asked)
    }

    /// Begins snapshots that hold the same moment, or finds those that have the same id.
    ///
    /// # Errors
    /// As of one operation; then none is begun.
    pub fn ask_group(&self, asked: &GroupRequest) -> Result<Vec<OperationAsked>, ControlError> {
        for (_, task) in &asked.members {
            self.pools.keep_open(task.pools());
        }
        self.operate.ask_group(asked)
    }

    /// The disk of a pool that somebody names by its path on this node, or by LVM's UUID.
    ///
    /// # Errors
    /// If the pool has none of that name here, or storage does not answer.
    pub fn disk(
        &self,
        request: RequestId,
        pool: &PoolName,
        named: &str,
    ) -> Result<LvmUuid, ControlError> {
        self.operate.disk(request, pool, named)
    }

    /// An operation as it stands.
    #[must_use]
    pub fn operation(&self, id: &OperationId) -> Option<Operated> {
        self.operate.operation(id)
    }

    /// All that have not ended, and the latest that have; the oldest first.
    #[must_use]
    pub fn operations(&self) -> Vec<Operated> {
        self.operate.operations()
    }

    /// What a pool has: its disks, and every lease on the LUN with what it is for.
    #[must_use]
    pub fn inventory(&self, pool: &PoolName) -> Inventory {
        self.views.inventory(pool)
    }

    /// Has an operation taken back, before its commit point.
    ///
    /// # Errors
    /// If there is none of that id, or it is too late.
    pub fn cancel_operation(
        &self,
        request: RequestId,
        id: &OperationId,
    ) -> Result<Operated, ControlError> {
        self.operate.cancel(request, id)
    }
}
