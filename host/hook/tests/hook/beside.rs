//! What stands beside a guest's XML: images that name others, links, udev's names, a stdin without
//! anything, a call that comes twice.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use volward_api::fake::{Canned, Seen};
use volward_api::model::{Access, Sharing};
use volward_api::{AttachReply, Attached, REFUSED_DIR};

use crate::support::{Node, assert_golden};
use crate::{MARK, REQUEST, WEB1, attached, body, detached, xml};

fn guest(disk: &str) -> String {
    format!(
        "<domain type='kvm'><name>web1</name><uuid>{WEB1}</uuid><devices>{disk}</devices></domain>"
    )
}

fn block(path: &str) -> String {
    guest(&format!(
        "<disk type='block'><driver name='qemu' type='raw'/><source dev='{path}'/>\
         <target dev='vda'/></disk>"
    ))
}

/// Puts something where a device would be.
fn put(node: &Node, path: &str, content: &[u8]) {
    let path = node.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn qcow2(backing: &str) -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
    bytes.extend(104_u64.to_be_bytes());
    bytes.extend(u32::try_from(backing.len()).unwrap().to_be_bytes());
    bytes.resize(104, 0);
    bytes.extend(backing.as_bytes());
    bytes
}

/// libvirt reads the header after the hook, and the file it names is not attached.
#[test]
fn a_backing_file_that_only_the_image_names_stops_the_start_and_all_is_released() {
    let own = format!("/dev/volward/{WEB1}/vg0");
    let disk = |more: &str| {
        guest(&format!(
            "<disk type='block'><driver name='qemu' type='qcow2'/><source dev='{own}/overlay'/>{more}\
             <target dev='vda'/></disk>"
        ))
    };
    let chain = format!(
        "<backingStore type='block'><format type='raw'/><source dev='{own}/base'/></backingStore>"
    );
    let base = format!("{own}/base");
    let json_name = format!("json:{{\"driver\":\"raw\",\"file\":{{\"filename\":\"{base}\"}}}}");
    for backing in [
        &base,
        "/dev/vg0/base",
        "base",
        "/dev/mapper/vg0-base",
        &json_name,
    ] {
        let node = Node::new();
        put(&node, &format!("{own}/overlay"), &qcow2(backing));
        let daemon = node.daemon(|seen| match seen.line.as_str() {
            "POST /v1/attach" => attached(seen),
            _ => detached(seen),
        });
        let ended = node.hook("web1 prepare begin -", disk("").as_bytes());
        assert_eq!(ended.code, 1, "{backing}");
        if backing == base {
            assert_golden("prepare-chain", &ended.stderr);
        }
        assert!(ended.stderr.contains(backing), "{}", ended.stderr);
        // What was attached is not to stay: the release that follows is not kept back.
        assert!(!node.path(REFUSED_DIR).join(WEB1).exists());
        node.hook("web1 release end -", disk("").as_bytes());
        assert_eq!(daemon.seen().last().unwrap().line, "POST /v1/detach");
        drop(daemon);
        // With the chain in the XML, or its end, nothing is probed.
        let _daemon = node.daemon(attached);
        for more in [chain.as_str(), "<backingStore/>"] {
            let ended = node.hook("web1 prepare begin -", disk(more).as_bytes());
            assert_eq!(ended.code, 0, "{backing}: {}", ended.stderr);
        }
    }
    // A chain that leads elsewhere is nobody's business here.
    let node = Node::new();
    put(
        &node,
        &format!("{own}/overlay"),
        &qcow2("/var/lib/images/base.qcow2"),
    );
    let _daemon = node.daemon(attached);
    let ended = node.hook("web1 prepare begin -", disk("").as_bytes());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

/// qemu opens a disk that the guest writes to read-write, and does not start where it cannot.
#[test]
fn a_grant_that_is_read_only_for_a_disk_to_be_written_is_refused_by_the_hook() {
    let reply = |access: Access| {
        move |_: &Seen| {
            Canned::json(&AttachReply {
                request: REQUEST.parse().unwrap(),
                attached: vec![Attached {
                    pool: "vg0".parse().unwrap(),
                    volume: "root".parse().unwrap(),
                    device: "/dev/x".into(),
                    access: access.into(),
                    sharing: Sharing::Shared.into(),
                    copy: None,
                    already: false,
                }],
                plan: Vec::new(),
                notes: Vec::new(),
            })
        }
    };
    let node = Node::new();
    node.mark(WEB1, MARK);
    let daemon = node.daemon(reply(Access::ReadOnly));
    let ended = node.hook("web1 prepare begin -", &xml("two-disks"));
    assert_eq!(ended.code, 1);
    assert_golden("prepare-narrowed", &ended.stderr);
    assert!(!node.path(REFUSED_DIR).join(WEB1).exists());
    drop(daemon);
    let _daemon = node.daemon(reply(Access::ReadWrite));
    assert_eq!(node.hook("web1 prepare begin -", &xml("two-disks")).code, 0);
}

#[test]
fn a_link_outside_of_dev_is_followed_to_a_managed_device() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    let links = node.path("/run/vdsm/volumes");
    fs::create_dir_all(&links).unwrap();
    let own = "/dev/volward/99999999-2222-3333-4444-555555555555/vg0/web";
    for (name, target) in [
        ("lv", "/dev/vg0/web"),
        ("own", own),
        ("mapper", "/dev/mapper/vg0-web"),
        ("twice", "lv"),
        ("free", "/dev/sdz"),
        ("round", "round"),
    ] {
        symlink(target, links.join(name)).unwrap();
    }
    for (name, leads_to) in [
        ("lv", "/dev/vg0/web"),
        ("own", own),
        ("mapper", "/dev/mapper/vg0-web"),
        ("twice", "/dev/vg0/web"),
    ] {
        let guest = block(&format!("/run/vdsm/volumes/{name}"));
        for operation in ["prepare", "migrate", "restore"] {
            let ended = node.hook(&format!("web1 {operation} begin -"), guest.as_bytes());
            assert_eq!(ended.code, 1, "{name}");
            assert!(ended.stderr.contains(leads_to), "{}", ended.stderr);
        }
        // Nothing is looked for when the guest ends: a link on a dead server would keep libvirt.
        let ended = node.hook("web1 release end -", guest.as_bytes());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    }
    for name in ["free", "round", "none"] {
        let guest = block(&format!("/run/vdsm/volumes/{name}"));
        let ended = node.hook("web1 prepare begin -", guest.as_bytes());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{name}");
    }
    assert!(daemon.seen().is_empty());
}

/// With the volume inactive, the usual case before a start, there is no such link to follow.
#[test]
fn udevs_names_of_a_managed_volume_are_refused_with_the_form_to_write() {
    let vg = "GutDKr-OQ9T-LMTD-PVlZ-uwJ2-rBKo-2PVK7K";
    let link = |vg: &str| {
        let lv = "g8lUeNPne0YUDG7WBgFMzoeJtgPUbV9Z";
        format!("/dev/disk/by-id/dm-uuid-LVM-{}{lv}", vg.replace('-', ""))
    };
    let node = Node::new();
    // Without a daemon nobody knows whose it is, and there is nothing to open.
    let ended = node.hook("web1 prepare begin -", block(&link(vg)).as_bytes());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let pools = json!([{"name": "vg0", "vg_uuid": vg, "kind": "shared", "lock_type": "sanlock",
                        "size": 1, "free": 1, "members": [], "volumes": [], "trouble": null}]);
    let daemon = node.daemon(move |_| Canned::json(&pools));
    for path in ["/dev/disk/by-id/dm-name-vg0-web", &link(vg)] {
        let ended = node.hook("web1 prepare begin -", block(path).as_bytes());
        assert_eq!(ended.code, 1, "{path}");
        assert!(
            ended.stderr.contains(path) && ended.stderr.contains("write /dev/volward/"),
            "{}",
            ended.stderr
        );
    }
    let other = link("aaaaaa-OQ9T-LMTD-PVlZ-uwJ2-rBKo-2PVK7K");
    for path in ["/dev/disk/by-id/dm-name-vg1-web", &other, "/dev/dm-3"] {
        let ended = node.hook("web1 prepare begin -", block(path).as_bytes());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{path}");
    }
    assert!(
        daemon
            .seen()
            .iter()
            .all(|seen| seen.line == "GET /v1/pools")
    );
}

#[test]
fn a_trailing_slash_changes_nothing() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    let ended = node.hook("web1 prepare begin -", block("/dev/vg0/web/").as_bytes());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(body(&daemon.seen()[0])["disks"][0]["volume"], "web");
}

/// libvirt always writes the XML. Where it does not, nothing is known: a guest is neither kept
/// back nor attached anything, and at the end somebody is told that disks may be left.
#[test]
fn an_empty_stdin_names_no_guest_and_the_release_says_so() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    for operation in crate::OPERATIONS {
        for stdin in [&b""[..], b" \n"] {
            let ended = node.hook(&format!("web1 {operation}"), stdin);
            assert_eq!(ended.code, 0, "{operation}");
            match operation {
                "release end -" => assert_golden("release-empty", &ended.stderr),
                _ => assert_eq!(ended.stderr, "", "{operation}"),
            }
        }
    }
    assert!(node.spooled().is_empty());
}

#[test]
fn a_hook_that_is_called_twice_asks_for_the_same_twice() {
    let node = Node::new();
    let daemon = node.daemon(|seen| match seen.line.as_str() {
        "POST /v1/attach" => attached(seen),
        _ => detached(seen),
    });
    for operation in ["prepare begin -", "release end -"] {
        for _ in 0..2 {
            let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{operation}");
        }
    }
    let seen = daemon.seen();
    // Both are idempotent in the daemon.
    assert_eq!(
        (seen[0].clone(), seen[2].clone()),
        (seen[1].clone(), seen[3].clone())
    );
}

/// libvirt keeps what the hook says, and virsh prints it.
#[test]
fn what_is_wrong_a_thousand_times_is_said_in_a_few_lines() {
    let node = Node::new();
    let name = "x".repeat(100_000);
    let element = format!("<v:hint {name}='1'/>");
    let text = String::from_utf8(xml("two-disks")).unwrap();
    let text = text.replace("<v:hint key", &format!("{}<v:hint key", element.repeat(30)));
    let ended = node.hook("web1 prepare begin -", text.as_bytes());
    assert_eq!(ended.code, 1);
    assert_eq!(ended.stderr.lines().count(), 17);
    assert!(ended.stderr.ends_with("and 14 more\n"), "{}", ended.stderr);
    assert!(ended.stderr.len() < 17 * 4_100);
}

#[test]
fn metadata_of_a_disk_that_the_guest_does_not_have_is_refused() {
    let node = Node::new();
    let text = String::from_utf8(xml("two-disks")).unwrap();
    let ended = node.hook(
        "web1 prepare begin -",
        text.replace("target=\"vdb\"", "target=\"vdz\"").as_bytes(),
    );
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("has no disk vdz"), "{}", ended.stderr);
}
