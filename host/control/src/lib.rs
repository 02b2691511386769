//! The use cases of a node: gather facts, have them decided, journal, execute, recover, watch.
//!
//! Everything outside is a port (the room [`ports`]), synchronous, one trait per conversation; so
//! all of this runs without root and without a real clock.
//!
//! | module | is |
//! |---|---|
//! | [`node`] | the front door: composes what follows, in one place |
//! | `settings` | what was configured, and every port; how a struct names those it needs |
//! | `rounds` | one look, or one write, for all who asked before it began |
//! | `state` | attachments, requests in flight, volume locks, copies, this node's slot |
//! | [`observe`] | reads pools, leases and slots; makes plan input and facts of them |
//! | `engine` | runs the steps of a plan and takes them back, journalled; quarantine |
//! | [`mod@attach`], [`detach`] | the two requests, from ask to answer |
//! | [`copies`] | hydration, the switch to linear, writing back |
//! | `migrate` | live migration: what others ask, and what is shared with them until it ends |
//! | `fence` | follows the leases; cuts attachments off when they are lost, and gives I/O back |
//! | `operate` | operations on volumes: asked for, on record, carried out in the background |
//! | [`pools`], [`views`] | making pools, marking volumes; what there is to see |
//! | `unplugged` | which disks running guests have given back |
//! | [`recover`] | after a crash: completes, undoes or quarantines |
//! | `retry` | tries again what failed for now, a worker a pool |
//!
//! A module imports none below it in that table but `node`, which imports all; state, observe and
//! engine know no use case. `xtask/tests/rules.rs` fails on a circle. Each struct names its ports,
//! so what a use case can touch is read from its head.

pub mod attach;
pub mod copies;
pub mod detach;
mod engine;
pub mod error;
mod fence;
mod last_use;
mod migrate;
pub mod node;
pub mod observe;
mod operate;
pub mod pools;
pub mod recover;
mod retry;
mod rounds;
mod settings;
mod start_marks;
mod state;
mod unplugged;
pub mod views;

pub use attach::{AttachDone, AttachRequest, DiskRequest};
pub use detach::{DetachDone, DetachRequest, NotAfter};
pub use error::ControlError;
pub use node::Node;
pub use operate::{GroupRequest, OperationAsked, OperationRequest};
pub use pools::SaidBy;
pub use settings::{Ports, Settings};
pub use state::{Cancellation, CopyMonitor, CopyView, Fenced, Operated};
pub use views::{
    AttachingDisk, Elsewhere, Inventory, OperationAbroad, PresentVolume, SeenAttachment, SeenLease,
    Unfinished, VolumeStanding, VolumeTrouble,
};
/// The room `host/ports`.
pub use volward_ports as ports;
