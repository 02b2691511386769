use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use tempfile::NamedTempFile;
use volward_model::{Access, Attachment, AttachmentState, Bytes, CopyProgress, Sharing, VolumeId};

use super::*;
use crate::buffer::BLOCK;
use crate::registry::layout::Layout;

mod counts;

/// A registry on a plain file.
pub(in crate::registry) struct Lun {
    pub(in crate::registry) file: NamedTempFile,
}

const SIZE: Bytes = Bytes::mib(2);
/// Of a volume in [`slot`].
const LVM: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

impl Lun {
    pub(in crate::registry) fn fresh() -> Self {
        let lun = Self::empty(SIZE);
        Store::format(lun.handle(), SIZE, 512, "pool/registry").unwrap();
        lun
    }

    pub(in crate::registry) fn empty(size: Bytes) -> Self {
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(size.0).unwrap();
        Self { file }
    }

    pub(in crate::registry) fn handle(&self) -> File {
        self.file.reopen().unwrap()
    }

    pub(in crate::registry) fn size(&self) -> Bytes {
        Bytes(self.file.as_file().metadata().unwrap().len())
    }

    pub(in crate::registry) fn store(&self) -> Store {
        Store::open(self.handle(), self.size(), "pool/registry").unwrap()
    }

    /// What a node without a cache reads of one place.
    pub(in crate::registry) fn reading(&self, host_id: u64) -> Option<SlotReading> {
        let all = self.store().read(&mut Cache::default()).unwrap();
        all.into_iter()
            .find(|slot| slot.host_id == host_id)
            .map(|slot| slot.reading)
    }

    pub(in crate::registry) fn bytes(&self) -> Vec<u8> {
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

    /// Writes a payload as a later version might, with a good checksum, as a node's newest.
    fn put_raw(&self, host_id: u64, payload: &[u8]) {
        let store = self.store();
        let (copy, sequence) = store.next(&store.place(host_id).unwrap()).unwrap();
        let header = Header::of(host_id, sequence, payload).unwrap();
        store
            .put(host_id, copy, payload, &header.to_block())
            .unwrap();
    }
}

/// A slot with so many attachments of one volume each, the first of [`LVM`].
pub(in crate::registry) fn slot(host_id: u64, written_ms: u64, attachments: usize) -> Slot {
    let volume = |n: usize| VolumeId {
        vg: "a".repeat(32).parse().unwrap(),
        lv: match n {
            0 => LVM.parse().unwrap(),
            n => format!("{n:032}").parse().unwrap(),
        },
    };
    let node: volward_model::NodeName = format!("n{host_id}").parse().unwrap();
    let attachment = |n: usize| Attachment {
        volume: volume(n),
        instance: format!("11111111-2222-3333-4444-{n:012}").parse().unwrap(),
        node: node.clone(),
        sharing: Sharing::Shared,
        access: Access::ReadOnly,
        since_ms: 1_795_000_000_000 + written_ms,
        state: AttachmentState::Attached,
    };
    Slot {
        node: node.clone(),
        boot_id: "b007b007-0000-0000-0000-000000000000".to_owned(),
        host_id,
        generation: 1,
        written_ms,
        attachments: (0..attachments).map(attachment).collect(),
        asked: Vec::new(),
        copies: Vec::new(),
        messages: Default::default(),
        unknown: 0,
    }
}

pub(in crate::registry) fn good(slot: Slot, torn: bool) -> Option<SlotReading> {
    let slot = Arc::new(slot);
    Some(SlotReading::Good { slot, torn })
}

#[test]
fn a_fresh_registry_is_empty_and_is_not_formatted_twice() {
    let lun = Lun::fresh();
    assert!(lun.store().read(&mut Cache::default()).unwrap().is_empty());
    lun.store().write(&slot(1, 1, 0)).unwrap();
    assert!(Store::format(lun.handle(), SIZE, 512, "r").is_err());
    assert_eq!(lun.reading(1), good(slot(1, 1, 0), false));
}

#[test]
fn formatting_forgets_what_was_on_the_disk_before() {
    let lun = Lun::fresh();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    lun.handle().write_all_at(&[7; BLOCK], 0).unwrap();
    Store::format(lun.handle(), SIZE, 512, "r").unwrap();
    assert_eq!(lun.reading(1), None);
}

#[test]
fn what_is_no_registry_is_refused_in_words() {
    let file = Lun::empty(SIZE);
    let error = Store::open(file.handle(), SIZE, "pool/registry").unwrap_err();
    assert!(error.to_string().contains("pool init"), "{error}");
    let lun = Lun::fresh();
    let error = Store::open(lun.handle(), Bytes::mib(1), "pool/registry").unwrap_err();
    assert!(matches!(error, PortError::Identity { .. }), "{error}");
}

#[test]
fn places_do_not_touch_each_other() {
    let lun = Lun::fresh();
    let last = u64::from(lun.store().layout.places);
    for host_id in [1, 2, last] {
        // As large as can be, so that an overlap would show.
        lun.store().write(&slot(host_id, 1, 3800)).unwrap();
        lun.store().write(&slot(host_id, 2, 3800)).unwrap();
    }
    for host_id in [1, 2, last] {
        assert_eq!(lun.reading(host_id), good(slot(host_id, 2, 3800), false));
    }
    for none in [0, last + 1] {
        assert!(lun.store().write(&slot(none, 1, 0)).is_err());
    }
}

#[test]
fn a_slot_that_does_not_fit_is_refused_and_the_old_one_stays() {
    let lun = Lun::fresh();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    let error = lun.store().write(&slot(1, 2, 5000)).unwrap_err();
    assert!(
        matches!(error, PortError::Unmet(Unmet::RegistryFull { .. })),
        "{error}"
    );
    assert_eq!(lun.reading(1), good(slot(1, 1, 0), false));
}

/// The limits of SPECIFICATION.md: every attachment of a volume of its own and with a copy, and
/// as many copies of other volumes. Beyond that progress goes, and attachments stay.
#[test]
fn two_thousand_attachments_fit_with_their_copies_and_progress_never_costs_one() {
    let copy = |volume| CopyProgress {
        volume,
        returning: true,
        done: u64::from(u32::MAX),
        total: u64::from(u32::MAX),
        remaining_ms: Some(1_000_000),
    };
    let lun = Lun::fresh();
    let mut full = slot(1, 1, 2000);
    full.copies = full.attachments.iter().map(|a| copy(a.volume)).collect();
    lun.store().write(&full).unwrap();
    assert_eq!(lun.reading(1), good(full.clone(), false));

    let mut brimming = slot(1, 2, 3800);
    brimming.copies = brimming
        .attachments
        .iter()
        .map(|a| copy(a.volume))
        .collect();
    lun.store().write(&brimming).unwrap();
    let Some(SlotReading::Good { slot: found, .. }) = lun.reading(1) else {
        panic!("{:?}", lun.reading(1));
    };
    assert_eq!(found.attachments, brimming.attachments);
    assert!(found.copies.len() < brimming.copies.len());
    // What shrinks is always written.
    brimming.attachments.truncate(3799);
    lun.store().write(&brimming).unwrap();
}

#[test]
fn a_foreign_slot_is_not_believed() {
    let lun = Lun::fresh();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    // Place 2 is overwritten with place 1, header and content.
    let layout = lun.store().layout;
    let mut block = vec![0; layout.stride as usize];
    lun.handle()
        .read_exact_at(&mut block, layout.header_at(1, 0))
        .unwrap();
    lun.handle()
        .write_all_at(&block, layout.header_at(2, 0))
        .unwrap();
    let Some(SlotReading::Broken { reason }) = lun.reading(2) else {
        panic!("{:?}", lun.reading(2));
    };
    assert!(reason.contains("host-id 1"), "{reason}");
}

#[test]
fn i10_the_cache_is_used_only_under_the_same_header() {
    let lun = Lun::fresh();
    let mut cache = Cache::default();
    lun.store().write(&slot(1, 1, 0)).unwrap();
    lun.store().read(&mut cache).unwrap();
    // Unchanged: the content is not read again, so that damage to it is not seen.
    let at = lun.store().layout.payload_at(1, 0);
    lun.handle().write_all_at(b"damage", at).unwrap();
    let cached = lun.store().read(&mut cache).unwrap();
    assert!(matches!(cached[0].reading, SlotReading::Good { .. }));
    assert!(matches!(lun.reading(1), Some(SlotReading::Broken { .. })));
    lun.store().write(&slot(1, 2, 0)).unwrap();
    let fresh = lun.store().read(&mut cache).unwrap();
    assert_eq!(Some(fresh[0].reading.clone()), good(slot(1, 2, 0), false));
}

/// The older copy says what was: believing it could give a volume to two.
#[test]
fn i6_what_is_whole_and_not_understood_is_newer_and_never_the_copy_before() {
    let lun = Lun::fresh();
    for payload in [&b"\x08\xff"[..], b"{\"node\":1}", b"", b"\xff\xff\xff"] {
        lun.store().write(&slot(1, 1, 1)).unwrap();
        lun.put_raw(1, payload);
        let mut cache = Cache::default();
        for _ in 0..2 {
            let read = lun.store().read(&mut cache).unwrap();
            let SlotReading::Newer(newer) = &read[0].reading else {
                panic!("{payload:?}: {read:?}");
            };
            assert!(newer.may_hold(slot(1, 1, 1).attachments[0].volume));
        }
    }
    // A header of a later version, and what becomes of it when the node goes back to this one.
    let block = {
        let mut block = Header::of(1, 9, b"").unwrap().to_block();
        block[6..8].copy_from_slice(b"02");
        let checksum = crc32fast::hash(&block[..36]);
        block[36..40].copy_from_slice(&checksum.to_le_bytes());
        block
    };
    for copy in 0..2 {
        lun.store().put(1, copy, b"", &block).unwrap();
        assert!(matches!(lun.reading(1), Some(SlotReading::Newer(_))));
    }
    lun.store().write(&slot(1, 3, 1)).unwrap();
    assert_eq!(lun.reading(1), good(slot(1, 3, 1), false));
}

/// Only segments that were written to are read; a place in any of them is found.
#[test]
fn a_place_is_found_in_whatever_segment_it_is() {
    let size = Bytes::mib(60);
    for stride in [512, 4096] {
        let lun = Lun::empty(size);
        Store::format(lun.handle(), size, stride, "r").unwrap();
        let places = u64::from(lun.store().layout.places);
        assert!(places > 3 * SEGMENT);
        let mut written = Vec::new();
        for host_id in [places, SEGMENT, 2 * SEGMENT + 1, SEGMENT + 1, 1] {
            lun.store().write(&slot(host_id, host_id, 1)).unwrap();
            written.push(host_id);
            let read = lun.store().read(&mut Cache::default()).unwrap();
            let found: Vec<u64> = read.iter().map(|place| place.host_id).collect();
            written.sort_unstable();
            assert_eq!(found, written);
        }
        for host_id in written {
            assert_eq!(lun.reading(host_id), good(slot(host_id, host_id, 1), false));
        }
    }
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
                prop_assert!(*found == old || *found == new);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        lun.store().write(&slot(1, writes + 2, 1)).unwrap();
        prop_assert_eq!(lun.reading(1), good(slot(1, writes + 2, 1), false));
    }

    /// Any damage to one copy, header or payload, cut off or overwritten: what is read is the
    /// copy, or the one before, or it is said to be broken; never another holder.
    #[test]
    fn damage_to_a_copy_gives_the_copy_before_or_nothing(
        newest in any::<bool>(),
        header in any::<bool>(),
        at in 0.0f64..1.0,
        length in 1usize..5000,
        value in 0u8..=255,
    ) {
        let lun = Lun::fresh();
        lun.store().write(&slot(1, 1, 90)).unwrap();
        lun.store().write(&slot(1, 2, 100)).unwrap();
        let layout = lun.store().layout;
        // The first write went to copy 0.
        let copy = usize::from(newest);
        let (from, room) = match header {
            true => (layout.header_at(1, copy), layout.stride as usize),
            false => (layout.payload_at(1, copy), 7000),
        };
        let at = (room as f64 * at) as usize;
        let length = length.min(room - at);
        lun.handle().write_all_at(&vec![value; length], from + at as u64).unwrap();
        match lun.reading(1) {
            Some(SlotReading::Good { slot: found, torn }) => {
                let before = newest && *found == slot(1, 1, 90);
                prop_assert!(*found == slot(1, 2, 100) || before, "{torn}");
            }
            other => prop_assert!(false, "{other:?}"),
        }
        // Damage to both leaves what was written, or nothing.
        lun.handle().write_all_at(&vec![value; length], layout.payload_at(1, 1 - copy)).unwrap();
        match lun.reading(1) {
            Some(SlotReading::Good { slot: found, .. }) => {
                prop_assert!(*found == slot(1, 2, 100) || *found == slot(1, 1, 90));
            }
            Some(SlotReading::Broken { .. }) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn nothing_of_the_registry_lies_beyond_its_end() {
    let lun = Lun::fresh();
    let layout: Layout = lun.store().layout;
    assert!(layout.end() <= SIZE.0);
    assert!(
        layout.payload_at(u64::from(layout.places), 1) + u64::from(layout.place_size) <= SIZE.0
    );
}
