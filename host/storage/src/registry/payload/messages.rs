//! Messages about live migrations, in the body of a slot. Fields are added, never changed; one message
//! that is not understood is dropped, and grants nothing.

use prost::Message;
use uuid::Uuid;
use volward_model::{
    InstanceId, Messages, MigrationAnswer, MigrationCall, MigrationNonce, MigrationVerdict,
    VolumeId,
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
            reason: reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned(),
        }
    });
    answers.collect()
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
