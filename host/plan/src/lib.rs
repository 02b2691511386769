//! Pure planning. Facts and an answer become steps with their undo, or a refusal with a code.
//! No clock, no file, no process: what is true of a plan is tested here, and the invariants live
//! here.
//!
//! | module | decides |
//! |---|---|
//! | [`input`] | (the input) what is known of node and volumes |
//! | [`requested`] | (the input) one disk of a request, and which answer is about it |
//! | [`attach`] | the steps that give an instance its disks |
//! | [`detach`] | the steps that take them back |
//! | [`home`] | where the data goes: making a copy, writing it back, the switch to linear |
//! | [`migrate`] | live migration: who may share with whom, and what source and destination do next |
//! | [`mod@untouched`] | what a write-back need not move |
//! | [`operate`] | what comes next of an operation on a volume, and whether it may begin |
//! | [`permit`] | who may have what done on which node: one table |
//! | [`pace`] | how much of a copy is on its way at once |
//! | [`fence`] | when leases count as lost, so that attachments are cut off |
//! | [`last_write`] | whether a pool's disks are those that this node wrote to last |
//! | [`recheck`] | whether what was seen before the lease still holds under it |
//! | [`refusal`] | why a request is refused: every code, and every sentence |
//! | [`service`] | which LVs are served, by what LVM makes of them |
//! | [`intent`] | which of two nodes that want the same goes on |
//! | [`status`] | what is done with a volume, in a word with counts |
//! | [`step`] | (the output) what can be done, and how it is taken back |

pub mod attach;
pub mod detach;
pub mod fence;
pub mod geometry;
pub mod home;
pub mod input;
pub mod intent;
pub mod last_use;
pub mod last_write;
pub mod migrate;
pub mod operate;
pub mod pace;
pub mod permit;
pub mod recheck;
pub mod refusal;
pub mod requested;
pub mod service;
pub mod status;
pub mod step;
pub mod untouched;
pub mod witness;

pub use attach::{AttachPlan, Grant};
pub use detach::DetachPlan;
pub use geometry::CloneGeometry;
pub use input::{
    DiskForm, LocalAttachment, LocalCopies, LocalPool, PlanInput, VolumeInput, Watchdog, Witnesses,
};
pub use intent::{Precedence, precedence};
pub use pace::{Amounts, Pace, Reached, Speeds};
pub use permit::{Action, CallerKind, NodeRole, NodeRoles};
pub use recheck::{Expectation, Recheck};
pub use refusal::{HostIdTaken, Refusal, RefusalCode, Unmet, home_of};
pub use requested::{DiskOptions, RequestedDisk};
pub use status::{StatusCounts, VolumeTable};
pub use step::{NextHome, Planned, Step};
pub use untouched::untouched;
