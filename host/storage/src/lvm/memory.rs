//! What was read of each pool, and whether it still holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_model::{PoolInfo, PoolName, VolumeId};

use super::derived;
use super::mark::Mark;
use super::report::Reported;
use crate::worker::Worker;

/// A disk that does not answer so long hangs; then LVM is asked, under a deadline of its own.
const DEADLINE: Duration = Duration::from_secs(2);

/// The last report of each pool.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<HashMap<PoolName, Known>>,
    /// A thread per pool reads disks: one that hangs must not hold up another's (I27).
    readers: Mutex<HashMap<PoolName, Arc<Worker<()>>>>,
}

/// A report.
#[derive(Debug)]
struct Known {
    report: Reported,
    /// The mark from before the report was made; `None` if it could not be had.
    mark: Option<Mark>,
}

impl Memory {
    /// The last report, if the metadata on all disks is what it was then. Which volumes are
    /// active is as it was: metadata does not say.
    pub(super) fn unchanged(&self, pool: &PoolName) -> Option<PoolInfo> {
        let now = self.mark(pool)?;
        let known = self.known();
        let known = known.get(pool)?;
        (known.mark.as_ref() == Some(&now)).then(|| known.report.info.clone())
    }

    /// The present mark of the disks the pool was on; to be had before a report is made.
    pub(super) fn mark(&self, pool: &PoolName) -> Option<Mark> {
        let pvs = self.known().get(pool)?.report.disks.clone();
        let reader = self.reader(pool);
        let what = format!("reading the metadata headers of pool {pool}");
        let read = reader.call(&what, DEADLINE, move |()| Mark::of(&pvs));
        // Without one the pool is reported in full, and that says what is wrong.
        read.inspect_err(|error| tracing::debug!(%error, "no mark"))
            .unwrap_or_default()
    }

    /// What the metadata on the pool's disks says of it now, kept as a report is; `None` where LVM is to be asked. Which disks
    /// those are LVM has said: it goes by what identifies a disk, where a devices file's names may lead to another one with
    /// the same labels, such as the array's copy of the LUN.
    pub(super) fn derived(&self, pool: &PoolName) -> Option<PoolInfo> {
        let disks = self.disks(pool)?;
        let reader = self.reader(pool);
        let what = format!("reading the metadata of pool {pool}");
        let name = pool.clone();
        let read = reader.call(&what, DEADLINE, move |()| derived::read(&name, &disks));
        let read = read.inspect_err(|error| tracing::debug!(%error, "no metadata"));
        let (report, mark) = read.unwrap_or_default()?;
        let info = report.info.clone();
        let mark = Some(mark);
        self.known().insert(pool.clone(), Known { report, mark });
        Some(info)
    }

    /// The thread that reads the pool's disks.
    pub(super) fn reader(&self, pool: &PoolName) -> Arc<Worker<()>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = readers.entry(pool.clone());
        Arc::clone(reader.or_insert_with(|| Arc::new(Worker::start(()))))
    }

    /// Keeps a report. `mark` is that of the disks known before; it counts for this report if
    /// the pool is still on the same ones.
    pub(super) fn keep(&self, report: Reported, mark: Option<Mark>) {
        let mut known = self.known();
        let name = report.info.name.clone();
        let same = known
            .get(&name)
            .is_some_and(|k| k.report.disks == report.disks);
        let mark = mark.filter(|_| same && !report.info.partial);
        known.insert(name, Known { report, mark });
    }

    /// Where a volume's lease was in the last report of its pool.
    pub(super) fn lock_args(&self, pool: &PoolName, volume: VolumeId) -> Option<String> {
        let known = self.known();
        known.get(pool)?.report.lock_args.get(&volume.lv).cloned()
    }

    /// The disks the pool was on at its last report.
    pub(super) fn disks(&self, pool: &PoolName) -> Option<Vec<PathBuf>> {
        Some(self.known().get(pool)?.report.disks.clone())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PoolName, Known>> {
        // A report is put in whole or not at all.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
