//! Zeroing a part of an LV within a deadline (I27, I28). The kernel cannot be interrupted in it: what takes
//! too long goes on in a thread of its own, which has the device open, so that neither its LV nor its
//! lease can be given up meanwhile.

use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;
use volward_model::{Bytes, VolumeRef};
use volward_ports::{PortError, PortResult};

use crate::blockdev;
use crate::zero::zero_from;

/// For one chunk, which takes an array a second. Longer than the kernel waits before it gives a request to a
/// disk up (30 s), so that an error is told as one.
const DEADLINE: Duration = Duration::from_secs(60);

/// Zeroes, at most once at a time on each volume.
#[derive(Debug)]
pub(super) struct Zeroing {
    late: Arc<Mutex<BTreeSet<volward_model::VolumeId>>>,
    deadline: Duration,
}

impl Default for Zeroing {
    fn default() -> Self {
        Self {
            late: Arc::default(),
            deadline: DEADLINE,
        }
    }
}

impl Zeroing {
    /// Zeroes `amount` from `start` on and flushes; `shared`: others have devices on the LV.
    pub(super) fn zero(
        &self,
        volume: &VolumeRef,
        (start, amount): (Bytes, Bytes),
        shared: bool,
    ) -> PortResult<()> {
        let flags = if shared {
            OFlags::empty()
        } else {
            OFlags::EXCL
        };
        let (id, name) = (volume.id, volume.to_string());
        self.bounded(volume, move || {
            let device = blockdev::open_lv(id, true, flags)?;
            zero_from(&device, &name, start, amount)
        })
    }

    fn bounded(
        &self,
        volume: &VolumeRef,
        work: impl FnOnce() -> PortResult<()> + Send + 'static,
    ) -> PortResult<()> {
        let (id, what) = (volume.id, format!("zeroing {volume}"));
        if late(&self.late).contains(&id) {
            return Err(PortError::Overloaded { what, waiting: 1 });
        }
        let (answer, answered) = sync_channel(1);
        let set = Arc::clone(&self.late);
        let work = move || {
            // Nobody waits any more after the deadline: the answer is dropped.
            drop(answer.send(work()));
            late(&set).remove(&id);
        };
        let thread = std::thread::Builder::new().name("zeroing".into());
        thread.spawn(work).map_err(|error| PortError::Io {
            what: what.clone(),
            reason: error.to_string(),
        })?;
        if let Ok(done) = answered.recv_timeout(self.deadline) {
            return done;
        }
        let mut set = late(&self.late);
        // Under the lock that the thread takes last: either the answer is there, or it is late.
        if let Ok(done) = answered.try_recv() {
            return done;
        }
        set.insert(id);
        Err(PortError::Deadline {
            what,
            after: self.deadline,
        })
    }
}

fn late<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> VolumeRef {
        VolumeRef {
            id: volward_model::VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: "a".repeat(32).parse().unwrap(),
            },
            pool: "vg0".parse().unwrap(),
            name: "a".parse().unwrap(),
        }
    }

    #[test]
    fn i27_a_chunk_that_takes_too_long_is_left_and_the_volume_with_it() {
        let zeroing = Zeroing {
            deadline: Duration::from_millis(30),
            ..Zeroing::default()
        };
        let (unblock, blocked) = sync_channel::<()>(0);
        let hangs = move || {
            blocked.recv().unwrap_err();
            Ok(())
        };
        let first = zeroing.bounded(&volume(), hangs);
        assert!(
            matches!(first, Err(PortError::Deadline { .. })),
            "{first:?}"
        );
        let second = zeroing.bounded(&volume(), || Ok(()));
        assert!(
            matches!(second, Err(PortError::Overloaded { .. })),
            "{second:?}"
        );
        drop(unblock);
        for _ in 0..500 {
            if zeroing.bounded(&volume(), || Ok(())).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        unreachable!("what was late is back, and the volume is still left alone");
    }

    #[test]
    fn i28_what_is_not_mapped_is_not_zeroed() {
        let error = Zeroing::default().zero(&volume(), (Bytes(0), Bytes::mib(1)), false);
        assert!(matches!(error, Err(PortError::Missing { .. })), "{error:?}");
    }
}
