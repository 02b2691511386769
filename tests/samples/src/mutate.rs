//! Changes to bytes and to JSON, for fuzzing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change to some bytes.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Bit(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Insert(Index, Vec<u8>),
}

/// The bytes with a few changes.
pub fn bytes(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Change::Bit(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 1..64usize).prop_map(|(at, n)| Change::Remove(at, n)),
        1 => (any::<Index>(), 1..64usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..16)).prop_map(|(at, new)| Change::Insert(at, new)),
    ];
    vec(change, 1..6).prop_map(move |changes| {
        let mut bytes = whole.clone();
        for change in changes {
            apply(&mut bytes, change);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match change {
        Change::Byte(at, byte) => bytes[at.index(len)] = byte,
        Change::Bit(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Change::Cut(at) => bytes.truncate(at.index(len)),
        Change::Remove(at, n) => {
            let at = at.index(len);
            bytes.drain(at..len.min(at + n));
        }
        Change::Repeat(at, n) => {
            let at = at.index(len);
            let piece = bytes[at..len.min(at + n)].to_vec();
            bytes.splice(at..at, piece);
        }
        Change::Insert(at, new) => {
            let at = at.index(len);
            bytes.splice(at..at, new);
        }
    }
}

/// JSON text in which some values are others: of another kind, extreme, nested without end.
pub fn json(text: String) -> impl Strategy<Value = String> {
    let other = select(vec![
        "null",
        "true",
        "-1",
        "18446744073709551616",
        "1e400",
        "0.1",
        "\"\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[[[[[[[[]]]]]]]]",
        "{\"a\":1,\"a\":2}",
    ]);
    let deep = (1..2_000usize).prop_map(|depth| "[".repeat(depth));
    let new = prop_oneof![8 => other.prop_map(ToOwned::to_owned), 1 => deep];
    vec((any::<Index>(), new), 1..4).prop_map(move |changes| {
        let mut text = text.clone();
        for (at, new) in changes {
            // Values stand behind these; what follows stays where it is, or is swallowed.
            let places: Vec<usize> = text
                .char_indices()
                .filter(|(_, c)| matches!(c, ':' | '[' | ','))
                .map(|(n, _)| n + 1)
                .collect();
            if places.is_empty() {
                return text;
            }
            let begin = *at.get(&places);
            let end = text[begin..]
                .find([',', '}', ']'])
                .map_or(text.len(), |n| begin + n);
            text.replace_range(begin..end, &new);
        }
        text
    })
}
