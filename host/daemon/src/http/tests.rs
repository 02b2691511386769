use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use volward_api::{
    ClientError, DetachRequest, Open, PolicyState, PoolInitRequest, ProblemCode, RollbackRequest,
    StatusReply, VolumeSetRequest,
};

use volward_plan::permit::permit;
use volward_plan::{CallerKind, NodeRoles, RefusalCode};

use super::openapi;
use super::routes::table;
use super::testing::Served;

mod policies;

/// Neither root nor anybody on a machine that runs tests.
const NOBODYS_UID: u32 = 47_110;

/// Runs on a thread whose user is not root; says which. A test run by root becomes another user
/// there, and any other stays who it is. The kernel looks at the thread that connects.
fn not_as_root<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let on_thread = || {
        if rustix::process::geteuid().is_root() {
            let uid = rustix::process::Uid::from_raw(NOBODYS_UID);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
}

fn uid_that_is_not_root() -> u32 {
    not_as_root(|| rustix::process::geteuid().as_raw())
}

/// Sends a request without a body; answers status and body.
fn ask(socket: &Path, method: &str, target: &str) -> (u16, Value) {
    ask_with(socket, method, target, "")
}

/// Sends a request with a body of JSON; answers status and body.
fn ask_with(socket: &Path, method: &str, target: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    // The answer to HEAD has none.
    let body = match body {
        "" => Value::Null,
        body => serde_json::from_str(body).unwrap(),
    };
    (status, body)
}

#[test]
fn a_foreign_user_gets_forbidden_whatever_is_asked() {
    let served = Served::for_users(&[], "", |_| {});
    let socket = served.socket();
    let routes = table();
    assert!(routes.len() > 10);
    for route in routes {
        let method = route.method.to_uppercase();
        // Without body and query: nobody looks at these before it is known who asks.
        let path = route.path.replace("{id}", "nobody");
        let (status, body) = not_as_root(|| ask(&socket, &method, &path));
        assert_eq!(
            (status, body["code"].as_str()),
            (403, Some("forbidden")),
            "{method} {}",
            route.path
        );
    }
    let all = DetachRequest {
        instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        volumes: vec![],
        not_after: None,
        only_unused: false,
        dry_run: false,
    };
    let refused = not_as_root(|| served.client().detach(&all)).unwrap_err();
    let problem = refused.problem().unwrap();
    assert_eq!(problem.kind, ProblemCode::Forbidden, "{problem:?}");
    let uid = uid_that_is_not_root().to_string();
    assert!(
        problem.message.contains(&uid) && problem.message.contains("openstack-uids"),
        "{problem:?}"
    );
}

/// The whole matrix, through the socket: every route, each kind of caller, each role of a node.
#[test]
fn every_route_is_refused_where_the_matrix_says_so_and_nowhere_else() {
    let uid = uid_that_is_not_root();
    // Whoever is not root and runs the daemon is as root to it.
    let kinds = match rustix::process::geteuid().is_root() {
        true => &CallerKind::ALL[1..],
        false => &CallerKind::ALL[..1],
    };
    for kind in kinds.iter().copied() {
        for roles in NodeRoles::ALL {
            let api = match kind {
                CallerKind::Root => String::new(),
                kind => format!("{kind}-uids = [{uid}]"),
            };
            let served = Served::on_node(roles, &api);
            let socket = served.socket();
            for route in table() {
                let method = route.method.to_uppercase();
                let path = route.path.replace("{id}", "nobody");
                let (status, body) = not_as_root(|| ask(&socket, &method, &path));
                let expected = permit(route.action, kind, roles).err();
                let case = format!("{kind} on {roles}: {method} {path}: {status} {body}");
                match expected {
                    Some(refusal) => {
                        assert_eq!(body["code"], refusal.code.as_str(), "{case}");
                        let status_of = match refusal.code {
                            RefusalCode::CallerMayNot => 403,
                            _ => 409,
                        };
                        assert_eq!(status, status_of, "{case}");
                    }
                    None => {
                        let refused = ["caller-may-not", "not-control", "not-compute", "forbidden"];
                        let code = body["code"].as_str().unwrap_or_default();
                        assert!(!refused.contains(&code), "{case}");
                    }
                }
            }
        }
    }
}

/// None, too many, and an id that leaves no room for each one's number.
#[test]
fn snapshots_that_cannot_be_a_group_are_said() {
    let served = Served::new("", |_| {});
    let one = r#"{"pool": "vg0", "volume": "a", "snapshot": "b"}"#;
    for (id, count, says) in [
        ("g".to_owned(), 0, "1 to 64"),
        ("g".to_owned(), 65, "1 to 64"),
        ("g".repeat(99), 1, "too long"),
    ] {
        let all = vec![one; count].join(",");
        let body = format!(r#"{{"id": "{id}", "snapshots": [{all}]}}"#);
        let (status, body) = ask_with(&served.socket(), "POST", "/v1/volumes/snapshots", &body);
        assert_eq!((status, body["code"].as_str()), (400, Some("bad-request")));
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn an_operation_that_nobody_knows_is_not_found_and_a_bad_id_is_said() {
    let served = Served::new("", |_| {});
    let socket = served.socket();
    let of = |(status, body): (u16, Value)| (status, body["code"].as_str().map(str::to_owned));
    let unknown = of(ask(&socket, "GET", "/v1/operations/nobody?wait_ms=5000"));
    assert_eq!(
        unknown,
        (404, Some("not-found".to_owned())),
        "at once, for it may never come"
    );
    let bad = of(ask(&socket, "GET", "/v1/operations/a%20b"));
    assert_eq!(bad, (400, Some("bad-request".to_owned())));
    assert_eq!(served.client().operations().unwrap(), []);
    let cancel = ask_with(
        &socket,
        "POST",
        "/v1/operations/cancel",
        r#"{"id": "nobody"}"#,
    );
    assert_eq!(of(cancel), (404, Some("not-found".to_owned())));
    let nowhere = r#"{"pool": "vg0", "volume": "a", "size": 4096}"#;
    let nowhere = ask_with(&socket, "POST", "/v1/volumes/create", nowhere);
    assert_eq!(of(nowhere), (404, Some("not-found".to_owned())));
    let (status, _) = ask_with(
        &socket,
        "POST",
        "/v1/volumes/create",
        r#"{"pool": "vg0", "id": "a/b"}"#,
    );
    assert_eq!(status, 422);
}

#[test]
fn a_user_of_openstack_uids_may_ask_and_another_may_not() {
    let uid = uid_that_is_not_root();
    let ask_where = |uids: &[u32]| -> Result<StatusReply, ClientError> {
        let served = Served::for_users(uids, "", |_| {});
        not_as_root(|| served.client().status())
    };
    assert_eq!(ask_where(&[7, uid]).unwrap().node, "n1");
    let other = ask_where(&[uid + 1]).unwrap_err();
    let other = other.problem().unwrap();
    assert_eq!(other.kind, ProblemCode::Forbidden, "{other:?}");
}

#[test]
fn the_openapi_document_is_served_over_the_socket() {
    let served = Served::new("", |_| {});
    let (status, document) = ask(&served.socket(), "GET", "/openapi.json");
    assert_eq!(status, 200);
    assert_eq!(document, openapi::document());
    // And what is nowhere in it points to it.
    let (status, problem) = ask(&served.socket(), "GET", "/v2/status");
    assert_eq!(status, 404);
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("/openapi.json"), "{message}");
}

#[test]
fn a_word_that_is_not_in_a_list_is_refused_with_those_that_are() {
    let served = Served::new("", |_| {});
    let socket = served.socket();
    let attach = |purpose: &str, access: &str| {
        format!(
            r#"{{"instance": "11111111-2222-3333-4444-555555555555", "instance_name": "",
                 "purpose": "{purpose}",
                 "disks": [{{"pool": "vg0", "volume": "a", "access": "{access}"}}]}}"#
        )
    };
    let confirm = r#"{"instance": "11111111-2222-3333-4444-555555555555", "event": "paused",
                      "volumes": []}"#;
    for (method, target, body, sentence) in [
        (
            "POST",
            "/v1/attach",
            attach("boot", "ro"),
            r#"disks[0].access: "ro" is none of read-write, read-only"#,
        ),
        (
            "POST",
            "/v1/attach",
            attach("boots", "read-only"),
            "purpose: unknown variant `boots`, expected one of `boot`, `hot-plug`, \
             `migration-in`, `restore`, `other`",
        ),
        (
            "POST",
            "/v1/confirm",
            confirm.to_owned(),
            r#"event: "paused" is none of start, started, stopped, reconnect, attach"#,
        ),
        (
            "GET",
            "/v1/decisions?said=no",
            String::new(),
            r#"said: "no" is none of granted, advised, denied, faulted"#,
        ),
    ] {
        let (status, problem) = ask_with(&socket, method, target, &body);
        assert!((400..500).contains(&status), "{target}: {status}");
        assert_eq!(problem["kind"], "bad-request");
        let message = problem["message"].as_str().unwrap();
        let beginning = format!("the request is not understood: {sentence}");
        assert!(message.starts_with(&beginning), "{message}");
    }
}

#[test]
fn a_pool_that_cannot_be_read_is_said_beside_the_clusters_attachments() {
    // The test's daemon has no LVM to ask.
    let served = Served::new("[[pool]]\nname = \"vg9\"\n", |_| {});
    let reply = served.client().cluster().unwrap();
    assert!(reply.attachments.is_empty(), "{reply:?}");
    let [sentence] = &reply.unreadable[..] else {
        panic!("{reply:?}")
    };
    assert!(sentence.starts_with("pool vg9: "), "{sentence}");
    // Programs that ask as before get the list they got.
    assert!(served.client().attachments(true).unwrap().is_empty());
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Marks and pools have no decision in the log of decisions: this is the record of who it was.
#[test]
fn who_changes_a_volume_or_makes_a_pool_is_in_the_log() {
    let kept = Kept::default();
    let writer = kept.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false);
    let layer = layer.with_writer(move || writer.clone());
    // Handlers run on other threads. No other test sets one.
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let uid = uid_that_is_not_root();
    let served = Served::for_users(&[uid], "[[pool]]\nname = \"vg9\"\n", |_| {});
    let set = VolumeSetRequest {
        pool: "vg9".into(),
        volume: "web".into(),
        shareable: true,
    };
    let init = PoolInitRequest {
        name: "vg9".into(),
        accept_older: false,
    };
    // The test's daemon has no LVM; who asked is said before anything is done.
    served.client().volume_set(&set).unwrap_err();
    served.client().pool_init(&init).unwrap_err();
    let refused = not_as_root(|| served.client().volume_set(&set)).unwrap_err();
    assert!(refused.to_string().contains("only root"), "{refused}");
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let refused = format!("uid={uid} kind=openstack method=\"POST\" path=\"/v1/volumes/set\"");
    assert!(text.contains(&refused), "{text}");
    let who = format!("uid={} origin=", rustix::process::geteuid().as_raw());
    for (what, about) in [
        ("volume set", "pool=vg9 volume=web"),
        ("pool init", "pool=vg9"),
    ] {
        let line = text.lines().find(|l| l.contains(what) && l.contains(&who));
        let line = line.unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(line.contains(about), "{line}");
    }
}

/// The router answers HEAD by what serves GET, so it needs the same right.
#[test]
fn head_needs_the_right_of_get() {
    let uid = uid_that_is_not_root();
    let served = Served::for_users(&[uid], "", |_| {});
    let socket = served.socket();
    for method in ["GET", "HEAD"] {
        let (status, _) = not_as_root(|| ask(&socket, method, "/v1/decisions"));
        assert_eq!(status, 403, "{method}");
    }
}

/// Recovery undoes what the journal says is open: that may be what the first daemon is doing.
#[test]
fn i30_a_second_daemon_ends_before_it_reads_the_state() {
    let served = Served::new("", |_| {});
    let tools = served.daemon.tools.clone();
    let state = served.daemon.config.paths.state.join("state.db");
    let before = std::fs::metadata(&state).unwrap().modified().unwrap();
    let config = served.daemon.config.clone();
    let second = crate::wiring::Daemon::with_tools(config, &tools);
    let said = second.map(drop).unwrap_err().to_string();
    assert!(said.contains("another volwardd uses the state"), "{said}");
    let after = std::fs::metadata(&state).unwrap().modified().unwrap();
    assert_eq!(before, after);
    served.client().status().unwrap();
}
