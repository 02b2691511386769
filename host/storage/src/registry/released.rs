//! Registries as earlier versions wrote them (tests/compat/registry), read by this one; and what an
//! earlier version makes of this one's.

use std::os::unix::fs::FileExt;

use volward_model::{
    Access, AskedFor, Attachment, AttachmentState, Bytes, Claim, CopyProgress, End, InstanceId,
    MigrationAnswer, MigrationCall, MigrationNonce, MigrationVerdict, OrderGroup, OrderReport,
    Ordered, Sharing, Slot, SlotReading, VolumeId, VolumeOrder,
};
use volward_ports::Applied;

use super::layout::Layout;
use super::store::Store;
use super::store::tests::{Lun, good, slot};
use crate::buffer::BLOCK;

mod messages;

const FIRST: &str = include_str!("../../../../tests/compat/registry/0.1.0.hex");
const SECOND: &str = include_str!("../../../../tests/compat/registry/layout-2.hex");

/// A fixture, with room behind it as LVM gives when the LV is grown.
fn fixture(text: &str, grown: Bytes) -> Lun {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let size = lines.next().unwrap().strip_prefix("size ").unwrap();
    let size: u64 = size.parse().unwrap();
    let lun = Lun::empty(Bytes(size.max(grown.0)));
    for line in lines {
        let (at, hex) = line.split_once(' ').unwrap();
        let byte = |n: usize| u8::from_str_radix(&hex[n..n + 2], 16).unwrap();
        let row: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let at = u64::from_str_radix(at, 16).unwrap();
        lun.handle().write_all_at(&row, at).unwrap();
    }
    lun
}

fn volume(letter: &str) -> VolumeId {
    VolumeId {
        vg: "Vh1Vvv0ZJ13vW2D1hujmXckG4dyW9fXK".parse().unwrap(),
        lv: letter.repeat(32).parse().unwrap(),
    }
}

fn attachment(
    host_id: u64,
    letter: &str,
    instance: u64,
    words: (Sharing, Access, AttachmentState),
) -> Attachment {
    let uuid = format!("11111111-2222-3333-4444-{instance:012}");
    Attachment {
        volume: volume(letter),
        instance: InstanceId(uuid.parse().unwrap()),
        node: format!("n{host_id}").parse().unwrap(),
        sharing: words.0,
        access: words.1,
        since_ms: 1_795_000_000_000 + instance,
        state: words.2,
    }
}

fn of(host_id: u64, written: u64, attachments: Vec<Attachment>, copies: Vec<CopyProgress>) -> Slot {
    Slot {
        node: format!("n{host_id}").parse().unwrap(),
        boot_id: format!("b007b007-0000-0000-0000-00000000000{host_id}"),
        host_id,
        generation: 6 + host_id,
        written_ms: 1_795_000_000_500 + written,
        attachments,
        asked: Vec::new(),
        copies,
        messages: Default::default(),
        unknown: 0,
    }
}

/// The slots of both fixtures: 1 has every word, 2 is plain, the newer copy of 3 is torn, and
/// whatever 5 wrote.
fn slots() -> [Slot; 3] {
    use Access::{ReadOnly, ReadWrite};
    use AttachmentState::{Attached, Intent, Quarantined};
    use Sharing::{Exclusive, Shared};
    let copies = vec![
        CopyProgress {
            volume: volume("a"),
            returning: false,
            done: 1000,
            total: 4096,
            remaining_ms: Some(61_000),
        },
        CopyProgress {
            volume: volume("e"),
            returning: true,
            done: 5,
            total: 10,
            remaining_ms: None,
        },
    ];
    let all = vec![
        attachment(1, "a", 1, (Exclusive, ReadWrite, Attached)),
        attachment(1, "b", 1, (Shared, ReadOnly, Attached)),
        attachment(1, "c", 2, (Shared, ReadWrite, Quarantined)),
        attachment(1, "d", 3, (Exclusive, ReadWrite, Intent)),
    ];
    let second = attachment(2, "b", 9, (Shared, ReadOnly, Attached));
    let third = attachment(3, "f", 30, (Exclusive, ReadWrite, Attached));
    [
        of(1, 2, all, copies),
        of(2, 1, vec![second], vec![]),
        of(3, 1, vec![third], vec![]),
    ]
}

fn check_fixture(lun: &Lun) {
    let [first, second, third] = slots();
    assert_eq!(lun.reading(1), good(first, false));
    assert_eq!(lun.reading(2), good(second, false));
    assert_eq!(lun.reading(3), good(third, true));
    assert_eq!(lun.reading(4), None);
    let broken = lun.reading(5);
    assert!(
        matches!(broken, Some(SlotReading::Broken { .. })),
        "{broken:?}"
    );
}

#[test]
fn a_registry_of_0_1_0_is_read() {
    let lun = fixture(FIRST, Bytes(0));
    check_fixture(&lun);
    assert_eq!(lun.store().layout, Layout::first(7));
}

#[test]
fn a_registry_of_layout_2_is_read() {
    check_fixture(&fixture(SECOND, Bytes(0)));
}

/// Makes the fixture of layout 2 anew, to be looked at: `cargo test -p volward-storage --lib
/// -- --ignored the_fixture_of_layout_2`, then tests/compat/registry/README.md.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_layout_2() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    let [first, second, third] = slots();
    let before = of(1, 1, first.attachments[..1].to_vec(), vec![]);
    for slot in [before, first, second, third, of(3, 2, vec![], vec![])] {
        lun.store().write(&slot).unwrap();
    }
    let layout = lun.store().layout;
    let damage = |host_id, copy| {
        let at = layout.payload_at(host_id, copy) + 20;
        lun.handle().write_all_at(&[0xFF; 16], at).unwrap();
    };
    damage(3, 1);
    for n in 1..=2 {
        lun.store().write(&of(5, n, vec![], vec![])).unwrap();
    }
    damage(5, 0);
    damage(5, 1);
    let title = "# A registry of layout 2; see README.md.\n";
    write_down(&lun, title, "layout-2.hex");
}

fn write_down(lun: &Lun, title: &str, name: &str) {
    let mut text = title.to_owned();
    text += &format!("size {}\n", lun.size().0);
    for (row, bytes) in lun.bytes().chunks(32).enumerate() {
        if bytes.iter().any(|byte| *byte != 0) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("{:x} {hex}\n", row * 32);
        }
    }
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    println!("{}", path.display());
}

/// 0.1.0's records, strict as they were: what its daemon makes of a payload.
mod old {
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub(super) enum Sharing {
        Shared,
        Exclusive,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub(super) enum Access {
        ReadWrite,
        ReadOnly,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub(super) enum State {
        Intent,
        Attached,
        Quarantined,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "that it can be read is what is asked")]
    pub(super) struct Attachment {
        pub(super) volume: volward_model::VolumeId,
        pub(super) instance: volward_model::InstanceId,
        pub(super) node: volward_model::NodeName,
        pub(super) sharing: Sharing,
        pub(super) access: Access,
        pub(super) since_ms: u64,
        pub(super) state: State,
    }

    #[derive(Deserialize)]
    pub(super) struct Slot {
        pub(super) host_id: u64,
        pub(super) attachments: Vec<Attachment>,
        #[serde(default)]
        pub(super) copies: Vec<volward_model::CopyProgress>,
    }

    /// `header::places` of 0.1.0, word for word.
    pub(super) fn places(block: &[u8]) -> Result<u32, &'static str> {
        if block[..6] != b"VWREGS01"[..6] {
            return Err("holds no registry (`volward pool init` makes one)");
        }
        if block[..8] != *b"VWREGS01" {
            return Err("holds a registry in a layout this version does not know");
        }
        if crc32fast::hash(&block[..36]).to_le_bytes() != block[36..40] {
            return Err("holds a registry whose superblock is damaged");
        }
        let mut places = [0; 4];
        places.copy_from_slice(&block[8..12]);
        Ok(u32::from_le_bytes(places))
    }

    /// Where 0.1.0 has header and payload of a copy.
    pub(super) fn at(places: u64, host_id: u64, copy: u64) -> (usize, usize) {
        let n = (host_id - 1) * 2 + copy;
        let payloads = (4096 + places * 8192).next_multiple_of(64 << 10);
        (
            (4096 + n * 4096) as usize,
            (payloads + n * (64 << 10)) as usize,
        )
    }
}

/// Node by node, an upgrade goes on over days: until `pool init` converts it, the registry is
/// what a daemon of 0.1.0 reads, whoever wrote it.
#[test]
fn what_this_version_writes_into_a_registry_of_0_1_0_is_read_by_0_1_0() {
    let lun = fixture(FIRST, Bytes(0));
    let [first, ..] = slots();
    for written in [3, 4] {
        let mut slot = first.clone();
        slot.written_ms += written;
        lun.store().write(&slot).unwrap();
        assert_eq!(lun.reading(1), good(slot, false));
    }
    let bytes = lun.bytes();
    assert_eq!(old::places(&bytes), Ok(7));
    for copy in 0..2 {
        let (header, payload) = old::at(7, 1, copy);
        let header = &bytes[header..header + BLOCK];
        assert_eq!(&header[..8], b"VWSLOT01");
        let length = u32::from_le_bytes(header[24..28].try_into().unwrap()) as usize;
        let payload = &bytes[payload..payload + length];
        assert_eq!(header[28..32], crc32fast::hash(payload).to_le_bytes());
        let slot: old::Slot = serde_json::from_slice(payload).unwrap();
        assert_eq!((slot.host_id, slot.attachments.len()), (1, 4));
        assert_eq!(slot.copies, first.copies);
    }
    // Progress gives way there too: 0.1.0 refused every write then, withdrawals included.
    let mut brimming = slot(2, 1, 210);
    brimming.copies = vec![first.copies[0]; 500];
    lun.store().write(&brimming).unwrap();
    let Some(SlotReading::Good { slot, .. }) = lun.reading(2) else {
        panic!("{:?}", lun.reading(2));
    };
    assert_eq!(slot.attachments.len(), 210);
}

#[test]
fn a_conversion_keeps_every_slot_and_0_1_0_refuses_what_was_converted() {
    for stride in [512, 4096] {
        let lun = fixture(FIRST, Bytes::mib(8));
        let before = lun.bytes();
        let converted = lun.store().convert(lun.size(), stride).unwrap();
        assert_eq!(converted, Applied::Changed);
        assert_eq!(lun.store().layout.format, 2);
        check_fixture(&lun);
        let after = lun.bytes();
        let said = old::places(&after).unwrap_err();
        assert_eq!(
            said,
            "holds a registry in a layout this version does not know"
        );
        // The superblock is all that changed of the old one, so what broke off before it is whole.
        let old_end = Layout::first(7).end() as usize;
        assert_eq!(before[BLOCK..old_end], after[BLOCK..old_end]);
        lun.handle().write_all_at(&before[..BLOCK], 0).unwrap();
        check_fixture(&lun);
        assert_eq!(
            lun.store().convert(lun.size(), stride).unwrap(),
            Applied::Changed
        );
        // Once more changes nothing; and each node writes anew when it next writes.
        assert_eq!(
            lun.store().convert(lun.size(), stride).unwrap(),
            Applied::Identity
        );
        for host_id in [2, 3, 5] {
            lun.store().write(&slot(host_id, 9, 2000)).unwrap();
            assert_eq!(lun.reading(host_id), good(slot(host_id, 9, 2000), false));
        }
        assert_eq!(lun.reading(1), good(slots()[0].clone(), false));
    }
}

#[test]
fn an_lv_that_was_not_grown_is_not_converted_and_stays_as_it_is() {
    let lun = fixture(FIRST, Bytes(0));
    let before = lun.bytes();
    let error = lun.store().convert(lun.size(), 512).unwrap_err();
    assert!(error.to_string().contains("too little"), "{error}");
    assert!(lun.bytes() == before);
}
