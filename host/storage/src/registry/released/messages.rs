//! What nodes say to each other.

use super::*;

const MESSAGES: &str = include_str!("../../../../../tests/compat/registry/layout-2-messages.hex");

const ORDERS: &str = include_str!("../../../../../tests/compat/registry/layout-2-orders.hex");

const COPIES: &str = include_str!("../../../../../tests/compat/registry/layout-2-copies.hex");

const DISKS: &str = include_str!("../../../../../tests/compat/registry/layout-2-disks.hex");
const ASKED: &str = include_str!("../../../../../tests/compat/registry/layout-2-asked.hex");
const GROUPS: &str = include_str!("../../../../../tests/compat/registry/layout-2-groups.hex");

/// Node 2 asks node 1 for what its guest has, and node 1 has shared one volume and not the other.
fn speaking() -> [Slot; 2] {
    use Access::ReadWrite;
    use AttachmentState::{Attached, Intent};
    use Sharing::Exclusive;
    let nonce = |n| MigrationNonce(uuid::Uuid::from_u128(n));
    let (root, data) = (
        attachment(1, "a", 1, (Exclusive, ReadWrite, Attached)),
        attachment(1, "b", 1, (Exclusive, ReadWrite, Attached)),
    );
    let intents = ["a", "b"].map(|lv| attachment(2, lv, 1, (Exclusive, ReadWrite, Intent)));
    let call = |of: &Attachment, n| MigrationCall {
        volume: of.volume,
        instance: of.instance,
        nonce: nonce(n),
        source: 1,
    };
    let answer = |of: &Attachment, n, verdict| MigrationAnswer {
        volume: of.volume,
        instance: of.instance,
        nonce: nonce(n),
        to: 2,
        generation: 8,
        verdict,
    };
    let refused = MigrationVerdict::Refused {
        code: "migration-copy".to_owned(),
        reason: "it has a copy".to_owned(),
    };
    let calls = vec![call(&root, 21), call(&data, 22)];
    let answers = vec![
        answer(&root, 21, MigrationVerdict::Shared),
        answer(&data, 22, refused),
    ];
    let mut source = of(1, 1, vec![root, data], vec![]);
    source.messages.answers = answers;
    let mut destination = of(2, 1, intents.to_vec(), vec![]);
    destination.messages.calls = calls;
    [source, destination]
}

#[test]
fn messages_of_a_migration_are_read() {
    let lun = fixture(MESSAGES, Bytes(0));
    let [source, destination] = speaking();
    assert_eq!(lun.reading(1), good(source, false));
    assert_eq!(lun.reading(2), good(destination, false));
}

/// Node 2 has node 1 grow one volume, and has taken that back of another one.
fn ordering() -> [Slot; 2] {
    use Access::ReadWrite;
    use AttachmentState::Attached;
    use Sharing::Exclusive;
    let root = attachment(1, "a", 1, (Exclusive, ReadWrite, Attached));
    let data = attachment(1, "b", 1, (Exclusive, ReadWrite, Attached));
    let order = |of: &Attachment, n: u64, back| VolumeOrder {
        id: format!("cinder:{n}").parse().unwrap(),
        volume: of.volume,
        what: Ordered::Grow {
            size: Bytes::mib(n),
        },
        to: 1,
        back,
        group: None,
    };
    let report = |n: u64, end| OrderReport {
        id: format!("cinder:{n}").parse().unwrap(),
        to: 2,
        zeroed: Bytes::mib(1),
        total: Bytes::mib(n),
        end,
    };
    let failed = End::Failed {
        code: "held-here".to_owned(),
        message: "it is given as the LV itself".to_owned(),
    };
    let orders = vec![order(&root, 21, false), order(&data, 22, true)];
    let mut holder = of(1, 1, vec![root, data], vec![]);
    holder.messages.reports = vec![
        report(21, None),
        report(22, Some(End::Cancelled)),
        report(23, Some(End::Done)),
        report(24, Some(failed)),
    ];
    let mut other = of(2, 1, vec![], vec![]);
    other.messages.orders = orders;
    [holder, other]
}

#[test]
fn orders_and_reports_are_read() {
    let lun = fixture(ORDERS, Bytes(0));
    let [holder, other] = ordering();
    assert_eq!(lun.reading(1), good(holder, false));
    assert_eq!(lun.reading(2), good(other, false));
}

/// Node 2 has node 1 copy one volume, and keep a snapshot of the other one, under its guest.
fn copying() -> [Slot; 2] {
    let [holder, mut other] = ordering();
    let words = [
        Ordered::Copy {
            name: "twin".parse().unwrap(),
            size: Some(Bytes::mib(25)),
        },
        Ordered::Copy {
            name: "twin-2".parse().unwrap(),
            size: None,
        },
        Ordered::Snapshot {
            name: "moment".parse().unwrap(),
        },
    ];
    let first = other.messages.orders[0].clone();
    let order = |(n, what): (usize, Ordered)| VolumeOrder {
        id: format!("cinder:{n}").parse().unwrap(),
        what,
        ..first.clone()
    };
    other.messages.orders = (31..).zip(words).map(order).collect();
    [holder, other]
}

#[test]
fn orders_to_copy_are_read() {
    let lun = fixture(COPIES, Bytes(0));
    let [holder, other] = copying();
    assert_eq!(lun.reading(1), good(holder, false));
    assert_eq!(lun.reading(2), good(other, false));
}

/// Node 2 has node 1 keep two volumes as of one moment, and a third one alone.
fn together() -> [Slot; 2] {
    let [holder, mut other] = copying();
    let snapshot = other.messages.orders.remove(2);
    let of_group = |n: u64| VolumeOrder {
        id: format!("cinder:group:{n}").parse().unwrap(),
        group: Some(OrderGroup {
            id: "cinder:group".parse().unwrap(),
            members: 2,
        }),
        ..snapshot.clone()
    };
    other.messages.orders = vec![of_group(1), of_group(2), snapshot.clone()];
    [holder, other]
}

#[test]
fn orders_of_a_group_are_read() {
    let lun = fixture(GROUPS, Bytes(0));
    let [holder, other] = together();
    assert_eq!(lun.reading(1), good(holder, false));
    assert_eq!(lun.reading(2), good(other, false));
}

/// Node 2 has node 1 move a volume to another disk.
fn relocating() -> [Slot; 2] {
    let [holder, mut other] = copying();
    let first = other.messages.orders[0].clone();
    other.messages.orders = vec![VolumeOrder {
        what: Ordered::Relocate {
            disk: "d".repeat(32).parse().unwrap(),
        },
        ..first
    }];
    [holder, other]
}

#[test]
fn orders_to_another_disk_are_read() {
    let lun = fixture(DISKS, Bytes(0));
    let [holder, other] = relocating();
    assert_eq!(lun.reading(1), good(holder, false));
    assert_eq!(lun.reading(2), good(other, false));
}

/// Two on node 1 have asked for one volume, and a person for another one, to write where reading was granted; of the third
/// nothing is told.
fn asking() -> Slot {
    use Access::{ReadOnly, ReadWrite};
    use AttachmentState::Attached;
    use Sharing::{Exclusive, Shared};
    let attachments = vec![
        attachment(1, "a", 1, (Exclusive, ReadWrite, Attached)),
        attachment(1, "b", 1, (Shared, ReadOnly, Attached)),
        attachment(1, "c", 2, (Shared, ReadOnly, Attached)),
    ];
    let asked = |of: &Attachment, access, claims: &[Claim]| AskedFor {
        of: of.key(),
        access,
        claims: claims.iter().copied().collect(),
    };
    let asked = vec![
        asked(&attachments[0], None, &[Claim::Libvirt, Claim::Openstack]),
        asked(&attachments[1], Some(ReadWrite), &[Claim::Operator]),
    ];
    Slot {
        asked,
        ..of(1, 1, attachments, vec![])
    }
}

#[test]
fn who_has_asked_is_read() {
    let lun = fixture(ASKED, Bytes(0));
    assert_eq!(lun.reading(1), good(asking(), false));
}

/// As the next but five, of `layout-2-asked.hex`.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_who_has_asked() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    lun.store().write(&asking()).unwrap();
    let title = "# A registry of layout 2 with who has asked for what; see README.md.\n";
    write_down(&lun, title, "layout-2-asked.hex");
}

/// As the next but four, of `layout-2-disks.hex`.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_disks() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    for slot in relocating() {
        lun.store().write(&slot).unwrap();
    }
    let title = "# A registry of layout 2 with an order to another disk; see README.md.\n";
    write_down(&lun, title, "layout-2-disks.hex");
}

/// As the next but three, of `layout-2-groups.hex`.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_groups() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    for slot in together() {
        lun.store().write(&slot).unwrap();
    }
    let title = "# A registry of layout 2 with orders of a group; see README.md.\n";
    write_down(&lun, title, "layout-2-groups.hex");
}

/// As the next but two, of `layout-2-copies.hex`.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_copies() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    for slot in copying() {
        lun.store().write(&slot).unwrap();
    }
    let title = "# A registry of layout 2 with orders to copy; see README.md.\n";
    write_down(&lun, title, "layout-2-copies.hex");
}

/// As the next but one, of `layout-2-orders.hex`.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_orders() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    for slot in ordering() {
        lun.store().write(&slot).unwrap();
    }
    let title = "# A registry of layout 2 with orders; see README.md.\n";
    write_down(&lun, title, "layout-2-orders.hex");
}

/// As the next, of `layout-2-messages.hex`.
#[test]
#[ignore = "writes the file it names"]
fn the_fixture_of_messages() {
    let lun = Lun::empty(Bytes::mib(4));
    Store::format(lun.handle(), lun.size(), 512, "r").unwrap();
    for slot in speaking() {
        lun.store().write(&slot).unwrap();
    }
    let title = "# A registry of layout 2 with messages; see README.md.\n";
    write_down(&lun, title, "layout-2-messages.hex");
}
