//! What is read and written, in a folder that stands for the node's root.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests stop the test, and lay out files by path"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;
use volward_folder::Folder;
use volward_setup::{Wanted, WriteError, look, plan, write};

/// A node as Debian has it, as far as it is looked at.
fn node() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("etc/default/sanlock", "sanlock_opts=\"-w 0\"\n"),
        ("etc/default/wdmd", "enabled=0\n"),
        ("etc/lvm/lvm.conf", "global {\n}\n"),
        ("etc/lvm/lvmlocal.conf", "local {\n}\n"),
        ("etc/volward/volward.toml", "# by hand\n[api]\n"),
        ("etc/hostname", "node1.example.org\n"),
        ("proc/sys/kernel/osrelease", "6.1.0-1\n"),
        (
            "usr/lib/modules/6.1.0-1/modules.dep",
            "kernel/drivers/md/dm-clone.ko: x.ko\n",
        ),
        ("sys/class/watchdog/watchdog0/identity", "iTCO\n"),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn wanted() -> Wanted {
    Wanted {
        host_id: Some(2),
        shared: vec!["vg0".parse().unwrap()],
        local: Some("local".parse().unwrap()),
        ..Wanted::default()
    }
}

fn text(root: &TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap()
}

#[test]
fn the_node_is_set_up_once_with_what_was_there_beside_it() {
    let root = node();
    let mode = |path: &str, mode| {
        fs::set_permissions(root.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("etc/volward/volward.toml", 0o600);
    let folder = Folder::open(root.path()).unwrap();
    let first = plan(&wanted(), &look(&folder).unwrap()).unwrap();
    let written = write(&folder, &first).unwrap();
    assert_eq!(written.len(), first.changes.len());
    assert_eq!(
        text(&root, "etc/sanlock/sanlock.conf"),
        "our_host_name = node1\nuse_watchdog = 1\n"
    );
    assert_eq!(
        text(&root, "etc/default/sanlock.before-volward"),
        "sanlock_opts=\"-w 0\"\n"
    );
    assert!(text(&root, "etc/volward/volward.toml").starts_with("# by hand\n[api]\n"));
    assert!(text(&root, "etc/modules-load.d/volward.conf").contains("dm-clone"));
    assert!(
        !root
            .path()
            .join("etc/modules-load.d/volward-watchdog.conf")
            .exists(),
        "hardware"
    );
    assert!(root.path().join("etc/volward/policies.d").is_dir());
    for (path, bits) in [
        ("etc/volward/volward.toml", 0o600),
        ("etc/sanlock/sanlock.conf", 0o644),
    ] {
        let about = fs::metadata(root.path().join(path)).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, bits, "{path}");
    }
    let new: Vec<_> = written
        .iter()
        .filter(|file| file.backup.is_none())
        .collect();
    assert_eq!(new.len(), 5, "{new:?}");

    let second = plan(&wanted(), &look(&folder).unwrap()).unwrap();
    assert!(second.is_done(), "{:?}", second.changes);
    assert_eq!(write(&folder, &second).unwrap(), []);
}

#[test]
fn the_first_text_of_all_stays_when_a_file_is_changed_again() {
    let root = node();
    let folder = Folder::open(root.path()).unwrap();
    let path = root.path().join("etc/default/wdmd");
    for other in ["enabled=1\n", "enabled=\"1\"\n", "enabled=1\n"] {
        fs::write(&path, other).unwrap();
        let plan = plan(&wanted(), &look(&folder).unwrap()).unwrap();
        write(&folder, &plan).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "enabled=0\n");
    }
    assert_eq!(
        text(&root, "etc/default/wdmd.before-volward"),
        "enabled=1\n"
    );
    assert_eq!(
        text(&root, "etc/default/wdmd.before-volward.1"),
        "enabled=\"1\"\n"
    );
    assert!(
        !root
            .path()
            .join("etc/default/wdmd.before-volward.2")
            .exists()
    );
}

#[test]
fn a_file_that_changed_since_it_was_shown_is_not_written() {
    let root = node();
    let folder = Folder::open(root.path()).unwrap();
    let plan = plan(&wanted(), &look(&folder).unwrap()).unwrap();
    fs::write(
        root.path().join("etc/lvm/lvmlocal.conf"),
        "local { host_id = 9 }\n",
    )
    .unwrap();
    let error = write(&folder, &plan).unwrap_err();
    assert!(
        matches!(&error, WriteError::Changed(path) if path == "etc/lvm/lvmlocal.conf"),
        "{error}"
    );
    assert_eq!(
        text(&root, "etc/lvm/lvmlocal.conf"),
        "local { host_id = 9 }\n"
    );
}

#[test]
fn a_link_out_of_the_root_is_neither_read_nor_written() {
    let root = node();
    let outside = tempfile::tempdir().unwrap();
    let theirs = outside.path().join("lvmlocal.conf");
    fs::write(&theirs, "local {\n}\n").unwrap();
    let path = root.path().join("etc/lvm/lvmlocal.conf");
    fs::remove_file(&path).unwrap();
    symlink(&theirs, &path).unwrap();
    let folder = Folder::open(root.path()).unwrap();
    let error = look(&folder).unwrap_err();
    assert_eq!(error.path, "etc/lvm/lvmlocal.conf");
    assert_eq!(
        fs::read_to_string(Path::new(&theirs)).unwrap(),
        "local {\n}\n"
    );
}
