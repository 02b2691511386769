//! Stand-ins for the ports that storage does not have a fake of.

mod clock;
mod points;
mod policy;
mod tasks;

pub use clock::LabClock;
pub use points::{Death, Idle, Points};
pub use policy::{FakeDecisions, FakePolicy, Say, denied};
pub use tasks::{TaskQueue, Threads};
