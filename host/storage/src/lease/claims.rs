//! Which leases of this node are Volward's. sanlock knows processes, not reasons: a lease of lvmlockd may
//! be one that Volward took through LVM, or one of somebody who typed `lvchange`.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::device::lv_dm_uuid;
use volward_model::{HeldLease, LvUuid, VolumeId, VolumeRef};
use volward_ports::{PortError, PortResult, Unmet};

use super::{Account, Entry};
use crate::blockdev;

/// What earlier daemons of this boot left, by the journal.
#[derive(Clone, Debug, Default)]
pub struct LeftByUs {
    /// Volumes of attachments, and of operations that were interrupted: their leases are adopted.
    pub leased: BTreeSet<VolumeId>,
    /// Volumes of attachments: where lvmlockd has their lease, it has it for Volward.
    pub attached: BTreeSet<VolumeId>,
}

/// Who uses an LV's device on a node.
pub(crate) trait Users {
    /// Whether the LV is mapped, by whomever.
    fn is_mapped(&self, volume: VolumeId) -> PortResult<bool>;

    /// Who has the LV's device open, for people.
    fn users(&self, volume: VolumeId) -> Vec<String>;
}

/// By this node's device-mapper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapper;

impl Users for Mapper {
    fn is_mapped(&self, volume: VolumeId) -> PortResult<bool> {
        Ok(blockdev::find(&lv_dm_uuid(volume))?.is_some())
    }

    fn users(&self, volume: VolumeId) -> Vec<String> {
        blockdev::users(&lv_dm_uuid(volume))
    }
}

/// The refusal of what somebody activated on this node, with the process that has its lease.
pub(crate) fn by_hand(volume: &VolumeRef, holder: Option<u32>, node: &dyn Users) -> PortError {
    let lease = match holder {
        Some(pid) => format!("process {pid} holds its lease"),
        None => "without a lease".to_owned(),
    };
    let users = node.users(volume.id);
    let users = match users.is_empty() {
        true => "nobody has it open".to_owned(),
        false => format!("open by {}", users.join(", ")),
    };
    PortError::from(Unmet::ActiveByHand {
        volume: volume.clone(),
        why: format!("{lease}, {users}"),
    })
}

/// What Volward has in a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Volumes whose lease this process took, or an earlier daemon of this boot. Only these are adopted
    /// when they are orphans, and only their devices are removed.
    pub(crate) own: BTreeSet<LvUuid>,
    /// Volumes whose lease was taken through LVM: the registry, and what no table of ours serves.
    pub(crate) through_lvm: BTreeSet<LvUuid>,
}

/// How this node has a volume's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// By this process.
    Own,
    /// By lvmlockd, for Volward.
    ThroughLvm,
    /// By a process that died.
    Orphan,
    /// By somebody else: activated by hand.
    ByHand,
}

impl Claims {
    /// Whose an entry of sanlock's is; `pid` is this process.
    pub(crate) fn of(&self, entry: &Entry, pid: u32) -> Held {
        match entry {
            entry if entry.lease.orphan => Held::Orphan,
            entry if entry.pid == pid => Held::Own,
            entry if self.through_lvm.contains(&entry.lv) => Held::ThroughLvm,
            _ => Held::ByHand,
        }
    }

    /// How the volume's lease is held, and its entry. Where several processes share it, this one counts
    /// first: the others' is what an `lvchange -asy` typed meanwhile leaves.
    pub(crate) fn held<'a>(
        &self,
        entries: &'a [Entry],
        lv: LvUuid,
        pid: u32,
    ) -> Option<(Held, &'a Entry)> {
        let mut all: Vec<_> = entries
            .iter()
            .filter(|entry| entry.lv == lv)
            .map(|entry| (self.of(entry, pid), entry))
            .collect();
        let rank = |held: Held| match held {
            Held::Own => 0,
            Held::ThroughLvm => 1,
            Held::Orphan => 2,
            Held::ByHand => 3,
        };
        all.sort_by_key(|(held, _)| rank(*held));
        all.first().copied()
    }

    /// The leases that count as held: what was activated by hand is not Volward's.
    pub(crate) fn leases(&self, entries: &[Entry], pid: u32) -> BTreeMap<LvUuid, HeldLease> {
        let lvs: BTreeSet<LvUuid> = entries.iter().map(|entry| entry.lv).collect();
        let held = lvs.into_iter().filter_map(|lv| {
            let (held, entry) = self.held(entries, lv, pid)?;
            (held != Held::ByHand).then_some((lv, entry.lease))
        });
        held.collect()
    }

    /// LVs that somebody else has leased on this node.
    pub(crate) fn foreign(&self, entries: &[Entry], pid: u32) -> BTreeSet<LvUuid> {
        let lvs: BTreeSet<LvUuid> = entries.iter().map(|entry| entry.lv).collect();
        let foreign = |lv: &LvUuid| matches!(self.held(entries, *lv, pid), Some((Held::ByHand, _)));
        lvs.into_iter().filter(foreign).collect()
    }

    /// Refuses what is neither Volward's nor free: leased by another process of this node, or mapped
    /// without a lease. Somebody activated it, and may be using it.
    pub(crate) fn must_be_free(
        &self,
        account: &Account,
        volume: &VolumeRef,
        pid: u32,
        node: &dyn Users,
    ) -> PortResult<()> {
        match self.held(&account.entries, volume.id.lv, pid) {
            Some((Held::ByHand, entry)) => Err(by_hand(volume, Some(entry.pid), node)),
            None if node.is_mapped(volume.id)? => Err(by_hand(volume, None, node)),
            _ => Ok(()),
        }
    }

    /// Orphans that an earlier daemon left.
    pub(crate) fn orphans<'a>(&self, entries: &'a [Entry]) -> Vec<&'a Entry> {
        let orphans = entries.iter().filter(|entry| entry.lease.orphan);
        orphans
            .filter(|entry| self.own.contains(&entry.lv))
            .collect()
    }
}
