//! Whether what is known is on record: what nobody waits for is written in the background, by one at a time.

/// Of one kind of records.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// What is on record is not what is known.
    behind: bool,
    /// Somebody is writing it.
    under_way: bool,
}

impl Recording {
    /// Notes whether what is known has changed.
    pub(super) fn changed(&mut self, changed: bool) {
        self.behind |= changed;
    }

    /// Whether whoever asks is to write what is known now: it is not on record, and nobody does it.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.behind && !self.under_way;
        if begins {
            (self.behind, self.under_way) = (false, true);
        }
        begins
    }

    /// Whether it could be put on record; it is tried again where not.
    pub(super) fn end(&mut self, done: bool) {
        self.under_way = false;
        self.behind |= !done;
    }
}
