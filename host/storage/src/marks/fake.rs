//! Start marks in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use volward_model::InstanceId;
use volward_ports::Marks;

/// Remembers what was announced.
#[derive(Debug, Default)]
pub struct FakeMarks {
    announced: Mutex<BTreeMap<InstanceId, u64>>,
}

impl FakeMarks {
    /// The sequence number that was announced last for each instance.
    #[must_use]
    pub fn announced(&self) -> BTreeMap<InstanceId, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceId, u64>> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks for FakeMarks {
    fn announce(&self, instance: InstanceId, sequence: u64) {
        self.lock().insert(instance, sequence);
    }
}
