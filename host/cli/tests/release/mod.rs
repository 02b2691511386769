//! `volward release`: what systemd runs before a node goes down.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use volward_api::fake::{Canned, Seen};
use volward_api::{Problem, ProblemCode};

use crate::support::replies::{DB1, WEB1};
use crate::support::{Node, assert_golden};

fn attachment(instance: &str, name: &str, pool: &str, volume: &str) -> Value {
    json!({
        "node": "n1", "instance": instance, "instance_name": name, "pool": pool, "volume": volume,
        "sharing": "exclusive", "access": "read-write", "state": "attached", "device": null,
        "since_ms": 1, "causes": [],
    })
}

fn line(seen: &Seen) -> &str {
    seen.line
        .split_once('?')
        .map_or(&*seen.line, |(line, _)| line)
}

#[test]
fn what_is_left_is_named_with_its_reason_and_the_exit_code_says_so() {
    let node = Node::with(|seen| {
        let asked = |words: &str| seen.body.contains(words);
        Canned::json(&match line(seen) {
            "POST /v1/hydrations/put-down" | "GET /v1/hydrations" => json!([{
                "pool": "vg0", "volume": "old", "state": "returning", "done": 0, "total": 1,
                "remaining_ms": null, "stalled_ms": 0, "trouble": null,
            }]),
            "GET /v1/attachments" => json!([
                attachment(WEB1, "web1", "vg0", "root"),
                attachment(WEB1, "web1", "vg0", "data"),
                attachment(WEB1, "web1", "vg1", "log"),
                attachment(DB1, "", "vg0", "db"),
            ]),
            "POST /v1/detach" if asked("\"vg1\"") => {
                let message = "another request works on vg1/log".to_owned();
                return Canned::problem(&Problem {
                    kind: ProblemCode::Storage.into(),
                    code: "waiting".to_owned(),
                    message,
                    details: Vec::new(),
                    retry_after_ms: None,
                    request: None,
                });
            }
            "POST /v1/detach" if asked(DB1) => json!({
                "detached": [],
                "trying_again": [{"pool": "vg0", "volume": "db", "cause": "the LUN fails"}],
            }),
            "POST /v1/detach" => json!({
                "detached": [{"pool": "vg0", "volume": "data"}], "in_use": [["vg0", "root"]],
            }),
            "GET /v1/operations" => json!([{
                "id": "c1", "operation": "create", "pool": "vg0", "volume": "new", "state": "running",
                "done": 1, "total": 2, "started_ms": 1, "changed_ms": 1,
            }]),
            other => panic!("no reply for {other}"),
        })
    });
    let ended = node.volward("release --within 0");
    assert_golden("release", "release --within 0", &ended);
    assert_eq!(ended.code, 1);
    let seen = node.seen();
    assert_eq!(seen[0].line, "POST /v1/hydrations/put-down", "first of all");
    let bodies = seen.iter().filter(|seen| seen.line == "POST /v1/detach");
    let bodies: Vec<&str> = bodies.map(|seen| seen.body.as_str()).collect();
    assert_eq!(bodies.len(), 3, "a request for each instance and pool");
    let all = bodies
        .iter()
        .all(|body| body.contains("\"only_unused\":true"));
    assert!(all, "{bodies:?}");

    let ended = node.volward("release --within 0 --json");
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(said["detached"][0]["volume"], "data");
    assert_eq!(said["left"].as_array().unwrap().len(), 5);
    let whose = &said["left"][3]["disk"];
    assert!(whose.is_null(), "nobody has it: {whose}");
}

/// QEMU ends a moment after it was told to.
#[test]
fn what_is_open_at_first_is_tried_again() {
    let looks = AtomicUsize::new(0);
    let node = Node::with(move |seen| {
        Canned::json(&match line(seen) {
            "POST /v1/hydrations/put-down" | "GET /v1/hydrations" | "GET /v1/operations" => {
                json!([])
            }
            "GET /v1/attachments" => json!([attachment(WEB1, "web1", "vg0", "root")]),
            "POST /v1/detach" if looks.fetch_add(1, Ordering::SeqCst) == 0 => {
                json!({"detached": [], "in_use": [["vg0", "root"]]})
            }
            "POST /v1/detach" => json!({"detached": [{"pool": "vg0", "volume": "root"}]}),
            other => panic!("no reply for {other}"),
        })
    });
    let ended = node.volward("release");
    assert_golden("release-again", "release", &ended);
    assert_eq!(ended.code, 0);
}

#[test]
fn a_daemon_that_hangs_keeps_nobody_longer_than_was_said_and_what_it_was_asked_for_is_named() {
    let node = Node::with(|seen| match line(seen) {
        "POST /v1/detach" => Canned::Silence,
        "GET /v1/attachments" => Canned::json(&json!([
            attachment(WEB1, "web1", "vg0", "root"),
            attachment(DB1, "", "vg0", "db"),
        ])),
        _ => Canned::json(&json!([])),
    });
    let ended = node.volward("release --within 4");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for words in ["left: vg0/root", "left: vg0/db", "did not answer within"] {
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    }
    // And before that, for whoever does not live to see the end.
    for words in ["left: vg0/root", "left: vg0/db", "trying for 2 s more"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
