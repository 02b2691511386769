//! Who has asked for an attachment, and for what.

use volward_model::Claim;

use super::*;

/// An attachment as daemons write it that do not tell who has asked.
#[derive(Clone, PartialEq, Message)]
struct EarlierHolding {
    #[prost(uint32, tag = "1")]
    volume: u32,
    #[prost(bytes = "vec", tag = "2")]
    instance: Vec<u8>,
    #[prost(uint32, tag = "3")]
    sharing: u32,
    #[prost(uint32, tag = "4")]
    access: u32,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint64, tag = "6")]
    since_ms: u64,
    #[prost(string, tag = "7")]
    node: String,
}

fn asking(of: &Slot) -> AskedFor {
    AskedFor {
        of: of.attachments[0].key(),
        access: Some(Access::ReadWrite),
        claims: [Claim::Libvirt, Claim::Openstack].into(),
    }
}

#[test]
fn who_has_asked_is_read_back_and_an_earlier_reader_passes_it_by() {
    let mut with = slot(&envelope(vec![holding()]));
    let without = with.clone();
    with.asked = vec![asking(&with)];
    let bytes = encode(&with, 2, 1 << 16).unwrap();
    assert_eq!(decode(&bytes, 1), Decoded::Slot(with.clone()));
    assert_eq!(earlier_reader_understands(&bytes), Ok(1));
    let envelope = Envelope::decode(&bytes[..]).unwrap();
    let body = Body::decode(&envelope.body[..]).unwrap();
    let again = EarlierHolding::decode(&body.attachments[0].encode_to_vec()[..]).unwrap();
    // All that it knew, and nothing else.
    assert_eq!(again.encode_to_vec(), holding().encode_to_vec());
    // 0.1.0's registry has no room for it.
    let old = encode(&with, 1, 1 << 16).unwrap();
    assert_eq!(decode(&old, 1), Decoded::Slot(without));
}

#[test]
fn what_a_later_version_says_of_who_has_asked_says_nothing_here() {
    let later = Holding {
        asked: 9,
        claims: 1 | 1 << 20,
        ..holding()
    };
    let read = slot(&envelope(vec![later]));
    assert_eq!(read.unknown, 0, "it informs");
    let known = AskedFor {
        access: None,
        claims: [Claim::Libvirt].into(),
        ..asking(&read)
    };
    assert_eq!(read.asked, [known]);
    let nothing = Holding {
        claims: 1 << 20,
        ..holding()
    };
    assert_eq!(slot(&envelope(vec![nothing])).asked, []);
}

/// It goes before the progress of copies does, and before an attachment is refused.
#[test]
fn who_has_asked_is_left_out_where_it_does_not_fit() {
    let mut with = slot(&envelope(vec![holding()]));
    let without = encode(&with, 2, 1 << 16).unwrap();
    with.asked = vec![asking(&with)];
    let room = u32::try_from(without.len()).unwrap();
    assert!(encode(&with, 2, 1 << 16).unwrap().len() > without.len());
    assert_eq!(encode(&with, 2, room).unwrap(), without);
    assert_eq!(
        encode(&with, 2, room - 1),
        Err(CannotEncode::TooLarge(without.len()))
    );
}
