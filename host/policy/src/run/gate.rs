//! Bounds how many decisions run at once, and how long one waits for its turn.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A number of places.
pub(crate) struct Gate {
    free: Mutex<u32>,
    freed: Condvar,
}

/// A taken place; free again when dropped.
pub(crate) struct Place<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(places: u32) -> Self {
        Self {
            free: Mutex::new(places.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Takes a place; `None` if none became free in time.
    pub(crate) fn enter(&self, patience: Duration) -> Option<Place<'_>> {
        // The count is right whenever the mutex is free: a panic elsewhere does not spoil it.
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, waited) = self
            .freed
            .wait_timeout_while(free, patience, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *free == 0 {
            return None;
        }
        *free -= 1;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_waits_and_then_gives_up() {
        let gate = Gate::new(1);
        let place = gate.enter(Duration::ZERO);
        assert!(place.is_some());
        assert!(gate.enter(Duration::from_millis(5)).is_none());
        drop(place);
        assert!(gate.enter(Duration::ZERO).is_some());
    }
}
