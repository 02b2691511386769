//! The adapters behind the ports, and a fake beside each.
//!
//! | module | port | speaks to |
//! |---|---|---|
//! | [`exec`] | | programs: the only place that starts one (I27) |
//! | [`lvm`] | [`Volumes`](volward_ports::Volumes) | LVM's commands, by their JSON reports |
//! | [`dm`] | [`Devices`](volward_ports::Devices) | device-mapper, by ioctl |
//! | [`lease`] | | sanlock |
//! | [`lvmlockd`] | [`Leases`](volward_ports::Leases), [`Activation`](volward_ports::Activation) | both: LVM's commands change leases, sanlock tells of them |
//! | [`registry`] | [`Registry`](volward_ports::Registry) | the LV on the LUN, by direct I/O |
//! | [`machine`] | [`Machine`](volward_ports::Machine) | the kernel |
//! | [`journal`] | [`Journal`](volward_ports::Journal) | SQLite, in records of its own |
//! | [`marks`] | [`Marks`](volward_ports::Marks) | a folder that libvirt's hook reads |
//! | [`spool`] | | a folder that libvirt's hook writes |
//! | [`events`] | [`Events`](volward_ports::Events) | the daemon's log |
//! | [`fake`] | all of them | a cluster in memory |
//!
//! The adapters do not import each other, but for `lvmlockd`, which is made of two. They share [`exec`] and four private modules that are
//! no adapters: `blockdev` (which device has which dm UUID), `buffer` (memory for direct I/O),
//! `worker` (a thread per conversation) and `deadline`.

mod blockdev;
mod buffer;
mod deadline;
pub mod dm;
pub mod events;
pub mod exec;
pub mod fake;
pub mod journal;
pub mod lease;
pub mod lvm;
pub mod lvmlockd;
pub mod machine;
pub mod marks;
pub mod registry;
pub mod spool;
mod worker;
