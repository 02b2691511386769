//! One request at a time on a volume (I1), and one attach at a time of an instance.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use volward_model::{InstanceId, VolumeId};

/// Hands out what requests take turns at, all of a request at once, so that two requests never wait for
/// each other.
#[derive(Debug)]
pub(crate) struct Turns<K: Ord + Copy> {
    taken: Mutex<BTreeSet<K>>,
    freed: Condvar,
}

/// What one request has; given back when dropped.
#[derive(Debug)]
pub(crate) struct TurnGuard<'a, K: Ord + Copy> {
    turns: &'a Turns<K>,
    has: Vec<K>,
}

/// One request at a time on a volume.
pub(crate) type VolumeLocks = Turns<VolumeId>;
/// The volumes of one request; given back when dropped.
pub(crate) type VolumeGuard<'a> = TurnGuard<'a, VolumeId>;
/// One attach at a time of an instance: a policy is told what the instance has, and two that are decided
/// at once would know nothing of each other.
pub(crate) type InstanceTurns = Turns<InstanceId>;

impl<K: Ord + Copy> Default for Turns<K> {
    fn default() -> Self {
        Self {
            taken: Mutex::default(),
            freed: Condvar::new(),
        }
    }
}

impl<K: Ord + Copy> Turns<K> {
    /// Whether a request has it.
    pub(crate) fn is_taken(&self, one: K) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.contains(&one)
    }

    /// Waits for all of `wanted`.
    ///
    /// # Errors
    /// With one that is still taken after `at_most`.
    pub(crate) fn take(&self, wanted: &[K], at_most: Duration) -> Result<TurnGuard<'_, K>, K> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |taken: &mut BTreeSet<K>| wanted.iter().any(|one| taken.contains(one));
        let (mut taken, _) = self
            .freed
            .wait_timeout_while(taken, at_most, busy)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = wanted.iter().find(|one| taken.contains(one)) {
            return Err(*one);
        }
        taken.extend(wanted);
        Ok(TurnGuard {
            turns: self,
            has: wanted.to_vec(),
        })
    }
}

impl<K: Ord + Copy> Drop for TurnGuard<'_, K> {
    fn drop(&mut self) {
        let taken = self.turns.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        for one in &self.has {
            taken.remove(one);
        }
        self.turns.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(letter: &str) -> VolumeId {
        VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: letter.repeat(32).parse().unwrap(),
        }
    }

    #[test]
    fn i1_a_taken_volume_is_waited_for_and_given_back() {
        let volume_locks = VolumeLocks::default();
        let (a, b) = (volume("a"), volume("b"));
        let guard = volume_locks.take(&[a], Duration::ZERO).unwrap();
        assert_eq!(volume_locks.take(&[b, a], Duration::ZERO).unwrap_err(), a);
        assert!(
            volume_locks.take(&[b], Duration::ZERO).is_ok(),
            "a failed take keeps nothing"
        );
        drop(guard);
        assert!(volume_locks.take(&[b, a], Duration::ZERO).is_ok());
    }

    #[test]
    fn i1_of_many_threads_one_has_the_volume_at_a_time() {
        let (volume_locks, inside) = (VolumeLocks::default(), std::sync::atomic::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let guard = volume_locks
                            .take(&[volume("a")], Duration::from_secs(60))
                            .unwrap();
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(guard);
                    }
                });
            }
        });
    }
}
