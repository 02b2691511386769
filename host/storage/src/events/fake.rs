//! Events kept in memory.

use std::sync::{Arc, Mutex, PoisonError};

use volward_ports::{Event, Events};

/// Remembers what it was told; clones remember the same.
#[derive(Clone, Debug, Default)]
pub struct FakeEvents {
    told: Arc<Mutex<Vec<Event>>>,
}

impl FakeEvents {
    /// All events, the oldest first.
    #[must_use]
    pub fn told(&self) -> Vec<Event> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Events for FakeEvents {
    fn tell(&self, event: &Event) {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
    }
}
