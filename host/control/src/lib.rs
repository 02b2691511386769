//! The use cases of a node: gather facts, have them decided, journal, execute, recover, watch.
//!
//! Everything outside is a port ([`ports`]), synchronous, one trait per conversation; so all of
//! this runs without root and without a real clock.
//!
//! | module | does |
//! |---|---|
//! | [`node`] | holds ports, settings and what is going on; the front door |
//! | [`mod@attach`], [`detach`] | the two requests, from ask to answer |
//! | [`observe`] | reads pools, leases and slots; makes situation and facts of them |
//! | [`execute`] | runs the steps of a plan, and takes them back |
//! | [`copies`] | hydration, the switch to linear, writing back |
//! | [`recover`] | after a crash: completes, undoes or quarantines |
//! | [`roster`] | what this node tells the others through the registry |
//! | [`pools`], [`views`] | making pools, marking volumes; what there is to see |
//! | [`queue`] | one request at a time on a volume |

pub mod attach;
pub mod copies;
pub mod detach;
pub mod error;
pub mod execute;
pub mod node;
pub mod observe;
pub mod pools;
pub mod ports;
pub mod queue;
pub mod recover;
pub mod roster;
mod under_way;
pub mod views;

pub use attach::{AttachAsk, AttachDone, DiskAsk};
pub use copies::CopyView;
pub use detach::{DetachAsk, DetachDone, NotAfter};
pub use error::ControlError;
pub use node::{Node, Ports, Settings};
pub use under_way::CallOff;
