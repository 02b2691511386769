//! Messages to other nodes, in the body of a slot. Fields are added, never changed; one message
//! that is not understood is dropped, and grants nothing.

use prost::Message;
use uuid::Uuid;
use volward_model::{
    Bytes, End, InstanceId, Messages, MigrationAnswer, MigrationCall, MigrationNonce,
    MigrationVerdict, OrderGroup, OrderReport, Ordered, VolumeId, VolumeOrder,
};

/// The longest reason that is written, in bytes: a place has room for other nodes' attachments too.
const REASON_BYTES: usize = 400;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Calling {
    #[prost(uint32, tag = "1")]
    pub(super) volume: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) instance: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) nonce: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(super) source: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Answering {
    #[prost(uint32, tag = "1")]
    pub(super) volume: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) instance: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) nonce: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(super) to: u64,
    #[prost(uint64, tag = "5")]
    pub(super) generation: u64,
    /// 1: leaving, 2: shared, 3: refused; others are not understood.
    #[prost(uint32, tag = "6")]
    pub(super) verdict: u32,
    #[prost(string, tag = "7")]
    pub(super) code: String,
    #[prost(string, tag = "8")]
    pub(super) reason: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ordering {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) vg: String,
    #[prost(string, tag = "3")]
    pub(super) lv: String,
    /// Of a volume that grows. A reader that knows no other orders takes them for one to grow to nothing, which it
    /// refuses.
    #[prost(uint64, tag = "4")]
    pub(super) size: u64,
    #[prost(uint64, tag = "5")]
    pub(super) to: u64,
    #[prost(bool, tag = "6")]
    pub(super) back: bool,
    /// 0: grow, 1: copy, 2: snapshot, 3: snapshot that holds the same moment as others, 4: to another disk; others are not
    /// understood.
    #[prost(uint32, tag = "7")]
    pub(super) what: u32,
    /// Of a volume that is made.
    #[prost(string, tag = "8")]
    pub(super) name: String,
    /// The same; 0: the source's.
    #[prost(uint64, tag = "9")]
    pub(super) new_size: u64,
    /// Of a snapshot that holds the same moment as others: what they are called together.
    #[prost(string, tag = "10")]
    pub(super) group: String,
    /// The same: how many there are.
    #[prost(uint32, tag = "11")]
    pub(super) members: u32,
    /// Of a volume that goes to another disk: LVM's UUID of that one.
    #[prost(string, tag = "12")]
    pub(super) disk: String,
}

const GROW: u32 = 0;
const COPY: u32 = 1;
const SNAPSHOT: u32 = 2;
/// A word of its own: whoever does not know it must not take one of them alone.
const TOGETHER: u32 = 3;
const RELOCATE: u32 = 4;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Reporting {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) to: u64,
    #[prost(uint64, tag = "3")]
    pub(super) zeroed: u64,
    #[prost(uint64, tag = "4")]
    pub(super) total: u64,
    /// 0: not ended, 1: done, 2: cancelled, 3: failed; others are not understood.
    #[prost(uint32, tag = "5")]
    pub(super) end: u32,
    #[prost(string, tag = "6")]
    pub(super) code: String,
    #[prost(string, tag = "7")]
    pub(super) reason: String,
}

const DONE: u32 = 1;
const CANCELLED: u32 = 2;
const FAILED: u32 = 3;

const LEAVING: u32 = 1;
const SHARED: u32 = 2;
const REFUSED: u32 = 3;

/// The volumes that messages are about.
pub(super) fn volumes(of: &Messages) -> impl Iterator<Item = VolumeId> {
    let calls = of.calls.iter().map(|call| call.volume);
    calls.chain(of.answers.iter().map(|answer| answer.volume))
}

/// Calls, each with the number of its volume.
pub(super) fn calls(of: &Messages, number: impl Fn(VolumeId) -> u32) -> Vec<Calling> {
    let calls = of.calls.iter().map(|call| Calling {
        volume: number(call.volume),
        instance: call.instance.0.as_bytes().to_vec(),
        nonce: call.nonce.0.as_bytes().to_vec(),
        source: call.source,
    });
    calls.collect()
}

/// Answers, each with the number of its volume.
pub(super) fn answers(of: &Messages, number: impl Fn(VolumeId) -> u32) -> Vec<Answering> {
    let answers = of.answers.iter().map(|answer| {
        let (verdict, code, reason) = match &answer.verdict {
            MigrationVerdict::Leaving => (LEAVING, "", ""),
            MigrationVerdict::Shared => (SHARED, "", ""),
            MigrationVerdict::Refused { code, reason } => (REFUSED, code.as_str(), reason.as_str()),
        };
        Answering {
            volume: number(answer.volume),
            instance: answer.instance.0.as_bytes().to_vec(),
            nonce: answer.nonce.0.as_bytes().to_vec(),
            to: answer.to,
            generation: answer.generation,
            verdict,
            code: code.to_owned(),
            reason: shortened(reason),
        }
    });
    answers.collect()
}

pub(super) fn orders(of: &Messages) -> Vec<Ordering> {
    let orders = of.orders.iter().map(|order| {
        let disk = match &order.what {
            Ordered::Relocate { disk } => disk.compact(),
            _ => "",
        };
        let (what, size, name, new_size) = match &order.what {
            Ordered::Grow { size } => (GROW, size.0, "", 0),
            Ordered::Copy { name, size } => (COPY, 0, name.as_str(), size.map_or(0, |size| size.0)),
            Ordered::Snapshot { name } if order.group.is_some() => (TOGETHER, 0, name.as_str(), 0),
            Ordered::Snapshot { name } => (SNAPSHOT, 0, name.as_str(), 0),
            Ordered::Relocate { .. } => (RELOCATE, 0, "", 0),
        };
        let group = order.group.as_ref();
        Ordering {
            id: order.id.to_string(),
            vg: order.volume.vg.compact().to_owned(),
            lv: order.volume.lv.compact().to_owned(),
            size,
            to: order.to,
            back: order.back,
            what,
            name: name.to_owned(),
            new_size,
            group: group.map_or_else(String::new, |group| group.id.to_string()),
            members: group.map_or(0, |group| group.members),
            disk: disk.to_owned(),
        }
    });
    orders.collect()
}

pub(super) fn reports(of: &Messages) -> Vec<Reporting> {
    let reports = of.reports.iter().map(|report| {
        let (end, code, reason) = match &report.end {
            None => (0, "", ""),
            Some(End::Done) => (DONE, "", ""),
            Some(End::Cancelled) => (CANCELLED, "", ""),
            Some(End::Failed { code, message }) => (FAILED, code.as_str(), message.as_str()),
        };
        Reporting {
            id: report.id.to_string(),
            to: report.to,
            zeroed: report.zeroed.0,
            total: report.total.0,
            end,
            code: code.to_owned(),
            reason: shortened(reason),
        }
    });
    reports.collect()
}

fn shortened(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned()
}

impl Calling {
    pub(super) fn understood(&self, volume: VolumeId) -> Option<MigrationCall> {
        Some(MigrationCall {
            volume,
            instance: InstanceId(Uuid::from_slice(&self.instance).ok()?),
            nonce: MigrationNonce(Uuid::from_slice(&self.nonce).ok()?),
            source: self.source,
        })
    }
}

impl Answering {
    pub(super) fn understood(&self, volume: VolumeId) -> Option<MigrationAnswer> {
        let verdict = match self.verdict {
            LEAVING => MigrationVerdict::Leaving,
            SHARED => MigrationVerdict::Shared,
            REFUSED => MigrationVerdict::Refused {
                code: self.code.clone(),
                reason: self.reason.clone(),
            },
            _ => return None,
        };
        Some(MigrationAnswer {
            volume,
            instance: InstanceId(Uuid::from_slice(&self.instance).ok()?),
            nonce: MigrationNonce(Uuid::from_slice(&self.nonce).ok()?),
            to: self.to,
            generation: self.generation,
            verdict,
        })
    }
}

impl Ordering {
    pub(super) fn understood(&self) -> Option<VolumeOrder> {
        let what = match self.what {
            GROW => Ordered::Grow {
                size: Bytes(self.size),
            },
            COPY => Ordered::Copy {
                name: self.name.parse().ok()?,
                size: (self.new_size > 0).then_some(Bytes(self.new_size)),
            },
            SNAPSHOT | TOGETHER => Ordered::Snapshot {
                name: self.name.parse().ok()?,
            },
            RELOCATE => Ordered::Relocate {
                disk: self.disk.parse().ok()?,
            },
            _ => return None,
        };
        let group = match self.what {
            TOGETHER => Some(OrderGroup {
                id: self.group.parse().ok()?,
                members: self.members,
            }),
            _ => None,
        };
        Some(VolumeOrder {
            id: self.id.parse().ok()?,
            volume: VolumeId {
                vg: self.vg.parse().ok()?,
                lv: self.lv.parse().ok()?,
            },
            what,
            to: self.to,
            back: self.back,
            group,
        })
    }
}

impl Reporting {
    pub(super) fn understood(&self) -> Option<OrderReport> {
        let end = match self.end {
            0 => None,
            DONE => Some(End::Done),
            CANCELLED => Some(End::Cancelled),
            FAILED => Some(End::Failed {
                code: self.code.clone(),
                message: self.reason.clone(),
            }),
            _ => return None,
        };
        Some(OrderReport {
            id: self.id.parse().ok()?,
            to: self.to,
            zeroed: Bytes(self.zeroed),
            total: Bytes(self.total),
            end,
        })
    }
}
