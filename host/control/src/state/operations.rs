//! Operations on volumes that this node knows: those that have not ended, and the latest that have. The
//! records are their memory; this is what is looked at and worked on.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{
    Bytes, Course, End, OperationId, PoolName, VolumeId, VolumeOperation, VolumeTask,
};

use super::owed::Tries;

/// Operations of one pool at work at once; the others wait their turn. Two, so that a large volume that is
/// zeroed does not keep small ones waiting for hours; more would only share the disks' time.
const AT_WORK: usize = 2;
/// Ended operations that are kept, the latest: a caller that retries finds its own.
const KEPT: usize = 1_000;
/// And for how long after they ended.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// An operation with what is known of it beside its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operated {
    /// Its record.
    pub operation: VolumeOperation,
    /// Bytes that are to be copied and zeroed in all; 0 until that is known, or if nothing is.
    pub total: Bytes,
    /// Of these, bytes that another node says it has written in this one's stead.
    pub there: Bytes,
    /// Nothing of it can be taken back any more.
    pub committed: bool,
    /// Why it does not get on now, a sentence; tried again.
    pub trouble: Option<String>,
    /// Failures since it last got on.
    pub failures: u32,
    /// Somebody works on it.
    pub at_work: bool,
    /// When it is tried next, on the monotonic clock.
    next: Duration,
}

impl Operated {
    fn new(operation: VolumeOperation) -> Self {
        Self {
            operation,
            total: Bytes(0),
            there: Bytes(0),
            committed: false,
            trouble: None,
            failures: 0,
            at_work: false,
            next: Duration::ZERO,
        }
    }

    /// Bytes that are written so far, by whichever node.
    #[must_use]
    pub fn written(&self) -> Bytes {
        self.operation.zeroed.max(self.there)
    }

    fn is_open(&self) -> bool {
        self.operation.end().is_none()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct OperationBook {
    all: BTreeMap<OperationId, Operated>,
}

impl OperationBook {
    /// What the records say, at the start.
    pub(crate) fn load(&mut self, operations: Vec<VolumeOperation>) {
        for operation in operations {
            self.put(operation);
        }
    }

    /// A new one, or a new state of one.
    pub(crate) fn put(&mut self, operation: VolumeOperation) {
        let id = operation.id.clone();
        match self.all.get_mut(&id) {
            Some(known) => known.operation = operation,
            None => drop(self.all.insert(id, Operated::new(operation))),
        }
    }

    pub(crate) fn get(&self, id: &OperationId) -> Option<&Operated> {
        self.all.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &OperationId) -> Option<&mut Operated> {
        self.all.get_mut(id)
    }

    /// All, the oldest first.
    pub(crate) fn all(&self) -> Vec<Operated> {
        let mut all: Vec<Operated> = self.all.values().cloned().collect();
        all.sort_by(|a, b| {
            let key = |one: &Operated| (one.operation.started_ms, one.operation.id.clone());
            key(a).cmp(&key(b))
        });
        all
    }

    /// One that is about one of the same names in the same pool, or one of the same volumes, and has not
    /// ended.
    pub(crate) fn open_like(&self, like: &VolumeOperation) -> Option<&OperationId> {
        let ours = like.task.names();
        let same = |other: &&Operated| {
            let theirs = &other.operation.task;
            let named = theirs.names().iter().any(|name| ours.contains(name));
            // Its name is free again once its volume has been renamed.
            let freed = other.committed && matches!(theirs, VolumeTask::Delete { .. });
            let has = |id: VolumeId| other.operation.volumes().any(|known| known.id == id);
            (named && !freed) || like.volumes().any(|volume| has(volume.id))
        };
        let mut open = self.all.values().filter(|other| other.is_open());
        open.find(same).map(|other| &other.operation.id)
    }

    /// One that has not ended and is about the volume.
    pub(crate) fn open_on(&self, volume: VolumeId) -> Option<&OperationId> {
        let mut open = self.all.values().filter(|other| other.is_open());
        let about = |other: &&Operated| other.operation.volumes().any(|known| known.id == volume);
        open.find(about).map(|other| &other.operation.id)
    }

    /// It and the others of its group; it alone where it is of none.
    pub(crate) fn with_group(&self, id: &OperationId) -> Vec<OperationId> {
        let group = self.get(id).and_then(|one| one.operation.group.clone());
        match group {
            Some(group) => self.group(&group),
            None => vec![id.clone()],
        }
    }

    /// All of a group.
    pub(crate) fn group(&self, group: &OperationId) -> Vec<OperationId> {
        let all = self.all.values();
        let of_group = all.filter(|one| one.operation.group.as_ref() == Some(group));
        of_group.map(|one| one.operation.id.clone()).collect()
    }

    /// Takes the next one of a pool that is due, the oldest first; `None` if none is, or if enough are
    /// at work.
    pub(crate) fn take_due(&mut self, pool: &PoolName, now: Duration) -> Option<OperationId> {
        let of_pool = |one: &Operated| one.operation.task.pool() == pool;
        let at_work = self.all.values().filter(|one| of_pool(one) && one.at_work);
        if at_work.count() >= AT_WORK {
            return None;
        }
        let due =
            |one: &&Operated| of_pool(one) && one.is_open() && !one.at_work && one.next <= now;
        let oldest = self.all.values().filter(due).min_by_key(|one| {
            // Whoever failed comes after whoever waits for his first turn.
            (one.next, one.operation.started_ms)
        })?;
        let id = oldest.operation.id.clone();
        self.all.get_mut(&id)?.at_work = true;
        Some(id)
    }

    /// Nobody works on it any more.
    pub(crate) fn leave(&mut self, id: &OperationId) {
        if let Some(one) = self.all.get_mut(id) {
            one.at_work = false;
        }
    }

    /// It got on.
    pub(crate) fn got_on(&mut self, id: &OperationId) {
        if let Some(one) = self.all.get_mut(id) {
            (one.trouble, one.failures, one.next) = (None, 0, Duration::ZERO);
        }
    }

    /// It failed for now; says how often it has.
    pub(crate) fn failed(&mut self, id: &OperationId, trouble: String, now: Duration) -> u32 {
        let Some(one) = self.all.get_mut(id) else {
            return 0;
        };
        let mut tries = Tries {
            failures: one.failures,
            next: one.next,
        };
        tries.failed(now);
        (one.failures, one.next) = (tries.failures, tries.next);
        one.trouble = Some(trouble);
        one.failures
    }

    /// It waits for something that is no failure, until it is looked at again.
    pub(crate) fn waits(&mut self, id: &OperationId, what: String, until: Duration) {
        if let Some(one) = self.all.get_mut(id) {
            (one.trouble, one.failures, one.next) = (Some(what), 0, until);
        }
    }

    /// Pools that have one which has not ended.
    pub(crate) fn pools(&self) -> Vec<PoolName> {
        let open = self.all.values().filter(|one| one.is_open());
        let mut pools: Vec<PoolName> = open.map(|one| one.operation.task.pool().clone()).collect();
        pools.sort();
        pools.dedup();
        pools
    }

    /// Forgets those that ended long ago, or that are too many; says which.
    pub(crate) fn prune(&mut self, now_ms: u64) -> Vec<OperationId> {
        let mut ended: Vec<(u64, OperationId)> = self
            .all
            .values()
            .filter(|one| !one.is_open())
            .map(|one| (one.operation.changed_ms, one.operation.id.clone()))
            .collect();
        ended.sort();
        let kept_for = u64::try_from(KEPT_FOR.as_millis()).unwrap_or(u64::MAX);
        let too_many = ended.len().saturating_sub(KEPT);
        let old = |(n, (changed_ms, _)): &(usize, (u64, OperationId))| {
            *n < too_many || changed_ms.saturating_add(kept_for) < now_ms
        };
        let gone: Vec<OperationId> = ended
            .into_iter()
            .enumerate()
            .filter(old)
            .map(|(_, (_, id))| id)
            .collect();
        self.all.retain(|id, _| !gone.contains(id));
        gone
    }

    /// Has it taken back, and all of its group, if nothing keeps that: says which, and why not otherwise, as the end of a
    /// sentence.
    ///
    /// # Errors
    /// If it has ended or cannot be taken back.
    pub(crate) fn cancel(
        &mut self,
        id: &OperationId,
        now_ms: u64,
    ) -> Result<Vec<OperationId>, &'static str> {
        let Some(one) = self.all.get(id) else {
            return Err("is not known");
        };
        match one.operation.course {
            Course::Ended(_) => return Err("has ended"),
            Course::Back(_) => {}
            Course::Forward if one.committed || one.operation.has_moment() => {
                return Err("has come so far that it can only be completed");
            }
            Course::Forward => {}
        }
        let all = self.with_group(id);
        for id in &all {
            let one = self.all.get_mut(id);
            if let Some(one) = one.filter(|one| one.operation.course == Course::Forward) {
                one.operation.course = Course::Back(End::Cancelled);
                one.operation.changed_ms = now_ms;
                one.next = Duration::ZERO;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_model::RequestId;

    fn operation(n: u64, course: Course) -> VolumeOperation {
        let task = VolumeTask::Delete {
            pool: "vg0".parse().unwrap(),
            name: format!("v{n}").parse().unwrap(),
        };
        let id = format!("o{n}").parse().unwrap();
        let request = RequestId(uuid::Uuid::nil());
        VolumeOperation {
            course,
            ..VolumeOperation::new(id, task, (request, 0), n)
        }
    }

    #[test]
    fn so_many_are_at_work_and_the_oldest_goes_first() {
        let mut book = OperationBook::default();
        book.load((1..=4).map(|n| operation(n, Course::Forward)).collect());
        let pool = "vg0".parse().unwrap();
        let first = book.take_due(&pool, Duration::ZERO).unwrap();
        assert_eq!(first.as_str(), "o1");
        assert_eq!(book.take_due(&pool, Duration::ZERO).unwrap().as_str(), "o2");
        assert_eq!(book.take_due(&pool, Duration::ZERO), None);
        assert_eq!(book.failed(&first, "the disks".into(), Duration::ZERO), 1);
        book.leave(&first);
        // Who failed waits, and the next one has the place.
        assert_eq!(book.take_due(&pool, Duration::ZERO).unwrap().as_str(), "o3");
        assert_eq!(book.take_due(&"vg1".parse().unwrap(), Duration::ZERO), None);
    }

    #[test]
    fn ended_ones_are_kept_for_a_week_and_a_thousand_of_them() {
        let mut book = OperationBook::default();
        let week = u64::try_from(KEPT_FOR.as_millis()).unwrap();
        book.put(operation(1, Course::Ended(End::Done)));
        book.put(operation(2, Course::Forward));
        assert_eq!(book.prune(week), []);
        assert_eq!(book.prune(week + 2)[0].as_str(), "o1");
        assert!(
            book.get(&"o2".parse().unwrap()).is_some(),
            "it has not ended"
        );
        let many = 10..10 + u64::try_from(KEPT).unwrap() + 3;
        for n in many {
            book.put(operation(n, Course::Ended(End::Done)));
        }
        let gone = book.prune(20);
        let gone: Vec<&str> = gone.iter().map(OperationId::as_str).collect();
        assert_eq!(gone, ["o10", "o11", "o12"]);
    }

    #[test]
    fn what_has_ended_or_is_committed_is_not_cancelled() {
        let mut book = OperationBook::default();
        book.load(vec![
            operation(1, Course::Forward),
            operation(2, Course::Forward),
            operation(3, Course::Ended(End::Done)),
        ]);
        let [first, second, third] = ["o1", "o2", "o3"].map(|id| id.parse().unwrap());
        assert_eq!(book.cancel(&first, 9), Ok(vec![first.clone()]));
        assert_eq!(
            book.cancel(&first, 9),
            Ok(vec![first.clone()]),
            "twice is once"
        );
        let now = &book.get(&first).unwrap().operation;
        assert_eq!(now.course, Course::Back(End::Cancelled));
        book.get_mut(&second).unwrap().committed = true;
        assert!(book.cancel(&second, 9).unwrap_err().contains("completed"));
        assert!(book.cancel(&third, 9).unwrap_err().contains("ended"));
        assert!(book.cancel(&"o9".parse().unwrap(), 9).is_err());
    }
}
