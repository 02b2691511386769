//! 0.1.0's encoding, frozen: what its daemons write, and what they read as long as the pool is
//! not converted.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use volward_model::{
    Access, Attachment, AttachmentState, CopyProgress, InstanceId, Messages, NewerSlot, NodeName,
    Sharing, Slot, VolumeId,
};

use super::{Decoded, Words, opaque};

#[derive(Serialize, Deserialize)]
struct SlotRecord {
    node: NodeName,
    boot_id: String,
    host_id: u64,
    generation: u64,
    written_ms: u64,
    attachments: Vec<AttachmentRecord>,
    #[serde(default)]
    copies: Vec<CopyRecord>,
}

/// Words are texts here: one that is not known is no reason not to read the rest.
#[derive(Serialize, Deserialize)]
struct AttachmentRecord {
    volume: VolumeId,
    instance: InstanceId,
    node: NodeName,
    sharing: String,
    access: String,
    since_ms: u64,
    state: String,
}

#[derive(Serialize, Deserialize)]
struct CopyRecord {
    volume: VolumeId,
    returning: bool,
    done: u64,
    total: u64,
    remaining_ms: Option<u64>,
}

fn sharing_word(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Shared => "shared",
        Sharing::Exclusive => "exclusive",
    }
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "read-write",
        Access::ReadOnly => "read-only",
    }
}

fn state_word(state: AttachmentState) -> &'static str {
    match state {
        AttachmentState::Intent => "intent",
        AttachmentState::Attached => "attached",
        AttachmentState::Quarantined => "quarantined",
    }
}

fn words(of: &AttachmentRecord) -> Words {
    Words {
        sharing: [Sharing::Shared, Sharing::Exclusive]
            .into_iter()
            .find(|known| sharing_word(*known) == of.sharing),
        access: [Access::ReadWrite, Access::ReadOnly]
            .into_iter()
            .find(|known| access_word(*known) == of.access),
        state: [
            AttachmentState::Intent,
            AttachmentState::Attached,
            AttachmentState::Quarantined,
        ]
        .into_iter()
        .find(|known| state_word(*known) == of.state),
    }
}

pub(super) fn encode(slot: &Slot, copies: &[CopyProgress]) -> Result<Vec<u8>, String> {
    let attachments = slot.attachments.iter().map(|a| AttachmentRecord {
        volume: a.volume,
        instance: a.instance,
        node: a.node.clone(),
        sharing: sharing_word(a.sharing).to_owned(),
        access: access_word(a.access).to_owned(),
        since_ms: a.since_ms,
        state: state_word(a.state).to_owned(),
    });
    let copies = copies.iter().map(|copy| CopyRecord {
        volume: copy.volume,
        returning: copy.returning,
        done: copy.done,
        total: copy.total,
        remaining_ms: copy.remaining_ms,
    });
    let record = SlotRecord {
        node: slot.node.clone(),
        boot_id: slot.boot_id.clone(),
        host_id: slot.host_id,
        generation: slot.generation,
        written_ms: slot.written_ms,
        attachments: attachments.collect(),
        copies: copies.collect(),
    };
    serde_json::to_vec(&record).map_err(|error| error.to_string())
}

pub(super) fn decode(bytes: &[u8], host_id: u64) -> Decoded {
    let record = match serde_json::from_slice::<SlotRecord>(bytes) {
        Ok(record) => record,
        Err(error) => return newer(bytes, host_id, format!("not a slot: {error}")),
    };
    if record.host_id != host_id {
        return Decoded::Foreign(record.host_id);
    }
    let mut unknown = 0;
    let attachments = record.attachments.into_iter().map(|of| {
        let (sharing, access, state, strange) = words(&of).strictest();
        unknown += u32::from(strange);
        Attachment {
            volume: of.volume,
            instance: of.instance,
            node: of.node,
            sharing,
            access,
            since_ms: of.since_ms,
            state,
        }
    });
    let attachments = attachments.collect();
    let copies = record.copies.into_iter().map(|of| CopyProgress {
        volume: of.volume,
        returning: of.returning,
        done: of.done,
        total: of.total,
        remaining_ms: of.remaining_ms,
    });
    Decoded::Slot(Slot {
        node: record.node,
        boot_id: record.boot_id,
        host_id: record.host_id,
        generation: record.generation,
        written_ms: record.written_ms,
        attachments,
        copies: copies.collect(),
        // 0.1.0 knows of none of these.
        asked: Vec::new(),
        messages: Messages::default(),
        unknown,
    })
}

/// What can still be told of JSON that is no slot to this version.
fn newer(bytes: &[u8], host_id: u64, reason: String) -> Decoded {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return opaque(reason);
    };
    match value["host_id"].as_u64() {
        Some(of) if of != host_id => return Decoded::Foreign(of),
        _ => {}
    }
    let volumes = |field: &str| -> Option<Vec<VolumeId>> {
        let all = value.get(field)?.as_array()?.iter();
        all.map(|one| one["volume"].as_str()?.parse().ok())
            .collect()
    };
    let held = volumes("attachments").and_then(|mut held| {
        // 0.1.0 may leave copies out: none are none.
        if value.get("copies").is_some() {
            held.extend(volumes("copies")?);
        }
        Some(held)
    });
    Decoded::Newer(NewerSlot {
        node: value["node"].as_str().and_then(|node| node.parse().ok()),
        generation: value["generation"].as_u64(),
        held,
        reason,
    })
}
