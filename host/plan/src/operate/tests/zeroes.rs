//! What is read of what was made, grown or copied (I27).

use super::*;

/// What is behind the content of a copy is another tenant's, until it is zeroed.
#[test]
fn i27_a_copy_is_its_source_and_then_zeroes_before_its_mark_goes() {
    for (task, size) in copies().into_iter().zip([LARGER, SIZE]) {
        for wipe in WIPES {
            let sight = Sight {
                source: sources().into_iter().nth(1).unwrap(),
                ..Sight::nothing(false)
            };
            let (mut copied, mut zeroed, mut at) = (0, 0, 0);
            let noted = |_: &VolumeOperation, _: &Sight, step: &OperationStep| {
                let (from, amount, sum) = match step {
                    OperationStep::Copy { from, amount } => (from, amount, &mut copied),
                    OperationStep::Zero { from, amount } => (from, amount, &mut zeroed),
                    _ => return,
                };
                assert_eq!(from.0, at, "{task} {wipe}: no gap");
                at += amount.0;
                *sum += amount.0;
            };
            let operation = operation(&task, Course::Forward);
            let (left, end, _) = follow(&operation, wipe, &sight, noted).unwrap();
            assert_eq!(end, End::Done);
            let tail = if wipe.before() { size.0 - SIZE.0 } else { 0 };
            assert_eq!((copied, zeroed), (SIZE.0, tail), "{task} {wipe}");
            assert_eq!(left.volume.unwrap().size, size);
        }
    }
}

/// The old content of another tenant: whoever may attach what was made or grown reads zeroes.
#[test]
fn i27_what_is_made_or_grown_is_zeroed_before_its_mark_goes() {
    let [create, _, extend] = tasks();
    let there = Sight {
        volume: Some(seen("data", SIZE, None)),
        ..Sight::nothing(true)
    };
    for (task, sight, all) in [
        (create, Sight::nothing(false), SIZE),
        (extend, there, Bytes(LARGER.0 - SIZE.0)),
    ] {
        for wipe in WIPES {
            let mut zeroed = Vec::new();
            let operation = operation(&task, Course::Forward);
            let noted = |_: &VolumeOperation, _: &Sight, step: &OperationStep| {
                if let OperationStep::Zero { from, amount } = step {
                    zeroed.push((from.0, amount.0));
                }
            };
            let (_, end, sum) = follow(&operation, wipe, &sight, noted).unwrap();
            assert_eq!(end, End::Done);
            let before = matches!(wipe, Wipe::BeforeUse | Wipe::Both);
            assert_eq!(sum, if before { all } else { Bytes(0) }, "{task} {wipe}");
            let joined = zeroed.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0);
            assert!(joined, "no gap: {zeroed:?}");
        }
    }
}
