use proptest::prelude::*;
use tempfile::NamedTempFile;
use volward_model::{Access, Attachment, AttachmentState, Sharing, VolumeId};

use super::*;

/// A registry on a plain file.
struct Lun {
    file: NamedTempFile,
}

const SIZE: Bytes = Bytes::mib(2);

impl Lun {
    fn fresh() -> Self {
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE.0).unwrap();
        let lun = Self { file };
        Store::format(lun.handle(), SIZE, "pool/registry").unwrap();
        lun
    }

    fn handle(&self) -> File {
        self.file.reopen().unwrap()
    }

    fn store(&self) -> Store {
        Store::open(self.handle(), SIZE, "pool/registry").unwrap()
    }

    /// What a node without a cache reads of one place.
    fn reading(&self, host_id: u64) -> Option<SlotReading> {
        let all = self.store().read(&mut Cache::new()).unwrap();
        all.into_iter()
            .find(|slot| slot.host_id == host_id)
            .map(|slot| slot.reading)
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.file.path()).unwrap()
    }

    /// As after a crash in the middle of a write: `before`, with its first part already as it is
    /// now, of the bytes that differ.
    fn tear(&self, before: &[u8], part: f64) {
        let now = self.bytes();
        let changed: Vec<usize> = (0..now.len()).filter(|&i| now[i] != before[i]).collect();
        let kept = (changed.len() as f64 * part) as usize;
        let mut torn = before.to_vec();
        for &i in &changed[..kept] {
            torn[i] = now[i];
        }
        std::fs::write(self.file.path(), torn).unwrap();
    }
}

fn slot(host_id: u64, written_ms: u64, attachments: usize) -> Slot {
    let volume = VolumeId {
        vg: "a".repeat(32).parse().unwrap(),
        lv: "b".repeat(32).parse().unwrap(),
    };
    let attachment = Attachment {
        volume,
        instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        node: "n1".parse().unwrap(),
        sharing: Sharing::Shared,
        access: Access::ReadOnly,
        since_ms: written_ms,
        state: AttachmentState::Attached,
    };
    Slot {
        node: format!("n{host_id}").parse().unwrap(),
        boot_id: "boot".to_owned(),
        host_id,
        generation: 1,
        written_ms,
        attachments: vec![attachment; attachments],
        copies: Vec::new(),
    }
}

fn good(slot: Slot, torn: bool) -> Option<SlotReading> {
    Some(SlotReading::Good { slot, torn })
}

#[test]
fn a_fresh_registry_is_empty_and_is_not_formatted_twice() {
    let lun = Lun::fresh();
    assert!(lun.store().read(&mut Cache::new()).unwrap().is_empty());
    lun.store().write(&slot(1, 1, 0)).unwrap();
    assert!(Store::format(lun.handle(), SIZE, "r").is_err());
    assert_eq!(lun.reading(1), good(slot(1, 1, 0), false));
}

#[test]
fn formatting_forgets_what_was_on_the_disk_before() {
    let lun = Lun::fresh();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    lun.handle().write_all_at(&[7; BLOCK], 0).unwrap();
    Store::format(lun.handle(), SIZE, "r").unwrap();
    assert_eq!(lun.reading(1), None);
}

#[test]
fn what_is_no_registry_is_refused_in_words() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(SIZE.0).unwrap();
    let error = Store::open(file.reopen().unwrap(), SIZE, "pool/registry").unwrap_err();
    assert!(error.to_string().contains("pool init"), "{error}");
    let lun = Lun::fresh();
    let error = Store::open(lun.handle(), Bytes::mib(1), "pool/registry").unwrap_err();
    assert!(matches!(error, PortError::Identity { .. }), "{error}");
}

#[test]
fn places_do_not_touch_each_other() {
    let lun = Lun::fresh();
    let last = u64::from(lun.store().places);
    for host_id in [1, 2, last] {
        // As large as can be, so that an overlap would show.
        lun.store().write(&slot(host_id, 1, 200)).unwrap();
        lun.store().write(&slot(host_id, 2, 200)).unwrap();
    }
    for host_id in [1, 2, last] {
        assert_eq!(lun.reading(host_id), good(slot(host_id, 2, 200), false));
    }
    for none in [0, last + 1] {
        assert!(lun.store().write(&slot(none, 1, 0)).is_err());
    }
}

#[test]
fn a_slot_that_does_not_fit_is_refused_and_the_old_one_stays() {
    let lun = Lun::fresh();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    let error = lun.store().write(&slot(1, 2, 1000)).unwrap_err();
    assert!(
        matches!(error, PortError::Unmet(Unmet::RegistryFull { .. })),
        "{error}"
    );
    assert_eq!(lun.reading(1), good(slot(1, 1, 0), false));
}

#[test]
fn a_foreign_slot_is_not_believed() {
    let lun = Lun::fresh();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    // Place 2 is overwritten with place 1, header and content.
    let (from, to) = (Store::header_at(1, 0), Store::header_at(2, 0));
    let mut block = vec![0; BLOCK];
    lun.handle().read_exact_at(&mut block, from).unwrap();
    lun.handle().write_all_at(&block, to).unwrap();
    let Some(SlotReading::Broken { reason }) = lun.reading(2) else {
        panic!("{:?}", lun.reading(2));
    };
    assert!(reason.contains("host-id 1"), "{reason}");
}

#[test]
fn i10_the_cache_is_used_only_under_the_same_header() {
    let lun = Lun::fresh();
    let mut cache = Cache::new();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    lun.store().read(&mut cache).unwrap();
    // Unchanged: the content is not read again, so that damage to it is not seen.
    let at = lun.store().payload_at(1, 0);
    lun.handle().write_all_at(b"damage", at).unwrap();
    let cached = lun.store().read(&mut cache).unwrap();
    assert!(matches!(cached[0].reading, SlotReading::Good { .. }));
    assert!(matches!(lun.reading(1), Some(SlotReading::Broken { .. })));
    lun.store().write(&slot(1, 2, 0)).unwrap();
    let fresh = lun.store().read(&mut cache).unwrap();
    assert_eq!(Some(fresh[0].reading.clone()), good(slot(1, 2, 0), false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a torn write leaves, readers see the slot before or the new one, never a mixture,
    /// never nothing; and the next write puts it right.
    #[test]
    fn a_torn_write_never_costs_the_slot_before(
        writes in 1u64..5,
        attachments in 0usize..100,
        part in 0.0f64..1.0,
    ) {
        let lun = Lun::fresh();
        for n in 1..=writes {
            lun.store().write(&slot(1, n, attachments)).unwrap();
        }
        let before = lun.bytes();
        lun.store().write(&slot(1, writes + 1, attachments + 1)).unwrap();
        lun.tear(&before, part);
        match lun.reading(1) {
            Some(SlotReading::Good { slot: found, .. }) => {
                let old = slot(1, writes, attachments);
                let new = slot(1, writes + 1, attachments + 1);
                prop_assert!(found == old || found == new);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        lun.store().write(&slot(1, writes + 2, 1)).unwrap();
        prop_assert_eq!(lun.reading(1), good(slot(1, writes + 2, 1), false));
    }

    /// Any damage to a place's bytes is noticed: what is read was written, or nothing is.
    #[test]
    fn damage_is_noticed(at in 0usize..(PAIR + 2 * PAYLOAD), value in 0u8..=255) {
        let lun = Lun::fresh();
        lun.store().write(&slot(1, 1, 250)).unwrap();
        lun.store().write(&slot(1, 2, 250)).unwrap();
        let at = if at < PAIR {
            Store::header_at(1, 0) + at as u64
        } else {
            lun.store().payload_at(1, 0) + (at - PAIR) as u64
        };
        lun.handle().write_all_at(&[value], at).unwrap();
        match lun.reading(1) {
            Some(SlotReading::Good { slot: found, torn }) => {
                prop_assert!(found == slot(1, 2, 250) || (torn && found == slot(1, 1, 250)));
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn the_size_pool_init_gives_holds_as_many_places_as_documented() {
    assert_eq!(places_in(volward_ports::REGISTRY_SIZE), 89);
    assert_eq!(places_in(Bytes::mib(1 << 20)), MOST_PLACES);
    assert_eq!(places_in(Bytes(0)), 0);
}

#[test]
fn the_last_place_ends_within_the_device() {
    for mib in 1..64 {
        let size = Bytes::mib(mib);
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(size.0).unwrap();
        if Store::format(file.reopen().unwrap(), size, "r").is_ok() {
            let store = Store::open(file.reopen().unwrap(), size, "r").unwrap();
            let end = store.payload_at(u64::from(store.places), 1) + PAYLOAD as u64;
            assert!(end <= size.0, "{size}: {end}");
        }
    }
}
