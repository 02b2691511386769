//! The real `plan` and `control` over a cluster in memory.
//!
//! A [`Lab`] is a cluster with a shared pool and a local pool on each node. [`Lab::start`] starts
//! a daemon on a node: [`Daemon`] is the real [`Node`](volward_control::Node) over the fakes. It
//! can be killed between any two steps ([`Points`]) or calls, and started again over the kernel,
//! LUN and journal that were left. [`check`] says what must be true then. [`schedule`] runs the
//! requests of several nodes interleaved by a seed.
//!
//! | module | holds |
//! |---|---|
//! | [`lab`] | cluster, daemons, guests and what they wrote |
//! | [`nodes`] | nodes whose daemons and power fail under a seed |
//! | [`doubles`] | policy, clock, tasks and interruptions, to be broken by a test |
//! | [`check`] | the invariants, over the whole cluster |
//! | [`schedule`] | one thread at a time, chosen by a seed |
//! | [`random`] | the seed's numbers |
//! | [`story`] | how many tests begin, and what they ask in the end |

pub mod check;
pub mod doubles;
pub mod ends;
pub mod lab;
pub mod nodes;
pub mod random;
pub mod schedule;
pub mod story;

pub use doubles::{FakePolicy, Idle, Points, Say, TaskQueue};
pub use lab::{Daemon, Lab, ask, detach_ask, disk, instance, operation, read_only, shared};
pub use volward_storage::journal::FakeJournal;
