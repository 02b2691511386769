//! Operations of other nodes: their marks are on the volumes, their leases on the LUN, and what one node has another one
//! do is in the slots of both.

use std::collections::BTreeSet;

use volward_model::{
    Bytes, LeaseMode, Mark, NodeName, OperationId, Ordered, VolumeId, VolumeInfo, VolumeRef,
};

use super::{SeenLease, Views};
use crate::observe::PoolSnapshot;

/// An operation that is not this node's, as far as the pool and the slots tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationAbroad {
    /// Its id; `None` where its mark is not understood.
    pub id: Option<OperationId>,
    /// The volume that has its mark, or that it is ordered for.
    pub volume: VolumeRef,
    /// Its mark on that volume; `None` before it has one.
    pub mark: Option<Mark>,
    /// What is to be done, where a node has another one do it: a mark says less.
    pub ordered: Option<Ordered>,
    /// The node that carries it out: the one that was told, or that has the lease of what is marked. `None` where neither
    /// tells: between two steps, or because that node is gone.
    pub node: Option<NodeName>,
    /// The node that was asked for it and has another one do it.
    pub asked_on: Option<NodeName>,
    /// Bytes that are copied and zeroed, and those that are to be, as the node that was told says.
    pub progress: Option<(Bytes, Bytes)>,
}

/// What the slots say of operations that one node has another one do.
#[derive(Debug)]
struct Told {
    id: OperationId,
    volume: VolumeId,
    what: Ordered,
    by: NodeName,
    to: Option<NodeName>,
    progress: Option<(Bytes, Bytes)>,
    has_ended: bool,
}

impl Views {
    /// Those of a pool; `leases`: what is held of its volumes.
    pub(super) fn operations_abroad(
        &self,
        snapshot: &PoolSnapshot,
        leases: &[SeenLease],
    ) -> Vec<OperationAbroad> {
        let open = self.state.operations().all().into_iter();
        let open = open.filter(|known| known.operation.end().is_none());
        let own: BTreeSet<OperationId> = open.map(|known| known.operation.id).collect();
        let mut told = told(snapshot);
        told.retain(|one| !own.contains(&one.id) && !one.has_ended);
        let volumes = snapshot.info.volumes.iter();
        let marked = volumes.filter_map(|info| Some((info, info.mark()?)));
        let foreign = marked.filter(|(_, mark)| mark.by().is_none_or(|id| !own.contains(id)));
        let mut found: Vec<OperationAbroad> = foreign
            .map(|(info, mark)| {
                let of = told.iter().find(|one| Some(&one.id) == mark.by());
                let holder = || worker(snapshot, leases, mark.by(), info);
                OperationAbroad {
                    id: mark.by().cloned(),
                    volume: info.volume.clone(),
                    ordered: of.map(|one| one.what.clone()),
                    node: of.and_then(|one| one.to.clone()).or_else(holder),
                    asked_on: of.map(|one| one.by.clone()),
                    progress: of.and_then(|one| one.progress),
                    mark: Some(mark),
                }
            })
            .collect();
        for one in told {
            let is_found = |other: &OperationAbroad| other.id.as_ref() == Some(&one.id);
            if found.iter().any(is_found) {
                continue;
            }
            let Some(info) = snapshot.info.volume(one.volume) else {
                continue;
            };
            found.push(OperationAbroad {
                id: Some(one.id),
                volume: info.volume.clone(),
                mark: None,
                ordered: Some(one.what),
                node: one.to,
                asked_on: Some(one.by),
                progress: one.progress,
            });
        }
        found
    }
}

/// The orders in the slots of nodes that may be alive, with what the nodes that were told say of them.
fn told(snapshot: &PoolSnapshot) -> Vec<Told> {
    let mut all = Vec::new();
    for slot in snapshot.live_slots() {
        for order in &slot.messages.orders {
            let mut tellers = snapshot.live_slots();
            let teller = tellers.find(|other| other.host_id == order.to);
            let mut reports = teller.iter().flat_map(|other| &other.messages.reports);
            let report = reports.find(|r| r.id == order.id && r.to == slot.host_id);
            all.push(Told {
                id: order.id.clone(),
                volume: order.volume,
                what: order.what.clone(),
                by: slot.node.clone(),
                to: snapshot.name_of(order.to).cloned(),
                progress: report.map(|report| (report.zeroed, report.total)),
                has_ended: report.is_some_and(|report| report.end.is_some()),
            });
        }
    }
    all
}

/// The node that has the lease of what an operation has marked: the new volume of a copy before its source, which others may
/// read. `None` where nobody has one, or several have the same.
fn worker(
    snapshot: &PoolSnapshot,
    leases: &[SeenLease],
    id: Option<&OperationId>,
    marked: &VolumeInfo,
) -> Option<NodeName> {
    let volumes = snapshot.info.volumes.iter();
    let same = volumes.filter(|info| info.mark().is_some_and(|mark| mark.by() == id));
    let same: BTreeSet<VolumeId> = same.map(|info| info.volume.id).collect();
    let of_it = |lease: &&SeenLease| match id {
        Some(_) => same.contains(&lease.volume.id),
        None => lease.volume.id == marked.volume.id,
    };
    let held: Vec<&SeenLease> = leases.iter().filter(of_it).collect();
    let whole = held.iter().find(|l| l.mode == LeaseMode::Exclusive);
    let one = match (whole, held.as_slice()) {
        (Some(one), _) => one,
        (None, [one]) => one,
        (None, _) => return None,
    };
    one.node.clone()
}
