//! An attachment as the state keeps it.

use serde::{Deserialize, Serialize};
use volward_model::InstanceId;
use volward_ports::StoredAttachment;

use super::parts::{Copy, Volume};
use super::words::{Access, Form, Settled, Sharing};

/// An attachment of format 2 (and of format 1, which has the same fields). Times are milliseconds
/// since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attachment {
    volume: Volume,
    instance: InstanceId,
    instance_name: String,
    form: Form,
    sharing: Sharing,
    access: Access,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy: Option<Copy>,
    since_ms: u64,
    sequence: u64,
    boot_id: String,
    state: Settled,
    causes: Vec<String>,
}

impl From<&StoredAttachment> for Attachment {
    fn from(theirs: &StoredAttachment) -> Self {
        Self {
            volume: (&theirs.volume).into(),
            instance: theirs.instance,
            instance_name: theirs.instance_name.clone(),
            form: theirs.form.into(),
            sharing: theirs.sharing.into(),
            access: theirs.access.into(),
            copy: theirs.copy.map(Into::into),
            since_ms: theirs.since_ms,
            sequence: theirs.sequence,
            boot_id: theirs.boot_id.clone(),
            state: theirs.state.into(),
            causes: theirs.causes.clone(),
        }
    }
}

impl From<Attachment> for StoredAttachment {
    fn from(ours: Attachment) -> Self {
        Self {
            volume: ours.volume.into(),
            instance: ours.instance,
            instance_name: ours.instance_name,
            form: ours.form.into(),
            sharing: ours.sharing.into(),
            access: ours.access.into(),
            copy: ours.copy.map(Into::into),
            since_ms: ours.since_ms,
            sequence: ours.sequence,
            boot_id: ours.boot_id,
            state: ours.state.into(),
            causes: ours.causes,
        }
    }
}
