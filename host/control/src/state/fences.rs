//! Attachments whose I/O is cut off, or is to be.

use std::collections::BTreeMap;

use volward_model::AttachmentKey;

/// One attachment whose I/O is cut off, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// Why, a sentence without a full stop.
    pub reason: String,
    /// When that was found, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The error table is live and nothing is in flight. `false`: I/O that was in flight has not
    /// ended yet, or the table could not be loaded; it is tried again.
    pub cut: bool,
    /// The same lease may be sound again.
    pub regainable: bool,
    /// sanlock's version of the lease before; `None` where it was not seen.
    pub version: Option<u64>,
}

/// All of a node's.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    all: BTreeMap<AttachmentKey, Fenced>,
    /// Their tables are being loaded.
    under_way: std::collections::BTreeSet<AttachmentKey>,
}

impl Fences {
    /// Notes that the attachment is to be cut off. `true`: whoever asks is to do it now; `false` if
    /// that is done or under way. A reason that leaves no way back replaces one that does.
    pub(crate) fn begin(&mut self, key: AttachmentKey, fenced: Fenced) -> bool {
        let known = self.all.entry(key).or_insert_with(|| fenced.clone());
        if known.regainable && !fenced.regainable {
            let cut = known.cut;
            *known = Fenced { cut, ..fenced };
        }
        !known.cut && self.under_way.insert(key)
    }

    /// Whoever was to do it is done, or has failed.
    pub(crate) fn end(&mut self, key: AttachmentKey, cut: bool) {
        self.under_way.remove(&key);
        if let Some(fenced) = self.all.get_mut(&key) {
            fenced.cut |= cut;
        }
    }

    /// Forgets an attachment that has its I/O back.
    pub(crate) fn lift(&mut self, key: AttachmentKey) {
        self.all.remove(&key);
    }

    /// Forgets what is not attached any more.
    pub(crate) fn keep(&mut self, is_attached: impl Fn(AttachmentKey) -> bool) {
        self.all.retain(|key, _| is_attached(*key));
    }

    /// One of them.
    pub(crate) fn get(&self, key: AttachmentKey) -> Option<&Fenced> {
        self.all.get(&key)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &BTreeMap<AttachmentKey, Fenced> {
        &self.all
    }
}
