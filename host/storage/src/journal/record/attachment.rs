//! An attachment as the state keeps it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use volward_model::{InstanceId, MigrationNonce, NodeName};
use volward_ports::{self as ports, StoredAttachment};

use super::parts::{Copy, Volume};
use super::words::{Access, Claim, Form, Settled, Sharing};

/// An attachment of format 2 (and of format 1, which has the same fields but the last three). Times are milliseconds
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    migration: Option<Migration>,
    /// Absent: as granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Access>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<Claim>,
}

/// A live migration, as one of its two attachments has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Migration {
    Arriving {
        from: NodeName,
    },
    Leaving {
        to: u64,
        generation: u64,
        nonce: Uuid,
    },
}

impl From<&ports::Migration> for Migration {
    fn from(theirs: &ports::Migration) -> Self {
        match theirs {
            ports::Migration::Arriving { from } => Self::Arriving { from: from.clone() },
            ports::Migration::Leaving {
                to,
                generation,
                nonce,
            } => Self::Leaving {
                to: *to,
                generation: *generation,
                nonce: nonce.0,
            },
        }
    }
}

impl From<Migration> for ports::Migration {
    fn from(ours: Migration) -> Self {
        match ours {
            Migration::Arriving { from } => Self::Arriving { from },
            Migration::Leaving {
                to,
                generation,
                nonce,
            } => Self::Leaving {
                to,
                generation,
                nonce: MigrationNonce(nonce),
            },
        }
    }
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
            migration: theirs.migration.as_ref().map(Into::into),
            asked: (theirs.asked != theirs.access).then(|| theirs.asked.into()),
            claims: theirs.claims.iter().copied().map(Into::into).collect(),
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
            asked: ours.asked.unwrap_or(ours.access).into(),
            claims: ours.claims.into_iter().map(Into::into).collect(),
            copy: ours.copy.map(Into::into),
            since_ms: ours.since_ms,
            sequence: ours.sequence,
            boot_id: ours.boot_id,
            state: ours.state.into(),
            causes: ours.causes,
            migration: ours.migration.map(Into::into),
        }
    }
}
