//! What this node has other nodes do, and what becomes of what it was told to do: as its slots say.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{GrowOrder, GrowReport, OperationId, PoolName};

/// An order that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The order.
    pub order: GrowOrder,
    /// Since when, on the monotonic clock.
    pub since: Duration,
}

/// Orders and reports of this node, by pool.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    given: BTreeMap<(PoolName, OperationId), Given>,
    reports: BTreeMap<PoolName, Vec<GrowReport>>,
}

impl Orders {
    /// Gives an order, or changes the one that stands; whether others are to be shown something new.
    pub(crate) fn give(&mut self, pool: &PoolName, order: GrowOrder, now: Duration) -> bool {
        let key = (pool.clone(), order.id.clone());
        if self
            .given
            .get(&key)
            .is_some_and(|given| given.order == order)
        {
            return false;
        }
        self.given.insert(key, Given { order, since: now });
        true
    }

    /// The order of that id.
    pub(crate) fn given(&self, pool: &PoolName, id: &OperationId) -> Option<Given> {
        self.given.get(&(pool.clone(), id.clone())).cloned()
    }

    /// It stands no longer; whether it did.
    pub(crate) fn withdraw(&mut self, pool: &PoolName, id: &OperationId) -> bool {
        self.given.remove(&(pool.clone(), id.clone())).is_some()
    }

    /// How what stands in a pool goes; whether that is new.
    pub(crate) fn report(&mut self, pool: &PoolName, reports: Vec<GrowReport>) -> bool {
        let before = self.reports.get(pool).map_or(&[][..], |reports| reports);
        if before == reports {
            return false;
        }
        match reports.is_empty() {
            true => drop(self.reports.remove(pool)),
            false => drop(self.reports.insert(pool.clone(), reports)),
        }
        true
    }

    /// What was reported last of the order of that id by that node.
    pub(crate) fn reported(
        &self,
        pool: &PoolName,
        to: u64,
        id: &OperationId,
    ) -> Option<&GrowReport> {
        let mut reports = self.reports.get(pool)?.iter();
        reports.find(|report| report.to == to && report.id == *id)
    }

    /// Whether anything is reported in a pool.
    pub(crate) fn reports_in(&self, pool: &PoolName) -> bool {
        self.reports.contains_key(pool)
    }

    /// What this node's slot says of them.
    pub(crate) fn of(&self, pool: &PoolName) -> (Vec<GrowOrder>, Vec<GrowReport>) {
        let given = self.given.iter().filter(|((of, _), _)| of == pool);
        let orders = given.map(|(_, given)| given.order.clone()).collect();
        (orders, self.reports.get(pool).cloned().unwrap_or_default())
    }
}
