//! What failed for now and is tried again: operations that are begun and not ended, and what a pool
//! still needs. One list, whoever began it; the journal's open entries are its record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volward_model::{AttachmentKey, InstanceId, PoolName, VolumeId, VolumeRef};

use crate::ports::{JournalEntry, StoredAttachment};

/// From a failure to the next try; doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
/// The longest pause: what has been mended goes on within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause after so many failures.
#[must_use]
pub(crate) fn pause_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// What of an operation is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The steps from this index on are to be run.
    Complete {
        /// The index of the step that failed.
        from: usize,
    },
    /// The undos of the steps before this index are to be run, the last step's first.
    Undo {
        /// How many steps were begun.
        until: usize,
    },
}

/// How often something was tried in vain, and when it is tried next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Failures so far.
    pub failures: u32,
    /// On the monotonic clock.
    pub next: Duration,
}

impl Tries {
    /// After one more failure.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.next = now + pause_after(self.failures);
    }
}

/// An operation that is begun, and that neither ended nor needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The number of its journal entry; `None` where it could not be written.
    pub number: Option<u64>,
    /// What was journalled, or was to be.
    pub entry: JournalEntry,
    pub rest: Rest,
    /// The attachments that are neither whole nor gone.
    pub concerned: Vec<StoredAttachment>,
    /// The first failure, then the latest where it is another one, each a sentence.
    pub causes: Vec<String>,
    pub tries: Tries,
}

impl Owed {
    /// The volumes it works on.
    pub(crate) fn volumes(&self) -> Vec<VolumeId> {
        let volumes = self.entry.operation.volumes();
        volumes.into_iter().map(|v| v.id).collect()
    }

    /// `POOL/NAME, ...`.
    pub(crate) fn names(&self) -> String {
        let volumes = self.entry.operation.volumes();
        let names: Vec<String> = volumes.into_iter().map(VolumeRef::to_string).collect();
        names.join(", ")
    }
}

/// What a pool still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Its registry is to be opened; what recovery could not look at is taken up then.
    Open,
    /// Recovery is to look at what it could not look at.
    TakeUp,
    /// This node's slot is to be written: the last write failed.
    Slot,
}

/// Where work is done one after the other: a pool, or the operations of no configured pool.
pub(crate) type Lane = Option<PoolName>;

/// What is tried next in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Operation(u64),
    Need(Need),
}

/// Everything that is tried again.
#[derive(Debug, Default)]
pub(crate) struct OwedList {
    last: u64,
    operations: BTreeMap<u64, (Lane, Owed)>,
    needs: BTreeMap<(PoolName, Need), Tries>,
    /// Lanes in which somebody works.
    busy: BTreeSet<Lane>,
}

impl OwedList {
    pub(crate) fn owe(&mut self, lane: Lane, owed: Owed) {
        self.last += 1;
        self.operations.insert(self.last, (lane, owed));
    }

    pub(crate) fn get(&self, id: u64) -> Option<Owed> {
        self.operations.get(&id).map(|(_, owed)| owed.clone())
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.operations.remove(&id);
    }

    /// Says that it failed again, at `now`.
    pub(crate) fn failed(&mut self, id: u64, rest: Rest, cause: String, now: Duration) {
        if let Some((_, owed)) = self.operations.get_mut(&id) {
            owed.rest = rest;
            owed.tries.failed(now);
            owed.causes.truncate(1);
            if owed.causes.first() != Some(&cause) {
                owed.causes.push(cause);
            }
        }
    }

    /// It is tried later, though nothing failed: another request works on its volumes.
    pub(crate) fn put_off(&mut self, id: u64, next: Duration) {
        if let Some((_, owed)) = self.operations.get_mut(&id) {
            owed.tries.next = next;
        }
    }

    /// All operations, the oldest first, each with its number in this list.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (u64, &Owed)> {
        self.operations.iter().map(|(id, (_, owed))| (*id, owed))
    }

    /// Operations that work on any of the volumes.
    pub(crate) fn touching(&self, volumes: &[VolumeId]) -> Vec<u64> {
        let touches = |owed: &Owed| owed.volumes().iter().any(|v| volumes.contains(v));
        let found = self.operations().filter(|(_, owed)| touches(owed));
        found.map(|(id, _)| id).collect()
    }

    /// Operations that serve the instance.
    pub(crate) fn serving(&self, instance: InstanceId) -> Vec<(u64, Owed)> {
        let serves = |owed: &Owed| owed.entry.operation.instance() == Some(instance);
        let found = self.operations().filter(|(_, owed)| serves(owed));
        found.map(|(id, owed)| (id, owed.clone())).collect()
    }

    /// The attachments that belong to these operations.
    pub(crate) fn keys(&self) -> BTreeSet<AttachmentKey> {
        let all = self.operations().flat_map(|(_, owed)| &owed.concerned);
        all.map(StoredAttachment::key).collect()
    }

    /// The pool needs it, from `now` on.
    pub(crate) fn need(&mut self, pool: &PoolName, need: Need, now: Duration) {
        let tries = self.needs.entry((pool.clone(), need)).or_default();
        tries.failed(now);
        if need == Need::Open {
            // Somebody joins the lockspace, and waits for the pool.
            tries.next = now + FIRST_PAUSE;
        }
    }

    pub(crate) fn needed_no_more(&mut self, pool: &PoolName, need: Need) {
        self.needs.remove(&(pool.clone(), need));
    }

    /// Pools that need it.
    pub(crate) fn pools_in(&self, need: Need) -> BTreeSet<PoolName> {
        let of = self.needs.keys().filter(|(_, needed)| *needed == need);
        of.map(|(pool, _)| pool.clone()).collect()
    }

    /// Lanes with work in which nobody works; whoever asks does from now on.
    pub(crate) fn idle_lanes(&mut self) -> Vec<Lane> {
        let of_operations = self.operations.values().map(|(lane, _)| lane.clone());
        let of_needs = self.needs.keys().map(|(pool, _)| Some(pool.clone()));
        let lanes: BTreeSet<Lane> = of_operations.chain(of_needs).collect();
        let idle: Vec<Lane> = lanes.difference(&self.busy).cloned().collect();
        self.busy.extend(idle.iter().cloned());
        idle
    }

    /// What is to be tried first in the lane, and when; `None` where nothing is: then nobody works
    /// there any more.
    pub(crate) fn next(&mut self, lane: &Lane) -> Option<(Due, Duration)> {
        let operations = self.operations.iter().filter(|(_, (of, _))| of == lane);
        let operations = operations.map(|(id, (_, owed))| (Due::Operation(*id), owed.tries.next));
        let needs = self
            .needs
            .iter()
            .filter(|((pool, _), _)| lane.as_ref() == Some(pool));
        let needs = needs.map(|((_, need), tries)| (Due::Need(*need), tries.next));
        let next = needs.chain(operations).min_by_key(|(_, next)| *next);
        if next.is_none() {
            self.leave(lane);
        }
        next
    }

    /// Nobody works in the lane any more.
    pub(crate) fn leave(&mut self, lane: &Lane) {
        self.busy.remove(lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let seconds: Vec<u64> = (1..8).map(|n| pause_after(n).as_secs()).collect();
        assert_eq!(seconds, [3, 6, 12, 24, 30, 30, 30]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_pool_has_one_worker_and_what_it_needs_is_tried_in_turn() {
        let (a, b): (PoolName, PoolName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut owed = OwedList::default();
        let now = Duration::from_secs(100);
        owed.need(&a, Need::Slot, now);
        owed.need(&a, Need::Slot, now);
        owed.need(&a, Need::Open, now);
        owed.need(&b, Need::TakeUp, now);
        let lanes = [Some(a.clone()), Some(b.clone())];
        assert_eq!(owed.idle_lanes(), lanes);
        assert_eq!(owed.idle_lanes(), []);
        let first = (Due::Need(Need::Open), now + FIRST_PAUSE);
        assert_eq!(owed.next(&lanes[0]), Some(first));
        owed.needed_no_more(&a, Need::Open);
        let second = (Due::Need(Need::Slot), now + pause_after(2));
        assert_eq!(owed.next(&lanes[0]), Some(second));
        owed.needed_no_more(&a, Need::Slot);
        assert_eq!(owed.next(&lanes[0]), None);
        owed.need(&a, Need::Slot, now);
        assert_eq!(owed.idle_lanes(), lanes[..1]);
    }
}
