//! What this node has other nodes do, and what becomes of what it was told to do: as its slots say.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{OperationId, OrderReport, PoolName, VolumeOrder};

/// Orders and reports of this node, by pool.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    given: BTreeMap<(PoolName, OperationId), Given>,
    reports: BTreeMap<PoolName, Vec<OrderReport>>,
}

/// An order that stands.
#[derive(Debug)]
struct Given {
    order: VolumeOrder,
    /// When it was given as it is, or its node last told of it, on the monotonic clock.
    heard: Duration,
}

impl Orders {
    /// Gives an order, or changes the one that stands; whether others are to be shown something new.
    pub(crate) fn give(&mut self, pool: &PoolName, order: VolumeOrder, now: Duration) -> bool {
        let key = (pool.clone(), order.id.clone());
        let stands = self.given.get(&key);
        if stands.is_some_and(|given| given.order == order) {
            return false;
        }
        self.given.insert(key, Given { order, heard: now });
        true
    }

    /// The node that it was given to tells of the order of that id.
    pub(crate) fn hear(&mut self, pool: &PoolName, id: &OperationId, now: Duration) {
        if let Some(given) = self.given.get_mut(&(pool.clone(), id.clone())) {
            given.heard = now;
        }
    }

    /// When the order of that id was given, or its node last told of it; `None` if it does not stand.
    pub(crate) fn heard(&self, pool: &PoolName, id: &OperationId) -> Option<Duration> {
        let given = self.given.get(&(pool.clone(), id.clone()));
        given.map(|given| given.heard)
    }

    /// It stands no longer; whether it did.
    pub(crate) fn withdraw(&mut self, pool: &PoolName, id: &OperationId) -> bool {
        self.given.remove(&(pool.clone(), id.clone())).is_some()
    }

    /// How what stands in a pool goes; whether that is new.
    pub(crate) fn report(&mut self, pool: &PoolName, reports: Vec<OrderReport>) -> bool {
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
    ) -> Option<OrderReport> {
        let mut reports = self.reports.get(pool)?.iter();
        let found = reports.find(|report| report.to == to && report.id == *id);
        found.cloned()
    }

    /// Whether anything is reported in a pool.
    pub(crate) fn reports_in(&self, pool: &PoolName) -> bool {
        self.reports.contains_key(pool)
    }

    /// What this node's slot says of them.
    pub(crate) fn of(&self, pool: &PoolName) -> (Vec<VolumeOrder>, Vec<OrderReport>) {
        let given = self.given.iter().filter(|((of, _), _)| of == pool);
        let orders = given.map(|(_, given)| given.order.clone()).collect();
        (orders, self.reports.get(pool).cloned().unwrap_or_default())
    }
}
