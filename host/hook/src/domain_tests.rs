use super::*;

fn read(name: &str) -> Domain {
    let path = format!("{}/tests/xml/{name}.xml", env!("CARGO_MANIFEST_DIR"));
    parse(&std::fs::read(path).unwrap()).unwrap()
}

fn disk(target: &str, read_only: bool, shareable: bool) -> User {
    User::Disk(Disk {
        target: target.to_owned(),
        read_only,
        shareable,
        ..Disk::default()
    })
}

/// What the tests below look at.
fn as_far_as_access(by: &User) -> User {
    match by {
        User::Disk(one) => disk(&one.target, one.read_only, one.shareable),
        User::Other(_) => by.clone(),
    }
}

/// The paths that disks open.
fn disks(domain: &Domain) -> Vec<(&str, User)> {
    let uses = domain.paths.iter();
    uses.filter(|p| matches!(p.by, User::Disk(_)))
        .map(|p| (p.path.as_str(), as_far_as_access(&p.by)))
        .collect()
}

#[test]
fn disks_are_found_with_their_properties() {
    let domain = read("two-disks");
    assert_eq!(domain.uuid, "11111111-2222-3333-4444-555555555555");
    let own = "/dev/volward/11111111-2222-3333-4444-555555555555/vg0";
    assert_eq!(
        disks(&domain),
        [
            (format!("{own}/root").as_str(), disk("vda", false, false)),
            (format!("{own}/common").as_str(), disk("vdb", true, true)),
        ]
    );
    let emulator = |p: &PathUse| p.by == User::Other("text of an element".into());
    assert!(domain.paths.iter().any(emulator));
}

#[test]
fn prose_and_foreign_metadata_name_no_disks() {
    let paths = read("two-disks").paths;
    assert!(!paths.iter().any(|p| p.path.contains("old")));
    assert!(!paths.iter().any(|p| p.path.contains("not-a-disk")));
}

#[test]
fn our_metadata_is_known_by_its_namespace() {
    let metadata = read("two-disks").metadata;
    assert_eq!(
        metadata.hints,
        [("tenant".to_owned(), "blue & green".to_owned())]
    );
    assert_eq!(metadata.accept_narrowing, ["vdb"]);
    assert!(metadata.troubles.is_empty());
}

#[test]
fn metadata_with_a_typo_is_trouble() {
    for (inside, expected) in [
        ("<v:hint key='a'/>", "the attribute value is missing"),
        (
            "<v:disk target='vda' accept='yes'/>",
            "unknown attribute accept",
        ),
        ("<v:disk target='vda' accept-narrowing='on'/>", "\"on\""),
        ("<v:disc/>", "no such element"),
    ] {
        let xml = format!(
            "<domain><metadata><v:instance xmlns:v='{NAMESPACE}'>{inside}</v:instance></metadata></domain>"
        );
        let troubles = parse(xml.as_bytes()).unwrap().metadata.troubles;
        assert!(troubles[0].contains(expected), "{troubles:?}");
    }
}

#[test]
fn backing_files_are_read_and_copy_jobs_write() {
    assert_eq!(
        disks(&read("lv-paths"))[2..],
        [
            ("/dev/mapper/vg0-golden--image", disk("vdb", true, false)),
            ("/dev/vg0/target", disk("vdb", false, false)),
        ]
    );
}

#[test]
fn a_cdrom_is_read_only_and_escapes_are_undone() {
    let xml = b"<domain><devices><disk device='cdrom'>\
        <source dev='&#x2f;dev&#47;vg0/a&amp;b'/></disk></devices></domain>";
    assert_eq!(
        disks(&parse(xml).unwrap()),
        [("/dev/vg0/a&b", disk("", true, false))]
    );
}

#[test]
fn what_is_no_domain_is_an_error() {
    for (xml, expected) in [
        (&b""[..], "no <domain>"),
        (b"<network/>", "no <domain>"),
        (b"<domain/><domain/>", "no <domain>"),
        (b"<domain><name>", "ends in the middle"),
        (b"<domain></devices>", "devices"),
        (b"<domain a='1' a='2'/>", "duplicated"),
        (b"<domain><name>\xff</name></domain>", "not UTF-8 (byte 14)"),
        (b"<domain a='&custom;'/>", "custom"),
    ] {
        let error = parse(xml).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
