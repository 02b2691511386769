//! `volward setup`, on a folder that stands for a node's root.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Node, assert_golden};

/// As Debian has it, as far as it is looked at.
fn bare() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "etc/default/sanlock",
            "# Use -w 0 if you don't have wdmd running\nsanlock_opts=\"-w 0\"\n",
        ),
        ("etc/default/wdmd", "enabled=0\n"),
        ("etc/lvm/lvm.conf", "global {\n\t# use_lvmlockd = 0\n}\n"),
        ("etc/lvm/lvmlocal.conf", "local {\n\t# host_id = 0\n}\n"),
        ("etc/volward/volward.toml", "[node]\n#name = \"node1\"\n"),
        ("etc/hostname", "node1\n"),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const POOLS: &str = "--host-id 3 --pool vg0 --local-pool local";

#[test]
fn changes_are_shown_and_a_dry_run_writes_nothing() {
    let root = bare();
    let node = Node::without_daemon();
    let at = root.path().display();
    let ended = node.volward(&format!("setup --dry-run --root {at} {POOLS}"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_golden("setup", &format!("setup --dry-run {POOLS}"), &ended);
    assert!(!root.path().join("etc/sanlock").exists());
    let toml = fs::read_to_string(root.path().join("etc/volward/volward.toml")).unwrap();
    assert!(!toml.contains("vg0"), "{toml}");
}

#[test]
fn what_is_written_is_named_and_the_second_time_there_is_nothing() {
    let root = bare();
    let node = Node::without_daemon();
    let at = root.path().display();
    let ended = node.volward(&format!("setup --root {at} {POOLS}"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let defaults = root.path().join("etc/default/sanlock");
    assert!(
        ended.stdout.contains(&format!(
            "written: {0} (as it was: {0}.before-volward)",
            defaults.display()
        )),
        "{}",
        ended.stdout
    );
    assert!(
        fs::read_to_string(defaults)
            .unwrap()
            .ends_with("sanlock_opts=\"\"\n")
    );
    let again = node.volward(&format!("setup --root {at} --json"));
    assert_eq!(again.code, 0, "{}", again.stderr);
    let said: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(said["changes"], Value::Array(Vec::new()));
    assert!(said["kept"].as_array().unwrap().len() > 4, "{said}");
}

#[test]
fn a_contradiction_is_one_sentence_with_a_code_of_its_own() {
    let root = bare();
    let lvmlocal = root.path().join("etc/lvm/lvmlocal.conf");
    fs::write(lvmlocal, "local {\n\thost_id = 4\n}\n").unwrap();
    let node = Node::without_daemon();
    let at = root.path().display();
    let ended = node.volward(&format!("setup --root {at} {POOLS}"));
    assert_eq!((ended.code, ended.stdout.as_str()), (4, ""));
    assert_eq!(
        ended.stderr,
        "volward: the node has two host-ids, 3 (--host-id) and 4 (/etc/lvm/lvmlocal.conf): make them one\n"
    );
    assert!(!root.path().join("etc/sanlock").exists());
    // The command line itself is clap's matter.
    assert_eq!(node.volward("setup --host-id x").code, 2);
}
