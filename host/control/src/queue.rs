//! One request at a time on a volume (I1).

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use volward_model::VolumeId;

/// Hands out volumes, all of a request at once, so that two requests never wait for each other.
#[derive(Debug, Default)]
pub struct Queue {
    taken: Mutex<BTreeSet<VolumeId>>,
    freed: Condvar,
}

/// The volumes of one request; given back when dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    queue: &'a Queue,
    volumes: Vec<VolumeId>,
}

impl Queue {
    /// Waits for all `volumes`.
    ///
    /// # Errors
    /// With a volume that is still taken after `at_most`.
    pub fn take(&self, volumes: &[VolumeId], at_most: Duration) -> Result<Turn<'_>, VolumeId> {
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
        Ok(Turn {
            queue: self,
            volumes: volumes.to_vec(),
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self
            .queue
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for volume in &self.volumes {
            taken.remove(volume);
        }
        self.queue.freed.notify_all();
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
        let queue = Queue::default();
        let (a, b) = (volume("a"), volume("b"));
        let turn = queue.take(&[a], Duration::ZERO).unwrap();
        assert_eq!(queue.take(&[b, a], Duration::ZERO).unwrap_err(), a);
        assert!(
            queue.take(&[b], Duration::ZERO).is_ok(),
            "a failed take keeps nothing"
        );
        drop(turn);
        assert!(queue.take(&[b, a], Duration::ZERO).is_ok());
    }

    #[test]
    fn i1_of_many_threads_one_has_the_volume_at_a_time() {
        let (queue, inside) = (Queue::default(), std::sync::atomic::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let turn = queue.take(&[volume("a")], Duration::from_secs(60)).unwrap();
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
    }
}
