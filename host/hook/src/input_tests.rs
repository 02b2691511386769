use super::*;

fn pools() -> Vec<PoolName> {
    vec!["vg-0".parse().unwrap()]
}

fn understand(bytes: &[u8]) -> Guest {
    let input = Input {
        bytes: bytes.to_vec(),
        cut: None,
    };
    let place = Place::at("/nonexistent".as_ref());
    input.understand(&pools(), &place, Links::Everywhere)
}

#[test]
fn broken_xml_without_a_managed_path_concerns_nobody() {
    for xml in [
        &b""[..],
        b"<domain>\xff",
        b"<domain><source dev='/dev/vg/a'>",
    ] {
        assert!(understand(xml).managed.is_empty());
    }
}

#[test]
fn broken_xml_with_a_managed_path_is_trouble_and_keeps_its_uuid() {
    for path in ["/dev/volward/x", "/dev/vg-0/x", "/dev/mapper/vg--0-x"] {
        let uuid = "11111111-2222-3333-4444-555555555555";
        let xml = format!("<domain><uuid>{uuid}</uuid><source dev='{path}'>");
        let guest = understand(xml.as_bytes());
        assert_eq!(guest.instance, uuid.parse().ok());
        let trouble = &guest.managed.troubles[0];
        assert!(trouble.contains("ends in the middle"), "{trouble}");
    }
}

#[test]
fn a_managed_disk_needs_a_uuid() {
    let guest =
        understand(b"<domain><devices><disk><source dev='/dev/vg-0/a'/></disk></devices></domain>");
    assert_eq!(guest.managed.troubles, ["the domain XML has no UUID"]);
}

#[test]
fn reading_is_bounded_in_size_and_time() {
    let second = Duration::from_secs(1);
    let (read_end, write_end) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&write_end, b"<domain>").unwrap();
    let large = read_from(&read_end, 4, second);
    assert!(large.cut.unwrap().contains("larger"));

    rustix::io::write(&write_end, b"abc").unwrap();
    let slow = read_from(&read_end, 100, Duration::from_millis(30));
    assert_eq!(slow.bytes, b"abc");
    assert!(slow.cut.unwrap().contains("did not end"));

    drop(write_end);
    assert_eq!(read_from(&read_end, 100, second).cut, None);
}
