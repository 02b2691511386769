use super::*;

const PV: [&str; 2] = [
    "Te4Ciw-rrhR-deoX-IF3F-vC7O-40xv-iRVXsN",
    "2OEvYf-gcKo-u78k-xnYk-5QMP-G6zY-plGe2B",
];

fn id(n: usize) -> LvmUuid {
    PV[n].parse().unwrap()
}

fn disk(n: usize, path: &str, missing: bool) -> PhysicalVolume {
    PhysicalVolume {
        id: id(n),
        path: path.to_owned(),
        size: volward_model::Bytes::mib(60),
        free: volward_model::Bytes::mib(60),
        missing,
        carries: Vec::new(),
    }
}

/// The remedy of each is another one.
#[test]
fn why_a_disk_is_missing_is_told_apart() {
    let there = disk(0, "/dev/sdb", false);
    let why = |lost: PhysicalVolume, everywhere: &[(LvmUuid, String)]| {
        let found = missing(&[there.clone(), lost], everywhere);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].id, id(1));
        found[0].why.clone()
    };
    let path = "/dev/sdc".to_owned();
    let seen = [(id(0), "/dev/sdb".to_owned()), (id(1), path.clone())];
    let unknown = || disk(1, "[unknown]", true);
    assert_eq!(why(unknown(), &seen[..1]), WhyMissing::Gone);
    assert_eq!(
        why(unknown(), &seen),
        WhyMissing::NotListed { path: path.clone() }
    );
    assert_eq!(
        why(disk(1, &path, true), &seen),
        WhyMissing::Flagged { path }
    );
    assert_eq!(missing(std::slice::from_ref(&there), &seen), []);
}

/// As lvmdevices(8) of 2.03.16 writes it.
const FILE: &str = "# LVM uses devices listed in this file.\n# Created by LVM command lvmdevices pid 7\n\
    VERSION=1.1.2\n\
    IDTYPE=sys_wwid IDNAME=naa.6001405 DEVNAME=/dev/sdb PVID=Te4CiwrrhRdeoXIF3FvC7O40xviRVXsN\n\
    IDTYPE=devname IDNAME=/dev/sdc DEVNAME=/dev/sdc PVID=2OEvYfgcKou78kxnYk5QMPG6zYplGe2B PART=1\n\
    IDTYPE=devname IDNAME=/dev/sdd DEVNAME=/dev/sdd PVID=.\n";

#[test]
fn entries_of_disks_that_were_taken_out_are_stale() {
    let all = entries(FILE);
    let devices: Vec<&str> = all.iter().map(|entry| entry.device.as_str()).collect();
    assert_eq!(devices, ["/dev/sdb", "/dev/sdc", "/dev/sdd"]);
    assert_eq!(all[1].pv, Some(id(1)));
    assert_eq!(all[2].pv, None);
    assert_eq!(stale(all.clone(), &[id(0), id(1)]), []);
    let found = stale(all, &[id(0)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].device, "/dev/sdc");
    assert_eq!(entries("VERSION=1.1.2\n"), []);
}
