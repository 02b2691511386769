use prost::Message;
use volward_model::{
    InstanceId, Messages, MigrationAnswer, MigrationCall, MigrationNonce, MigrationVerdict,
    NodeName, VolumeId,
};

use super::compact::{Body, Copying, Envelope, Held, Holding};
use super::*;

mod asked;

const LV: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn volume() -> VolumeId {
    VolumeId {
        vg: "a".repeat(32).parse().unwrap(),
        lv: LV.parse().unwrap(),
    }
}

fn holding() -> Holding {
    Holding {
        volume: 0,
        instance: vec![7; 16],
        sharing: 1,
        access: 2,
        state: 1,
        since_ms: 5,
        node: String::new(),
        asked: 0,
        claims: 0,
    }
}

fn envelope(attachments: Vec<Holding>) -> Envelope {
    let body = Body {
        boot_id: "boot".to_owned(),
        written_ms: 3,
        attachments,
        copies: Vec::new(),
        calls: Vec::new(),
        answers: Vec::new(),
        orders: Vec::new(),
        reports: Vec::new(),
    };
    Envelope {
        format: 2,
        minimum_reader: 2,
        node: "n1".to_owned(),
        host_id: 1,
        generation: 4,
        held: vec![Held {
            vg: "a".repeat(32),
            lvs: LV.into(),
        }],
        body: body.encode_to_vec(),
    }
}

fn slot(envelope: &Envelope) -> Slot {
    match decode(&envelope.encode_to_vec(), 1) {
        Decoded::Slot(slot) => slot,
        other => panic!("{other:?}"),
    }
}

fn newer(bytes: &[u8]) -> NewerSlot {
    match decode(bytes, 1) {
        Decoded::Newer(newer) => newer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_of_a_later_version_counts_as_what_excludes_most() {
    let known = slot(&envelope(vec![holding()]));
    assert_eq!(known.unknown, 0);
    assert_eq!(known.attachments[0].sharing, Sharing::Shared);
    assert_eq!(known.attachments[0].state, AttachmentState::Intent);
    for later in [
        Holding {
            sharing: 9,
            ..holding()
        },
        Holding {
            access: 9,
            ..holding()
        },
        Holding {
            state: 9,
            ..holding()
        },
    ] {
        let read = slot(&envelope(vec![later.clone()]));
        assert_eq!(read.unknown, 1);
        let held = &read.attachments[0];
        assert_eq!(held.volume, volume());
        if later.sharing == 9 {
            assert_eq!(held.sharing, Sharing::Exclusive);
        }
        if later.access == 9 {
            assert_eq!(held.access, Access::ReadWrite);
        }
        if later.state == 9 {
            assert_eq!(held.state, AttachmentState::Attached);
        }
    }
    // 0.1.0's encoding, with a word it never wrote.
    let known = json::encode(&known, &[]).unwrap();
    let text = String::from_utf8(known)
        .unwrap()
        .replace("\"intent\"", "\"migrating\"");
    match decode(text.as_bytes(), 1) {
        Decoded::Slot(read) => {
            assert_eq!(read.unknown, 1);
            assert_eq!(read.attachments[0].state, AttachmentState::Attached);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_field_of_a_later_version_is_skipped() {
    let mut bytes = envelope(vec![holding()]).encode_to_vec();
    // Field 100, a text.
    bytes.extend([0xa2, 0x06, 0x03, b'n', b'e', b'w']);
    assert!(matches!(decode(&bytes, 1), Decoded::Slot(_)));
}

/// Whatever later versions make of the body, who holds what is told.
#[test]
fn i6_a_reader_that_is_too_old_still_knows_node_generation_and_volumes() {
    let later = Envelope {
        format: 7,
        minimum_reader: 6,
        body: vec![0xff; 9],
        ..envelope(vec![])
    };
    let broken_body = Envelope {
        body: vec![0xff; 9],
        ..envelope(vec![])
    };
    // A volume that no attachment and no copy of the body accounts for.
    let held_otherwise = envelope(vec![]);
    let no_such_volume = envelope(vec![
        holding(),
        Holding {
            volume: 3,
            ..holding()
        },
    ]);
    let no_instance = envelope(vec![Holding {
        instance: vec![1],
        ..holding()
    }]);
    for case in [
        later,
        broken_body,
        held_otherwise,
        no_such_volume,
        no_instance,
    ] {
        let read = newer(&case.encode_to_vec());
        assert_eq!(read.node, Some("n1".parse::<NodeName>().unwrap()));
        assert_eq!(read.generation, Some(4));
        assert_eq!(read.held, Some(vec![volume()]), "{read:?}");
        assert!(read.may_hold(volume()));
    }
    let other = Envelope {
        held: vec![Held {
            vg: "not a vg".to_owned(),
            lvs: LV.into(),
        }],
        ..envelope(vec![])
    };
    let read = newer(&other.encode_to_vec());
    assert_eq!((read.held.clone(), read.generation), (None, Some(4)));
    assert!(read.may_hold(volume()), "any volume, then");
}

#[test]
fn json_of_a_later_version_tells_its_volumes_too() {
    let text = format!(
        "{{\"node\":\"n1\",\"host_id\":1,\"generation\":4,\"attachments\":[{{\"volume\":\"{}\",\
         \"instance\":5}}]}}",
        volume()
    );
    let read = newer(text.as_bytes());
    assert_eq!(read.held, Some(vec![volume()]));
    assert_eq!(read.generation, Some(4));
    assert_eq!(newer(b"{").held, None);
    assert_eq!(newer(b"{\"host_id\":1}").held, None);
}

#[test]
fn the_slot_of_another_node_is_foreign_in_either_encoding() {
    let slot = slot(&envelope(vec![holding()]));
    for format in [1, 2] {
        let bytes = encode(&slot, format, 1 << 16).unwrap();
        assert_eq!(decode(&bytes, 1), Decoded::Slot(slot.clone()));
        assert_eq!(decode(&bytes, 2), Decoded::Foreign(1));
    }
}

#[test]
fn a_copy_in_an_unknown_state_is_no_reason_not_to_read_the_rest() {
    let mut with_copy = envelope(vec![]);
    let body = Body {
        copies: vec![Copying {
            volume: 0,
            state: 9,
            done: 1,
            total: 2,
            remaining_ms: None,
        }],
        ..Body::decode(&with_copy.body[..]).unwrap()
    };
    with_copy.body = body.encode_to_vec();
    assert_eq!(slot(&with_copy).copies[0].volume, volume());
}

/// The body as the first daemons of this encoding have it: they know of no messages.
#[derive(Clone, PartialEq, Message)]
struct EarlierBody {
    #[prost(string, tag = "1")]
    boot_id: String,
    #[prost(uint64, tag = "2")]
    written_ms: u64,
    #[prost(message, repeated, tag = "3")]
    attachments: Vec<Holding>,
    #[prost(message, repeated, tag = "4")]
    copies: Vec<Copying>,
}

/// Whether such a daemon takes the slot for one that it understands: it does where its body accounts
/// for every volume of the envelope. Else the slot holds these volumes, and it refuses them.
fn earlier_reader_understands(bytes: &[u8]) -> Result<usize, u32> {
    let envelope = Envelope::decode(bytes).unwrap();
    assert_eq!((envelope.format, envelope.minimum_reader), (2, 2));
    let body = EarlierBody::decode(&envelope.body[..]).unwrap();
    let held: usize = envelope.held.iter().map(|held| held.lvs.len() / 32).sum();
    let told = |n: u32| {
        body.attachments.iter().any(|a| a.volume == n) || body.copies.iter().any(|c| c.volume == n)
    };
    match (0..u32::try_from(held).unwrap()).find(|n| !told(*n)) {
        None => Ok(body.attachments.len()),
        Some(untold) => Err(untold),
    }
}

fn messages(of: &Slot) -> Messages {
    let nonce = |n| MigrationNonce(uuid::Uuid::from_u128(n));
    let (volume, instance) = (of.attachments[0].volume, of.attachments[0].instance);
    let answer = |n, verdict| MigrationAnswer {
        volume,
        instance,
        nonce: nonce(n),
        to: 2,
        generation: 9,
        verdict,
    };
    let refused = MigrationVerdict::Refused {
        code: "no-migration".to_owned(),
        reason: "ä".repeat(300),
    };
    Messages {
        calls: vec![MigrationCall {
            volume,
            instance,
            nonce: nonce(1),
            source: 2,
        }],
        answers: vec![
            answer(2, MigrationVerdict::Leaving),
            answer(3, MigrationVerdict::Shared),
            answer(4, refused),
        ],
        ..Messages::default()
    }
}

#[test]
fn i6_messages_are_read_back_and_an_earlier_reader_goes_by_the_attachments_beside_them() {
    let mut with = slot(&envelope(vec![holding()]));
    with.messages = messages(&with);
    let bytes = encode(&with, 2, 1 << 16).unwrap();
    let read = match decode(&bytes, 1) {
        Decoded::Slot(read) => read,
        other => panic!("{other:?}"),
    };
    // A reason is cut where the place must not be filled by it.
    let MigrationVerdict::Refused { reason, .. } = &read.messages.answers[2].verdict else {
        panic!("{read:?}");
    };
    assert_eq!(*reason, "ä".repeat(200));
    let MigrationVerdict::Refused { reason: cut, .. } = &mut with.messages.answers[2].verdict
    else {
        panic!("{with:?}");
    };
    cut.truncate(400);
    assert_eq!(read, with);
    assert_eq!(earlier_reader_understands(&bytes), Ok(1));
    // One about a volume that stands in nothing else is held, to such a reader.
    let mut alone = with.clone();
    alone.messages.calls[0].volume.lv = "c".repeat(32).parse().unwrap();
    let bytes = encode(&alone, 2, 1 << 16).unwrap();
    assert!(earlier_reader_understands(&bytes).is_err());
    // 0.1.0's registry has no room for them.
    let old = encode(&with, 1, 1 << 16).unwrap();
    let Decoded::Slot(old) = decode(&old, 1) else {
        panic!("no slot");
    };
    assert_eq!(old.messages, Messages::default());
}

#[test]
fn a_message_that_is_not_understood_is_dropped_and_the_rest_is_read() {
    let mut with = slot(&envelope(vec![holding()]));
    with.messages = messages(&with);
    let mut bytes = Envelope::decode(&encode(&with, 2, 1 << 16).unwrap()[..]).unwrap();
    let mut body = Body::decode(&bytes.body[..]).unwrap();
    body.calls[0].nonce = vec![1];
    body.answers[0].instance = Vec::new();
    body.answers[1].verdict = 9;
    bytes.body = body.encode_to_vec();
    let read = slot(&bytes);
    assert!(read.messages.calls.is_empty());
    assert_eq!(read.messages.answers.len(), 1);
    assert_eq!(read.attachments, with.attachments);
    let known = InstanceId(uuid::Uuid::from_bytes([7; 16]));
    assert_eq!(read.messages.answers[0].instance, known);
}
