//! A pool with everything that is known of who uses it: its disks, and every lease on the LUN.

use volward_model::{
    InstanceId, LeaseHolder, LeaseMode, MemberState, NodeName, PhysicalVolume, PoolName,
    VolumeInfo, VolumeRef,
};

use super::{OperationAbroad, Views};
use crate::observe::PoolSnapshot;

/// What a pool has.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Its disks.
    pub disks: Vec<PhysicalVolume>,
    /// Every lease on a volume of it, Volward's own volumes included, in the order of the volumes.
    pub leases: Vec<SeenLease>,
    /// Operations of other nodes.
    pub operations: Vec<OperationAbroad>,
    /// Sentences: what cannot be read.
    pub unreadable: Vec<String>,
}

/// A lease as sanlock has it on the LUN, with what is known of what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLease {
    /// Of which volume.
    pub volume: VolumeRef,
    /// How it is held.
    pub mode: LeaseMode,
    /// sanlock's number of the node that has it.
    pub host_id: u64,
    /// The node's name, where its slot says.
    pub node: Option<NodeName>,
    /// How sanlock sees the node; `None` if it is no member of the lockspace.
    pub state: Option<MemberState>,
    /// It is this node.
    pub own: bool,
    /// Nobody on this node has it any more, and it keeps other nodes out.
    pub orphan: bool,
    /// Somebody else than Volward has it on this node.
    pub by_hand: bool,
    /// The instances that the node has it for, with the time of each in milliseconds since the Unix epoch by
    /// that node's clock. None: for an operation, for the registry, or for a reason that no record says.
    pub instances: Vec<(InstanceId, u64)>,
}

impl Views {
    /// What a pool has, read from LVM and from the LUN. Of a local pool the disks.
    #[must_use]
    pub(crate) fn inventory(&self, pool: &PoolName) -> Inventory {
        let mut found = Inventory::default();
        match self.ports.volumes.physical_volumes(pool) {
            Ok(disks) => found.disks = disks,
            Err(error) => found
                .unreadable
                .push(format!("the disks of pool {pool}: {error}")),
        }
        if !self.settings.pools.contains(pool) {
            return found;
        }
        let snapshot = match self.observer.shown(pool) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                found
                    .unreadable
                    .push(format!("the leases of pool {pool}: {error}"));
                return found;
            }
        };
        found.unreadable.extend(snapshot.unreadable());
        found.unreadable.extend(snapshot.newer(None));
        for info in snapshot.info.volumes.iter().filter(|info| info.own_lease) {
            match self.ports.leases.holders(pool, &info.volume) {
                Ok(holders) => {
                    let seen = holders
                        .iter()
                        .map(|holder| self.lease(&snapshot, info, holder));
                    found.leases.extend(seen);
                }
                // Each of the others would wait for the same disks.
                Err(error) => {
                    found.unreadable.push(format!(
                        "the lease of {}, and what comes after it: {error}",
                        info.volume
                    ));
                    break;
                }
            }
        }
        found.operations = self.operations_abroad(&snapshot, &found.leases);
        found
    }

    /// A lease that somebody holds, with what is known of it.
    fn lease(&self, snapshot: &PoolSnapshot, info: &VolumeInfo, of: &LeaseHolder) -> SeenLease {
        let (id, host_id) = (info.volume.id, of.host_id);
        let own = host_id == snapshot.own.host_id;
        let member = snapshot.members.iter().find(|m| m.host_id == host_id);
        let held = snapshot.held.get(&id.lv).filter(|_| own);
        let instances = match own {
            true => {
                let table = self.state.attachment_table();
                let here = table.of_volume(id);
                here.map(|a| (a.instance, a.since_ms)).collect()
            }
            false => {
                let others = snapshot.attachments_of_others();
                let theirs = others.filter(|(slot, a)| slot.host_id == host_id && a.volume == id);
                theirs.map(|(_, a)| (a.instance, a.since_ms)).collect()
            }
        };
        SeenLease {
            volume: info.volume.clone(),
            mode: of.mode,
            host_id,
            node: match own {
                true => Some(self.settings.node.clone()),
                false => snapshot.name_of(host_id).cloned(),
            },
            state: member.map(|m| m.state),
            own,
            orphan: held.is_some_and(|held| held.orphan),
            by_hand: own && snapshot.by_hand.contains(&id.lv),
            instances,
        }
    }
}
