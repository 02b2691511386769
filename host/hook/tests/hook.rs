//! The hook as libvirt runs it, against a fake daemon.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests stop the test, and lay out a node's files by path"
)]

#[path = "hook/beside.rs"]
mod beside;
#[path = "hook/elements.rs"]
mod elements;
mod support;

use serde_json::{Value, json};
use support::{Node, assert_golden, xml};
use volward_api::fake::{Canned, Seen};
use volward_api::{
    ARRIVING_DIR, AttachReply, ConfirmReply, DetachReply, MARKS_DIR, Open, Problem, ProblemCode,
    REFUSED_DIR, SPOOL_DIR,
};

const WEB1: &str = "11111111-2222-3333-4444-555555555555";
const PLAIN: &str = "22222222-2222-3333-4444-555555555555";
const MARK: &str = r#"{"version":1,"boot_id":"b007","sequence":7}"#;
const REQUEST: &str = "00000000-0000-4000-8000-000000000001";

fn attached(_: &Seen) -> Canned {
    Canned::json(&AttachReply {
        request: REQUEST.parse().unwrap(),
        attached: Vec::new(),
        plan: Vec::new(),
        notes: Vec::new(),
    })
}

fn detached(_: &Seen) -> Canned {
    Canned::json(&DetachReply::default())
}

fn problem(kind: ProblemCode, code: &str, message: &str) -> Problem {
    Problem {
        kind: kind.into(),
        code: code.into(),
        message: message.into(),
        details: Vec::new(),
        retry_after_ms: None,
        request: Some(REQUEST.into()),
    }
}

fn body(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).unwrap()
}

/// Every operation libvirt documents, with the arguments it passes.
const OPERATIONS: [&str; 9] = [
    "prepare begin -",
    "start begin -",
    "started begin -",
    "stopped end -",
    "release end -",
    "migrate begin -",
    "restore begin -",
    "reconnect begin -",
    "attach begin -",
];

/// I31: a guest without managed disks is never refused, with the daemon down and whatever its
/// XML is like.
#[test]
fn i31_a_guest_without_managed_disks_needs_no_daemon() {
    let node = Node::new();
    let huge = [b"<domain>".to_vec(), vec![b' '; 5 << 20]].concat();
    for operation in OPERATIONS {
        let odd = xml("odd-but-unmanaged");
        for xml in [&xml("unmanaged")[..], &odd, b"<domain>\xff\xfe", &huge] {
            let ended = node.hook(&format!("plain {operation}"), xml);
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{operation}");
            assert_eq!(ended.stdout, "", "an empty output is unchanged XML");
        }
    }
    assert!(node.spooled().is_empty());
}

#[test]
fn i31_nor_does_it_ask_a_daemon_that_runs() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    for operation in OPERATIONS {
        assert_eq!(
            node.hook(&format!("plain {operation}"), &xml("unmanaged"))
                .code,
            0
        );
    }
    assert!(daemon.seen().is_empty());
}

#[test]
fn i31_a_broken_configuration_is_said_and_harms_nobody() {
    let node = Node::new();
    node.configure("[[pool]\nname =");
    let ended = node.hook("plain prepare begin -", &xml("unmanaged"));
    assert_eq!(ended.code, 0);
    assert_golden("config-broken", &ended.stderr);
    let _daemon = node.daemon(attached);
    assert_eq!(node.hook("web1 prepare begin -", &xml("two-disks")).code, 0);
}

#[test]
fn prepare_asks_for_all_disks_in_one_request() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    let ended = node.hook("web1 prepare begin -", &xml("two-disks"));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let seen = daemon.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "POST /v1/attach");
    assert_eq!(
        body(&seen[0]),
        json!({
            "instance": WEB1,
            "instance_name": "web1",
            "purpose": "boot",
            "only_while_waiting": true,
            "hints": [["tenant", "blue & green"]],
            "disks": [
                {"pool": "vg0", "volume": "root", "path": "own", "access": "read-write",
                 "accept_narrowing": false},
                {"pool": "vg0", "volume": "common", "path": "own", "access": "read-only",
                 "sharing": "shared", "accept_narrowing": true},
            ],
            "dry_run": false,
        })
    );
}

#[test]
fn plain_lv_paths_are_managed_too_when_the_pool_is() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    assert_eq!(node.hook("db1 prepare begin -", &xml("lv-paths")).code, 0);
    let disks = body(&daemon.seen()[0])["disks"].clone();
    let text = |disk: &Value, key: &str| disk[key].as_str().unwrap().to_owned();
    let asked: Vec<[String; 3]> = disks
        .as_array()
        .unwrap()
        .iter()
        .map(|disk| ["volume", "path", "access"].map(|key| text(disk, key)))
        .collect();
    assert_eq!(
        asked,
        [
            ["db1-data", "lv", "read-write"],
            ["golden-image", "lv", "read-only"],
            ["target", "lv", "read-write"],
        ]
    );
}

#[test]
fn a_denial_tells_who_why_and_when() {
    let node = Node::new();
    let refusal = Problem {
        details: vec![
            "vg0/root: exclusive, read-write, attached since 2026-11-21 09:00:00 UTC".into(),
            "a policy's line\nwith a break".into(),
        ],
        retry_after_ms: Some(4200),
        ..problem(
            ProblemCode::Refused,
            "held-elsewhere",
            "vg0/root is attached on node n2 by instance 99999999-2222-3333-4444-555555555555",
        )
    };
    let daemon = node.daemon(move |_| Canned::problem(&refusal));
    let ended = node.hook("web1 prepare begin -", &xml("two-disks"));
    assert_eq!(ended.code, 1);
    assert_golden("prepare-refused", &ended.stderr);
    drop(daemon);

    let denial = problem(
        ProblemCode::Denied,
        "tenant-unknown",
        "tenant blue has no volumes here",
    );
    let _daemon = node.daemon(move |_| Canned::problem(&denial));
    let ended = node.hook("web1 prepare begin -", &xml("two-disks"));
    assert_eq!(ended.code, 1);
    assert_golden("prepare-denied", &ended.stderr);
}

#[test]
fn without_a_daemon_prepare_fails_with_one_sentence() {
    let node = Node::new();
    let ended = node.hook("web1 prepare begin -", &xml("two-disks"));
    assert_eq!(ended.code, 1);
    assert_golden("prepare-no-daemon", &ended.stderr);
}

#[test]
fn xml_that_cannot_be_attached_is_refused_without_asking() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    let other = |xml: &str| xml.replacen(&format!("<uuid>{WEB1}"), &format!("<uuid>{PLAIN}"), 1);
    let good = String::from_utf8(xml("two-disks")).unwrap();
    let cases = [
        ("another-instances-device", other(&good)),
        ("cut-off", good[..good.len() - 200].to_owned()),
        // Nor can be said whose it is.
        ("no-uuid", "<domain><x y='/dev/vg0/root'".to_owned()),
        (
            "parent-directories",
            good.replace("/vg0/root", "/vg0/../vg0/root"),
        ),
        (
            "metadata-typo",
            good.replace("accept-narrowing", "accept-narowing"),
        ),
        (
            "hints-too-large",
            good.replace("blue &amp; green", &"x".repeat(2 << 20)),
        ),
        (
            "outside-a-disk",
            good.replace("/dev/pts/3", "/dev/vg0/console"),
        ),
    ];
    for (name, xml) in cases {
        for operation in ["prepare", "migrate", "restore"] {
            let ended = node.hook(&format!("web1 {operation} begin -"), xml.as_bytes());
            assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{name}");
            if operation != "restore" {
                assert_golden(&format!("{operation}-{name}"), &ended.stderr);
            }
        }
    }
    assert!(daemon.seen().is_empty());
}

#[test]
fn migrate_and_restore_leave_good_xml_as_it_is() {
    let node = Node::new();
    for operation in ["migrate begin -", "restore begin -"] {
        let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    }
}

/// libvirt does not copy a disk onto itself (`--copy-storage-all`) as long as there is none where it looks for it.
#[test]
fn a_guest_does_not_come_to_disks_that_it_has_here_already() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    let folder = node.path(&format!("/dev/volward/{WEB1}/vg0"));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/dm-99", folder.join("root")).unwrap();
    let ended = node.hook("web1 migrate begin -", &xml("two-disks"));
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert_golden("migrate-here-already", &ended.stderr);
    // It has them for a start, and for one that is restored.
    for operation in ["restore begin -", "prepare begin -"] {
        let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
        assert_eq!(ended.code, 0, "{operation}: {}", ended.stderr);
    }
    assert_eq!(daemon.seen().len(), 1);
    std::fs::remove_file(folder.join("root")).unwrap();
    let ended = node.hook("web1 migrate begin -", &xml("two-disks"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// libvirt says it to the first of two calls only, and a start that is none must not be taken for an
/// arrival or a restore.
#[test]
fn prepare_after_migrate_or_restore_is_that_once_and_without_it_a_start() {
    let node = Node::new();
    let daemon = node.daemon(attached);
    let purposes = || -> Vec<String> {
        let seen = daemon.seen();
        let purpose = |seen| body(seen)["purpose"].as_str().unwrap().to_owned();
        seen.iter().map(purpose).collect()
    };
    let says = |operation: &str| {
        node.hook(&format!("web1 {operation}"), &xml("two-disks"))
            .code
    };
    for operation in [
        "prepare begin -",
        "migrate begin -",
        "prepare begin -",
        "prepare begin -",
        "restore begin -",
        "prepare begin -",
        "prepare begin -",
    ] {
        assert_eq!(says(operation), 0, "{operation}");
    }
    assert_eq!(
        purposes(),
        ["boot", "migration-in", "boot", "restore", "boot"]
    );
    // Of a migration that went no further than `migrate`, and of another boot.
    let old = r#"{"version":1,"at_ms":18446744073709551615}"#;
    std::fs::create_dir_all(node.path(ARRIVING_DIR)).unwrap();
    std::fs::write(node.path(ARRIVING_DIR).join(WEB1), old).unwrap();
    assert_eq!(says("prepare begin -"), 0);
    assert_eq!(purposes().last().unwrap(), "boot");
}

#[test]
fn release_detaches_what_this_start_has_whatever_the_xml_says() {
    let node = Node::new();
    let daemon = node.daemon(detached);
    node.mark(PLAIN, MARK);
    assert_eq!(node.hook("plain release end -", &xml("unmanaged")).code, 0);
    assert_eq!(
        body(&daemon.seen()[0]),
        json!({"instance": PLAIN, "not_after": {"boot_id": "b007", "sequence": 7},
               "dry_run": false})
    );
}

/// `virsh managedsave` ends qemu: the volumes go like those of a guest that was shut down, and the start
/// after it asks for them again, so that somebody else who has them by then refuses it.
#[test]
fn a_saved_guest_gives_its_volumes_up_and_asks_for_them_again() {
    let node = Node::new();
    let daemon = node.daemon(|seen| match seen.line.as_str() {
        "POST /v1/detach" => detached(seen),
        _ => attached(seen),
    });
    node.mark(WEB1, MARK);
    for operation in ["stopped end -", "release end -"] {
        let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
        assert_eq!(ended.code, 0, "{operation}: {}", ended.stderr);
    }
    let asked = |seen: &[Seen]| seen.iter().map(|one| one.line.clone()).collect::<Vec<_>>();
    let given_up = ["POST /v1/confirm", "POST /v1/detach"];
    assert_eq!(asked(&daemon.seen()), given_up);
    for operation in ["restore begin -", "prepare begin -", "start begin -"] {
        let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
        assert_eq!(ended.code, 0, "{operation}: {}", ended.stderr);
    }
    let lines = asked(&daemon.seen());
    assert_eq!(lines[2], "POST /v1/attach", "{lines:?}");
}

#[test]
fn release_without_a_daemon_is_spooled_durably_and_lets_libvirt_go_on() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    // Twice: the second takes the first one's place.
    for _ in 0..2 {
        let ended = node.hook("web1 release end -", &xml("two-disks"));
        assert_eq!(ended.code, 0);
        assert_golden("release-spooled", &ended.stderr);
    }
    let spooled = node.spooled();
    assert_eq!(spooled.len(), 1);
    assert_eq!(spooled[0].0, format!("{WEB1}.json"));
    assert_eq!(
        serde_json::from_str::<Value>(&spooled[0].1).unwrap(),
        json!({"version": 1, "instance": WEB1,
               "not_after": {"boot_id": "b007", "sequence": 7}})
    );
}

#[test]
fn links_in_place_of_the_hooks_folders_and_files_are_not_written_through() {
    let node = Node::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let [spool, refused] = [SPOOL_DIR, REFUSED_DIR].map(|folder| node.path(folder));
    node.mark(WEB1, MARK);
    std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &spool).unwrap();
    let ended = node.hook("web1 release end -", &xml("two-disks"));
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("could not be noted"), "{ended:?}");

    std::fs::create_dir_all(&refused).unwrap();
    let target = elsewhere.path().join("target");
    std::os::unix::fs::symlink(&target, refused.join(WEB1)).unwrap();
    let ended = node.hook("web1 prepare begin -", &xml("two-disks"));
    assert_eq!(ended.code, 1);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // The note is in the link's place.
    let note = std::fs::symlink_metadata(refused.join(WEB1)).unwrap();
    assert!(note.is_file(), "{note:?}");
}

#[test]
fn release_of_broken_xml_still_finds_what_to_release() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    let whole = xml("two-disks");
    assert_eq!(node.hook("web1 release end -", &whole[..400]).code, 0);
    assert_eq!(node.spooled().len(), 1);
}

/// libvirt calls release right after a refused prepare.
#[test]
fn release_after_a_refused_prepare_leaves_nothing_behind() {
    let node = Node::new();
    assert_eq!(node.hook("web1 prepare begin -", &xml("two-disks")).code, 1);
    assert_eq!(node.hook("web1 stopped end -", &xml("two-disks")).code, 0);
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert!(node.spooled().is_empty());
}

/// What a person attached before, and the refused start did not get, stays.
#[test]
fn release_after_a_refused_prepare_takes_nothing_of_what_was_there_before() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    let refused = |seen: &Seen| match seen.line.as_str() {
        "POST /v1/attach" => {
            Canned::problem(&problem(ProblemCode::Denied, "hours", "not at night"))
        }
        _ => detached(seen),
    };
    let daemon = node.daemon(refused);
    assert_eq!(node.hook("web1 prepare begin -", &xml("two-disks")).code, 1);
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert_eq!(daemon.seen().len(), 1, "only the attach was asked");
    // The one after that is the end of a start that was let through.
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert_eq!(daemon.seen().len(), 2);
}

/// Whatever became of it is unknown: the daemon is told that nobody waits any more.
#[test]
fn release_after_a_prepare_without_an_answer_detaches() {
    let broken = problem(ProblemCode::Internal, "internal", "broke off");
    let later = Problem {
        kind: Open::Other("of-a-later-daemon".into()),
        ..broken.clone()
    };
    for problem in [broken, later] {
        let node = Node::new();
        let daemon = node.daemon(move |seen: &Seen| match seen.line.as_str() {
            "POST /v1/attach" => Canned::problem(&problem),
            _ => detached(seen),
        });
        assert_eq!(node.hook("web1 prepare begin -", &xml("two-disks")).code, 1);
        assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
        let paths: Vec<String> = daemon.seen().iter().map(|s| s.line.clone()).collect();
        assert_eq!(paths, ["POST /v1/attach", "POST /v1/detach"]);
    }
}

#[test]
fn a_release_that_cannot_be_noted_says_what_to_do() {
    let node = Node::new();
    node.mark(WEB1, "not json");
    let ended = node.hook("web1 release end -", &xml("two-disks"));
    assert_eq!(ended.code, 0);
    assert_golden("release-by-hand", &ended.stderr);
    assert!(node.spooled().is_empty());
}

/// tests/compat/state/0.1.0: an upgrade does not reboot the node, so its marks and notes are there.
fn released(file: &str) -> String {
    let fixtures = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/compat/state/0.1.0"
    );
    std::fs::read_to_string(format!("{fixtures}/{file}")).unwrap()
}

#[test]
fn the_mark_of_0_1_0_names_the_start_that_is_released() {
    let node = Node::new();
    let mark = released("marks/11111111-2222-3333-4444-000000000002");
    node.mark(WEB1, &mark);
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    let spooled: Value = serde_json::from_str(&node.spooled()[0].1).unwrap();
    assert_eq!(
        spooled["not_after"],
        json!({"boot_id": "n1-boot-1", "sequence": 2})
    );
}

#[test]
fn the_refusal_note_of_0_1_0_keeps_what_was_there_before() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    node.refused(WEB1, &released(&format!("refused/{WEB1}")));
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert!(node.spooled().is_empty());
    // Once.
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert_eq!(node.spooled().len(), 1);
}

#[test]
fn what_a_later_version_left_is_said_and_stays_as_it_is() {
    const LATER: &str = r#"{"version":2,"new":"words"}"#;
    let node = Node::new();
    node.mark(WEB1, LATER);
    let ended = node.hook("web1 release end -", &xml("two-disks"));
    assert_eq!(ended.code, 0);
    assert!(
        ended.stderr.contains("later version of Volward"),
        "{}",
        ended.stderr
    );
    assert!(node.spooled().is_empty());
    assert_eq!(
        std::fs::read_to_string(node.path(MARKS_DIR).join(WEB1)).unwrap(),
        LATER
    );

    node.mark(WEB1, MARK);
    let spooled = node.path(SPOOL_DIR).join(format!("{WEB1}.json"));
    std::fs::create_dir_all(node.path(SPOOL_DIR)).unwrap();
    std::fs::write(&spooled, LATER).unwrap();
    let ended = node.hook("web1 release end -", &xml("two-disks"));
    assert!(
        ended.stderr.contains("later version of Volward"),
        "{}",
        ended.stderr
    );
    assert_eq!(std::fs::read_to_string(&spooled).unwrap(), LATER);

    node.refused(WEB1, LATER);
    for call in ["web1 prepare begin -", "web1 release end -"] {
        let ended = node.hook(call, &xml("two-disks"));
        assert!(
            ended.stderr.contains("later version of Volward"),
            "{}",
            ended.stderr
        );
    }
    let note = node.path(REFUSED_DIR).join(WEB1);
    assert_eq!(std::fs::read_to_string(note).unwrap(), LATER);
}

#[test]
fn what_the_daemon_remembers_itself_is_not_spooled() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    let busy = problem(ProblemCode::Quarantined, "busy", "vg0/root is still open");
    let daemon = node.daemon(move |_| Canned::problem(&busy));
    let ended = node.hook("web1 release end -", &xml("two-disks"));
    assert_eq!(ended.code, 0);
    assert_golden("release-quarantined", &ended.stderr);
    assert!(node.spooled().is_empty());
    drop(daemon);

    let full = problem(
        ProblemCode::Internal,
        "disk-full",
        "no space in /var/lib/volward",
    );
    let _daemon = node.daemon(move |_| Canned::problem(&full));
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert_eq!(node.spooled().len(), 1);
}

/// Another request kept the volume: nothing was begun, and nobody else remembers the release.
#[test]
fn a_release_that_the_daemon_was_too_busy_for_is_spooled() {
    let node = Node::new();
    node.mark(WEB1, MARK);
    let busy = problem(ProblemCode::Refused, "busy", "another request on vg0/root");
    let _daemon = node.daemon(move |_| Canned::problem(&busy));
    assert_eq!(node.hook("web1 release end -", &xml("two-disks")).code, 0);
    assert_eq!(node.spooled().len(), 1);
}

#[test]
fn only_start_is_refused_when_a_disk_is_missing() {
    let node = Node::new();
    let daemon = node.daemon(|_| {
        Canned::json(&ConfirmReply {
            missing: vec![("vg0".parse().unwrap(), "root".parse().unwrap())],
        })
    });
    for (operation, code) in [
        ("start begin -", 1),
        ("started begin -", 0),
        ("reconnect begin -", 0),
        ("attach begin -", 0),
        ("stopped end -", 0),
    ] {
        let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
        assert_eq!(ended.code, code, "{operation}");
        if operation == "start begin -" {
            assert_golden("start-missing", &ended.stderr);
        }
    }
    assert_eq!(
        body(&daemon.seen()[0]),
        json!({"instance": WEB1, "event": "start",
               "volumes": [["vg0", "root"], ["vg0", "common"]]})
    );
}

#[test]
fn no_confirmation_fails_for_want_of_a_daemon() {
    let node = Node::new();
    for operation in [
        "start begin -",
        "started begin -",
        "reconnect begin -",
        "stopped end -",
    ] {
        let ended = node.hook(&format!("web1 {operation}"), &xml("two-disks"));
        assert_eq!(ended.code, 0, "{operation}");
        assert!(ended.stderr.contains("not running"), "{operation}");
    }
}

#[test]
fn run_by_hand_it_says_what_it_is() {
    let ended = Node::new().hook("--help", b"");
    assert_eq!(ended.code, 2);
    assert_golden("usage", &ended.stderr);
}

/// `volward doctor` finds the hook where it is installed as /etc/libvirt/hooks/qemu.
#[test]
fn a_copy_of_the_program_can_be_told_from_other_hooks() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_volward-hook")).unwrap();
    let mark = volward_api::HOOK_MARK.as_bytes();
    assert!(program.windows(mark.len()).any(|part| part == mark));
}
