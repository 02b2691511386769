//! Attaches under way, and whether anybody still waits for them.
//!
//! An attach is in the attachment table when it has ended. libvirt's hook gives up after a minute, and
//! libvirt then says `release` at once: without this list that would find nothing, and the attach
//! would end, later, for no guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volward_model::{Access, Claim, InstanceId, PoolName, RequestId, Sharing, VolumeName};

/// What an attach under way was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub instance: InstanceId,
    /// The instance's name, for people.
    pub instance_name: String,
    /// Who asks.
    pub claim: Claim,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    pub disks: Vec<WantedDisk>,
}

/// One of its disks, by name: which volume that is, is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedDisk {
    pub pool: PoolName,
    pub volume: VolumeName,
    /// `None`: what the access and the volume come to.
    pub sharing: Option<Sharing>,
    pub access: Access,
}

impl Wanted {
    /// Whether that is one of the disks.
    pub(crate) fn names(&self, pool: &PoolName, volume: &VolumeName) -> bool {
        let mut disks = self.disks.iter();
        disks.any(|disk| disk.pool == *pool && disk.volume == *volume)
    }
}

/// Calls an attach off when nobody waits for it any more: it ends at its next stop, and what was
/// begun is taken back.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// From now on nobody waits.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The same switch, whatever its position.
impl PartialEq for Cancellation {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cancellation {}

/// An attach under way.
#[derive(Debug)]
pub(crate) struct Attaching {
    request: RequestId,
    pub(crate) wanted: Wanted,
    /// What it came to, or will, stands in the decision log.
    on_record: bool,
    /// Its place among the attaches of this node, once it has one.
    pub(crate) sequence: Option<u64>,
    cancellation: Cancellation,
}

impl Attaching {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    attaches: Mutex<Vec<Attaching>>,
    ended: Condvar,
}

/// One of them; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    all: &'a InFlight,
    request: RequestId,
}

impl InFlight {
    pub(crate) fn begin(
        &self,
        request: RequestId,
        wanted: Wanted,
        cancellation: &Cancellation,
    ) -> Begun<'_> {
        self.lock().push(Attaching {
            request,
            wanted,
            on_record: false,
            sequence: None,
            cancellation: cancellation.clone(),
        });
        Begun { all: self, request }
    }

    pub(crate) fn number(&self, request: RequestId, sequence: u64) {
        self.note(request, |attach| attach.sequence = Some(sequence));
    }

    pub(crate) fn on_record(&self, request: RequestId) {
        self.note(request, |attach| attach.on_record = true);
    }

    /// Instance and sequence number of each that has begun its steps.
    pub(crate) fn numbered(&self) -> Vec<(InstanceId, u64)> {
        let attaches = self.lock();
        let numbered = attaches
            .iter()
            .filter_map(|a| Some((a.wanted.instance, a.sequence?)));
        numbered.collect()
    }

    /// What those that have not ended were asked for.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        self.lock().iter().map(|a| a.wanted.clone()).collect()
    }

    /// Whether an attach of this id has begun and not ended.
    pub(crate) fn has(&self, request: RequestId) -> bool {
        self.lock().iter().any(|a| a.request == request)
    }

    fn note(&self, request: RequestId, change: impl FnOnce(&mut Attaching)) {
        let mut attaches = self.lock();
        if let Some(attach) = attaches.iter_mut().find(|a| a.request == request) {
            change(attach);
        }
    }

    /// Waits until none of those that `which` means is under way; says whether that came.
    pub(crate) fn wait(&self, at_most: Duration, which: impl Fn(&Attaching) -> bool) -> bool {
        let attaches = self.lock();
        let some = |attaches: &mut Vec<Attaching>| attaches.iter().any(&which);
        let (_attaches, waited) = self
            .ended
            .wait_timeout_while(attaches, at_most, some)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attaching>> {
        self.attaches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun<'_> {
    pub(crate) fn is_on_record(&self) -> bool {
        let attaches = self.all.lock();
        let it = attaches.iter().find(|a| a.request == self.request);
        it.is_some_and(|a| a.on_record)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.all.lock().retain(|a| a.request != self.request);
        self.all.ended.notify_all();
    }
}
