use volward_control::ports::PortError;
use volward_model::Bytes;
use volward_storage::lvm::DeviceEntry;

use super::*;

fn pool(partial: bool) -> PoolInfo {
    PoolInfo {
        name: "vg0".parse().unwrap(),
        vg: "v".repeat(32).parse().unwrap(),
        kind: volward_model::PoolKind::Shared,
        size: Bytes::mib(64),
        free: Bytes::mib(64),
        extent: Bytes::mib(4),
        partial,
        autoactivation: false,
        volumes: Vec::new(),
    }
}

/// As lvmdevices(8) writes it.
const FILE: &str = "# LVM uses devices listed in this file.\n\
    VERSION=1.1.2\n\
    IDTYPE=sys_wwid IDNAME=naa.6001405 DEVNAME=/dev/sdb PVID=GutDKrOQ9TLMTDPVlZuwJ2rBKo2PVK7K\n";

fn look(
    text: Result<&str, io::ErrorKind>,
    seen: Option<&PoolInfo>,
    disks: SeenDisks,
) -> DoctorCheck {
    let path = Path::new("volward-vg0.devices");
    let text = text.map(str::to_owned).map_err(io::Error::from);
    devices_file((path, text), &pool(false).name, seen, &Ok(disks))
}

fn missing(why: WhyMissing) -> SeenDisks {
    let id = "p".repeat(32).parse().unwrap();
    SeenDisks {
        missing: vec![MissingDisk { id, why }],
        ..SeenDisks::default()
    }
}

fn path() -> String {
    "/dev/sdc".to_owned()
}

#[test]
fn a_devices_file_must_list_what_the_pool_is_on_and_nothing_else() {
    let none = SeenDisks::default;
    let gone = look(Err(io::ErrorKind::NotFound), None, none());
    assert_eq!(gone.verdict, DoctorVerdict::Failed);
    assert!(
        gone.found.contains("volward-vg0.devices is missing"),
        "{gone:?}"
    );
    let unreadable = look(Err(io::ErrorKind::PermissionDenied), None, none());
    assert_eq!(unreadable.verdict, DoctorVerdict::Failed);
    let empty = look(Ok("VERSION=1.1.1\n"), None, none());
    assert_eq!(empty.verdict, DoctorVerdict::Failed);
    assert!(empty.found.contains("lists no device"), "{empty:?}");

    let whole = look(Ok(FILE), Some(&pool(false)), none());
    assert_eq!(whole.verdict, DoctorVerdict::Ok);
    let elsewhere = look(Ok(FILE), None, none());
    assert_eq!(elsewhere.verdict, DoctorVerdict::Warning);
    assert!(
        elsewhere.found.contains("lists 1 device(s)"),
        "{elsewhere:?}"
    );

    let unlisted = missing(WhyMissing::NotListed { path: path() });
    let unlisted = look(Ok(FILE), Some(&pool(true)), unlisted);
    assert_eq!(unlisted.verdict, DoctorVerdict::Warning);
    assert!(
        unlisted.found.contains("does not list /dev/sdc"),
        "{unlisted:?}"
    );
    // The file is right, and something else is wrong.
    let flagged = missing(WhyMissing::Flagged { path: path() });
    let flagged = look(Ok(FILE), Some(&pool(true)), flagged);
    assert_eq!(flagged.verdict, DoctorVerdict::Ok);

    let stale = SeenDisks {
        stale: vec![DeviceEntry {
            device: path(),
            pv: None,
        }],
        ..none()
    };
    let stale = look(Ok(FILE), Some(&pool(false)), stale);
    assert_eq!(stale.verdict, DoctorVerdict::Warning);
    assert!(stale.found.contains("still lists /dev/sdc"), "{stale:?}");
    assert!(stale.remedy.unwrap().starts_with("volward pool init vg0"));
}

/// `pool init` helps where the disk is not listed, and nowhere else.
#[test]
fn a_disk_that_is_missing_is_named_with_the_remedy_that_helps() {
    for (why, names, remedy) in [
        (
            WhyMissing::NotListed { path: path() },
            "/dev/sdc is there",
            "volward pool init vg0",
        ),
        (
            WhyMissing::Flagged { path: path() },
            "has written into LVM's metadata",
            "vgextend --restoremissing vg0 /dev/sdc",
        ),
        (
            WhyMissing::Gone,
            "UUID pppppp-",
            "show the disk to this node",
        ),
    ] {
        let check = incomplete("pool vg0", &pool(true), &Ok(missing(why.clone())));
        assert_eq!(check.verdict, DoctorVerdict::Warning);
        assert!(!check.refuses_read_write, "{check:?}");
        assert!(
            check.found.contains("a physical volume is missing"),
            "{check:?}"
        );
        assert!(check.found.contains(names), "{check:?}");
        let says = check.remedy.unwrap();
        assert!(says.contains(remedy), "{why:?}: {says}");
        assert!(!says.contains("check the path"), "{says}");
    }
    let error = PortError::Missing {
        what: "the pool".to_owned(),
    };
    let unknown = incomplete("pool vg0", &pool(true), &Err(error));
    assert!(unknown.remedy.unwrap().contains("pvs"));
}

/// What was never attached before is refused only where LVM would activate it at boot, for that would have to be
/// switched off.
#[test]
fn what_an_incomplete_pool_refuses_is_what_it_does() {
    let whole = incomplete("pool vg0", &pool(true), &Ok(SeenDisks::default()));
    assert!(
        whole
            .found
            .ends_with("what is on the other disks is served")
    );
    let mut info = pool(true);
    info.volumes.push(volward_model::VolumeInfo {
        volume: volward_model::VolumeRef {
            id: "a:b"
                .replace('a', &"a".repeat(32))
                .replace('b', &"b".repeat(32))
                .parse()
                .unwrap(),
            pool: info.name.clone(),
            name: "web".parse().unwrap(),
        },
        size: Bytes::mib(4),
        tags: Vec::new(),
        segment_type: "linear".to_owned(),
        active: false,
        autoactivation: true,
        roles: Vec::new(),
        own_lease: true,
        read_only: false,
    });
    let automatic = incomplete("pool vg0", &info, &Ok(SeenDisks::default()));
    assert!(automatic.found.ends_with("at boot: web"), "{automatic:?}");
}

#[test]
fn metadata_that_differ_are_named_though_lvm_reports_the_pool_whole() {
    let disks = |differing: &[&str]| SeenDisks {
        differing: differing.iter().map(|&path| path.to_owned()).collect(),
        ..SeenDisks::default()
    };
    let name = pool(false).name;
    assert_eq!(metadata(&name, &Ok(disks(&[]))), None);
    let found = metadata(&name, &Ok(disks(&["/dev/sdb", "/dev/sdc"]))).unwrap();
    assert_eq!(found.verdict, DoctorVerdict::Warning);
    assert!(found.found.contains("/dev/sdb, /dev/sdc"), "{found:?}");
    assert!(found.remedy.unwrap().contains("vgck --updatemetadata vg0"));
}
