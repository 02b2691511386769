//! What changes metadata, and when it is not asked for.

use super::*;

/// LVM itself refuses few of these: it writes the disk that it misses on this node into the metadata as
/// missing, for all nodes, with whatever it is asked to change.
#[test]
fn metadata_of_a_shared_pool_are_not_changed_while_a_disk_is_missing() {
    let script = reporting(1);
    let (lvm, san) = (&script.lvm, pool("san"));
    let of = &volumes("san")[0];
    let new = |name: &str| NewVolume {
        pool: pool("san"),
        name: name.parse().unwrap(),
        size: Bytes(5),
        tags: Vec::new(),
    };
    let size = Bytes(8 << 20);
    let tag = ["x".to_owned()];
    let refused = [
        lvm.change_tags(of, &[], &tag).err(),
        lvm.disable_autoactivation(&san, std::slice::from_ref(of))
            .err(),
        lvm.disable_pool_autoactivation(&san).err(),
        lvm.create(&new("b")).err(),
        lvm.make(&new("b")).err(),
        lvm.rename(of, &"b".parse().unwrap()).err(),
        lvm.grow(of, size).err(),
        lvm.grow_held(of, size).err(),
        lvm.remove(of, None).err(),
    ];
    for (index, error) in refused.into_iter().enumerate() {
        let unmet = matches!(error, Some(PortError::Unmet(Unmet::PoolIncomplete { .. })));
        assert!(unmet, "{index}: {error:?}");
    }
    // What is done already stays so.
    assert_eq!(lvm.rename(of, &of.name).unwrap(), Applied::Identity);
    assert_eq!(lvm.grow(of, Bytes(1)).unwrap(), Applied::Identity);
    assert_eq!(
        lvm.remove(&volumes("san")[1], None).unwrap(),
        Applied::Identity
    );
    let calls = script.calls();
    assert!(
        calls.iter().all(|call| call.starts_with("fullreport")),
        "{calls:?}"
    );
}

#[test]
fn tags_change_in_one_commit() {
    let script = reporting(0);
    let volume = &volumes("san")[0];
    let words = |text: &str| vec![text.to_owned()];
    script
        .lvm
        .change_tags(volume, &words("x"), &words("y"))
        .unwrap();
    script.lvm.change_tags(volume, &[], &[]).unwrap();
    let calls = script.calls();
    assert!(calls[0].starts_with("fullreport"), "{calls:?}");
    let change = format!("lvchange {SHARED} --deltag x --addtag y {FIRST} san");
    assert_eq!(calls[1..], [change]);
}

/// A pool with one LV, whose UUID is that of the first of [`volumes`] and whose name is another;
/// `lvremove`, `lvextend` and `lvrename` to `a-new` do as they say, if `works`.
pub(super) fn renamed(works: bool) -> Script {
    let report = |lv: &str| report_of("san", "sanlock", 0, lv);
    let lv = |size| report(&lv_row("a-old", size));
    let (there, gone, grown) = (lv(4 << 20), report(""), lv(8 << 20));
    let again = report(&lv_row("a-new", 4 << 20));
    let becomes = if works { "$1" } else { "nothing" };
    script(&format!(
        r#"state="$(dirname "$0")/state"
        case "$1" in
        fullreport) case "$(cat "$state" 2>/dev/null)" in
            lvremove) echo '{gone}' ;; lvextend) echo '{grown}' ;; lvrename) echo '{again}' ;;
            *) echo '{there}' ;; esac ;;
        lvremove|lvextend|lvrename) echo {becomes} > "$state" ;;
        esac"#
    ))
}

/// The name in a [`VolumeRef`] is the one it had; the UUID is what commands go by.
#[test]
fn i12_a_renamed_volume_is_removed_and_grown_by_its_uuid_and_read_back() {
    let volume = &volumes("san")[0];
    let changes = |script: &Script| -> Vec<String> {
        let calls = script.calls().into_iter();
        calls
            .filter(|call| !call.starts_with("fullreport"))
            .collect()
    };
    let removing = renamed(true);
    assert_eq!(removing.lvm.remove(volume, None).unwrap(), Applied::Changed);
    assert_eq!(
        removing.lvm.remove(volume, None).unwrap(),
        Applied::Identity
    );
    assert_eq!(
        changes(&removing),
        [
            format!("lvchange {SHARED} -an {FIRST} san"),
            format!("lvremove {SHARED} {FIRST} san"),
        ]
    );
    // One with a mark, only while it has it.
    let marked = renamed(true);
    let mark = Mark::New {
        by: "o1".parse().unwrap(),
    };
    assert_eq!(
        marked.lvm.remove(volume, Some(&mark)).unwrap(),
        Applied::Changed
    );
    let chosen = format!("{FIRST} && lv_tags={{\"{}\"}}", mark.tag());
    assert_eq!(
        changes(&marked)[1],
        format!("lvremove {SHARED} {chosen} san")
    );
    let growing = renamed(true);
    let size = Bytes(8 << 20);
    assert_eq!(growing.lvm.grow(volume, size).unwrap(), Applied::Changed);
    assert_eq!(growing.lvm.grow(volume, size).unwrap(), Applied::Identity);
    assert_eq!(
        changes(&growing),
        [format!("lvextend {SHARED} -L 8388608b san/a-old")],
        "lvextend takes no selection: the name it has now"
    );

    let lying = renamed(false);
    assert!(matches!(
        lying.lvm.remove(volume, None),
        Err(PortError::NotInEffect { .. })
    ));
    assert!(matches!(
        lying.lvm.grow(volume, size),
        Err(PortError::Identity { .. })
    ));
    let nobody = &volumes("san")[1];
    assert_eq!(lying.lvm.remove(nobody, None).unwrap(), Applied::Identity);
    assert!(matches!(
        lying.lvm.grow(nobody, size),
        Err(PortError::Missing { .. })
    ));
}

/// One command, with all that the LV says of itself, and one report that reads its identity back;
/// the one before it is made only where nothing is known of the pool yet.
#[test]
fn an_lv_is_made_by_one_command_and_read_back_by_one() {
    let report = |lv: &str| report_of("nvme", "", 0, lv);
    let made = r#"{"lv_uuid":"111111-1111-1111-1111-1111-1111-111111","lv_name":"copy",
        "lv_size":"4194304","lv_tags":"of,stage","lv_lockargs":"","lv_active":"active",
        "lv_autoactivation":""}"#;
    let body = format!(
        "there=$(dirname $0)/there\ncase $1 in\nlvcreate) touch $there;;\n\
         fullreport) if [ -e $there ]; then echo '{}'; else echo '{}'; fi;;\nesac",
        report(made),
        report("")
    );
    let script = script(&body);
    let new = NewVolume {
        pool: pool("nvme"),
        name: "copy".parse().unwrap(),
        size: Bytes(5),
        tags: vec!["of".to_owned(), "stage".to_owned()],
    };
    let (id, applied) = script.lvm.create(&new).unwrap();
    assert_eq!((id, applied), (volumes("nvme")[0].id, Applied::Changed));
    let calls = script.calls();
    let commands: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.split(' ').next())
        .collect();
    assert_eq!(commands, ["fullreport", "lvcreate", "fullreport"]);
    assert!(
        calls[1].contains("--addtag of --addtag stage -n copy nvme"),
        "{calls:?}"
    );
}

#[test]
fn i4_what_is_made_is_never_activated_at_boot() {
    let new = NewVolume {
        pool: pool("nvme"),
        name: "copy".parse().unwrap(),
        size: Bytes(5),
        tags: vec!["t".to_owned()],
    };
    for (how, activation) in [
        (active(PoolKind::Local), "-ay"),
        (active(PoolKind::Shared), "-aey"),
        (operate::INACTIVE, "-an"),
    ] {
        let args = create_args(how, &new).join(" ");
        let expected = format!(
            "--type linear --setautoactivation n -Wn -Zn {activation} -L 5b --addtag t -n copy nvme"
        );
        assert_eq!(args, expected);
    }
}
