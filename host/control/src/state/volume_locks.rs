//! One request at a time on a volume (I1).

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use volward_model::VolumeId;

/// Hands out volumes, all of a request at once, so that two requests never wait for each other.
#[derive(Debug, Default)]
pub(crate) struct VolumeLocks {
    taken: Mutex<BTreeSet<VolumeId>>,
    freed: Condvar,
}

/// The volumes of one request; given back when dropped.
#[derive(Debug)]
pub(crate) struct VolumeGuard<'a> {
    volume_locks: &'a VolumeLocks,
    volumes: Vec<VolumeId>,
}

impl VolumeLocks {
    /// Whether a request has the volume.
    pub(crate) fn is_taken(&self, volume: VolumeId) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.contains(&volume)
    }

    /// Waits for all `volumes`.
    ///
    /// # Errors
    /// With a volume that is still taken after `at_most`.
    pub(crate) fn take(
        &self,
        volumes: &[VolumeId],
        at_most: Duration,
    ) -> Result<VolumeGuard<'_>, VolumeId> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |taken: &mut BTreeSet<VolumeId>| volumes.iter().any(|v| taken.contains(v));
        let (mut taken, _) = self
            .freed
            .wait_timeout_while(taken, at_most, busy)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(volume) = volumes.iter().find(|v| taken.contains(v)) {
            return Err(*volume);
        }
        taken.extend(volumes);
        Ok(VolumeGuard {
            volume_locks: self,
            volumes: volumes.to_vec(),
        })
    }
}

impl Drop for VolumeGuard<'_> {
    fn drop(&mut self) {
        let mut taken = self
            .volume_locks
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for volume in &self.volumes {
            taken.remove(volume);
        }
        self.volume_locks.freed.notify_all();
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
