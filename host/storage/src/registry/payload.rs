//! A slot as bytes. A payload tells by its first byte which of the two encodings it has: so a
//! registry is converted without touching what its nodes wrote, and each writes anew when it next
//! writes at all.

mod asked;
mod compact;
mod json;
mod messages;

use volward_model::{Access, AskedFor, AttachmentState, CopyProgress, NewerSlot, Sharing, Slot};

/// What is in a payload whose checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Slot(Slot),
    /// Not understood, or meant for later readers only.
    Newer(NewerSlot),
    /// Of another node: it has no business here.
    Foreign(u64),
}

/// Why a slot cannot be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CannotEncode {
    /// So many bytes, without any copy's progress.
    TooLarge(usize),
    Failed(String),
}

/// Nothing but the reason is known.
fn opaque(reason: String) -> Decoded {
    Decoded::Newer(NewerSlot {
        node: None,
        generation: None,
        held: None,
        reason,
    })
}

/// Reads the payload of `host_id`'s place.
pub(super) fn decode(bytes: &[u8], host_id: u64) -> Decoded {
    match bytes.first() {
        Some(b'{') => json::decode(bytes, host_id),
        _ => compact::decode(bytes, host_id),
    }
}

/// Writes a slot down in at most `most` bytes, as a registry of that layout has it. Who has asked for what, and progress
/// of copies, are left out as far as they do not fit: they inform, and must never keep an attachment
/// from being written or taken back.
pub(super) fn encode(slot: &Slot, format: u32, most: u32) -> Result<Vec<u8>, CannotEncode> {
    let mut copies: &[CopyProgress] = &slot.copies;
    let mut asked: &[AskedFor] = &slot.asked;
    loop {
        let bytes = match format {
            1 => json::encode(slot, copies).map_err(CannotEncode::Failed)?,
            _ => compact::encode(slot, copies, asked),
        };
        if bytes.len() <= most as usize {
            return Ok(bytes);
        }
        if !asked.is_empty() {
            asked = &[];
            continue;
        }
        if copies.is_empty() {
            return Err(CannotEncode::TooLarge(bytes.len()));
        }
        copies = &copies[..copies.len() / 2];
    }
}

/// An attachment's words, of which each may be one that this version does not know.
struct Words {
    sharing: Option<Sharing>,
    access: Option<Access>,
    state: Option<AttachmentState>,
}

impl Words {
    /// The unknown counts as the one that excludes most: attached, exclusive, read-write. Also
    /// says whether there was one.
    fn strictest(self) -> (Sharing, Access, AttachmentState, bool) {
        let unknown = self.sharing.is_none() || self.access.is_none() || self.state.is_none();
        (
            self.sharing.unwrap_or(Sharing::Exclusive),
            self.access.unwrap_or(Access::ReadWrite),
            self.state.unwrap_or(AttachmentState::Attached),
            unknown,
        )
    }
}

#[cfg(test)]
mod tests;
