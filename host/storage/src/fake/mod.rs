//! A cluster in memory behind the same ports: for tests of `control` and for the simulation.
//!
//! A [`FakeCluster`] is what all nodes share: pools, leases, the registry, the data. A
//! [`FakeNode`] is one node's view of it and implements every port (each beside the real
//! adapter: `lvm/fake.rs`, `dm/fake.rs` and so on), so that a test hands the same node to
//! `control` in all roles. It keeps a journal of calls, fails where it is told to, and *crashes*:
//! from then on every call fails, until [`FakeNode::restart`] starts the daemon anew over the
//! kernel state that was left.
//!
//! ```
//! use volward_ports::Leases;
//! use volward_model::{Bytes, LeaseMode};
//! use volward_storage::fake::FakeCluster;
//!
//! let cluster = FakeCluster::new(&["n1", "n2"]);
//! let pool = cluster.shared_pool("san", Bytes::mib(1024));
//! let disk = cluster.volume(&pool, "disk", Bytes::mib(64));
//! let (n1, n2) = (cluster.node("n1"), cluster.node("n2"));
//! n1.take(&pool, &[disk.clone()], LeaseMode::Exclusive).unwrap();
//! assert!(n2.take(&pool, &[disk], LeaseMode::Shared).is_err());
//! ```

mod clock;
mod cluster;
mod data;
mod faults;
mod guest;
pub(crate) mod mirror;
mod node;
mod odd;
mod old_copies;
pub(crate) mod regions;
pub(crate) mod relocate;
pub(crate) mod world;

pub use clock::FakeClock;
pub use cluster::FakeCluster;
pub use data::{BLOCK, OLD_CONTENT};
pub use node::FakeNode;
pub use odd::Lun;

pub(crate) use data::Contents;
pub(crate) use world::{Device, Lv, Pool, World};

#[cfg(test)]
mod tests;
