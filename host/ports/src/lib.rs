//! The ports: what the use cases need from the world, one trait a conversation, and how it fails.
//! Traits, [`PortError`] and the plain data the traits speak of; nothing that does anything.
//!
//! `control` calls them, `storage` and `daemon` implement them (a fake stands beside each
//! adapter), and neither of the two sides imports the other through here.
//!
//! All calls are synchronous and bounded in time by their adapter (I27). All that change
//! something are idempotent: they say with [`Applied`] whether there was anything to do, so a
//! retry after a crash is harmless.

mod activation;
mod clock;
mod devices;
mod error;
mod events;
mod fences;
mod guests;
mod journal;
mod last_uses;
mod last_writes;
mod leases;
mod marks;
mod operation;
mod operations;
mod policy;
mod registry;
mod tasks;
mod volumes;

pub use activation::Activation;
pub use clock::{Clock, Machine};
pub use devices::{Devices, LinkPath, Split, SplitAt};
pub use error::PortError;
pub use events::{Event, Events, Subject};
pub use fences::{FenceRecord, FenceRecords};
pub use guests::{GuestDisks, Guests};
pub use journal::{
    DamagedEntry, Finish, Journal, JournalEntry, JournalQuery, JournalState, Migration,
    OpenEntries, StoredAttachment,
};
pub use last_uses::LastUses;
pub use last_writes::LastWrites;
pub use leases::{Freshness, LeaseStatus, LeaseStyle, Leases};
pub use marks::{Marks, Unmarked};
pub use operation::{
    Afterwards, Changes, LeavingVolume, Marked, MarksMismatch, Operation, Recovery, StepMark,
};
pub use operations::Operations;
pub use policy::{Decisions, Policy};
pub use registry::{REGISTRY_NODES, REGISTRY_SIZE, Registry, Writes, Written};
pub use tasks::{FaultPoints, NoFaultPoints, Tasks, Waiting};
pub use volumes::{NewVolume, Volumes};
pub use volward_plan::Unmet;

/// Whether a call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was so already.
    Identity,
    /// It is so now.
    Changed,
}

/// The answer of a port.
pub type PortResult<T> = Result<T, PortError>;
