//! The use cases of a node: gather facts, have them decided, journal, execute, recover, watch.
//!
//! Everything outside is a port (the room [`ports`]), synchronous, one trait per conversation; so all of
//! this runs without root and without a real clock.
//!
//! | module | does |
//! |---|---|
//! | [`node`] | holds ports, settings and what is going on; the front door |
//! | [`mod@attach`], [`detach`] | the two requests, from ask to answer |
//! | [`observe`] | reads pools, leases and slots; makes plan input and facts of them |
//! | [`execute`] | runs the steps of a plan, and takes them back |
//! | [`copies`] | hydration, the switch to linear, writing back |
//! | [`recover`] | after a crash: completes, undoes or quarantines |
//! | [`attachment_table`] | what this node tells the others through the registry |
//! | [`pools`], [`views`] | making pools, marking volumes; what there is to see |
//! | [`queue`] | one request at a time on a volume |

pub mod attach;
pub mod attachment_table;
pub mod copies;
pub mod detach;
pub mod error;
pub mod execute;
mod in_flight;
pub mod node;
pub mod observe;
pub mod pools;
pub mod recover;
pub mod views;
pub mod volume_locks;

pub use attach::{AttachDone, AttachRequest, DiskRequest};
pub use copies::CopyView;
pub use detach::{DetachDone, DetachRequest, NotAfter};
pub use error::ControlError;
pub use in_flight::Cancellation;
pub use node::{Node, Ports, Settings};
/// The room `host/ports`.
pub use volward_ports as ports;
