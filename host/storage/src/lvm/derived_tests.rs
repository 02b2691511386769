use super::*;
use crate::lvm::report;
use crate::metadata::layout;

/// Of one node at one moment: `vgcfgbackup`, and the report of LVM's own.
const PAIRS: [(&str, &str, &[u8]); 2] = [
    (
        "vg0",
        include_str!("testdata/derived-shared.vg"),
        include_bytes!("testdata/derived-shared.json"),
    ),
    (
        "local",
        include_str!("testdata/derived-local.vg"),
        include_bytes!("testdata/derived-local.json"),
    ),
];

fn derive(pool: &str, text: &str) -> Option<(PoolInfo, HashMap<LvUuid, String>)> {
    pool_of(&pool.parse().unwrap(), &layout::read(text).unwrap())
}

#[test]
fn what_is_derived_is_what_lvm_reports() {
    for (pool, text, reported) in PAIRS {
        let reported = report::pool(&pool.parse().unwrap(), reported).unwrap();
        let (info, lock_args) = derive(pool, text).unwrap();
        let mut expected = PoolInfo::clone(&reported.info);
        for volume in &mut expected.volumes {
            volume.active = false;
        }
        expected
            .volumes
            .sort_by(|a, b| a.volume.name.cmp(&b.volume.name));
        assert_eq!(info, expected, "{pool}");
        assert_eq!(lock_args, reported.lock_args, "{pool}");
        // Otherwise it shows little.
        let kinds: Vec<&str> = info
            .volumes
            .iter()
            .map(|v| v.segment_type.as_str())
            .collect();
        assert!(
            kinds.contains(&"linear") && kinds.contains(&"striped"),
            "{kinds:?}"
        );
        assert!(info.volumes.iter().any(|v| !v.tags.is_empty()));
    }
}

/// What is more than extents in a row is LVM's to tell, and so is a pool of which a disk was away.
#[test]
fn of_anything_else_lvm_is_asked() {
    let (pool, text, _) = PAIRS[1];
    assert!(derive(pool, text).is_some());
    for (from, to) in [
        ("type = \"striped\"", "type = \"raid1\""),
        (
            "status = [\"READ\", \"WRITE\", \"VISIBLE\"]",
            "status = [\"READ\", \"WRITE\", \"VISIBLE\", \"LOCKED\"]",
        ),
        (
            "status = [\"ALLOCATABLE\"]\n\t\t\tflags = []",
            "status = [\"ALLOCATABLE\"]\n\t\t\tflags = [\"MISSING\"]",
        ),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        assert!(derive(pool, &other).is_none(), "{to}");
    }
}
