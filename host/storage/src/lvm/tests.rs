//! The command lines, by a script in LVM's place that writes down how it was called.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use volward_ports::Unmet;

use super::*;

mod changing;

use changing::renamed;

struct Script {
    folder: TempDir,
    lvm: Lvm,
}

/// `body` answers; its arguments are noted before.
fn script(body: &str) -> Script {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lvm");
    let calls = folder.path().join("calls");
    let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{body}\n", calls.display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let pool = |name: &str, kind| PoolSettings {
        name: name.parse().unwrap(),
        devices_file: None,
        kind,
    };
    let tools = Tools {
        lvm: path.clone(),
        sanlock: path.clone(),
        lvmlockctl: path,
        virsh: None,
    };
    let pools = vec![pool("san", PoolKind::Shared), pool("nvme", PoolKind::Local)];
    let etc = Folder::make(&folder.path().join("etc"), 0o755).unwrap();
    Script {
        lvm: Lvm::new(Arc::new(Exec::new(1)), &tools, pools, etc),
        folder,
    }
}

impl Script {
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn pool(name: &str) -> PoolName {
    name.parse().unwrap()
}

fn volumes(in_pool: &str) -> Vec<VolumeRef> {
    let volume = |name: &str, lv: &str| VolumeRef {
        id: VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: lv.repeat(32).parse().unwrap(),
        },
        pool: pool(in_pool),
        name: name.parse().unwrap(),
    };
    vec![volume("a", "1"), volume("b", "2")]
}

const SHARED: &str = concat!("--config ", pinned!("1"));
const LOCAL: &str = concat!("--config ", pinned!("0"));
/// How the first of [`volumes`] is chosen.
const FIRST: &str = "--select lv_uuid=\"111111-1111-1111-1111-1111-1111-111111\"";
/// How both are.
const BOTH: &str = "--select lv_uuid=\"111111-1111-1111-1111-1111-1111-111111\" \
    || lv_uuid=\"222222-2222-2222-2222-2222-2222-222222\"";

/// What a node's lvm.conf says of reports must not decide what a tag means.
#[test]
fn what_a_report_looks_like_does_not_depend_on_lvm_conf() {
    for setting in [
        "report/list_item_separator=\",\"",
        "report/compact_output=0",
        "report/compact_output_cols=\"\"",
        "report/binary_values_as_numeric=0",
        "log/report_command_log=0",
        "devices/issue_discards=0",
    ] {
        assert!(SHARED.contains(setting), "{setting}");
        assert!(LOCAL.contains(setting), "{setting}");
    }
}

/// `--dump` alone prints lvmlockd's log, in which no lockspace has the global lock.
#[test]
fn the_global_lock_is_asked_for_among_what_lvmlockd_knows() {
    let script = script(
        r#"case "$*" in
          "--info --dump") echo "info=ls ls_name=lvm_san vg_name=san sanlock_gl_enabled=1" ;;
          *) echo "1795889080 send_dump_buf delay 0 total 645" ;;
        esac"#,
    );
    assert_eq!(script.lvm.global_lock_pools().unwrap(), ["san"]);
}

#[test]
fn one_command_takes_all_leases_of_a_request() {
    let script = script("exit 0");
    let (san, nvme) = (pool("san"), pool("nvme"));
    let lvm = &script.lvm;
    lvm.activate(&san, &volumes("san"), LeaseMode::Exclusive)
        .unwrap();
    lvm.activate(&san, &volumes("san"), LeaseMode::Shared)
        .unwrap();
    lvm.activate(&nvme, &volumes("nvme"), LeaseMode::Exclusive)
        .unwrap();
    lvm.deactivate(&san, &volumes("san")).unwrap();
    lvm.activate(&san, &[], LeaseMode::Exclusive).unwrap();
    assert_eq!(
        script.calls(),
        [
            format!("lvchange {SHARED} -aey {BOTH} san"),
            format!("lvchange {SHARED} -asy {BOTH} san"),
            format!("lvchange {LOCAL} -ay {BOTH} nvme"),
            format!("lvchange {SHARED} -an {BOTH} san"),
        ]
    );
}

/// What a report says of a pool and its LVs.
fn report_of(name: &str, lock: &str, missing: u8, lv: &str) -> String {
    let vg = volumes("san")[0].id.vg;
    format!(
        r#"{{"report":[{{"vg":[{{"vg_name":"{name}","vg_uuid":"{vg}","vg_lock_type":"{lock}",
        "vg_size":"8388608","vg_free":"0","vg_extent_size":"4194304","vg_missing_pv_count":"{missing}",
        "vg_autoactivation":"enabled"}}],"lv":[{lv}]}}]}}"#
    )
}

/// A shared pool with an LV of that name, of which LVM misses so many disks.
fn reporting(missing: u8) -> Script {
    let lv = lv_row("a", 4 << 20);
    let report = report_of("san", "sanlock", missing, &lv);
    script(&format!("[ $1 = fullreport ] && echo '{report}'; exit 0"))
}

fn lv_row(name: &str, size: u64) -> String {
    let uuid = volumes("san")[0].id.lv;
    format!(
        r#"{{"lv_uuid":"{uuid}","lv_name":"{name}","lv_size":"{size}","lv_tags":"",
        "lv_lockargs":"1.0.0:70254592","lv_active":"","lv_autoactivation":""}}"#
    )
}

#[test]
fn i29_exit_5_says_nothing_so_whether_the_pool_is_there_is_asked() {
    let gone = script("[ \"$1\" = vgs ] && echo '{\"report\":[{\"vg\":[]}]}' || exit 5");
    let error = gone.lvm.pool(&pool("san")).unwrap_err();
    assert!(matches!(error, PortError::Missing { .. }), "{error}");
    let there = r#"{"report":[{"vg":[{"vg_name":"san"}]}]}"#;
    let ill = script(&format!("[ \"$1\" = vgs ] && echo '{there}' || exit 5"));
    let error = ill.lvm.pool(&pool("san")).unwrap_err();
    assert!(matches!(error, PortError::Command { .. }), "{error}");
}

#[test]
fn pools_that_are_not_configured_are_not_touched() {
    let script = script("exit 0");
    let error = script.lvm.pool(&pool("other")).unwrap_err();
    assert!(matches!(error, PortError::Missing { .. }), "{error}");
    assert!(script.calls().is_empty());
}

#[test]
fn i16_the_systems_devices_file_is_refused_and_a_missing_one_is_said() {
    let script = script("exit 0");
    let mut settings = PoolSettings {
        name: pool("san"),
        devices_file: Some("system.devices".to_owned()),
        kind: PoolKind::Shared,
    };
    assert!(script.lvm.adopt_devices(&settings).is_err());
    // Without the check LVM would look at every disk of the node.
    settings.devices_file = Some("volward-test-nobody-has-this".to_owned());
    let error = script
        .lvm
        .run(&settings, REPORT_DEADLINE, "vgs", &[])
        .unwrap_err();
    assert!(error.to_string().contains("pool init"), "{error}");
    assert!(script.calls().is_empty());
}

/// A shared pool with a devices file of its own.
fn with_devices_file() -> PoolSettings {
    PoolSettings {
        name: pool("san"),
        devices_file: Some("volward-san.devices".to_owned()),
        kind: PoolKind::Shared,
    }
}

/// The physical volume that [`adopting`] lists.
const ADOPTED: &str = "Te4Ciw-rrhR-deoX-IF3F-vC7O-40xv-iRVXsN";

/// Lists one physical volume; `lvmdevices` writes the file and then does as `ends` says.
fn adopting(ends: &str) -> Script {
    script(&format!(
        r#"file="$(dirname "$0")/etc/lvm/devices/$3"
        case "$1" in
        pvs) echo '{{"report":[{{"pv":[{{"pv_uuid":"{ADOPTED}","pv_name":"/dev/sdb","vg_name":"san"}}]}}]}}' ;;
        lvmdevices) echo part > "$file"; {ends} ;;
        esac"#
    ))
}

#[test]
fn a_devices_file_is_made_and_one_that_was_made_in_part_is_removed() {
    let settings = with_devices_file();
    let whole = adopting("exit 0");
    assert_eq!(
        whole.lvm.adopt_devices(&settings).unwrap(),
        Applied::Changed
    );
    let file = whole
        .folder
        .path()
        .join("etc/lvm/devices/volward-san.devices");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "part\n");
    let (path, text) = whole.lvm.devices_file("volward-san.devices");
    assert_eq!((path, text.unwrap().as_str()), (file, "part\n"));
    whole
        .lvm
        .run(&settings, REPORT_DEADLINE, "vgs", &[])
        .unwrap();

    let part = adopting("exit 5");
    part.lvm.adopt_devices(&settings).unwrap_err();
    let folder = part.folder.path().join("etc/lvm/devices");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

/// A disk that was taken out of the pool (vgreduce) stays in the file otherwise, with whatever it is used for then.
#[test]
fn entries_of_disks_that_the_pool_is_not_on_any_more_are_taken_out() {
    let script = adopting("exit 0");
    let file = script
        .folder
        .path()
        .join("etc/lvm/devices/volward-san.devices");
    let entry = |pv: &str| format!("IDTYPE=devname IDNAME=x DEVNAME=/dev/sdx PVID={pv}\n");
    let own = entry(&ADOPTED.replace('-', ""));
    let other = "2OEvYfgcKou78kxnYk5QMPG6zYplGe2B";
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let deleted = || {
        let calls = script.calls().into_iter();
        calls
            .filter(|call| call.starts_with("lvmdevices"))
            .collect::<Vec<_>>()
    };
    let settings = with_devices_file();
    std::fs::write(&file, format!("{own}{}", entry("."))).unwrap();
    let applied = script.lvm.adopt_devices(&settings).unwrap();
    assert_eq!((applied, deleted()), (Applied::Identity, Vec::new()));
    std::fs::write(&file, format!("{own}{}", entry(other))).unwrap();
    let applied = script.lvm.adopt_devices(&settings).unwrap();
    assert_eq!(applied, Applied::Changed);
    assert_eq!(
        deleted(),
        [format!(
            "lvmdevices --devicesfile volward-san.devices --delpvid {other}"
        )]
    );

    // What LVM does not take out is no reason to fail.
    let kept = adopting("exit 5");
    let file = kept
        .folder
        .path()
        .join("etc/lvm/devices/volward-san.devices");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("{own}{}", entry(other))).unwrap();
    let applied = kept.lvm.adopt_devices(&settings).unwrap();
    assert_eq!(applied, Applied::Identity);
}

#[test]
fn a_folder_of_devices_files_that_is_a_link_to_elsewhere_is_not_used() {
    let settings = with_devices_file();
    let script = adopting("exit 5");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("volward-san.devices");
    std::fs::write(&file, "another's").unwrap();
    std::fs::create_dir(script.folder.path().join("etc/lvm")).unwrap();
    let link = script.folder.path().join("etc/lvm/devices");
    std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
    let error = script.lvm.adopt_devices(&settings).unwrap_err();
    assert!(error.to_string().contains("cannot make"), "{error}");
    let error = script.lvm.run(&settings, REPORT_DEADLINE, "vgs", &[]);
    assert!(matches!(error, Err(PortError::Missing { .. })), "{error:?}");
    assert!(script.lvm.devices_file("volward-san.devices").1.is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "another's");
}

#[test]
fn i10_a_report_is_used_again_while_no_commit_was_made() {
    // Direct I/O is not for every /tmp.
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let disk = folder.path().join("pv");
    std::fs::write(&disk, crate::label::tests::disk(1)).unwrap();
    let report = include_str!("testdata/fullreport.json")
        .replace("\"tvg\"", "\"san\"")
        .replace("/dev/loop0", disk.to_str().unwrap());
    let script = script(&format!("cat <<'END'\n{report}\nEND"));
    let san = pool("san");

    let told = script.lvm.validated_pool(&san).unwrap();
    assert_eq!(script.calls().len(), 1, "nothing is known at first");
    script.lvm.validated_pool(&san).unwrap();
    assert_eq!(
        script.calls().len(),
        2,
        "the mark must be older than its report"
    );
    let again = script.lvm.validated_pool(&san).unwrap();
    assert_eq!(script.calls().len(), 2);
    assert_eq!(again.volumes.len(), told.volumes.len());
    assert!(
        told.volumes[0].active && !again.volumes[0].active,
        "what is active is the kernel's to say, and here it has no such volume"
    );
    let same = script.lvm.validated_pool(&san).unwrap();
    assert!(Arc::ptr_eq(&again, &same), "nothing is copied");
    script.lvm.pool(&san).unwrap();
    assert_eq!(script.calls().len(), 3, "a real look is one");

    std::fs::write(&disk, crate::label::tests::disk(2)).unwrap();
    script.lvm.validated_pool(&san).unwrap();
    assert_eq!(script.calls().len(), 4, "somebody has changed it");
    std::fs::remove_file(&disk).unwrap();
    script.lvm.validated_pool(&san).unwrap();
    assert_eq!(script.calls().len(), 5, "a disk that is gone says nothing");
}

#[test]
fn groups_are_looked_for_on_the_pools_disks_and_on_the_nodes() {
    let report = r#"{"report":[{"vg":[{"vg_name":"vg9","vg_lock_type":"sanlock","#;
    let uuid = volumes("san")[0].id.vg;
    let script = script(&format!("echo '{report}\"vg_uuid\":\"{uuid}\"}}]}}]}}'"));
    let on_disks = script.lvm.groups_on_disks_of(&pool("san")).unwrap();
    assert!(on_disks.is_empty(), "it has no devices file");
    assert!(script.calls().is_empty());
    let found = script.lvm.groups_of_the_node().unwrap();
    let [group] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((group.name.as_str(), group.vg), ("vg9", uuid));
    assert_eq!(group.kind, volward_model::PoolKind::Shared);
    assert!(
        script.calls()[0].contains("--shared"),
        "also without lvmlockd"
    );
}

/// What attachments hold is grown without LVM's taking the lease; nothing else is told to leave one out.
#[test]
fn a_volume_that_is_held_grows_and_one_that_is_not_is_renamed_by_its_uuid() {
    let volume = &volumes("san")[0];
    let last = |script: &Script| {
        let mut calls = script.calls();
        calls.retain(|call| !call.starts_with("fullreport"));
        calls.pop().unwrap()
    };
    let growing = renamed(true);
    let size = Bytes(8 << 20);
    let grown = growing.lvm.grow_held(volume, size).unwrap();
    assert_eq!(grown, Applied::Changed);
    let skips = format!("lvextend {SHARED} --lockopt skiplv -L 8388608b san/a-old");
    assert_eq!(last(&growing), skips);

    let name = "a-new".parse().unwrap();
    let naming = renamed(true);
    assert_eq!(naming.lvm.rename(volume, &name).unwrap(), Applied::Changed);
    assert_eq!(last(&naming), format!("lvrename {SHARED} san a-old a-new"));
    assert_eq!(naming.lvm.rename(volume, &name).unwrap(), Applied::Identity);
    let lying = renamed(false).lvm.rename(volume, &name);
    assert!(
        matches!(lying, Err(PortError::NotInEffect { .. })),
        "{lying:?}"
    );
}
