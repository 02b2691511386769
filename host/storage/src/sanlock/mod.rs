//! sanlock's leases in our own hands: a registered conversation with the node's sanlock.
//!
//! The messages are spoken on sanlock's socket by us, not through libsanlock ([ADR 38]): they are a
//! header and structs that have not changed since sanlock 3.1, there is no `unsafe` in it, and a reply
//! that does not come blocks a thread of its own and nobody else's.
//!
//! | module | has |
//! |---|---|
//! | here | what is said, in typed words, and the trait that a fake stands behind too |
//! | `wire` | the messages' bytes |
//! | `connection` | the socket |
//! | `fake` | sanlock in memory, for tests |
//!
//! [ADR 38]: https://github.com/volward/volward/blob/main/docs/adr/0038-leases-in-our-own-hands.md

mod connection;
#[cfg(test)]
pub(crate) mod fake;
mod wire;

#[cfg(test)]
mod tests;

use volward_model::LeaseMode;
use volward_ports::{PortError, PortResult};

pub(crate) use connection::{Connection, SOCKET};

/// Most leases that one message can take or give up.
pub(crate) const MOST_AT_ONCE: usize = wire::MOST_RESOURCES;

/// A lease by its place on the LUN. sanlock compares the names with what is written there, so an
/// offset that LVM has given to another LV meanwhile is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The lockspace's name: `lvm_<vg>`.
    pub(crate) lockspace: String,
    /// The lease's name: the LV's UUID with its hyphens.
    pub(crate) name: String,
    /// The device that the lease is on.
    pub(crate) disk: String,
    /// Bytes from the device's beginning.
    pub(crate) offset: u64,
}

/// A lease of this process, as sanlock tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inquired {
    /// The lockspace's name.
    pub(crate) lockspace: String,
    /// The lease's name.
    pub(crate) name: String,
}

/// Why sanlock did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SanlockError {
    /// A lease belongs to a node that is alive, or not known to be dead yet.
    #[error("another node holds it")]
    HeldElsewhere,
    /// Another process of this node has it.
    #[error("another process of this node holds it")]
    HeldHere,
    /// A process of this node had it and died.
    #[error("it is an orphan")]
    Orphan,
    /// It is being taken or given up on this node at this moment, or another node shares it.
    #[error("it is in use at this moment")]
    Busy,
    /// The lockspace is not joined, or fails.
    #[error("this node is not in the lockspace, or the lockspace fails")]
    NoLockspace,
    /// At that place there is no lease, or one of another name.
    #[error("there is no such lease at that place (sanlock's error {0})")]
    NoLease(i32),
    /// This process does not have it.
    #[error("this process does not hold it")]
    NotHeld,
    /// Another number of sanlock_rv.h, or of errno.h.
    #[error("sanlock's error {0} (sanlock_rv.h)")]
    Code(i32),
    /// No answer, or one that is not understood; the conversation is over.
    #[error(transparent)]
    Broken(#[from] PortError),
}

/// What a registered process says to sanlock, one message at a time (I3). Leases taken so outlive
/// the process as orphans.
pub(crate) trait Conversation: Send {
    /// Takes leases that this node does not hold: all, or none. Does not wait for a holder that is
    /// about to be counted dead.
    fn acquire(&mut self, places: &[Place], mode: LeaseMode) -> Result<(), SanlockError>;

    /// Takes over an orphan, in the mode that it has.
    fn adopt(&mut self, place: &Place, mode: LeaseMode) -> Result<(), SanlockError>;

    /// Gives a lease of this process another mode; the same mode is no error.
    fn convert(&mut self, place: &Place, mode: LeaseMode) -> Result<(), SanlockError>;

    /// Gives leases of this process up. All that it has are given up, also where one fails.
    fn release(&mut self, places: &[Place]) -> Result<(), SanlockError>;

    /// Gives up an orphan, whoever had it, also while its lockspace is being left.
    fn give_up_orphan(&mut self, place: &Place) -> Result<(), SanlockError>;

    /// How the conversation is ended from another thread, also while an answer is waited for.
    fn line(&self) -> PortResult<Box<dyn Line>>;

    /// The leases of this process, by sanlock's own account.
    fn inquire(&mut self) -> Result<Vec<Inquired>, SanlockError>;
}

/// A conversation's connection.
pub(crate) trait Line: Send {
    /// Ends the conversation: to sanlock the process has died, its leases are orphans, and it is not
    /// told to end when the lockspace fails.
    fn hang_up(&self);
}

impl SanlockError {
    /// Of a result below zero. Numbers: sanlock_rv.h, and Linux' errno.h as resource.c of sanlock
    /// 3.8 returns them.
    fn of(code: i32) -> Self {
        match code {
            // ACQUIRE_IDLIVE, _OWNED, _OTHER, _SHRETRY, _OWNED_RETRY.
            -247..=-243 => Self::HeldElsewhere,
            // EEXIST.
            -17 => Self::HeldHere,
            // EUCLEAN.
            -117 => Self::Orphan,
            // EAGAIN, EBUSY.
            -11 | -16 => Self::Busy,
            // ENOSPC; ACQUIRE_LOCKSPACE.
            -28 | -241 => Self::NoLockspace,
            // LEADER_MAGIC; LEADER_RESOURCE.
            -223 | -227 => Self::NoLease(code),
            // ENOENT: of adopt and convert.
            -2 => Self::NotHeld,
            other => Self::Code(other),
        }
    }
}
