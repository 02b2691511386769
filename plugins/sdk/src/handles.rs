//! The daemon's handles, as numbers: a [`Fact`](crate::Fact) that is not looked at keeps one, and
//! nothing else.
//!
//! They are lent. After an attach those of disks and nodes go with the instance, which is made for
//! that one question; the request's is the daemon's, for the length of the call.
#![allow(
    unsafe_code,
    reason = "the generated bindings make a handle of its number in no other way"
)]

use std::mem::ManuallyDrop;

use crate::bindings::volward::policy::{facts as raw, operations};
use crate::fact::Fact;
use crate::facts::Request;

macro_rules! lend {
    ($($name:ident: $module:ident::$type:ident),+) => {$(
        /// Does something with the resource of that number.
        pub(crate) fn $name<T>(handle: u32, f: impl FnOnce(&$module::$type) -> T) -> T {
            // SAFETY: a number is no address. The runtime looks every one up in its table at every
            // call, and one that is not (or no longer) this instance's is a trap.
            f(&ManuallyDrop::new(unsafe { $module::$type::from_handle(handle) }))
        }
    )+};
}

lend!(
    request: raw::Request,
    disk: raw::Disk,
    node: raw::Node,
    operation: operations::Operation
);

impl Request {
    /// Gives back the handles that came of looking. What was made of them is not to be looked at
    /// any more, which is a trap.
    pub(crate) fn give_back(self) {
        let disks = [self.disks, self.held].into_iter();
        for disk in disks.filter_map(Fact::looked_at).flatten() {
            if let Some(handle) = disk.id.handle() {
                // SAFETY: as above.
                drop(unsafe { raw::Disk::from_handle(handle) });
            }
        }
        let nodes = [self.node.looked_at(), self.peer.looked_at().flatten()];
        for node in nodes.into_iter().flatten() {
            if let Some(handle) = node.name.handle() {
                // SAFETY: as above.
                drop(unsafe { raw::Node::from_handle(handle) });
            }
        }
    }
}
