//! The lab: emulated nodes that share a LUN, on a real kernel with real LVM, sanlock and libvirt.
//!
//! [`Lab`] finds its folder and builds what nodes boot from, [`Cluster`] boots nodes or restores
//! a cluster that was brought up before, [`Node`] runs commands and can be broken in the ways
//! nodes break. [`volward`] and [`guest`] put the product on them, by its programs and their
//! replies alone: nothing of it is linked in here.
#![allow(
    clippy::disallowed_methods,
    reason = "a test tool: it starts programs and measures time itself, with deadlines of its own"
)]

mod accel;
mod agent;
pub mod busy;
mod cache;
mod cluster;
mod command;
mod debian;
mod error;
mod fault;
mod fixture;
pub mod guest;
pub mod hook_clock;
mod image;
mod kernel;
mod lab;
mod launch;
mod node;
mod older_lun;
pub mod openstack;
pub mod packaged;
pub mod power;
mod progress;
mod provider;
mod qmp;
mod second_lun;
mod shared_vg;
pub mod sight;
mod system;
pub mod ticker;
pub mod volward;
pub mod writer;

pub use agent::Output;
pub use cluster::{Cluster, ClusterSpec};
pub use error::LabError;
pub use fault::Cut;
pub use image::Image;
pub use lab::Lab;
pub use node::Node;
pub use packaged::later_package;
pub use progress::{Progress, Stage};
pub use provider::Provider;
pub use second_lun::SECOND_POOL;
pub use system::System;

/// The machine's own Debian sources as `deb ...` lines, for whoever else makes a Debian system here.
///
/// # Errors
/// When apt cannot be asked or knows none.
pub fn debian_sources() -> Result<Vec<String>> {
    debian::sources()
}

/// What the lab's functions answer.
pub type Result<T, E = LabError> = std::result::Result<T, E>;
