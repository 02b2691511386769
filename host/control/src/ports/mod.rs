//! What `control` needs from the world. The adapters are in `storage` and `daemon`; a fake stands
//! beside each.
//!
//! All calls are synchronous and bounded in time by their adapter (I27). All that change
//! something are idempotent: they say with [`Applied`] whether there was anything to do, so a
//! retry after a crash is harmless.

mod clock;
mod devices;
mod error;
mod journal;
mod leases;
mod marks;
mod policy;
mod registry;
mod tasks;
mod volumes;

pub use clock::{Clock, Machine};
pub use devices::{Devices, LinkPath};
pub use error::PortError;
pub use journal::{
    Finish, Journal, JournalEntry, JournalKind, JournalQuery, JournalState, StepMark,
    StoredAttachment,
};
pub use leases::{LeaseStatus, Leases};
pub use marks::{Marks, Unmarked};
pub use policy::{Became, Decisions, Policy};
pub use registry::Registry;
pub use tasks::{FaultPoints, NoFaultPoints, Tasks};
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
