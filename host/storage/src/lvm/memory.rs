//! What was read of each pool, and whether it still holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_model::{PoolInfo, PoolName, VolumeId, VolumeInfo};

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
    /// What the report's volumes say of what is mapped, each with whether the kernel refuses to write to it; `None`: what LVM said.
    mapped: Option<HashMap<VolumeId, bool>>,
}

impl Memory {
    /// The mark under which what is kept of the pool holds now: that of the last report, where the metadata on all disks is
    /// what it was then, or of a reading of the metadata as it is now. `None` where LVM is to be asked.
    pub(super) fn holds(&self, pool: &PoolName) -> Option<Mark> {
        let now = self.mark(pool)?;
        let unchanged = self.known().get(pool)?.mark.as_ref() == Some(&now);
        match unchanged {
            true => Some(now),
            false => self.derive(pool),
        }
    }

    /// What is kept under that mark, with these LVs mapped; `None` where something else is kept by now.
    /// The same again where nothing has changed; with thousands of volumes a copy of them would be most of an attach.
    pub(super) fn with_mapped(
        &self,
        pool: &PoolName,
        mark: &Mark,
        mapped: &HashMap<VolumeId, bool>,
    ) -> Option<Arc<PoolInfo>> {
        let mut known = self.known();
        let known = known.get_mut(pool)?;
        if known.mark.as_ref() != Some(mark) {
            return None;
        }
        let info = &mut known.report.info;
        let vg = info.vg;
        let of_pool = mapped.iter().filter(|(id, _)| id.vg == vg);
        let of_pool: HashMap<VolumeId, bool> = of_pool.map(|(id, ro)| (*id, *ro)).collect();
        if known.mapped.as_ref() != Some(&of_pool) {
            let differs = |volume: &VolumeInfo| !is_as(volume, &of_pool);
            if info.volumes.iter().any(differs) {
                set_mapped(Arc::make_mut(info), &of_pool);
            }
            known.mapped = Some(of_pool);
        }
        Some(Arc::clone(info))
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

    /// What the metadata on the pool's disks says of it now, kept as a report is; answers its mark, `None` where LVM is to be
    /// asked. Which disks those are LVM has said: it goes by what identifies a disk, where a devices file's names may lead to
    /// another one with the same labels, such as the array's copy of the LUN.
    fn derive(&self, pool: &PoolName) -> Option<Mark> {
        let disks = self.disks(pool)?;
        let reader = self.reader(pool);
        let what = format!("reading the metadata of pool {pool}");
        let name = pool.clone();
        let read = reader.call(&what, DEADLINE, move |()| derived::read(&name, &disks));
        let read = read.inspect_err(|error| tracing::debug!(%error, "no metadata"));
        let (report, mark) = read.unwrap_or_default()?;
        let kept = Known {
            report,
            mark: Some(mark.clone()),
            mapped: None,
        };
        self.known().insert(pool.clone(), kept);
        Some(mark)
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
        let mapped = None;
        known.insert(
            name,
            Known {
                report,
                mark,
                mapped,
            },
        );
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

/// What metadata does not say and the kernel does: which volumes are active. `mapped` has them, each with whether the kernel
/// refuses to write to it.
fn set_mapped(info: &mut PoolInfo, mapped: &HashMap<VolumeId, bool>) {
    for volume in &mut info.volumes {
        volume.active = mapped.contains_key(&volume.volume.id);
    }
    set_read_only(info, mapped);
}

/// The part of it that a report does not say either.
pub(super) fn set_read_only(info: &mut PoolInfo, mapped: &HashMap<VolumeId, bool>) {
    for volume in &mut info.volumes {
        volume.read_only = mapped.get(&volume.volume.id) == Some(&true);
    }
}

fn is_as(volume: &VolumeInfo, mapped: &HashMap<VolumeId, bool>) -> bool {
    let read_only = mapped.get(&volume.volume.id);
    volume.active == read_only.is_some() && volume.read_only == (read_only == Some(&true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvm::report;

    #[test]
    fn what_was_told_stays_as_it_was_when_another_volume_becomes_active() {
        let (memory, pool) = (Memory::default(), "tvg".parse().unwrap());
        let report = include_bytes!("testdata/fullreport.json");
        let report = report::pool(&pool, report).unwrap();
        let [first, second] = [0, 1].map(|n| report.info.volumes[n].volume.id);
        let mark = Mark(vec![b"one".to_vec()]);
        let kept = Known {
            report,
            mark: Some(mark.clone()),
            mapped: None,
        };
        memory.known().insert(pool.clone(), kept);
        let look = |mapped: &[(VolumeId, bool)]| {
            let mapped = mapped.iter().copied().collect();
            memory.with_mapped(&pool, &mark, &mapped).unwrap()
        };
        let states =
            |info: &PoolInfo| [0, 1].map(|n| (info.volumes[n].active, info.volumes[n].read_only));

        let one = look(&[(first, false)]);
        assert!(Arc::ptr_eq(&one, &look(&[(first, false)])));
        let both = look(&[(first, false), (second, true)]);
        assert_eq!(states(&one), [(true, false), (false, false)]);
        assert_eq!(states(&both), [(true, false), (true, true)]);
        // Nobody looks at it any more: it is changed where it is.
        let place = Arc::as_ptr(&both);
        drop(both);
        let last = look(&[(second, false)]);
        assert_eq!(
            (Arc::as_ptr(&last), states(&last)),
            (place, [(false, false), (true, false)])
        );

        let other = memory.with_mapped(&pool, &Mark(vec![b"two".to_vec()]), &HashMap::new());
        assert!(
            other.is_none(),
            "what is kept is of another state of the disks"
        );
    }
}
