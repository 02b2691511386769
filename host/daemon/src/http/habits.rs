//! What people and HTTP libraries send: what is right is served however it is wrapped, and what is
//! wrong gets a problem in JSON with a sentence. Requests are raw, so that no client tidies them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::testing::Served;

/// Something that is right, and succeeds on a node without storage.
const DETACH: &str = r#"{"instance": "11111111-2222-3333-4444-555555555555"}"#;

/// What came back: status, content type, body.
struct Answer {
    status: u16,
    content_type: String,
    allow: String,
    body: Value,
}

fn send(socket: &Path, request: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(socket).unwrap();
    // The rest of a body that is too long is not read.
    drop(stream.write_all(request));
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    // An interim answer comes before the real one.
    let text = text
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(&text);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{read:?}: {text}"));
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        content_type: header("content-type:"),
        allow: header("allow:"),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// A request of HTTP/1.1 with these headers.
fn request(first: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{first} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const JSON: &str = "Content-Type: application/json\r\n";

fn attach(change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({
        "instance": "11111111-2222-3333-4444-555555555555", "instance_name": "w",
        "purpose": "boot", "dry_run": true,
        "disks": [{"pool": "vg0", "volume": "web", "access": "read-write"}],
    });
    change(&mut body);
    body.to_string()
}

#[test]
fn what_is_right_is_served_however_it_is_wrapped() {
    let served = Served::new("", |_| {});
    let socket = served.socket();
    let charset = "Content-Type: application/json; charset=utf-8\r\n";
    let chunked = format!(
        "POST /v1/detach HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{JSON}\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{DETACH}\r\n0\r\n\r\n",
        DETACH.len()
    );
    let old = format!(
        "POST /v1/detach HTTP/1.0\r\n{JSON}Content-Length: {}\r\n\r\n{DETACH}",
        DETACH.len()
    );
    let expects = format!("{JSON}Expect: 100-continue\r\n");
    for (what, raw) in [
        ("charset", request("POST /v1/detach", charset, DETACH)),
        ("chunked", chunked.into_bytes()),
        ("1.0", old.into_bytes()),
        ("expect", request("POST /v1/detach", &expects, DETACH)),
        (
            "upper-case UUID",
            request(
                "POST /v1/detach",
                JSON,
                &DETACH.replace("555555555555", "AAAAAAAAAAAA"),
            ),
        ),
    ] {
        let answer = send(&socket, &raw);
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        assert_eq!(answer.body["detached"], json!([]), "{what}");
    }
}

#[test]
fn what_is_wrong_gets_a_problem_with_a_sentence() {
    let served = Served::new("", |_| {});
    let socket = served.socket();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let plain = attach(|_| {});
    let bom = format!("\u{feff}{plain}");
    let typo = plain.replace("dry_run", "dryrun");
    let word = plain.replace("read-write", "rw");
    let none = attach(|body| body["disks"] = json!([]));
    let huge = " ".repeat(5_000_000);
    for (raw, status, words) in [
        (
            request("POST /v1/attach", form, &plain),
            415,
            "Content-Type: application/json",
        ),
        (
            request("POST /v1/attach/", JSON, &plain),
            404,
            "/openapi.json",
        ),
        (
            request("POST //v1/attach", JSON, &plain),
            404,
            "/openapi.json",
        ),
        (request("GET /v1/attach", "", ""), 405, "/openapi.json"),
        (
            request("DELETE /v1/attachments", "", ""),
            405,
            "/openapi.json",
        ),
        (
            request("POST /v1/attach", JSON, &typo),
            422,
            "unknown field `dryrun`",
        ),
        (
            request("POST /v1/attach", JSON, &word),
            422,
            "is none of read-write",
        ),
        (
            request("POST /v1/attach", JSON, &bom),
            400,
            "byte order mark",
        ),
        (
            request("POST /v1/attach", JSON, &none),
            400,
            "no disk is named",
        ),
        (
            request("POST /v1/attach", JSON, ""),
            400,
            "the request is not understood",
        ),
        (request("POST /v1/attach", JSON, &huge), 413, "2 MiB"),
        (request("GET /v1/attachments?all=yes", "", ""), 400, "all"),
        (request("GET /v1/decisions?limit=-1", "", ""), 400, "limit"),
    ] {
        let first = String::from_utf8_lossy(&raw);
        let first = first.lines().next().unwrap().to_owned();
        let answer = send(&socket, &raw);
        assert_eq!(answer.status, status, "{first}: {}", answer.body);
        assert_eq!(answer.content_type, "application/json", "{first}");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains(words), "{first}: {message}");
        // A code or a status's name is no sentence.
        assert!(message.split(' ').count() > 4, "{first}: {message}");
        assert_eq!(status == 405, !answer.allow.is_empty(), "{first}");
    }
}

/// A client that begins with HTTP/2 is told no at once; it does not hang until a deadline.
#[test]
fn http_2_by_prior_knowledge_ends_without_a_success() {
    let served = Served::new("", |_| {});
    let mut stream = UnixStream::connect(served.socket()).unwrap();
    let limit = std::time::Duration::from_secs(5);
    stream.set_read_timeout(Some(limit)).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(!answer.contains(" 200 "), "{answer}");
}

/// `explain` would know nothing of these, so nobody is sent there.
#[test]
fn what_keeps_no_record_names_no_request() {
    let served = Served::new("[[pool]]\nname = \"vg0\"\n", |_| {});
    let socket = served.socket();
    // The test's daemon has no LVM, so all of them fail.
    let set = r#"{"pool": "vg0", "volume": "web", "shareable": true}"#;
    let again = attach(|_| {});
    for raw in [
        request("POST /v1/volumes/set", JSON, set),
        request("POST /v1/pools", JSON, r#"{"name": "vg0"}"#),
        request("GET /v1/recover?volume=vg0/web", "", ""),
        request("POST /v1/attach", JSON, &again),
    ] {
        let answer = send(&socket, &raw);
        assert!(answer.status >= 500, "{}", answer.body);
        assert_eq!(answer.body.get("request"), None, "{}", answer.body);
    }
    // An attach that is no dry run is in the journal, by its instance at least.
    let real = attach(|body| body["dry_run"] = json!(false));
    let answer = send(&socket, &request("POST /v1/attach", JSON, &real));
    let id = answer.body["request"].as_str().unwrap().to_owned();
    let told = send(
        &socket,
        &request(&format!("GET /v1/explain?request={id}"), "", ""),
    );
    let summary = told.body["summary"].as_str().unwrap();
    assert_eq!(
        summary,
        "attach for instance 11111111-2222-3333-4444-555555555555: taken back"
    );
    assert!(
        told.body["undecided"]
            .as_str()
            .unwrap()
            .contains("before a decision")
    );
    assert!(!told.body["trouble"].as_array().unwrap().is_empty());
}

/// Texts of a request become facts, and facts stay in the log of a denied request as well: 64
/// requests of 2 MB would leave nothing else in it.
#[test]
fn what_is_out_of_bounds_reaches_neither_the_policies_nor_their_log() {
    let pool = "[[pool]]\nname = \"vg0\"\n";
    let served = Served::new(pool, |_| {});
    let socket = served.socket();
    let long = "x".repeat(1 << 20);
    let twice = json!({"pool": "vg0", "volume": "web", "access": "read-only"});
    type Change = Box<dyn FnOnce(&mut Value)>;
    let cases: Vec<(Change, u16, &str)> = vec![
        (
            Box::new({
                let long = long.clone();
                move |b| b["hints"] = json!([["k", long]])
            }),
            400,
            "hints-too-large",
        ),
        (
            Box::new({
                let long = long.clone();
                move |b| b["instance_name"] = json!(long)
            }),
            400,
            "name-too-long",
        ),
        (
            Box::new(move |b| b["purpose"] = json!({"other": long})),
            400,
            "purpose-too-long",
        ),
        (
            Box::new(move |b| b["disks"].as_array_mut().unwrap().push(twice)),
            409,
            "twice",
        ),
    ];
    for (change, status, code) in cases {
        let body = attach(|body| {
            body["dry_run"] = json!(false);
            change(body);
        });
        let answer = send(&socket, &request("POST /v1/attach", JSON, &body));
        assert_eq!(answer.status, status, "{code}: {}", answer.body);
        assert_eq!(answer.body["code"], code);
    }
    assert_eq!(served.daemon.decisions.last().unwrap(), 0);
    // Nor into the journal: no storage was asked, which here would have been the answer.
    let instance = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    let known = volward_control::ports::JournalQuery::Instance(instance);
    assert!(served.daemon.node.history(&known, 1).unwrap().is_empty());
}
