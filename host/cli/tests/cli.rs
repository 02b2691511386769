//! What `volward` prints and how it ends, against a fake daemon.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stop the test"
)]

mod faults;
mod home;
mod plug;
mod release;
mod setup;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::replies::{REQUEST, WEB1, doctor, healthy, hydrations};
use support::{Node, assert_golden};
use volward_api::fake::Canned;
use volward_api::{Problem, ProblemCode};

#[test]
fn tables_and_stories_read_as_reviewed() {
    let node = Node::with(healthy);
    let disks = "vg0/root vg0/common:ro,shared";
    for (name, arguments) in [
        ("pool-init", "pool init vg0"),
        ("pool-ls", "pool ls"),
        ("pool-show", "pool show vg0"),
        ("volume-set", "volume set vg0/common --shareable yes"),
        ("volume-create", "volume create vg0/new 10G --id c1"),
        ("volume-create-plan", "volume create vg0/new 10G --dry-run"),
        (
            "volume-rm-nothing",
            "volume rm vg0/nothing --id c7 --no-wait",
        ),
        ("volume-cp", "volume cp vg0/web vg0/new --size 10G --id c4"),
        ("volume-cp-plan", "volume cp vg0/web vg0/new --dry-run"),
        ("volume-snap", "volume snap vg0/web new --id c5"),
        (
            "volume-snap-guest",
            &format!("volume snap-guest {WEB1} now --id c9"),
        ),
        (
            "volume-snap-guest-plan",
            &format!("volume snap-guest {WEB1} now --dry-run"),
        ),
        ("volume-mv", "volume mv vg0/new other --id c6"),
        ("volume-mv-pool", "volume mv vg0/web vg1/ --id c8"),
        ("volume-show", "volume show vg0/new"),
        ("op-ls", "op ls"),
        ("op-show", "op show c2"),
        ("attach", &format!("attach {WEB1} {disks}")),
        ("attach-plan", &format!("attach {WEB1} {disks} --dry-run")),
        ("detach", &format!("detach {WEB1}")),
        ("detach-plan", &format!("detach {WEB1} --dry-run")),
        ("ls", "ls --all"),
        ("explain", &format!("explain {REQUEST}")),
        ("recover", "recover vg0/web"),
        ("decisions-ls", "decisions ls"),
        ("decisions-show", &format!("decisions show {REQUEST}")),
        (
            "decisions-show-masked",
            &format!("decisions show {REQUEST} --mask"),
        ),
        ("hydration-ls", "hydration ls"),
        ("policy-ls", "policy ls"),
        ("doctor", "doctor"),
        ("status", "status"),
    ] {
        let ended = node.volward(arguments);
        assert_eq!(ended.code, 0, "{arguments}: {}", ended.stderr);
        assert_golden(name, arguments, &ended);
    }
}

/// Whoever waits in vain knows under which id to look, and to ask again: the daemon hears the same one.
#[test]
fn an_operations_id_is_said_before_it_is_asked_for_and_again_where_no_answer_came() {
    let silent = Node::with(|_| Canned::Silence);
    let arguments = "--timeout 1 volume create vg0/new 1G --id c9";
    let ended = silent.volward(arguments);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert_golden("volume-create-silent", arguments, &ended);
    let waits = silent.volward("--timeout 1 op wait c9");
    assert!(waits.stderr.contains("`volward op show c9`"), "{waits:?}");

    let ended = silent.volward("--timeout 1 volume rm vg0/new");
    let id = ended.stderr.lines().next().unwrap();
    let id = id.strip_prefix("operation ").unwrap();
    assert!(ended.stderr.contains(&format!("--id {id}")), "{ended:?}");
    let body: Value = serde_json::from_str(&silent.seen().pop().unwrap().body).unwrap();
    assert_eq!(body["id"], id, "{body}");
    // A dry run is no operation, and a program reads one line of JSON.
    let node = Node::with(healthy);
    let dry = node.volward("volume create vg0/new 10G --dry-run");
    assert_eq!(dry.stderr, "");
    let json = silent
        .volward("--timeout 1 --json volume rm vg0/new")
        .stderr;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["error"].as_str().unwrap().contains("--id"), "{json}");
}

/// Whoever means a pool does not rename the volume.
#[test]
fn a_pools_name_is_not_taken_for_a_volumes() {
    let node = Node::with(healthy);
    let arguments = "volume mv vg0/new nvme";
    let ended = node.volward(arguments);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_golden("volume-mv-to-a-name", arguments, &ended);
    let asked = node.seen();
    assert!(asked.iter().all(|seen| seen.line.starts_with("GET")));
    assert_eq!(node.volward("volume mv vg0/new vg0/nvme").code, 0);
}

/// `ls` shows a name; a UUID is needed.
#[test]
fn a_name_where_a_uuid_is_needed_is_told_how_to_come_by_it() {
    let node = Node::with(healthy);
    let ended = node.volward("detach web1");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_golden("detach-by-name", "detach web1", &ended);
    for arguments in [
        "attach nobody vg0/root",
        "fence nobody",
        "unfence nobody",
        "explain --instance nobody",
        "decisions ls --instance nobody",
    ] {
        let ended = node.volward(arguments);
        assert_eq!(ended.code, 2, "{arguments}: {ended:?}");
        assert!(ended.stderr.contains("`virsh domuuid nobody`"), "{ended:?}");
        assert!(!ended.stderr.contains("of that name"), "{ended:?}");
    }
    let asked = node.seen();
    assert!(
        asked
            .iter()
            .all(|seen| seen.line.starts_with("GET /v1/attachments")),
        "{asked:?}"
    );
}

/// Nothing was attached here, and whoever asked reads where it is.
#[test]
fn a_detach_that_found_nothing_says_where_it_is() {
    let node = Node::with(|_| {
        Canned::json(&json!({
            "detached": [],
            "notes": ["the instance has vg0/db on node n2: detach it there"],
        }))
    });
    let arguments = format!("detach {WEB1}");
    let ended = node.volward(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_golden("detach-elsewhere", &arguments, &ended);
}

/// What one pastes into a ticket does not say that all is well.
#[test]
fn the_status_names_what_is_cut_off_what_is_tried_again_and_leases_that_are_lost() {
    let node = Node::with(|seen| match seen.line.as_str() {
        "GET /v1/status" => Canned::json(&json!({
            "version": "0.1.0", "node": "n1", "quarantined": 0, "pools": ["vg0"],
            "cut_off": ["vg0/web of instance 1 (web1): this node is not in the pool's lockspace any more"],
            "unfinished": ["detach of vg0/db for instance 2 failed 3 time(s) and is tried again in 8 s: no lockspace"],
            "leases": ["vg0: lost: this node is not in the pool's lockspace any more"],
        })),
        _ => Canned::json(&json!({
            "checks": [{
                "name": "sanlock", "verdict": "failed", "found": "not running", "remedy": "start it",
                "refuses_read_write": true,
            }],
            "pools": ["vg0"],
            "cut_off": ["vg0/web of instance 1 (web1)"],
            "unfinished": ["detach of vg0/db of instance 2"],
        })),
    });
    assert_golden("status-in-trouble", "status", &node.volward("status"));
    let ended = node.volward("doctor");
    assert!(!ended.stdout.contains("guests that run go on"), "{ended:?}");
    assert_golden("doctor-cut-off", "doctor", &ended);
}

/// What waits for an operation ends with how that ended; what does not, when it is on record.
#[test]
fn an_operation_that_failed_is_a_failure_and_one_that_goes_on_is_none() {
    let node = Node::with(healthy);
    let refused = node.volward("op wait c2");
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stdout.contains("(held-here)"), "{}", refused.stdout);
    let on_record = node.volward("volume rm vg0/new --no-wait");
    assert_eq!(on_record.code, 0, "{}", on_record.stderr);
    assert!(on_record.stdout.contains("running"), "{}", on_record.stdout);
    // It was done before it could be taken back.
    assert_eq!(node.volward("op cancel c1").code, 1);
    assert_eq!(node.volward("volume create vg0/new ten").code, 2);
    let seen: Vec<String> = node.seen().into_iter().map(|seen| seen.line).collect();
    assert!(
        seen.contains(&"POST /v1/volumes/delete".to_owned()),
        "{seen:?}"
    );
    assert!(
        seen.contains(&"GET /v1/operations/c2?wait_ms=30000".to_owned()),
        "{seen:?}"
    );
}

/// As a way out says it, and never one half of it.
#[test]
fn a_home_is_set_instead_of_the_one_that_was_found() {
    let node = Node::with(healthy);
    let arguments = "recover vg0/web --set-home split:n1:y:1 --instead-of pool:::0";
    let ended = node.volward(arguments);
    assert_golden("recover-set-home", arguments, &ended);
    let seen = node.seen().pop().unwrap();
    assert_eq!(seen.line, "POST /v1/recover/home");
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"volume": "vg0/web", "home": "split:n1:y:1", "instead_of": "pool:::0"})
    );
    let given_up = Node::with(|_| {
        Canned::json(&json!({
            "volume": "vg0/web", "heard": "agree", "witnesses": [["home-tag", "pool"]],
            "contradictions": [], "ways_out": [],
            "given_up": [{
                "node": "n3", "copy": "y", "generation": 3, "at_ms": 1_795_900_000_000_u64, "uid": 0,
                "reason": "node 3 burnt, on call: walk",
            }],
        }))
    });
    let gone = Node::with(|_| {
        Canned::json(&json!({
            "volume": "vg0/web", "heard": "agree", "witnesses": [["home-tag", "split (node n3, copy y, generation 3)"]],
            "contradictions": [], "ways_out": ["node n3 is dead: start it"], "copied_at_ms": 1_795_800_000_000_u64,
        }))
    });
    let ended = gone.volward("recover vg0/web");
    assert_golden("recover-copied", "recover vg0/web", &ended);
    let ended = given_up.volward("recover vg0/web");
    assert_golden("recover-given-up", "recover vg0/web", &ended);
    for half in ["--set-home split:n1:y:1", "--instead-of pool:::0"] {
        assert_eq!(
            node.volward(&format!("recover vg0/web {half}")).code,
            2,
            "{half}"
        );
    }
}

/// A script that drops policies in wants to know whether all of them serve.
#[test]
fn loading_fails_when_something_is_refused() {
    let node = Node::with(healthy);
    let ended = node.volward("policy load");
    assert_eq!(ended.code, 1);
    assert_golden("policy-load", "policy load", &ended);
}

#[test]
fn nothing_is_said_plainly() {
    let node = Node::with(|_| Canned::json(&json!([])));
    for (name, arguments) in [
        ("pool-ls-empty", "pool ls"),
        ("ls-empty", "ls"),
        ("hydration-ls-empty", "hydration ls"),
        ("policy-ls-empty", "policy ls"),
    ] {
        assert_golden(name, arguments, &node.volward(arguments));
    }
}

/// A name, a hint or a policy's sentence forges no line and moves no cursor.
#[test]
fn nothing_that_others_wrote_acts_on_the_terminal() {
    let forged = "x\npolicies:\n  tenants granted\u{1b}[A\u{9b}31m\u{202e}";
    let node = Node::with(move |seen| match seen.line.as_str() {
        "GET /v1/attachments" => Canned::json(&json!([{
            "node": "n1", "instance": WEB1, "instance_name": forged, "pool": "vg0",
            "volume": "root", "sharing": "exclusive", "access": "read-write",
            "state": "quarantined", "device": null, "since_ms": 0, "causes": [forged],
        }])),
        _ => Canned::problem(&Problem {
            message: forged.to_owned(),
            details: vec![forged.to_owned()],
            ..problem(ProblemCode::Denied)
        }),
    });
    for arguments in ["ls", "status"] {
        let ended = node.volward(arguments);
        let text = ended.stdout + &ended.stderr;
        assert!(text.contains("\\npolicies:\\n"), "{text}");
        for acts in ['\u{1b}', '\u{9b}', '\u{202e}'] {
            assert!(!text.contains(acts), "{text:?}");
        }
        assert!(!text.contains("\npolicies:"), "{text}");
    }
}

/// Whoever pipes the list gets a list; that it is not whole is said beside it.
#[test]
fn what_cannot_be_read_of_the_cluster_is_said_on_stderr() {
    let unreadable = [
        "pool vg9: there is no such volume group on this node: check the LUN",
        "the registry slot of host-id 3 in pool vg0 cannot be read (no copy has its checksum), and \
         that node may be alive; restart volwardd there",
    ];
    let node =
        Node::with(move |_| Canned::json(&json!({"attachments": [], "unreadable": unreadable})));
    let ended = node.volward("ls --all");
    assert_eq!(ended.code, 12);
    assert_golden("ls-unreadable", "ls --all", &ended);

    let ended = node.volward("--json ls --all");
    assert_eq!(ended.code, 12);
    let list: Value = serde_json::from_str(&ended.stdout).unwrap();
    let beside: Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(
        (list, beside),
        (json!([]), json!({"unreadable": unreadable}))
    );
}

/// A script that counts leases must not take a silent LUN for a free one.
#[test]
fn a_pool_of_which_not_all_can_be_read_is_shown_as_far_as_it_can_be() {
    let unreadable = ["the lease of vg0/web, and what comes after it: the LUN does not answer"];
    let node = Node::with(move |seen| {
        let mut reply = support::replies::pool_reply();
        reply["unreadable"] = json!(unreadable);
        reply["leases"] = json!([]);
        assert_eq!(seen.line, "GET /v1/pools/vg0");
        Canned::json(&reply)
    });
    let ended = node.volward("pool show vg0");
    assert_eq!(ended.code, 12);
    assert_golden("pool-show-unreadable", "pool show vg0", &ended);
    let ended = node.volward("--json pool show vg0");
    assert_eq!((ended.code, ended.stderr.as_str()), (12, ""));
    let reply: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(reply["unreadable"], json!(unreadable));
}

/// Cinder believes one volume free that a node has, and another one attached that nobody has.
#[test]
fn ghosts_are_named_on_both_sides_and_have_an_exit_code() {
    let node = Node::with(healthy);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, list: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, list.to_string()).unwrap();
        path.display().to_string()
    };
    let volume = |id: &str, lv: &str, status: &str, servers: &[&str]| {
        let servers: Vec<Value> = servers.iter().map(|s| json!({"server_id": s})).collect();
        json!({"id": id, "provider_id": lv, "status": status, "attachments": servers})
    };
    let ghosts = json!({"volumes": [
        volume("c-root", "x:a", "available", &[]),
        volume("c-common", "x:b", "in-use", &[support::replies::DB1]),
        volume("c-other", "y:z", "available", &[]),
    ]});
    let ended = node.volward(&format!("audit openstack {}", write("ghosts", &ghosts)));
    assert_eq!(ended.code, 13, "{}", ended.stderr);
    assert_golden("audit-openstack", "audit openstack volumes.json", &ended);

    let servers = json!([{"ID": support::replies::DB1, "Status": "SHUTOFF", "Networks": {}}]);
    let none = json!({"volumes": [
        volume("c-root", "x:a", "in-use", &[WEB1]),
        volume("c-common", "x:b", "in-use", &[support::replies::DB1]),
    ]});
    let files = [write("servers", &servers), write("none", &none)].join(" ");
    // A pool that does not answer may have ghosts.
    let ended = node.volward(&format!("--json audit openstack {files}"));
    assert_eq!(ended.code, 12, "{}", ended.stderr);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (said["ghosts"].clone(), said["volumes"].clone()),
        (json!([]), json!(2))
    );

    let ended = node.volward("audit openstack /nonexistent");
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("/nonexistent cannot be read"),
        "{}",
        ended.stderr
    );
}

#[test]
fn json_is_what_the_daemon_said() {
    let node = Node::with(healthy);
    let ended = node.volward("--json hydration ls");
    assert_eq!(
        serde_json::from_str::<Value>(&ended.stdout).unwrap(),
        hydrations()
    );
}

#[test]
fn requests_say_what_was_typed() {
    let node = Node::with(healthy);
    node.volward(&format!(
        "attach {WEB1} vg0/a:ro,narrow vg0/b:shared,lv --name web1 --purpose boot --hint t=blue"
    ));
    node.volward(&format!("detach {WEB1} vg0/a"));
    node.volward("explain --volume vg0/a+b");
    node.volward(&format!("explain --instance {WEB1}"));
    node.volward("ls");
    let seen = node.seen();
    let body = |n: usize| serde_json::from_str::<Value>(&seen[n].body).unwrap();
    assert_eq!(
        body(0),
        json!({
            "instance": WEB1, "instance_name": "web1", "purpose": "boot",
            "hints": [["t", "blue"]], "dry_run": false, "only_while_waiting": false,
            "disks": [
                {"pool": "vg0", "volume": "a", "path": "own", "access": "read-only",
                 "accept_narrowing": true},
                {"pool": "vg0", "volume": "b", "path": "lv", "access": "read-write",
                 "sharing": "shared", "accept_narrowing": false},
            ],
        })
    );
    assert_eq!(
        body(1),
        json!({"instance": WEB1, "volumes": [["vg0", "a"]], "dry_run": false})
    );
    let targets: Vec<_> = seen[2..].iter().map(|s| s.line.as_str()).collect();
    assert_eq!(
        targets,
        [
            "GET /v1/explain?volume=vg0%2Fa%2Bb",
            &format!("GET /v1/explain?instance={WEB1}"),
            "GET /v1/attachments?all=false",
        ]
    );
}

#[test]
fn decisions_are_asked_for_as_typed() {
    let node = Node::with(healthy);
    node.volward(&format!(
        "decisions ls -n 5 --instance {WEB1} --volume vg0/a --said denied"
    ));
    node.volward(&format!("decisions show {REQUEST}"));
    let targets: Vec<_> = node.seen().iter().map(|s| s.line.clone()).collect();
    assert_eq!(
        targets,
        [
            format!("GET /v1/decisions?limit=5&instance={WEB1}&volume=vg0%2Fa&said=denied"),
            format!("GET /v1/decisions/record?request={REQUEST}"),
        ]
    );
    let empty = Node::with(|_| Canned::json(&json!({"decisions": [], "last": 0})));
    let ended = empty.volward("decisions ls");
    assert_eq!(ended.stdout, "no such decisions on this node\n");
}

/// What `show --json` prints is a file of scenarios; masked, nobody is named in it.
#[test]
fn a_decision_is_exported_as_a_scenario() {
    let node = Node::with(healthy);
    let whole = node.volward(&format!("decisions show {REQUEST} --json"));
    let scenario: volward_api::model::Scenario = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!(scenario.facts().request.instance_name, "web1");
    let masked = node.volward(&format!("decisions show {REQUEST} --json --mask"));
    let scenario: volward_api::model::Scenario = serde_json::from_str(&masked.stdout).unwrap();
    assert_eq!(scenario.facts().request.instance_name, "guest1");
    for name in ["web1", WEB1, "blue", "gold", "root"] {
        assert!(whole.stdout.contains(name), "{name}");
        assert!(!masked.stdout.contains(name), "{name}: {}", masked.stdout);
    }
}

/// Each decision is printed once, the next are asked for by number, and a daemon that goes away
/// ends it.
#[test]
fn follow_prints_what_is_new() {
    let rounds = AtomicUsize::new(0);
    let node = Node::with(move |_| match rounds.fetch_add(1, Ordering::SeqCst) {
        0 => Canned::json(&support::replies::decisions()),
        1 => Canned::json(&json!({"decisions": [], "last": 8})),
        _ => Canned::problem(&problem(ProblemCode::Internal)),
    });
    let ended = node.volward("decisions follow --said denied");
    assert_ne!(ended.code, 0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[1],
        format!(
            "2026-11-21 10:39:14 UTC  {REQUEST}  attach of vg0/root vg0/common for web1: \
             denied by tenants, refused: tenant blue has no volumes here"
        )
    );
    let targets: Vec<_> = node.seen().iter().map(|s| s.line.clone()).collect();
    assert_eq!(
        targets,
        [
            "GET /v1/decisions?limit=10&said=denied",
            "GET /v1/decisions?limit=1000&after=8&said=denied",
            "GET /v1/decisions?limit=1000&after=8&said=denied",
        ]
    );
}

fn problem(kind: ProblemCode) -> Problem {
    Problem {
        kind: kind.into(),
        code: "some-code".into(),
        message: "vg0/root is attached on n2".into(),
        details: vec!["since 2026-11-21 10:39:14 UTC".into()],
        retry_after_ms: Some(4200),
        request: Some(REQUEST.into()),
    }
}

#[test]
fn every_kind_of_problem_has_its_exit_code() {
    for (kind, code) in [
        (ProblemCode::BadRequest, 2),
        (ProblemCode::Forbidden, 9),
        (ProblemCode::NotFound, 10),
        (ProblemCode::Denied, 3),
        (ProblemCode::Refused, 4),
        (ProblemCode::Faulted, 5),
        (ProblemCode::Storage, 6),
        (ProblemCode::Quarantined, 7),
        (ProblemCode::Internal, 1),
    ] {
        let node = Node::with(move |_| Canned::problem(&problem(kind)));
        let ended = node.volward("status");
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{kind}");
        if kind == ProblemCode::Refused {
            assert_golden("problem", "status", &ended);
            let json = node.volward("status --json").stderr;
            let json: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["problem"]["code"], "some-code");
        }
    }
}

#[test]
fn a_daemon_that_is_not_there_or_silent_is_code_8() {
    let ended = Node::without_daemon().volward("status");
    assert_eq!(ended.code, 8);
    assert_golden("no-daemon", "status", &ended);
    let doctor = Node::without_daemon().volward("doctor");
    assert_eq!(doctor.code, 8);
    assert_golden("doctor-no-daemon", "doctor", &doctor);
    let json = Node::without_daemon().volward("--json doctor").stderr;
    let error: Value = serde_json::from_str(&json).unwrap();
    assert!(error["error"].is_string(), "{error}");

    let silent = Node::with(|_| Canned::Silence);
    let ended = silent.volward("--timeout 1 status");
    assert_eq!(ended.code, 8);
    assert_golden("silent-daemon", "--timeout 1 status", &ended);
}

#[test]
fn nonsense_on_the_command_line_is_code_2() {
    let node = Node::with(healthy);
    for arguments in [
        "",
        "fly",
        "attach",
        &format!("attach {WEB1}"),
        &format!("attach {WEB1} vg0/a:x"),
        &format!("attach {WEB1} vg0/a --hint k={}", "x".repeat(2_000)),
        &format!("attach {WEB1} vg0/a --name {}", "x".repeat(257)),
        "volume set vg0/a",
        "explain",
        &format!("explain {REQUEST} --instance {WEB1}"),
    ] {
        assert_eq!(node.volward(arguments).code, 2, "{arguments}");
    }
    assert!(node.seen().is_empty());
}

#[test]
fn options_of_a_disk_are_listed_and_a_wrong_one_is_refused_in_one_sentence() {
    let node = Node::with(healthy);
    assert_golden(
        "attach-help",
        "attach --help",
        &node.volward("attach --help"),
    );
    let wrong = [
        ("attach-wrong-option", "vg0/root vg0/common:ro,readonly"),
        ("attach-contradiction", "vg0/common:ro,shared,rw"),
    ];
    for (name, disks) in wrong {
        let arguments = format!("attach {WEB1} {disks}");
        let ended = node.volward(&arguments);
        assert_eq!(ended.code, 2);
        assert_golden(name, &arguments, &ended);
    }
    assert!(node.seen().is_empty());
}

#[test]
fn doctor_fails_when_something_does_not_work() {
    let node = Node::with(|_| Canned::json(&doctor("failed")));
    let ended = node.volward("doctor");
    assert_eq!(ended.code, 11);
    assert_golden("doctor-failed", "doctor", &ended);
}

#[test]
fn a_record_of_a_newer_daemon_is_shown_raw() {
    let node = Node::with(|_| {
        Canned::json(&json!({
            "request": REQUEST, "summary": "web1 was granted", "steps": [], "trouble": [],
            "decision": {"shape": "unknown"},
        }))
    });
    assert_golden(
        "explain-raw",
        "explain",
        &node.volward(&format!("explain {REQUEST}")),
    );
}

/// A client of this version is used on nodes that are upgraded before it.
#[test]
fn a_word_of_a_later_daemon_is_shown() {
    let node = Node::with(|seen| match seen.line.as_str() {
        "POST /v1/attach" => Canned::json(&json!({
            "request": REQUEST,
            "attached": [{"pool": "vg0", "volume": "a", "device": "/dev/x", "access": "append",
                          "sharing": "leased", "copy": {"mode": "mirrored", "fate": "moved"}}],
        })),
        "GET /v1/hydrations" => at(40, "paused"),
        "GET /v1/doctor" => Canned::json(&doctor("skipped")),
        _ => Canned::Raw(
            b"HTTP/1.1 410 -\r\ncontent-length: 52\r\n\r\n\
              {\"kind\":\"fenced\",\"code\":\"lease-lost\",\"message\":\"no\"}"
                .to_vec(),
        ),
    });
    let attached = node.volward(&format!("attach {WEB1} vg0/a"));
    assert_eq!(
        attached.stdout,
        "/dev/x  vg0/a, leased, append, copy mirrored, then moved\n"
    );
    let watched = node.volward("hydration watch");
    assert!(watched.stdout.contains("paused"), "{watched:?}");
    assert_eq!(watched.code, 0);
    let doctor = node.volward("doctor");
    assert!(doctor.stdout.contains("skipped  watchdog"), "{doctor:?}");
    let refused = node.volward("status");
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (1, "volward: fenced: no (lease-lost)\n")
    );
}

/// A copy at `done` of 100 bytes.
fn at(done: u64, state: &str) -> Canned {
    Canned::json(&json!([{
        "pool": "vg0", "volume": "root", "state": state, "done": done, "total": 100,
        "remaining_ms": null, "stalled_ms": 0, "trouble": null,
    }]))
}

#[test]
fn watch_ends_when_the_copy_is_complete() {
    let calls = AtomicUsize::new(0);
    let node = Node::with(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => at(40, "hydrating"),
        _ => at(100, "complete"),
    });
    let ended = node.volward("hydration watch");
    assert_golden("hydration-watch", "hydration watch", &ended);
    assert_eq!((ended.code, node.seen().len()), (0, 2));

    let failed = Node::with(|_| at(40, "failed"));
    assert_eq!(failed.volward("hydration watch").code, 6);
}

#[test]
fn policy_hands_over_to_the_workbench_beside_it() {
    let node = Node::without_daemon();
    let alone = tempfile::tempdir().unwrap();
    let volward = alone.path().join("volward");
    fs::copy(env!("CARGO_BIN_EXE_volward"), &volward).unwrap();
    let ended = node.run(&volward, "policy test a.wasm");
    assert_eq!(ended.code, 1);
    assert_golden("policy-no-workbench", "policy test a.wasm", &ended);

    let workbench = alone.path().join("volward-policy");
    fs::write(
        &workbench,
        "#!/bin/sh\necho workbench: \"$1 $2\"\nexit 42\n",
    )
    .unwrap();
    fs::set_permissions(&workbench, fs::Permissions::from_mode(0o755)).unwrap();
    let ended = node.run(&volward, "policy test --flag");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (42, "workbench: test --flag\n")
    );
}

#[test]
fn completions_and_help_need_no_daemon() {
    let node = Node::without_daemon();
    assert!(node.volward("completions bash").stdout.contains("_volward"));
    let manual = node.volward("manual").stdout;
    assert!(manual.contains(".SS volward decisions show"), "{manual}");
    let help = node.volward("--help");
    assert_golden("help", "--help", &help);
}
