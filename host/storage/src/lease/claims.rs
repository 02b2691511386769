//! Which leases of this node are Volward's. sanlock knows processes, not reasons: a lease of lvmlockd may
//! be one that Volward took through LVM, or one of somebody who typed `lvchange`.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{HeldLease, LvUuid};

use crate::lease::Entry;

/// What Volward has in a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Volumes whose lease this process took, or an earlier daemon of this boot. Only these are adopted
    /// when they are orphans, and only their devices are removed.
    pub(super) own: BTreeSet<LvUuid>,
    /// Volumes whose lease was taken through LVM: the registry, and what no table of ours serves.
    pub(super) through_lvm: BTreeSet<LvUuid>,
}

/// How this node has a volume's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
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
    pub(super) fn of(&self, entry: &Entry, pid: u32) -> Held {
        match entry {
            entry if entry.lease.orphan => Held::Orphan,
            entry if entry.pid == pid => Held::Own,
            entry if self.through_lvm.contains(&entry.lv) => Held::ThroughLvm,
            _ => Held::ByHand,
        }
    }

    /// How the volume's lease is held, and its entry. Where several processes share it, this one counts
    /// first: the others' is what an `lvchange -asy` typed meanwhile leaves.
    pub(super) fn held<'a>(
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
    pub(super) fn leases(&self, entries: &[Entry], pid: u32) -> BTreeMap<LvUuid, HeldLease> {
        let lvs: BTreeSet<LvUuid> = entries.iter().map(|entry| entry.lv).collect();
        let held = lvs.into_iter().filter_map(|lv| {
            let (held, entry) = self.held(entries, lv, pid)?;
            (held != Held::ByHand).then_some((lv, entry.lease))
        });
        held.collect()
    }

    /// Orphans that an earlier daemon left.
    pub(super) fn orphans<'a>(&self, entries: &'a [Entry]) -> Vec<&'a Entry> {
        let orphans = entries.iter().filter(|entry| entry.lease.orphan);
        orphans
            .filter(|entry| self.own.contains(&entry.lv))
            .collect()
    }
}
