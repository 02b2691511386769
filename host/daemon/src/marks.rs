//! What is written into the start marks: what each instance has now.

use std::collections::BTreeMap;

use volward_control::{Node, NotAfter};
use volward_model::InstanceId;
use volward_model::handover::StartPoint;
use volward_storage::marks::{MarkError, MarksFolder};

/// Makes the mark of an instance say what it has now; no file where it has nothing.
pub(crate) fn refresh(marks: &MarksFolder, node: &Node, instance: InstanceId) {
    let newest = newest(node).remove(&instance);
    if let Err(error) = marks.set(instance, newest.as_ref()) {
        let error = anyhow::Error::from(error);
        tracing::warn!(
            %instance, error = format!("{error:#}"),
            "the start mark cannot be written; a release while the daemon is down would be lost"
        );
    }
}

/// Makes the whole folder say what is attached now.
pub(crate) fn rebuild(marks: &MarksFolder, node: &Node) -> Result<(), MarkError> {
    marks.set_all(&newest(node))
}

fn newest(node: &Node) -> BTreeMap<InstanceId, StartPoint> {
    let mut marks: BTreeMap<InstanceId, StartPoint> = BTreeMap::new();
    for attachment in node.attachments() {
        let start = StartPoint {
            boot_id: attachment.boot_id,
            sequence: attachment.sequence,
        };
        let newest = marks
            .entry(attachment.instance)
            .or_insert_with(|| start.clone());
        newest.sequence = newest.sequence.max(start.sequence);
    }
    marks
}

/// What a release is for: nothing that was attached after this start.
pub(crate) fn not_after(boot_id: String, sequence: u64) -> NotAfter {
    NotAfter { boot_id, sequence }
}
