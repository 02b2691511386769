//! The adapters behind the ports, and a fake beside each.
//!
//! | module | port | speaks to |
//! |---|---|---|
//! | [`exec`] | | programs: the only place that starts one (I27) |
//! | [`lvm`] | [`Volumes`](volward_ports::Volumes) | LVM's commands, by their JSON reports |
//! | [`dm`] | [`Devices`](volward_ports::Devices) | device-mapper, by ioctl |
//! | [`lease`] | | sanlock |
//! | [`lvmlockd`] | [`Leases`](volward_ports::Leases), [`Activation`](volward_ports::Activation) | both: LVM's commands change leases, sanlock tells of them |
//! | [`direct`] | the same two | sanlock, disks and device-mapper itself, for the pools that say so |
//! | `sanlock` | | sanlock's socket: leases of this process |
//! | [`registry`] | [`Registry`](volward_ports::Registry) | the LV on the LUN, by direct I/O |
//! | [`machine`] | [`Machine`](volward_ports::Machine) | the kernel |
//! | [`journal`] | [`Journal`](volward_ports::Journal) | SQLite, in records of its own |
//! | [`marks`] | [`Marks`](volward_ports::Marks) | a folder that libvirt's hook reads |
//! | [`spool`] | | a folder that libvirt's hook writes |
//! | [`guests`] | [`Guests`](volward_ports::Guests) | libvirt, by `virsh` |
//! | [`events`] | [`Events`](volward_ports::Events) | the daemon's log |
//! | [`probe`] | | what other packages installed and started, for `doctor` |
//! | `fake` | all of them | a cluster in memory; with the feature `fake`, for tests |
//!
//! The adapters do not import each other, but for `lvmlockd`, which is made of two, and `direct`. They share [`exec`] and six
//! private modules that are no adapters: `blockdev` (which device has which dm UUID), `kernel` (`/sys`,
//! `/proc` and devices' nodes, by path), `buffer` (memory for direct I/O), `worker` (a thread per
//! conversation), `deadline` and `zero`. The folders of what is Volward's own are handed to them.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests lay out and inspect files by path"
    )
)]

mod blockdev;
mod buffer;
mod deadline;
pub mod direct;
pub mod dm;
pub mod events;
pub mod exec;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod guests;
pub mod journal;
mod kernel;
mod label;
mod late;
pub mod lease;
pub mod lvm;
pub mod lvmlockd;
pub mod machine;
pub mod marks;
mod metadata;
pub mod probe;
pub mod registry;
mod sanlock;
pub mod spool;
mod udev;
mod worker;
mod zero;
