//! The limits of SPECIFICATION.md, and what reading costs beside 0.1.0's layout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use volward_model::{NumberedSlot, SlotReading};

use super::header::Header;
use super::layout::{Layout, PLACE_SIZE};
use super::payload;
use super::store::tests::{Lun, slot};
use super::store::{Cache, Store};
use crate::buffer::BLOCK;

/// A registry with so many nodes of so many attachments each, of layout 1 or 2.
fn filled(format: u32, nodes: u64, attachments: usize) -> Lun {
    let lun = Lun::empty(volward_ports::REGISTRY_SIZE);
    let layout = match format {
        1 => Layout::first(89),
        _ => Layout::fitting(lun.size(), BLOCK as u64, 512, PLACE_SIZE).unwrap(),
    };
    let store = Store {
        file: lun.handle(),
        layout,
        name: "r".to_owned(),
    };
    store.clear().unwrap();
    store.commit().unwrap();
    for host_id in 1..=nodes {
        // As `write` does, without a flush for each node.
        let slot = slot(host_id, 1, attachments);
        let payload = payload::encode(&slot, layout.format, layout.place_size).unwrap();
        let header = Header::of(host_id, 1, &payload).unwrap();
        store.flag(host_id).unwrap();
        store.put(host_id, 0, &payload, &header.to_block()).unwrap();
    }
    store.sync().unwrap();
    lun
}

/// The quickest of some readings: of everything, and with nothing changed since.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn times(lun: &Lun, rounds: usize) -> (Duration, Duration, Vec<NumberedSlot>) {
    let (mut cold, mut warm) = (Duration::MAX, Duration::MAX);
    let mut read = Vec::new();
    for _ in 0..rounds {
        let mut cache = Cache::default();
        let begin = Instant::now();
        read = lun.store().read(&mut cache).unwrap();
        cold = cold.min(begin.elapsed());
        let begin = Instant::now();
        let again = lun.store().read(&mut cache).unwrap();
        warm = warm.min(begin.elapsed());
        assert_eq!(again.len(), read.len());
    }
    (cold, warm, read)
}

/// The limits of SPECIFICATION.md at once.
#[test]
fn five_hundred_and_twelve_nodes_have_two_thousand_attachments_each() {
    let lun = filled(2, 512, 0);
    for host_id in [1, 33, 300, 512] {
        lun.store().write(&slot(host_id, 2, 2000)).unwrap();
    }
    let read = lun.store().read(&mut Cache::default()).unwrap();
    assert_eq!(read.len(), 512);
    let held = read.iter().map(|place| match &place.reading {
        SlotReading::Good { slot, torn: false } => slot.attachments.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(held.sum::<usize>(), 4 * 2000);
}

/// Beside 0.1.0's layout at its limits. `cargo test -p volward-storage --lib -- --ignored
/// --nocapture what_reading_costs`.
#[test]
#[ignore = "measures"]
fn what_reading_costs_beside_0_1_0() {
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    let (old_cold, old_warm, _) = times(&filled(1, 89, 230), 10);
    println!("layout 1,  89 x  230: all {old_cold:?}, unchanged {old_warm:?}");
    for (nodes, attachments, rounds) in [(89, 230, 10), (89, 2000, 5), (512, 2000, 3)] {
        let (cold, warm, read) = times(&filled(2, nodes, attachments), rounds);
        assert_eq!(read.len() as u64, nodes);
        println!(
            "layout 2, {nodes:3} x {attachments:4}: all {cold:?} ({:.2}), unchanged {warm:?} ({:.2})",
            ratio(cold, old_cold),
            ratio(warm, old_warm)
        );
    }
}

/// Sharing what is kept makes a second reading cost the index alone.
#[test]
fn what_has_not_changed_is_not_copied() {
    let lun = filled(2, 2, 10);
    let mut cache = Cache::default();
    let [first, second] = [0, 1].map(|_| lun.store().read(&mut cache).unwrap());
    match (&first[0].reading, &second[0].reading) {
        (SlotReading::Good { slot: a, .. }, SlotReading::Good { slot: b, .. }) => {
            assert!(Arc::ptr_eq(a, b));
        }
        other => panic!("{other:?}"),
    }
}
