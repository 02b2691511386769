//! Start marks: what an instance has on this node, for libvirt's hook to read while the daemon is
//! down. A release names the start it is for by the mark, so that it never takes what a later start
//! has attached.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use volward_model::InstanceId;
use volward_model::handover::StartPoint;

use crate::ports::{Machine, Marks, PortResult};
use crate::settings::needs;
use crate::state::State;

needs!(StartMarksPorts {
    marks: Marks,
    machine: Machine,
});

/// Keeps the marks at what is attached and being attached.
pub(crate) struct StartMarks {
    pub(crate) ports: StartMarksPorts,
    pub(crate) state: Arc<State>,
    /// One at a time, from reading the table to writing the mark: an older mark never replaces a
    /// newer one.
    pub(crate) writer: Mutex<()>,
}

impl StartMarks {
    /// Makes the mark of an instance say what it has now; none where it has nothing. A mark that
    /// cannot be written is logged: the request it comes after has ended as it has.
    pub(crate) fn refresh(&self, instance: InstanceId) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let start = self.newest().remove(&instance);
        if let Err(error) = self.ports.marks.set(instance, start.as_ref()) {
            tracing::warn!(
                %instance, %error,
                "the start mark cannot be written; a release while the daemon is down would be lost"
            );
        }
    }

    /// Makes the marks say what is attached now, and nothing else.
    ///
    /// # Errors
    /// If one cannot be written: a release while the daemon is down would be lost.
    pub(crate) fn rebuild(&self) -> PortResult<()> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.ports.marks.set_all(&self.newest())
    }

    /// The latest start of each instance that has anything, or is being given something: an attach
    /// announces itself before its first step, and is in the table after its last.
    fn newest(&self) -> BTreeMap<InstanceId, StartPoint> {
        let mut starts: BTreeMap<InstanceId, StartPoint> = BTreeMap::new();
        let mut add = |instance, boot_id: String, sequence| {
            let start = starts
                .entry(instance)
                .or_insert(StartPoint { boot_id, sequence });
            start.sequence = start.sequence.max(sequence);
        };
        // First, so that one that ends in between is seen in the table.
        for (instance, sequence) in self.state.in_flight.numbered() {
            add(instance, self.ports.machine.boot_id(), sequence);
        }
        for attachment in self.state.attachment_table().attachments() {
            let (instance, sequence) = (attachment.instance, attachment.sequence);
            add(instance, attachment.boot_id.clone(), sequence);
        }
        starts
    }
}
