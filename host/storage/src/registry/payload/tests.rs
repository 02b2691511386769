use prost::Message;
use volward_model::{NodeName, VolumeId};

use super::compact::{Body, Copying, Envelope, Held, Holding};
use super::*;

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
    }
}

fn envelope(attachments: Vec<Holding>) -> Envelope {
    let body = Body {
        boot_id: "boot".to_owned(),
        written_ms: 3,
        attachments,
        copies: Vec::new(),
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
