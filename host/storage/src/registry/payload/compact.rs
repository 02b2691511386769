//! The encoding since layout 2: protobuf, so that fields have numbers, unknown ones are skipped
//! and unknown values are kept as numbers.
//!
//! The envelope is for ever: whatever later versions put into `body`, a reader of any version
//! learns who wrote the slot, in which generation, and every volume the node holds. Add fields,
//! never change the meaning of one; a writer whose slot earlier readers must not go by raises
//! `minimum_reader`.

use std::collections::BTreeMap;

use prost::Message;
use uuid::Uuid;
use volward_model::{
    Access, AskedFor, Attachment, AttachmentKey, AttachmentState, CopyProgress, InstanceId,
    Messages, NewerSlot, NodeName, ParseIdError, Sharing, Slot, VolumeId,
};

use super::asked;
use super::messages::{self, Answering, Calling, Ordering, Reporting};
use super::{Decoded, Words, opaque};

/// What this version writes. 1 was 0.1.0's JSON.
const FORMAT: u32 = 2;
/// The oldest reader that understands it.
const MINIMUM_READER: u32 = 2;
/// An LVM UUID without dashes.
const UUID_LEN: usize = 32;

/// Fields 1 to 6 are written by every version.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint32, tag = "2")]
    pub(super) minimum_reader: u32,
    #[prost(string, tag = "3")]
    pub(super) node: String,
    #[prost(uint64, tag = "4")]
    pub(super) host_id: u64,
    #[prost(uint64, tag = "5")]
    pub(super) generation: u64,
    /// Every volume that the node holds in whatever way; the body counts them from 0.
    #[prost(message, repeated, tag = "6")]
    pub(super) held: Vec<Held>,
    /// A [`Body`], as of the format.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) body: Vec<u8>,
}

/// Volumes of one volume group.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Held {
    #[prost(string, tag = "1")]
    pub(super) vg: String,
    /// LV UUIDs, 32 characters each.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) lvs: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Body {
    #[prost(string, tag = "1")]
    pub(super) boot_id: String,
    #[prost(uint64, tag = "2")]
    pub(super) written_ms: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) attachments: Vec<Holding>,
    #[prost(message, repeated, tag = "4")]
    pub(super) copies: Vec<Copying>,
    /// Since live migration. Their volumes are in the envelope too: to a reader that does not know
    /// these fields a volume that stands in nothing else is held.
    #[prost(message, repeated, tag = "5")]
    pub(super) calls: Vec<Calling>,
    #[prost(message, repeated, tag = "6")]
    pub(super) answers: Vec<Answering>,
    /// Since volumes grow on the node that has them. They hold nothing: their volumes are not in the envelope, and
    /// whoever does not know these fields passes them by.
    #[prost(message, repeated, tag = "7")]
    pub(super) orders: Vec<Ordering>,
    #[prost(message, repeated, tag = "8")]
    pub(super) reports: Vec<Reporting>,
}

/// An attachment or an intent. Zero, or no number at all, is an unknown value.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Holding {
    #[prost(uint32, tag = "1")]
    pub(super) volume: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) instance: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub(super) sharing: u32,
    #[prost(uint32, tag = "4")]
    pub(super) access: u32,
    #[prost(uint32, tag = "5")]
    pub(super) state: u32,
    #[prost(uint64, tag = "6")]
    pub(super) since_ms: u64,
    /// Only if it is not the slot's.
    #[prost(string, tag = "7")]
    pub(super) node: String,
    /// Since who has asked is told: the access asked for, where it is not the one above. It informs: 0 and what is not known
    /// say nothing.
    #[prost(uint32, tag = "8")]
    pub(super) asked: u32,
    /// The same: who has asked, a bit each. Bits that are not known say nothing.
    #[prost(uint32, tag = "9")]
    pub(super) claims: u32,
}

/// A copy and its progress.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Copying {
    #[prost(uint32, tag = "1")]
    pub(super) volume: u32,
    /// 1: hydrated, 2: written back; others inform nobody.
    #[prost(uint32, tag = "2")]
    pub(super) state: u32,
    #[prost(uint64, tag = "3")]
    pub(super) done: u64,
    #[prost(uint64, tag = "4")]
    pub(super) total: u64,
    #[prost(uint64, optional, tag = "5")]
    pub(super) remaining_ms: Option<u64>,
}

const HYDRATED: u32 = 1;
const RETURNING: u32 = 2;

fn sharing_number(sharing: Sharing) -> u32 {
    match sharing {
        Sharing::Shared => 1,
        Sharing::Exclusive => 2,
    }
}

fn access_number(access: Access) -> u32 {
    match access {
        Access::ReadWrite => 1,
        Access::ReadOnly => 2,
    }
}

fn access_of(number: u32) -> Option<Access> {
    let known = [Access::ReadWrite, Access::ReadOnly];
    known.into_iter().find(|one| access_number(*one) == number)
}

fn state_number(state: AttachmentState) -> u32 {
    match state {
        AttachmentState::Intent => 1,
        AttachmentState::Attached => 2,
        AttachmentState::Quarantined => 3,
    }
}

fn words(of: &Holding) -> Words {
    Words {
        sharing: [Sharing::Shared, Sharing::Exclusive]
            .into_iter()
            .find(|known| sharing_number(*known) == of.sharing),
        access: access_of(of.access),
        state: [
            AttachmentState::Intent,
            AttachmentState::Attached,
            AttachmentState::Quarantined,
        ]
        .into_iter()
        .find(|known| state_number(*known) == of.state),
    }
}

/// `asked`: who has asked for what is attached, and for what, as far as it is to be written.
pub(super) fn encode(slot: &Slot, copies: &[CopyProgress], asked: &[AskedFor]) -> Vec<u8> {
    let asked: BTreeMap<AttachmentKey, &AskedFor> = asked.iter().map(|one| (one.of, one)).collect();
    let held = slot.attachments.iter().map(|a| a.volume);
    let held = held.chain(copies.iter().map(|c| c.volume));
    let held = held.chain(messages::volumes(&slot.messages));
    let mut numbers: BTreeMap<VolumeId, u32> = held.map(|volume| (volume, 0)).collect();
    let mut groups: Vec<Held> = Vec::new();
    for ((volume, number), n) in numbers.iter_mut().zip(0..) {
        *number = n;
        let vg = volume.vg.compact();
        match groups.last_mut().filter(|group| group.vg == vg) {
            Some(group) => group.lvs.extend(volume.lv.compact().bytes()),
            None => groups.push(Held {
                vg: vg.to_owned(),
                lvs: volume.lv.compact().into(),
            }),
        }
    }
    let number = |volume| numbers.get(&volume).copied().unwrap_or(u32::MAX);
    let attachments = slot.attachments.iter().map(|a| Holding {
        volume: number(a.volume),
        instance: a.instance.0.as_bytes().to_vec(),
        sharing: sharing_number(a.sharing),
        access: access_number(a.access),
        state: state_number(a.state),
        since_ms: a.since_ms,
        node: match a.node == slot.node {
            true => String::new(),
            false => a.node.to_string(),
        },
        asked: asked
            .get(&a.key())
            .and_then(|one| one.access)
            .map_or(0, access_number),
        claims: asked.get(&a.key()).map_or(0, |one| asked::bits(one)),
    });
    let copies = copies.iter().map(|copy| Copying {
        volume: number(copy.volume),
        state: if copy.returning { RETURNING } else { HYDRATED },
        done: copy.done,
        total: copy.total,
        remaining_ms: copy.remaining_ms,
    });
    let body = Body {
        boot_id: slot.boot_id.clone(),
        written_ms: slot.written_ms,
        attachments: attachments.collect(),
        copies: copies.collect(),
        calls: messages::calls(&slot.messages, number),
        answers: messages::answers(&slot.messages, number),
        orders: messages::orders(&slot.messages),
        reports: messages::reports(&slot.messages),
    };
    Envelope {
        format: FORMAT,
        minimum_reader: MINIMUM_READER,
        node: slot.node.to_string(),
        host_id: slot.host_id,
        generation: slot.generation,
        held: groups,
        body: body.encode_to_vec(),
    }
    .encode_to_vec()
}

/// The volumes an envelope names; `None` if one of them is no volume to this version.
fn held(envelope: &Envelope) -> Option<Vec<VolumeId>> {
    let mut volumes = Vec::new();
    for group in &envelope.held {
        let vg = group.vg.parse().ok()?;
        let (lvs, rest) = group.lvs.as_chunks::<UUID_LEN>();
        if !rest.is_empty() {
            return None;
        }
        for lv in lvs {
            let lv = std::str::from_utf8(lv).ok()?.parse().ok()?;
            volumes.push(VolumeId { vg, lv });
        }
    }
    Some(volumes)
}

pub(super) fn decode(bytes: &[u8], host_id: u64) -> Decoded {
    let envelope = match Envelope::decode(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return opaque(format!("not a slot: {error}")),
    };
    if envelope.format < FORMAT || envelope.host_id == 0 {
        return opaque(format!("not a slot: format {}", envelope.format));
    }
    if envelope.host_id != host_id {
        return Decoded::Foreign(envelope.host_id);
    }
    let held = held(&envelope);
    let understood = match &held {
        Some(held) if envelope.minimum_reader <= FORMAT => {
            slot(&envelope, held).map_err(|why| format!("format {}: {why}", envelope.format))
        }
        Some(_) => Err(format!(
            "format {} is for readers of format {} and later, this version reads format {FORMAT}",
            envelope.format, envelope.minimum_reader
        )),
        None => Err(format!(
            "format {} names no volume as LVM does",
            envelope.format
        )),
    };
    match understood {
        Ok(slot) => Decoded::Slot(slot),
        Err(reason) => Decoded::Newer(NewerSlot {
            node: envelope.node.parse().ok(),
            generation: (envelope.generation != 0).then_some(envelope.generation),
            held,
            reason,
        }),
    }
}

/// The envelope's volumes, and which of them the body has told about.
struct Told<'a> {
    held: &'a [VolumeId],
    told: Vec<bool>,
}

impl Told<'_> {
    fn volume(&mut self, number: u32) -> Result<VolumeId, String> {
        let number = number as usize;
        match (self.held.get(number), self.told.get_mut(number)) {
            (Some(volume), Some(told)) => {
                *told = true;
                Ok(*volume)
            }
            _ => Err(format!("there is no volume {number}")),
        }
    }
}

/// The slot, or what of it is not understood.
fn slot(envelope: &Envelope, held: &[VolumeId]) -> Result<Slot, String> {
    let body = Body::decode(&envelope.body[..]).map_err(|error| error.to_string())?;
    let node: NodeName = envelope.node.parse().map_err(said)?;
    let mut volumes = Told {
        held,
        told: vec![false; held.len()],
    };
    let (mut attachments, mut unknown) = (Vec::with_capacity(body.attachments.len()), 0);
    let mut asked = Vec::new();
    for of in &body.attachments {
        let (attachment, strange) = attachment(of, &node, volumes.volume(of.volume)?)?;
        unknown += u32::from(strange);
        asked.extend(asked::of(
            attachment.key(),
            (access_of(of.asked), of.claims),
        ));
        attachments.push(attachment);
    }
    let mut copies = Vec::with_capacity(body.copies.len());
    for of in &body.copies {
        copies.push(CopyProgress {
            volume: volumes.volume(of.volume)?,
            returning: of.state == RETURNING,
            done: of.done,
            total: of.total,
            remaining_ms: of.remaining_ms,
        });
    }
    let mut said = Messages::default();
    for of in &body.calls {
        let volume = volumes.volume(of.volume)?;
        said.calls.extend(of.understood(volume));
    }
    for of in &body.answers {
        let volume = volumes.volume(of.volume)?;
        said.answers.extend(of.understood(volume));
    }
    let orders = body.orders.iter().filter_map(Ordering::understood);
    said.orders.extend(orders);
    let reports = body.reports.iter().filter_map(Reporting::understood);
    said.reports.extend(reports);
    if let Some(number) = volumes.told.iter().position(|told| !told) {
        return Err(format!("volume {number} is held in a way it does not say"));
    }
    Ok(Slot {
        node,
        boot_id: body.boot_id,
        host_id: envelope.host_id,
        generation: envelope.generation,
        written_ms: body.written_ms,
        attachments,
        asked,
        copies,
        messages: said,
        unknown,
    })
}

fn said(error: ParseIdError) -> String {
    error.to_string()
}

/// An attachment, and whether a word of it is unknown.
fn attachment(
    of: &Holding,
    slots_node: &NodeName,
    volume: VolumeId,
) -> Result<(Attachment, bool), String> {
    let (sharing, access, state, strange) = words(of).strictest();
    let instance = Uuid::from_slice(&of.instance).map_err(|error| error.to_string())?;
    let node = match of.node.is_empty() {
        true => slots_node.clone(),
        false => of.node.parse().map_err(said)?,
    };
    let attachment = Attachment {
        volume,
        instance: InstanceId(instance),
        node,
        sharing,
        access,
        since_ms: of.since_ms,
        state,
    };
    Ok((attachment, strange))
}
