//! The client against a fake daemon: every kind of failure is told apart.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop the test")]

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tempfile::TempDir;
use volward_api::fake::{Canned, FakeDaemon};
use volward_api::{
    Client, ClientError, DetachRequest, ExplainQuery, Problem, ProblemCode, StatusReply,
};

const DEADLINE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(150);

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    (dir, socket)
}

fn status() -> StatusReply {
    StatusReply {
        version: "0.1.0".into(),
        node: "n1".into(),
        quarantined: 0,
        pools: vec!["vg0".into()],
        cut_off: Vec::new(),
        unfinished: Vec::new(),
        leases: Vec::new(),
    }
}

/// Asks for the status of a daemon that answers with these bytes.
fn status_of(raw: &[u8]) -> Result<StatusReply, ClientError> {
    let (_dir, socket) = place();
    let raw = raw.to_vec();
    let _daemon = FakeDaemon::listen(&socket, move |_| Canned::Raw(raw.clone())).unwrap();
    Client::new(&socket, DEADLINE).status()
}

#[test]
fn a_typed_reply_comes_back() {
    let (_dir, socket) = place();
    let daemon = FakeDaemon::listen(&socket, |_| Canned::json(&status())).unwrap();
    assert_eq!(Client::new(&socket, DEADLINE).status().unwrap(), status());
    assert_eq!(daemon.seen()[0].line, "GET /v1/status");
}

#[test]
fn bodies_and_queries_arrive_as_written() {
    let (_dir, socket) = place();
    let daemon = FakeDaemon::listen(&socket, |_| {
        Canned::json(&serde_json::json!({"detached": []}))
    });
    let daemon = daemon.unwrap();
    let client = Client::new(&socket, DEADLINE);
    let request = DetachRequest {
        instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        volumes: vec![("vg0".parse().unwrap(), "a+b".parse().unwrap())],
        not_after: None,
        only_unused: false,
        dry_run: false,
    };
    assert!(client.detach(&request).unwrap().detached.is_empty());
    let query = ExplainQuery::Volume("vg0".parse().unwrap(), "a+b".parse().unwrap());
    assert!(client.explain(&query).is_err(), "no explanation was canned");

    let seen = daemon.seen();
    assert_eq!(seen[0].line, "POST /v1/detach");
    assert_eq!(
        serde_json::from_str::<DetachRequest>(&seen[0].body).unwrap(),
        request
    );
    assert_eq!(seen[1].line, "GET /v1/explain?volume=vg0%2Fa%2Bb");
}

#[test]
fn a_missing_socket_and_a_dead_one_are_no_daemon() {
    let (_dir, socket) = place();
    let client = Client::new(&socket, DEADLINE);
    assert!(matches!(client.status(), Err(ClientError::NoDaemon { .. })));
    drop(UnixListener::bind(&socket).unwrap());
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::NoDaemon { .. }), "{error}");
    assert!(error.to_string().contains("not running"), "{error}");
}

#[test]
fn a_path_too_long_for_a_socket_is_no_daemon() {
    let client = Client::new(format!("/{}", "x".repeat(200)), DEADLINE);
    assert!(matches!(client.status(), Err(ClientError::NoDaemon { .. })));
}

#[test]
fn silence_ends_at_the_deadline() {
    let (_dir, socket) = place();
    let _daemon = FakeDaemon::listen(&socket, |_| Canned::Silence).unwrap();
    let error = Client::new(&socket, SHORT).status().unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
}

/// A daemon that hangs before `accept` fills its backlog: connecting is bounded too.
#[test]
fn a_full_backlog_ends_at_the_deadline() {
    let (_dir, socket) = place();
    let address = SocketAddrUnix::new(&socket).unwrap();
    let nobody_accepts =
        rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&nobody_accepts, &address).unwrap();
    rustix::net::listen(&nobody_accepts, 0).unwrap();
    let _waits_in_the_backlog = UnixStream::connect(&socket).unwrap();
    let error = Client::new(&socket, SHORT).status().unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
}

#[test]
fn a_problem_keeps_all_its_parts() {
    let problem = Problem {
        kind: ProblemCode::Refused.into(),
        code: "held-elsewhere".into(),
        message: "vg0/root is held on n2".into(),
        details: vec!["since 10:00".into()],
        retry_after_ms: Some(5000),
        request: Some("r".into()),
    };
    let (_dir, socket) = place();
    let answer = problem.clone();
    let _daemon = FakeDaemon::listen(&socket, move |_| Canned::problem(&answer)).unwrap();
    let error = Client::new(&socket, DEADLINE).status().unwrap_err();
    assert_eq!(error.problem(), Some(&problem));
    assert_eq!(error.to_string(), "vg0/root is held on n2");
}

#[test]
fn all_three_ways_to_end_a_body_are_read() {
    let json = serde_json::to_string(&status()).unwrap();
    let (one, two) = json.split_at(10);
    let length = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let to_end = format!("HTTP/1.1 200 OK\r\n\r\n{json}");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    for raw in [length, to_end, chunked] {
        assert_eq!(status_of(raw.as_bytes()).unwrap(), status(), "{raw}");
    }
}

#[test]
fn what_is_no_answer_is_broken_protocol() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "before the answer"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "middle"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "bad length",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            "/v1/status",
        ),
        (b"HTTP/1.1 502 -\r\n\r\nnginx", "status 502: \"nginx\""),
    ];
    for (raw, expected) in cases {
        match status_of(raw) {
            Err(ClientError::Protocol { reason, .. }) => {
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}
