//! `plug` and `unplug`, with a script in virsh's place that keeps the guest's disks in a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use volward_api::fake::Canned;

use crate::support::replies::{WEB1, healthy};
use crate::support::{Ended, Node};

const DEVICE: &str = "/dev/volward/11111111-2222-3333-4444-555555555555/vg0/root";

/// `refuses`: libvirt does not plug in; `keeps`: the guest does not let go.
fn node(refuses: bool, keeps: bool) -> Node {
    // As the daemon of its node lists it: with its device.
    let node = Node::with(|seen| match seen.line.split(['?', ' ']).nth(1) {
        Some("/v1/attachments") => Canned::json(&json!([{
            "node": "n1", "instance": WEB1, "instance_name": "web1", "pool": "vg0", "volume": "root",
            "sharing": "exclusive", "access": "read-write", "state": "attached", "device": DEVICE,
            "since_ms": 1, "causes": [],
        }])),
        _ => healthy(seen),
    });
    fs::create_dir(node.bin()).unwrap();
    let script = format!(
        r#"#!/bin/sh
        disks="{bin}/disks"
        shift 2
        echo "$@" >> "{bin}/calls"
        case "$1" in
        domuuid) [ "$2" = web1 ] || {{ echo "error: failed to get domain '$2'" >&2; exit 1; }}; echo {WEB1} ;;
        domname) echo web1 ;;
        attach-device) {refuses} && {{ echo "error: Failed to attach device" >&2; exit 1; }}; while read -r line; do :; done
            printf '%s' "$line" > "$disks" ;;
        detach-disk) {keeps} || : > "$disks" ;;
        dumpxml) echo "<domain><devices>"; while read -r line || [ -n "$line" ]; do echo "$line"; done < "$disks"; echo "</devices></domain>" ;;
        esac
        exit 0"#,
        bin = node.bin().display()
    );
    let path = node.bin().join("virsh");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(node.bin().join("disks"), "").unwrap();
    node
}

fn asked(node: &Node) -> Vec<String> {
    node.seen().into_iter().map(|seen| seen.line).collect()
}

fn disks(node: &Node) -> String {
    fs::read_to_string(node.bin().join("disks")).unwrap()
}

fn well(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_disk_is_attached_and_plugged_and_the_other_way_round() {
    let node = node(false, false);
    let plugged = node.volward("plug web1 vg0/root vdb --config");
    well(&plugged);
    assert!(plugged.stdout.contains(DEVICE), "{}", plugged.stdout);
    let xml = disks(&node);
    assert!(xml.contains(&format!("<source dev='{DEVICE}'/>")), "{xml}");
    assert!(xml.contains("<target dev='vdb' bus='virtio'/>"), "{xml}");
    let calls = fs::read_to_string(node.bin().join("calls")).unwrap();
    assert!(
        calls.contains(&format!(
            "attach-device {WEB1} /proc/self/fd/0 --live --config"
        )),
        "{calls}"
    );
    let body = &node.seen()[0].body;
    assert!(body.contains("\"instance_name\":\"web1\""), "{body}");

    let unplugged = node.volward("unplug web1 vg0/root");
    well(&unplugged);
    assert_eq!(disks(&node), "");
    assert_eq!(asked(&node).last().unwrap(), "POST /v1/detach");
}

#[test]
fn what_libvirt_does_not_plug_in_is_detached_again() {
    let node = node(true, false);
    let ended = node.volward("plug web1 vg0/root vdb");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("detached again"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("Failed to attach device"),
        "{}",
        ended.stderr
    );
    assert_eq!(asked(&node), ["POST /v1/attach", "POST /v1/detach"]);
}

#[test]
fn what_a_guest_does_not_let_go_of_stays_attached() {
    let node = node(false, true);
    well(&node.volward("plug web1 vg0/root vdb"));
    let ended = node.volward("unplug web1 vg0/root --wait 1");
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    assert!(ended.stderr.contains("has not let go"), "{}", ended.stderr);
    assert!(!asked(&node).contains(&"POST /v1/detach".to_owned()));
}

#[test]
fn a_guest_that_is_not_there_gets_nothing_attached() {
    let node = node(false, false);
    let ended = node.volward("plug web2 vg0/root vdb");
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("failed to get domain 'web2'"),
        "{}",
        ended.stderr
    );
    assert_eq!(asked(&node), [""; 0]);
    let without = Node::with(healthy).volward("plug web1 vg0/root vdb");
    assert!(
        without.stderr.contains("cannot run virsh"),
        "{}",
        without.stderr
    );
}
