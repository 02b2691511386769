//! Start marks in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use volward_model::InstanceId;
use volward_model::handover::StartPoint;
use volward_ports::{Marks, PortError, PortResult};

/// Remembers what was announced and what libvirt's hook would find.
#[derive(Debug, Default)]
pub struct FakeMarks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    announced: BTreeMap<InstanceId, u64>,
    found: BTreeMap<InstanceId, u64>,
    broken: bool,
}

impl FakeMarks {
    /// The sequence number that was announced last for each instance.
    #[must_use]
    pub fn announced(&self) -> BTreeMap<InstanceId, u64> {
        self.lock().announced.clone()
    }

    /// The sequence number in the mark of each instance that has one.
    #[must_use]
    pub fn found(&self) -> BTreeMap<InstanceId, u64> {
        self.lock().found.clone()
    }

    /// From now on the folder of marks can be written or not.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<InstanceId, u64>)) -> PortResult<()> {
        let mut inner = self.lock();
        if inner.broken {
            return Err(PortError::Io {
                what: "the start marks".into(),
                reason: "a fake's failure".into(),
            });
        }
        change(&mut inner.found);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks for FakeMarks {
    fn announce(&self, instance: InstanceId, sequence: u64) {
        self.lock().announced.insert(instance, sequence);
        // As the adapter: what cannot be written is said in the log, and that is all.
        let _logged = self.change(|found| {
            found.insert(instance, sequence);
        });
    }

    fn set(&self, instance: InstanceId, start: Option<&StartPoint>) -> PortResult<()> {
        self.change(|found| {
            match start {
                Some(start) => found.insert(instance, start.sequence),
                None => found.remove(&instance),
            };
        })
    }

    fn set_all(&self, starts: &BTreeMap<InstanceId, StartPoint>) -> PortResult<()> {
        let starts = starts
            .iter()
            .map(|(instance, start)| (*instance, start.sequence));
        self.change(|found| *found = starts.collect())
    }
}
