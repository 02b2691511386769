//! A volume's status, over any attachment table.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not take helpers of tests for tests"
)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use volward_model::{AttachmentState, HomeState, VolumeStatus};
use volward_plan::status::{Row, Stage, StatusCounts, UnderWay, VolumeTable, status};

const STATES: [AttachmentState; 3] = [
    AttachmentState::Intent,
    AttachmentState::Attached,
    AttachmentState::Quarantined,
];
const WORK: [Option<UnderWay>; 3] = [None, Some(UnderWay::Attaching), Some(UnderWay::Detaching)];

/// Every row that there can be.
fn rows() -> Vec<Row> {
    let mut all = Vec::new();
    for state in STATES {
        for under_way in WORK {
            for cut_off in [false, true] {
                all.push(Row {
                    state,
                    under_way,
                    cut_off,
                });
            }
        }
    }
    all
}

/// The four homes, and one that cannot be read.
fn homes() -> Vec<Option<HomeState>> {
    let node = || "n1".parse().unwrap();
    let copy = "c".repeat(32).parse().unwrap();
    vec![
        None,
        Some(HomeState::Pool),
        Some(HomeState::Split { node: node(), copy }),
        Some(HomeState::Node { node: node(), copy }),
        Some(HomeState::Returning { node: node(), copy }),
    ]
}

/// Any table; most are of volumes that are in order, so that every word comes.
fn table() -> impl Strategy<Value = VolumeTable> {
    let home = prop_oneof![
        3 => Just(Some(HomeState::Pool)),
        1 => select(homes()),
    ];
    let rarely = || prop::bool::weighted(0.2);
    let troubles = vec(Just("a slot cannot be read".to_owned()), 0..2);
    let troubles = option::weighted(0.2, troubles).prop_map(Option::unwrap_or_default);
    (
        vec(select(rows()), 0..5),
        home,
        rarely(),
        rarely(),
        troubles,
    )
        .prop_map(|(rows, home, marked, leased, troubles)| VolumeTable {
            rows,
            home,
            marked,
            leased,
            troubles,
        })
}

fn free() -> VolumeTable {
    VolumeTable {
        rows: Vec::new(),
        home: Some(HomeState::Pool),
        marked: false,
        leased: false,
        troubles: Vec::new(),
    }
}

fn has(table: &VolumeTable, stage: Stage) -> bool {
    table.rows.iter().any(|row| row.stage() == stage)
}

/// Every row with what it counts as, as it was reviewed.
#[test]
fn each_row_counts_as_reviewed() {
    let mut text = String::new();
    for row in rows() {
        let work = match row.under_way {
            None => "at rest",
            Some(UnderWay::Attaching) => "being attached",
            Some(UnderWay::Detaching) => "being detached",
        };
        let cut = if row.cut_off { ", cut off" } else { "" };
        text += &format!("{}, {work}{cut}: {:?}\n", row.state, row.stage());
    }
    let reviewed = "\
intent, at rest: Attaching
intent, at rest, cut off: Fault
intent, being attached: Attaching
intent, being attached, cut off: Fault
intent, being detached: Detaching
intent, being detached, cut off: Fault
attached, at rest: Attached
attached, at rest, cut off: Fault
attached, being attached: Attaching
attached, being attached, cut off: Fault
attached, being detached: Detaching
attached, being detached, cut off: Fault
quarantined, at rest: Fault
quarantined, at rest, cut off: Fault
quarantined, being attached: Fault
quarantined, being attached, cut off: Fault
quarantined, being detached: Fault
quarantined, being detached, cut off: Fault
";
    assert_eq!(text, reviewed);
}

/// One thing alone says its word.
#[test]
fn each_thing_alone_says_its_word() {
    let word = |table: &VolumeTable| status(table).0;
    assert_eq!(word(&free()), VolumeStatus::Available);
    for home in homes() {
        let expected = match &home {
            None => VolumeStatus::Fault,
            Some(HomeState::Pool) => VolumeStatus::Available,
            Some(_) => VolumeStatus::Held,
        };
        assert_eq!(word(&VolumeTable { home, ..free() }), expected);
    }
    let marked = VolumeTable {
        marked: true,
        ..free()
    };
    assert_eq!(word(&marked), VolumeStatus::Held);
    let leased = VolumeTable {
        leased: true,
        ..free()
    };
    assert_eq!(word(&leased), VolumeStatus::Held);
    let troubles = vec!["a slot cannot be read".to_owned()];
    let troubled = VolumeTable { troubles, ..free() };
    assert_eq!(word(&troubled), VolumeStatus::Fault);
    let of = |state| {
        let rows = vec![Row::elsewhere(state)];
        word(&VolumeTable { rows, ..free() })
    };
    assert_eq!(of(AttachmentState::Intent), VolumeStatus::Attaching);
    assert_eq!(of(AttachmentState::Attached), VolumeStatus::InUse);
    assert_eq!(of(AttachmentState::Quarantined), VolumeStatus::Fault);
}

#[test]
fn the_words_are_in_their_order() {
    let mut sorted = VolumeStatus::ALL;
    sorted.sort();
    assert_eq!(sorted, VolumeStatus::ALL);
    let words: Vec<String> = sorted.iter().rev().map(ToString::to_string).collect();
    assert_eq!(
        words.join(" "),
        "fault in-use attaching detaching held available"
    );
}

proptest! {
    #[test]
    fn every_table_has_a_status_and_the_counts_are_of_all_rows(table in table()) {
        let (_, counts) = status(&table);
        prop_assert_eq!(counts.total(), table.rows.len());
        let of = |stage| table.rows.iter().filter(|row| row.stage() == stage).count();
        let expected = StatusCounts {
            attached: of(Stage::Attached),
            attaching: of(Stage::Attaching),
            detaching: of(Stage::Detaching),
            fault: of(Stage::Fault),
        };
        prop_assert_eq!(counts, expected);
    }

    /// Fault before the rest; in-use before attaching before detaching; then what holds it without an attachment.
    #[test]
    fn the_word_is_of_the_first_that_is_there(table in table()) {
        let fault = has(&table, Stage::Fault) || table.home.is_none() || !table.troubles.is_empty();
        let held = table.marked || table.leased || table.home != Some(HomeState::Pool);
        let expected = match table {
            _ if fault => VolumeStatus::Fault,
            ref t if has(t, Stage::Attached) => VolumeStatus::InUse,
            ref t if has(t, Stage::Attaching) => VolumeStatus::Attaching,
            ref t if has(t, Stage::Detaching) => VolumeStatus::Detaching,
            _ if held => VolumeStatus::Held,
            _ => VolumeStatus::Available,
        };
        prop_assert_eq!(status(&table).0, expected);
    }

    /// Nobody is told that a volume is to be had that anything holds.
    #[test]
    fn available_is_what_nothing_holds(table in table()) {
        let is_free = table == free();
        prop_assert_eq!(status(&table).0 == VolumeStatus::Available, is_free);
    }

    #[test]
    fn the_order_of_the_attachments_does_not_matter(
        (table, shuffled) in table().prop_flat_map(|table| {
            let rows = Just(table.rows.clone()).prop_shuffle();
            (Just(table), rows)
        })
    ) {
        let other = VolumeTable { rows: shuffled, ..table.clone() };
        prop_assert_eq!(status(&table), status(&other));
    }

    /// Whatever comes beside makes the word no smaller.
    #[test]
    fn one_more_attachment_takes_no_word_away(table in table(), row in select(rows())) {
        let (before, counted) = status(&table);
        let mut more = table;
        more.rows.push(row);
        let (after, counts) = status(&more);
        prop_assert!(after >= before);
        prop_assert!(after >= row.stage().status());
        prop_assert_eq!(counts.total(), counted.total() + 1);
    }
}
