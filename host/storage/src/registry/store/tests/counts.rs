//! How often a place was written.

use super::*;

/// What a node remembers of it tells an older LUN from the right one.
#[test]
fn how_often_a_place_was_written_is_told_where_every_copy_can_be_read() {
    let lun = Lun::fresh();
    let writes = || lun.store().writes(1).unwrap();
    assert_eq!(writes(), Some(0));
    for n in 0..3 {
        let written = lun.store().write(&slot(1, n, 0)).unwrap();
        assert_eq!(written, (Some(n), n + 1));
        assert_eq!(writes(), Some(n + 1));
    }
    // One that broke off after its header: it was counted, and nobody remembers it.
    let store = lun.store();
    let (copy, sequence) = store.next(&store.place(1).unwrap()).unwrap();
    let header = Header::of(1, sequence, b"not there").unwrap().to_block();
    store.put(1, copy, b"", &header).unwrap();
    assert_eq!(writes(), Some(4));
    // Whether a header that is damaged was the newer one nobody knows.
    let at = store.layout.header_at(1, copy);
    lun.handle().write_all_at(b"damage", at + 16).unwrap();
    assert_eq!(writes(), None);
    assert_eq!(lun.store().write(&slot(1, 9, 0)).unwrap(), (None, 4));
    assert_eq!(writes(), Some(4));
    let last = u64::from(store.layout.places);
    for none in [0, last + 1] {
        assert!(lun.store().writes(none).is_err());
    }
}

#[test]
fn a_registry_that_is_converted_counts_on() {
    let size = volward_ports::REGISTRY_SIZE;
    let lun = Lun::empty(size);
    let store = Store {
        file: lun.handle(),
        layout: Layout::first(89),
        name: "r".to_owned(),
    };
    store.clear().unwrap();
    store.commit().unwrap();
    for n in 1..=3 {
        lun.store().write(&slot(1, n, 0)).unwrap();
    }
    lun.store().convert(size, 512).unwrap();
    assert_eq!(lun.store().layout.format, 2);
    assert_eq!(lun.store().writes(1).unwrap(), Some(3));
}
