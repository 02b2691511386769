use super::*;

/// Printed by LVM 2.03.16, with a lock type, a hidden LV and a second segment type written in.
const REAL: &str = include_str!("../testdata/fullreport.json");

fn name() -> PoolName {
    "tvg".parse().unwrap()
}

#[test]
fn a_list_of_tags_with_another_separator_is_not_read_as_one_tag() {
    assert_eq!(tags("").unwrap(), [""; 0]);
    assert_eq!(tags("golden,volward.home=pool:::3").unwrap().len(), 2);
    for list in ["golden;volward.shareable", "a b", "golden|x"] {
        assert!(tags(list).is_err(), "{list}");
    }
}

#[test]
fn a_pool_is_read_whole_and_hidden_volumes_are_left_out() {
    let reported = pool(&name(), REAL.as_bytes()).unwrap();
    let pool = &reported.info;
    assert_eq!(reported.disks, [PathBuf::from("/dev/loop0")]);
    assert!(pool.is_shared() && !pool.partial);
    assert_eq!(
        (pool.size, pool.free),
        (Bytes(205_520_896), Bytes(192_937_984))
    );
    let names: Vec<&str> = pool
        .volumes
        .iter()
        .map(|v| v.volume.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let [a, b] = &pool.volumes[..] else { panic!() };
    assert!(a.active && a.autoactivation && !b.active && !b.autoactivation);
    assert!(pool.autoactivation);
    assert_eq!(a.segment_type, "linear,striped");
    let lock_args = |of: &VolumeInfo| reported.lock_args.get(&of.volume.id.lv);
    assert_eq!(lock_args(a).map(String::as_str), Some("1.0.0:70254592"));
    assert_eq!((lock_args(b), a.tags.len()), (None, 0));
    assert_eq!(b.tags, ["volward.home=split:a:b:1", "x"]);
}

#[test]
fn i4_a_pool_without_autoactivation_has_no_volume_with_it() {
    let off = REAL.replace(
        r#""vg_autoactivation":"enabled""#,
        r#""vg_autoactivation":"""#,
    );
    let pool = pool(&name(), off.as_bytes()).unwrap().info;
    assert!(!pool.autoactivation);
    assert!(pool.volumes.iter().all(|volume| !volume.autoactivation));
}

/// A pool with every kind of LV in it, the roles left out of the report.
#[test]
fn a_pool_with_thin_vdo_and_raid_volumes_is_read_whole() {
    let kinds = include_bytes!("../testdata/kinds.json");
    let pool = pool(&"vg0".parse().unwrap(), kinds).unwrap().info;
    let seen: Vec<(&str, &str, bool)> = pool
        .volumes
        .iter()
        .map(|v| {
            let (name, kind) = (v.volume.name.as_str(), v.segment_type.as_str());
            (&name[..name.len().min(9)], kind, v.own_lease)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("plain", "linear", true),
            ("two-pvs", "striped,linear", true),
            ("tpool", "thin-pool", true),
            ("thin1", "thin", false),
            ("vpool", "vdo-pool", true),
            ("vdo1", "vdo", false),
            ("mirrored", "raid1", true),
            ("checked", "raid1", true),
            ("cached", "cache", true),
            ("fastwrite", "writecache", true),
            ("+plus.dot", "linear", true),
            ("xxxxxxxxx", "linear", true),
            ("volward-r", "linear", true),
        ]
    );
    assert_eq!(pool.volumes[10].tags, ["a.b", "c+d"]);
    // What a snapshot is only its role says.
    let text = REAL.replacen(
        r#""lv_autoactivation":"enabled""#,
        r#""lv_autoactivation":"enabled","lv_role":"public,snapshot,thicksnapshot""#,
        1,
    );
    assert_ne!(text, REAL);
    let snapshot = super::pool(&name(), text.as_bytes()).unwrap().info;
    assert_eq!(
        snapshot.volumes[0].roles,
        ["public", "snapshot", "thicksnapshot"]
    );
}

#[test]
fn another_pools_report_is_not_taken_for_this_ones() {
    for text in [REAL, r#"{"report":[]}"#, r#"{"report":[{"vg":[]}]}"#] {
        let error = pool(&"other".parse().unwrap(), text.as_bytes()).unwrap_err();
        assert!(matches!(error, PortError::Missing { .. }), "{error}");
    }
}

#[test]
fn i29_what_is_not_understood_is_no_answer() {
    for (from, to) in [
        (r#""lv_active":"active""#, r#""lv_active":"unknown""#),
        (r#""lv_size":"8388608""#, r#""lv_size":"8m""#),
        (r#""lv_name":"a""#, r#""lv_name":"a/b""#),
        (r#""vg_uuid":"Sm"#, r#""vg_uuid":""#),
        (r#""vg_missing_pv_count":"0""#, r#""pv_count":"0""#),
        ("]\n          }", "]"),
    ] {
        let text = REAL.replace(from, to);
        assert_ne!(text, REAL);
        let error = pool(&name(), text.as_bytes()).unwrap_err();
        assert!(matches!(error, PortError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_missing_disk_makes_the_pool_partial() {
    let text = REAL.replace(r#"missing_pv_count":"0""#, r#"missing_pv_count":"1""#);
    assert!(pool(&name(), text.as_bytes()).unwrap().info.partial);
}

#[test]
fn what_keeps_nodes_apart_follows_from_the_lock_type() {
    let of = |lock_type: &str| {
        let text = REAL.replace("sanlock", lock_type);
        pool(&name(), text.as_bytes()).unwrap().info.kind.clone()
    };
    assert_eq!(of("sanlock"), PoolKind::Shared);
    assert_eq!([of(""), of("none")], [PoolKind::Local, PoolKind::Local]);
    let lock_type = "dlm".to_owned();
    assert_eq!(of("dlm"), PoolKind::Foreign { lock_type });
}
